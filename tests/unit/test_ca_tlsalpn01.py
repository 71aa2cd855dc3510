"""tls-alpn-01 of the test CA: a real handshake decides."""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from tests.ca import Config
from tests.ca.harness import key_authorization, running, settled
from tests.ca.raw_client import Members

NAME = "a.example"
DIGEST = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
NOW = datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a server shows; the defaults are right for `a.example`."""

    names: tuple[str, ...] = (NAME,)
    critical: bool = True
    prefix: bytes = b"\x04\x20"
    protocol: str = "acme-tls/1"
    signed_by_itself: bool = True


def pem(shown: Shown, authorization: str) -> bytes:
    """Return key and certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    signer = key if shown.signed_by_itself else ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    digest = hashlib.sha256(authorization.encode()).digest()
    names = x509.SubjectAlternativeName([x509.DNSName(n) for n in shown.names])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(
            x509.UnrecognizedExtension(DIGEST, shown.prefix + digest), shown.critical
        )
        .sign(signer, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM) + secret


class Server:
    """A TLS server whose certificate a test chooses."""

    def __init__(self, home: Path) -> None:
        """Listen on nothing yet."""
        self.file = home / "validation.pem"
        self.address = ("127.0.0.1", 0)

    @asynccontextmanager
    async def showing(self, shown: Shown, authorization: str) -> AsyncIterator[None]:
        """Serve a certificate until left."""
        self.file.write_bytes(pem(shown, authorization))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file)
        context.set_alpn_protocols([shown.protocol])

        async def nothing(_: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
            w.close()

        server = await asyncio.start_server(nothing, "127.0.0.1", 0, ssl=context)
        async with server:
            self.address = server.sockets[0].getsockname()
            yield


async def outcome(home: Path, shown: Shown | None, name: str = NAME) -> Members:
    """Answer a challenge and return the authorization that comes of it."""
    place = Server(home)
    known = {NAME: place}
    config = Config(tls_alpn=lambda n: known[n].address)
    async with running(config) as (_, client):
        await client.register()
        order = (await client.order(name)).json
        (url,) = order["authorizations"]
        offered = (await client.post(url)).json["challenges"]
        challenge = next(c for c in offered if c["type"] == "tls-alpn-01")
        proof = key_authorization(client, challenge)
        if shown is None:
            await client.post(challenge["url"], {})
            return await settled(client, url)
        async with place.showing(shown, proof):
            await client.post(challenge["url"], {})
            return await settled(client, url)


def problem(authz: Members) -> str:
    """Return why a challenge failed."""
    (error,) = [c["error"] for c in authz["challenges"] if "error" in c]
    return f"{error['type']} {error['detail']}"


async def test_a_good_certificate_is_good(tmp_path: Path) -> None:
    """RFC 8737 3."""
    assert (await outcome(tmp_path, Shown()))["status"] == "valid"


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (Shown(names=("b.example",)), "names"),
        (Shown(names=(NAME, "b.example")), "names"),
        (Shown(critical=False), "not critical"),
        (Shown(prefix=b"\x04\x21"), "another one"),
        (Shown(protocol="h2"), "chose None"),
        (Shown(signed_by_itself=False), "not of its form"),
    ],
)
async def test_every_other_certificate_fails(
    tmp_path: Path, shown: Shown, words: str
) -> None:
    """Name, digest, protocol and signature all count."""
    authz = await outcome(tmp_path, shown)
    assert authz["status"] == "invalid"
    assert "unauthorized" in problem(authz)
    assert words in problem(authz)


async def test_nobody_there_is_a_connection_problem(tmp_path: Path) -> None:
    """And a name that lives nowhere one of DNS."""
    assert "connection" in problem(await outcome(tmp_path, None))
    assert "dns no address" in problem(
        await outcome(tmp_path, None, "b.example")
    ).replace("urn:ietf:params:acme:error:", "")


async def test_it_is_offered_where_it_is_configured_and_never_for_wildcards() -> None:
    """A CA without it names http-01 only."""
    async with running(Config(dns=("127.0.0.1", 9), tls_alpn={})) as (_, client):
        await client.register()
        order = (await client.order(f"*.{NAME}")).json
        authz = (await client.post(order["authorizations"][0])).json
    assert [c["type"] for c in authz["challenges"]] == ["dns-01"]
    async with running() as (_, client):
        await client.register()
        order = (await client.order(NAME)).json
        authz = (await client.post(order["authorizations"][0])).json
    assert [c["type"] for c in authz["challenges"]] == ["http-01"]
