"""Starters of real parts: each is a context manager that ends what it started."""
