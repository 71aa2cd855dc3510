"""When a certificate is renewed, and what follows from a failure."""
