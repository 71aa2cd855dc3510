"""tls-alpn-01: names proven by a TLS handshake of its own (RFC 8737)."""
