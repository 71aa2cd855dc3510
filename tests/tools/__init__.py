"""Programs that check the tree and set a machine up."""
