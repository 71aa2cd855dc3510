"""tkauth-01: a token of the token authority answers the challenge (RFC 9447 section 3).

Nothing is presented anywhere: the token is the response. It is kept in memory only,
until it ends, and is bound to the account's key, so that a roll-over forgets it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from agent.acme import authority
from agent.acme.headers import retry_after
from agent.acme.http import Request, Response
from agent.clock import Clock
from agent.config.token_authority import TokenAuthority
from agent.errors import AgentError
from agent.ports import Presentation
from agent.solvers.errors import AuthorityDeniedError, AuthorityError

MAX_KEPT: Final = 1000
"""Tokens that are kept at a time."""
_OK: Final = 200
_DENIED: Final = frozenset({400, 401, 403, 404, 405, 415, 422})


class Transport(Protocol):
    """How an authority is reached; see `agent.client.Transport`."""

    async def send(self, request: Request) -> Response:
        """Send one request; raises an `AgentError` where no whole answer came."""
        ...

    async def rest(self) -> None:
        """Close idle connections."""
        ...


class Reach(Protocol):
    """Makes the transport to an authority."""

    async def __call__(self, table: TokenAuthority, url: str) -> Transport:
        """Return it; MUST trust the anchors of the table and nothing else."""
        ...


class _Kept(NamedTuple):
    """A token and when it ends."""

    token: str
    until: datetime

    def __repr__(self) -> str:
        """Show the end; a token is a credential."""
        return f"_Kept(until={self.until})"


class TkAuth01:
    """Answers with tokens; satisfies `agent.ports.Solver`."""

    def __init__(
        self,
        authorities: Callable[[], Mapping[str, TokenAuthority]],
        reach: Reach,
        read_secret: Callable[[str], bytes],
        clock: Clock,
    ) -> None:
        """Take the parts.

        Args:
            authorities: Returns the tables in force.
            reach: Makes the transport to one.
            read_secret: Resolves a reference to a bearer credential.
            clock: Tells whether a token has ended.
        """
        self._authorities = authorities
        self._reach = reach
        self._read_secret = read_secret
        self._clock = clock
        self._kept: dict[tuple[str, authority.Atc], _Kept] = {}
        self._asking: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def prepare(
        self, presentation: Presentation
    ) -> AsyncIterator[dict[str, object]]:
        """Get a token; the value is the response object (RFC 9447 section 3)."""
        yield {"tkauth": await self._token(presentation)}

    async def _token(self, presentation: Presentation) -> str:
        if presentation.token_type != authority.ATC:
            raise AuthorityDeniedError(
                "the ca wants an authority token of a type that is not known",
                hint="ask the ca for tkauth-type atc (RFC 9447)",
            )
        name = presentation.authority
        table = self._authorities().get(name)
        if table is None:
            raise AuthorityDeniedError(f"there is no token authority {name}")
        url = table.url_for(presentation.authority_hint)
        atc = authority.wanted(presentation.identifier, presentation.thumbprint)
        # One at a time: two orders of one account would else ask twice for one token.
        async with self._asking.setdefault(url, asyncio.Lock()):
            kept = self._kept.get((url, atc))
            now = self._clock.now()
            if table.reuse and kept and now + authority.MARGIN < kept.until:
                return kept.token
            token = await self._ask(table, url, atc)
            self._keep((url, atc), _Kept(token, authority.check(token, atc, now)))
            return token

    def _keep(self, place: tuple[str, authority.Atc], kept: _Kept) -> None:
        now = self._clock.now()
        alive = {p: k for p, k in self._kept.items() if k.until > now}
        self._kept = {} if len(alive) >= MAX_KEPT else alive
        self._kept[place] = kept

    async def _ask(self, table: TokenAuthority, url: str, atc: authority.Atc) -> str:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if table.bearer is not None:
            headers["Authorization"] = (
                f"Bearer {_credential(self._read_secret(table.bearer))}"
            )
        transport = await self._reach(table, url)
        body = authority.request_body(atc, wrapped=table.wrap_atc)
        try:
            answer = await transport.send(
                Request(method="POST", url=url, headers=headers, body=body)
            )
        finally:
            await transport.rest()
        if answer.status != _OK:
            raise _refusal(answer, self._clock.now())
        return authority.read_answer(answer.body)


def _credential(secret: bytes) -> str:
    """Return a bearer credential (RFC 6750 section 2.1) as the header has it."""
    try:
        text = secret.decode("ascii")
    except UnicodeDecodeError:
        text = ""
    if not text or not text.isprintable() or " " in text:
        raise AuthorityDeniedError(
            "the bearer credential is no token68",
            hint="its file holds one line of visible ASCII",
        )
    return text


def _refusal(answer: Response, now: datetime) -> AgentError:
    said = f"the token authority answered {answer.status}"
    if answer.status in _DENIED:
        return AuthorityDeniedError(
            said, hint="ask its operator whether we may have tokens for this identifier"
        )
    error = AuthorityError(said)
    error.retry_at = retry_after(answer.headers.get("retry-after"), now)
    return error
