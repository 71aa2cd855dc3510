"""Keys in tokens (PKCS#11) and, only where asked for, in files."""
