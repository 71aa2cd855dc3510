"""Which trust anchors a preference of the configuration names."""

from collections.abc import Sequence

from cryptography import x509
from cryptography.x509.oid import NameOID

from agent.pki.chain import fingerprint


def preferred_anchors(
    anchors: Sequence[x509.Certificate], preference: str
) -> tuple[x509.Certificate, ...]:
    """Return the anchors that a preference names.

    Args:
        anchors: The configured trust anchors.
        preference: A common name or a whole subject (RFC 4514), or `sha256:` and the
            fingerprint of the anchor in hexadecimal.
    """
    return tuple(a for a in anchors if _is_named(a, preference))


def _is_named(anchor: x509.Certificate, preference: str) -> bool:
    kind, _, digits = preference.partition(":")
    if kind.lower() == "sha256":
        return fingerprint(anchor) == digits.replace(":", "").lower()
    common = anchor.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    names = {anchor.subject.rfc4514_string(), *(str(name.value) for name in common)}
    return preference in names
