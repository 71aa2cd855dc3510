"""Token authority over HTTPS: mutual TLS or a bearer credential, real signatures."""

import base64
import json
import ssl
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.parts.authority import Authority, make_server, pem

PATH: Final = "/at/account/{account}/token"
MEMBERS: Final = {"tktype", "tkvalue", "fingerprint"}


@dataclass(slots=True, kw_only=True)
class Script:
    """How the authority behaves.

    Attributes:
        accounts: What each account may have attested, as (type, value).
        bearer: Credential by account; empty demands a client certificate.
        wrapped: Take `{"atc": ...}`; else the bare object.
        life: Seconds that a token is good.
        status: Answer every request with this status.
        headers: Further headers of an answer with such a status.
        claims: Changes the claims before they are signed.
        header: Changes the JWT header before it is signed.
        answer: The octets of an answer with status 200, in place of a token.
        now: The time of the authority, seconds since 1970.
    """

    accounts: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    bearer: dict[str, str] = field(default_factory=dict)
    wrapped: bool = False
    life: int = 3600
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    claims: Callable[[dict[str, Any]], None] = lambda _: None
    header: Callable[[dict[str, Any]], None] = lambda _: None
    answer: bytes | None = None
    now: Callable[[], float] = time.time


class Oam:
    """A running authority; `async with` starts and ends it."""

    def __init__(self, home: Path, script: Script) -> None:
        """Make its keys: for TLS, for its clients, and for tokens."""
        self.script = script
        self.asked: list[dict[str, Any]] = []
        self.tokens: list[str] = []
        self._server = make_server(home, ("127.0.0.1",))
        self.roots = self._server.root
        self._clients = Authority()
        self._client_roots = home / "client-roots.pem"
        self._client_roots.write_bytes(pem(self._clients.root))
        signers = Authority()
        self.token_root: x509.Certificate = signers.root
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = signers.issue(("oam",), self._key.public_key())
        self._runner: web.ServerRunner | None = None
        self._home = home
        self.port = 0

    async def __aenter__(self) -> Self:
        """Serve on a free port of loopback."""
        self._runner = web.ServerRunner(web.Server(self._serve, access_log=None))
        await self._runner.setup()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._server.certificate, self._server.key)
        if not self.script.bearer:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self._client_roots)
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End."""
        if self._runner is not None:
            await self._runner.cleanup()

    def url(self, account: str) -> str:
        """Return where an account asks for tokens."""
        return f"https://127.0.0.1:{self.port}{PATH.format(account=account)}"

    def client(self, name: str) -> tuple[Path, Path]:
        """Return certificate and key, PEM files, for a client of the authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._home / f"{name}.pem"
        private = self._home / f"{name}.key"
        certificate.write_bytes(pem(self._clients.issue_client(name, key.public_key())))
        private.touch(mode=0o600)
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, private

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        script = self.script
        account = request.path.split("/")[3] if request.path.count("/") == 4 else ""
        if script.status != 200:
            return web.Response(status=script.status, headers=script.headers)
        if request.method != "POST" or account not in script.accounts:
            return web.Response(status=404)
        if request.content_type != "application/json":
            return web.Response(status=415)
        if script.bearer and request.headers.get("Authorization") != (
            f"Bearer {script.bearer.get(account, '')}"
        ):
            return web.Response(status=403)
        return self._grant(account, json.loads(await request.read()))

    def _grant(self, account: str, body: dict[str, Any]) -> web.Response:
        atc = body.get("atc") if self.script.wrapped else body
        if not isinstance(atc, dict) or not MEMBERS <= atc.keys() <= {*MEMBERS, "ca"}:
            return web.Response(status=400)
        self.asked.append(atc)
        if (atc["tktype"], atc["tkvalue"]) not in self.script.accounts[account]:
            return web.Response(status=403)
        if self.script.answer is not None:
            return web.Response(
                body=self.script.answer, content_type="application/json"
            )
        token = self._sign(atc)
        self.tokens.append(token)
        return web.json_response({"token": token})

    def _sign(self, atc: dict[str, Any]) -> str:
        der = self._certificate.public_bytes(serialization.Encoding.DER)
        header: dict[str, Any] = {
            "typ": "JWT",
            "alg": "ES256",
            "x5c": [base64.b64encode(der).decode()],
        }
        claims: dict[str, Any] = {
            "iss": f"https://127.0.0.1:{self.port}",
            "exp": int(self.script.now()) + self.script.life,
            "jti": str(uuid.uuid4()),
            "atc": {"ca": False, **atc},
        }
        self.script.header(header)
        self.script.claims(claims)
        signed = f"{_part(header)}.{_part(claims)}"
        signature = self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
        r, s = decode_dss_signature(signature)
        raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return f"{signed}.{_b64(raw)}"


def _part(members: dict[str, Any]) -> str:
    return _b64(json.dumps(members).encode())


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
