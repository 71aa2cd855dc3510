"""A raw client that drives the CA in its own tests.

It makes every request by hand and keeps no policy: tests choose each header, nonce and
payload. It imports nothing of the CA, so that CA and client cannot share a mistake.
"""

import base64
import hashlib
import hmac
import io
import json
import ssl
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
Members = dict[str, Any]
_SECONDS = 20.0


def b64(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().replace("=", "")


def b64_json(value: object) -> str:
    """Return an object as JSON in base64url."""
    return b64(json.dumps(value, separators=(",", ":")).encode())


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def _number(value: int, size: int = 0) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def jwk_of(key: PrivateKey) -> Members:
    """Return the public JWK of a key."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        point, size = key.public_key().public_numbers(), (key.key_size + 7) // 8
        x, y = _number(point.x, size), _number(point.y, size)
        return {"kty": "EC", "crv": f"P-{key.key_size}", "x": x, "y": y}
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}


def thumbprint_of(key: PrivateKey) -> str:
    """Return the RFC 7638 thumbprint of a key."""
    members = json.dumps(jwk_of(key), sort_keys=True, separators=(",", ":"))
    return b64(hashlib.sha256(members.encode()).digest())


def alg_of(key: PrivateKey) -> str:
    """Return the JWS algorithm that goes with a key."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {256: "ES256", 384: "ES384", 521: "ES512"}[key.key_size]
    return "RS256" if isinstance(key, rsa.RSAPrivateKey) else "EdDSA"


def sign(key: PrivateKey, data: bytes) -> bytes:
    """Return a signature as JWS wants it."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        digest = hashes.SHA384() if key.key_size == 384 else hashes.SHA256()
        size = (key.key_size + 7) // 8
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(data)


def jws(key: PrivateKey, header: Members, payload: object) -> Members:
    """Return a flattened JWS; the payload None becomes the empty string."""
    protected = b64_json(header)
    body = "" if payload is None else b64_json(payload)
    signature = b64(sign(key, f"{protected}.{body}".encode()))
    return {"protected": protected, "payload": body, "signature": signature}


def binding(
    mac_key: bytes, kid: str, url: str, jwk: Members, alg: str = "HS256"
) -> Members:
    """Return an external account binding (RFC 8555 7.3.4)."""
    protected = b64_json({"alg": alg, "kid": kid, "url": url})
    payload = b64_json(jwk)
    digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}[alg]
    mac = hmac.digest(mac_key, f"{protected}.{payload}".encode(), digest)
    return {"protected": protected, "payload": payload, "signature": b64(mac)}


def csr_for(key: PrivateKey, *names: str) -> bytes:
    """Return a DER request with DNS names."""
    alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_extension(alternative, critical=False)
    return builder.sign(key, digest).public_bytes(Encoding.DER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer, read to its end."""

    status: int
    headers: Any
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)

    @property
    def problem(self) -> str:
        """Return the last part of the problem's type."""
        return str(self.json["type"]).rpartition(":")[2]

    @property
    def location(self) -> str:
        """Return the `Location` header."""
        return str(self.headers["Location"])


class RawClient:
    """One key, perhaps one account, and nothing that it does by itself."""

    def __init__(
        self, directory_url: str, root_pem: bytes, key: PrivateKey | None = None
    ) -> None:
        """Trust only `root_pem`."""
        self.directory_url = directory_url
        self.key: PrivateKey = key or new_key()
        self.kid = ""
        self.directory: Members = {}
        self._context = ssl.create_default_context(cadata=root_pem.decode())
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        """Open a session and read the directory."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._context),
            timeout=aiohttp.ClientTimeout(total=_SECONDS),
        )
        try:
            self.directory = (await self.plain("GET", self.directory_url)).json
        except (OSError, aiohttp.ClientError, ValueError):
            await self._session.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the session."""
        await self._session.close()

    async def plain(
        self,
        method: str,
        url: str,
        *,
        data: bytes | io.BytesIO | None = None,
        headers: dict[str, str] | None = None,
        agent: str = "raw-client/1",
    ) -> Reply:
        """Send one request exactly as given, without following redirects."""
        named = {"User-Agent": agent} if agent else {}
        async with self._session.request(
            method,
            url,
            data=data,
            headers=named | (headers or {}),
            allow_redirects=False,
            skip_auto_headers=("User-Agent",),
        ) as answer:
            body = await answer.read()
            return Reply(status=answer.status, headers=answer.headers, body=body)

    async def nonce(self) -> str:
        """Fetch a nonce."""
        reply = await self.plain("HEAD", self.directory["newNonce"])
        return str(reply.headers["Replay-Nonce"])

    async def send(self, url: str, body: object) -> Reply:
        """Post an object as a JWS body."""
        data = json.dumps(body).encode()
        kind = {"Content-Type": "application/jose+json"}
        return await self.plain("POST", url, data=data, headers=kind)

    async def header(self, url: str, /, **changes: object) -> Members:
        """Return a good protected header, with changes; None takes a member out."""
        signer = {"kid": self.kid} if self.kid else {"jwk": jwk_of(self.key)}
        good = {"alg": alg_of(self.key), "url": url, **signer, **changes}
        if "nonce" not in good:
            good["nonce"] = await self.nonce()
        return {name: value for name, value in good.items() if value is not None}

    async def post(
        self, url: str, payload: object = None, /, **changes: object
    ) -> Reply:
        """Post a signed payload (None for POST-as-GET) under a good header."""
        return await self.send(
            url, jws(self.key, await self.header(url, **changes), payload)
        )

    async def register(self, **payload: object) -> Reply:
        """Make an account, and use it from now on."""
        reply = await self.post(self.directory["newAccount"], payload)
        if reply.status in {200, 201}:
            self.kid = reply.location
        return reply

    async def order(self, *names: str, **more: object) -> Reply:
        """Order a certificate for DNS names."""
        identifiers = [{"type": "dns", "value": name} for name in names]
        payload = {"identifiers": identifiers, **more}
        return await self.post(self.directory["newOrder"], payload)

    async def finalize(self, order: Members, csr: bytes) -> Reply:
        """Post the CSR of an order."""
        return await self.post(order["finalize"], {"csr": b64(csr)})
