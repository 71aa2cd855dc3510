"""dns-01: TXT records that prove control of a name (RFC 8555 section 8.4)."""
