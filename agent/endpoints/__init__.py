"""TLS endpoints: how they are told, and how they prove what they serve."""
