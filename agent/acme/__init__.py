"""RFC 8555 as values: messages, signatures, problems. No transport, no clock."""
