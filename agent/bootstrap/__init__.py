"""A bootstrap bundle as values: what OAM gives a host to begin with."""
