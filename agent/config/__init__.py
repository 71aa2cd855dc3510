"""The configuration: one typed tree, read from bytes, refused with one clear error."""
