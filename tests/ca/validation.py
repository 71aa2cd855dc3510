"""Validation of challenges for real: http-01 over a TCP connection (RFC 8555 8.3).

Knows how a proof is looked for. Does not know what follows from it. A further challenge
type is one more `Validator`.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol
from urllib.parse import quote

import aiohttp

from tests.ca.config import Address, Resolver
from tests.ca.identifiers import Identifier
from tests.ca.jose import b64encode
from tests.ca.problems import Problem, refusal

_MAX_BODY = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a validator needs to know.

    Attributes:
        identifier: What is to be proven.
        extra: The members of the challenge that its validator made up.
        thumbprint: The thumbprint of the account key at the time of the response.
        account_url: The URL of the account.
        payload: The response object that the client posted.
    """

    identifier: Identifier
    extra: Mapping[str, object] = field(repr=False)
    thumbprint: str
    account_url: str
    payload: Mapping[str, object]

    @property
    def key_authorization(self) -> str:
        """Return token and thumbprint (RFC 8555 8.1)."""
        return f"{self.extra['token']}.{self.thumbprint}"


class Validator(Protocol):
    """One challenge type.

    `offer` MUST return None for an identifier that the type cannot prove. `check` MUST
    raise a problem for a response object of the wrong shape. `validate` MUST be bounded
    in time, and returns None for a good proof.
    """

    def offer(self, identifier: Identifier) -> Mapping[str, object] | None:
        """Return the members that a new challenge of this type has."""
        ...

    def check(self, payload: Mapping[str, object]) -> None:
        """Look at the response object before anything else happens."""
        ...

    async def validate(self, proof: Proof) -> Problem | None:
        """Look for the proof, and return what is wrong with it."""
        ...


def new_token(randomness: bytes) -> str:
    """Return a token of at least 128 bits in base64url (RFC 8555 8.3)."""
    return b64encode(randomness)


class Http01:
    """Fetches the key authorization from where the test says the name lives.

    Redirects are not followed; the answer has to come from that very server.
    """

    def __init__(
        self, resolve: Resolver, timeout: timedelta, randomness: "Entropy"
    ) -> None:
        """Keep the way to names, and the bound of one validation."""
        self._resolve = resolve
        self._timeout = timeout.total_seconds()
        self._randomness = randomness

    def offer(self, identifier: Identifier) -> Mapping[str, object] | None:
        """Offer a fresh token for names and addresses."""
        if identifier.type not in {"dns", "ip"} or identifier.wildcard:
            return None
        return {"token": new_token(self._randomness(24))}

    def check(self, payload: Mapping[str, object]) -> None:
        """Refuse anything but the empty object (RFC 8555 8.3)."""
        if payload:
            raise refusal("malformed", "the response to http-01 is an empty object")

    async def validate(self, proof: Proof) -> Problem | None:
        """Fetch the well-known resource and compare it, octet for octet."""
        try:
            host, port = self._address(proof.identifier.value)
        except LookupError:
            return _failed("dns", f"no address for {proof.identifier.value}")
        try:
            async with asyncio.timeout(self._timeout):
                status, body = await self._fetch(host, port, proof)
        except (OSError, aiohttp.ClientError, TimeoutError) as error:
            return _failed("connection", f"no answer from port {port}: {error!r}")
        if status != 200:
            return _failed("incorrectResponse", f"the resource answered {status}")
        # RFC 8555 8.3: whitespace at the end is ignored.
        if body.rstrip() != proof.key_authorization.encode():
            return _failed("incorrectResponse", "the key authorization is wrong")
        return None

    def _address(self, name: str) -> Address:
        found = self._resolve
        return found[name] if isinstance(found, Mapping) else found(name)

    async def _fetch(self, host: str, port: int, proof: Proof) -> tuple[int, bytes]:
        token = quote(str(proof.extra["token"]), safe="")
        literal = f"[{host}]" if ":" in host else host
        url = f"http://{literal}:{port}/.well-known/acme-challenge/{token}"
        name = proof.identifier.value
        headers = {
            "Host": f"[{name}]" if ":" in name else name,
            "User-Agent": "test-ca-validator",
        }
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, headers=headers, allow_redirects=False) as answer,
        ):
            body = b""
            async for chunk in answer.content.iter_chunked(_MAX_BODY):
                body += chunk
                if len(body) > _MAX_BODY:
                    break
            return answer.status, body


class Entropy(Protocol):
    """A source of random octets."""

    def __call__(self, nbytes: int, /) -> bytes:
        """Return that many octets."""
        ...


def _failed(kind: str, detail: str) -> Problem:
    return Problem(type=kind, detail=detail, status=400)
