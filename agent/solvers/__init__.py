"""Ways to prove control of an identifier: one file a challenge type."""
