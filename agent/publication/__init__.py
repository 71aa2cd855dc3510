"""What endpoints read: publications as directories, snippets, rights."""
