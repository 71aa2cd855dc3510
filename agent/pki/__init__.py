"""Certificates, requests and references to keys as values."""
