"""A transport that answers as a CA does, and what its requests say."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from agent.acme.http import Request, Response
from agent.client import Signer
from agent.errors import AgentError
from agent.trail.exchange import Exchange
from tests.unit.vectors import RFC7515_A3_SPKI

BASE = "https://ca.example"
DIRECTORY = {
    "newNonce": f"{BASE}/nonce",
    "newAccount": f"{BASE}/account",
    "newOrder": f"{BASE}/order",
}
ACCOUNT = f"{BASE}/account/1"


def answer(
    status: int = 200, body: object = None, nonce: str = "", **headers: str
) -> Response:
    """Return a response; JSON unless the body is octets."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    fresh = {"replay-nonce": nonce} if nonce else {}
    return Response(status=status, headers=named | fresh, body=data)


def problem(kind: str, status: int = 400, nonce: str = "", **headers: str) -> Response:
    """Return a problem document of the ACME namespace."""
    body = {"type": f"urn:ietf:params:acme:error:{kind}", "detail": "by the script"}
    return answer(status, body, nonce, **headers)


class Ca:
    """A transport that answers by itself and keeps every request.

    Attributes:
        requests: What was sent.
        replies: Answers to the next POSTs; afterwards every POST succeeds.
        heads: Answers to the next HEADs; afterwards a nonce is given.
        rested: How often it was told to rest.
    """

    def __init__(self) -> None:
        """Begin with a good directory."""
        self.requests: list[Request] = []
        self.replies: list[Response | AgentError] = []
        self.heads: list[Response] = []
        self.rested = 0
        self._count = 0

    async def send(self, request: Request) -> Response:
        """Answer a request."""
        self.requests.append(request)
        match request.method:
            case "GET":
                return answer(200, DIRECTORY)
            case "HEAD":
                return self.heads.pop(0) if self.heads else answer(nonce=self._fresh())
            case _ if self.replies:
                reply = self.replies.pop(0)
                if isinstance(reply, AgentError):
                    raise reply
                return reply
            case _:
                return answer(200, {}, self._fresh())

    async def rest(self) -> None:
        """Note that connections are let go."""
        self.rested += 1

    def _fresh(self) -> str:
        self._count += 1
        return f"nonce-{self._count}"

    @property
    def sequence(self) -> list[str]:
        """Return method and path of every request."""
        return [f"{r.method} {r.url.removeprefix(BASE)}" for r in self.requests]

    @property
    def nonces(self) -> list[str]:
        """Return the nonces of the signed requests."""
        return [protected(r)["nonce"] for r in self.requests if r.method == "POST"]


class Ears:
    """An observer that remembers."""

    def __init__(self) -> None:
        """Begin with nothing heard."""
        self.heard: list[tuple[str, str, int]] = []
        self.seconds: list[float] = []
        self.errors: list[str] = []
        self.skews: list[tuple[str, float]] = []
        self.exchanges: list[Exchange] = []

    def exchanged(self, exchange: Exchange) -> None:
        """Remember a signed request and its answer."""
        self.exchanges.append(exchange)

    def request(self, ca: str, resource: str, status: int, seconds: float) -> None:
        """Remember a request."""
        self.heard.append((ca, resource, status))
        self.seconds.append(seconds)

    def skew(self, ca: str, seconds: float) -> None:
        """Hear of a clock."""
        self.skews.append((ca, seconds))

    def error(self, ca: str, kind: str) -> None:
        """Remember a failure."""
        self.errors.append(f"{ca} {kind}")


async def sign(data: bytes) -> bytes:
    """Sign with a digest, which a test can compute again."""
    return hashlib.sha256(data).digest()


SIGNER = Signer(public=RFC7515_A3_SPKI, sign=sign, account_url=ACCOUNT)


def unpacked(text: str) -> bytes:
    """Return what base64url without padding stands for."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def members(request: Request) -> Mapping[str, Any]:
    """Return the members of a flattened JWS."""
    assert request.body is not None
    found: Mapping[str, Any] = json.loads(request.body)
    return found


def protected(request: Request) -> Mapping[str, Any]:
    """Return the protected header of a signed request."""
    header: Mapping[str, Any] = json.loads(unpacked(members(request)["protected"]))
    return header
