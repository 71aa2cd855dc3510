"""How renewal information names a certificate (RFC 9773 section 4.1)."""

from base64 import urlsafe_b64encode

from cryptography import x509


def certid(leaf: x509.Certificate) -> str:
    """Return the CertID of a certificate; empty where it has no key identifier.

    "the base64url encoding of the keyIdentifier field of the AKI extension", a period,
    and that of the octets of the DER encoded serial number, both without padding.
    """
    try:
        issuer = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound:
        return ""
    identifier = issuer.value.key_identifier
    return f"{_b64(identifier)}.{_b64(serial_octets(leaf))}" if identifier else ""


def serial_octets(leaf: x509.Certificate) -> bytes:
    """Return the content octets of a serial number: DER, so with a sign bit of zero."""
    number = leaf.serial_number
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def _b64(data: bytes) -> str:
    return urlsafe_b64encode(data).decode("ascii").rstrip("=")
