"""TLS of the CA itself: a root of its own, and a server certificate for loopback.

It has nothing to do with what the CA issues, and lives in real time whatever the clock
of the CA says.
"""

import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from tests.ca.config import system_now
from tests.ca.issuing import Profile, make_leaf, make_root, validity_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """What a TLS server needs, and the root that its clients need."""

    context: ssl.SSLContext
    root_pem: bytes


def make_transport(host: str) -> Transport:
    """Return TLS for `host` (a name or an address), localhost and 127.0.0.1."""
    root = make_root("Test Transport Root")
    key = ec.generate_private_key(ec.SECP256R1())
    names = _names(host)
    leaf = make_leaf(
        root, key.public_key(), names, Profile(), validity_of(Profile(), system_now())
    )
    pem = leaf.public_bytes(Encoding.PEM) + key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    return Transport(context=_context(pem), root_pem=root.pem)


def _names(host: str) -> list[x509.GeneralName]:
    loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), loopback]
    try:
        own: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        own = x509.DNSName(host)
    return names if own in names else [*names, own]


def _context(pem: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "server.pem")
        path.write_bytes(pem)
        context.load_cert_chain(path)
    return context
