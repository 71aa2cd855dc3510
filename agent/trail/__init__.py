"""The audit trail as values: entries, their chain, and the words of CMP for them."""
