"""Validation of tls-alpn-01 for real: a TLS handshake and its certificate (RFC 8737).

Knows what is asked for in the handshake and what the certificate must hold. Where a
name lives is told by the test.
"""

import asyncio
import hashlib
import ipaddress
import ssl
from collections.abc import Mapping
from datetime import timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from tests.ca.config import Resolver
from tests.ca.identifiers import Identifier
from tests.ca.problems import Problem, refusal
from tests.ca.validation import Entropy, Proof, new_token

PROTOCOL = "acme-tls/1"
_DIGEST = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")


class TlsAlpn01:
    """Shakes hands with where a name lives, and looks at what is shown."""

    def __init__(
        self, resolve: Resolver, timeout: timedelta, randomness: Entropy
    ) -> None:
        """Keep the way to names, and the bound of one validation."""
        self._resolve = resolve
        self._timeout = timeout.total_seconds()
        self._randomness = randomness

    def offer(self, identifier: Identifier) -> Mapping[str, object] | None:
        """Offer a fresh token for names and addresses, never for wildcards."""
        if identifier.type not in {"dns", "ip"} or identifier.wildcard:
            return None
        return {"token": new_token(self._randomness(24))}

    def check(self, payload: Mapping[str, object]) -> None:
        """Refuse anything but the empty object (RFC 8737 3)."""
        if payload:
            raise refusal("malformed", "the response to tls-alpn-01 is an empty object")

    async def validate(self, proof: Proof) -> Problem | None:
        """Ask for nothing but `acme-tls/1`, and compare the certificate."""
        name = proof.identifier.value
        try:
            found = self._resolve
            host, port = found[name] if isinstance(found, Mapping) else found(name)
        except LookupError:
            return _failed("dns", f"no address for {name}")
        try:
            async with asyncio.timeout(self._timeout):
                protocol, der = await _look(host, port, _sni(proof.identifier))
        except (OSError, TimeoutError) as error:
            return _failed("connection", f"no handshake with port {port}: {error!r}")
        if protocol != PROTOCOL:
            return _failed("unauthorized", f"the server chose {protocol}")
        wrong = _wrong(x509.load_der_x509_certificate(der), proof)
        return _failed("unauthorized", wrong) if wrong else None


def _sni(identifier: Identifier) -> str:
    # RFC 8738 6: the name that a reverse look-up would ask for.
    if identifier.type == "ip":
        return ipaddress.ip_address(identifier.value).reverse_pointer
    return identifier.value


async def _look(host: str, port: int, name: str) -> tuple[str | None, bytes]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([PROTOCOL])
    _, writer = await asyncio.open_connection(
        host, port, ssl=context, server_hostname=name
    )
    try:
        tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
        return tls.selected_alpn_protocol(), tls.getpeercert(binary_form=True) or b""
    finally:
        writer.transport.abort()


def _wrong(certificate: x509.Certificate, proof: Proof) -> str:
    """Say what RFC 8737 3 and RFC 8738 6 do not allow; empty for nothing."""
    try:
        certificate.verify_directly_issued_by(certificate)
        extensions = certificate.extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        digest = extensions.get_extension_for_oid(_DIGEST)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as error:
        return f"the certificate is not of its form: {error!r}"
    if list(names) != [proof.identifier.general_name()]:
        return f"the certificate names {[str(n.value) for n in names]}"
    expected = hashlib.sha256(proof.key_authorization.encode()).digest()
    value = digest.value
    if not isinstance(value, x509.UnrecognizedExtension) or not digest.critical:
        return "the digest is not critical"
    # RFC 8737 3: the DER encoding of an OCTET STRING that holds the digest.
    return "" if value.value == b"\x04\x20" + expected else "the digest is another one"


def _failed(kind: str, detail: str) -> Problem:
    return Problem(type=kind, detail=detail, status=400)
