"""The ACME client of one CA: directory, nonces, signed requests, typed results.

It knows RFC 8555's resources and rules. It does not know orders' states, keys' homes or
TLS: those come through its ports.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from agent.acme import jws
from agent.acme.errors import ProblemError, ProtocolError
from agent.acme.headers import (
    http_date,
    links,
    media_type,
    replay_nonce,
    retry_after,
)
from agent.acme.http import Request, Response
from agent.acme.messages import Directory, Resource, decode
from agent.acme.problem import PREFIX, parse_problem, printable
from agent.clock import Clock
from agent.trail.exchange import About, Exchange

MAX_NONCE_TRIES: Final = 5
"""Sends of one request: the CA may refuse good nonces by design."""
MAX_NONCES: Final = 20
NONCE_LIFE: Final = timedelta(minutes=15)
"""Older nonces are dropped: a refused one costs as much as a new one."""
DIRECTORY_LIFE: Final = timedelta(hours=24)
MAX_PROBLEM: Final = 100
"""Characters of a problem's type that are told."""
_BAD_NONCE: Final = f"{PREFIX}badNonce"
_WORDS: Final = {"Accept-Language": "en"}
"""What a CA tells the operator is wanted in one language (section 6.1)."""
_JOSE: Final = "application/jose+json"
_USER_ACTION: Final = "userActionRequired"
_PEM: Final = "application/pem-certificate-chain"
_HTML: Final = "text/html"
_OK: Final = range(200, 300)
_NOT_FOUND: Final = 404


class Transport(Protocol):
    """How a CA is reached. MUST bound time and size, MUST NOT follow redirects."""

    async def send(self, request: Request) -> Response:
        """Send one request; raises an `AgentError` where no whole answer came."""
        ...

    async def rest(self) -> None:
        """Close idle connections; MUST NOT disturb a request under way."""
        ...


Sign = Callable[[bytes], Awaitable[bytes]]
"""Signs octets with a key in its home; returns the JWS form of the signature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Who signs a request.

    Attributes:
        public: SubjectPublicKeyInfo, DER.
        sign: The signature.
        account_url: The `kid`; None signs with `jwk`, as newAccount wants.
    """

    public: bytes
    sign: Sign
    account_url: str | None


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful answer.

    Attributes:
        status: The HTTP status, 2xx.
        location: The `Location` header, byte for byte; empty if absent.
        content_type: Media type without parameters.
        body: The octets.
        retry_at: The instant of Retry-After, None if absent.
        alternates: Targets of the links `rel="alternate"`, bounded.
    """

    status: int
    location: str
    content_type: str
    body: bytes
    retry_at: datetime | None
    alternates: tuple[str, ...] = ()

    def read(self, kind: type[Resource], what: str) -> Resource:
        """Return the resource in the body.

        Raises:
            ProtocolError: The body is no such resource.
        """
        return decode(self.body, kind, what)


class Observer(Protocol):
    """Hears of every request and of every failure; for metrics."""

    def request(self, ca: str, resource: str, status: int, seconds: float) -> None:
        """Note one request; `status` 0 where no answer came."""
        ...

    def error(self, ca: str, kind: str) -> None:
        """Note that an effect at a CA failed; `kind` is the slug of the error."""
        ...

    def exchanged(self, exchange: Exchange) -> None:
        """Note a request and its answer; for the audit trail."""
        ...

    def skew(self, ca: str, seconds: float) -> None:
        """Note how far a CA's clock is ahead of ours, by the Date of an answer."""
        ...


ABOUT: Final[ContextVar[About | None]] = ContextVar("about", default=None)
"""What the requests of the running effect are for.

Set where the job is known, and read where a request is sent, as a trace's id is: what
lies between would only hand it through.
"""


class Pace:
    """A token bucket: a second's worth of requests at once, then one after another."""

    def __init__(self, clock: Clock, per_second: float) -> None:
        """Begin with a full bucket."""
        self._clock = clock
        self._interval = 1 / per_second
        self._ahead = max(1.0 - self._interval, 0.0)
        self._next = clock.monotonic()

    async def turn(self) -> None:
        """Wait for the turn of one request; turns are given in the order of asking."""
        now = self._clock.monotonic()
        self._next = max(self._next, now) + self._interval
        wait = self._next - self._interval - self._ahead - now
        if wait > 0:
            await self._clock.sleep(timedelta(seconds=wait))


class AcmeClient:
    """Talks to one CA; shared by all of its accounts."""

    def __init__(
        self,
        *,
        name: str,
        directory_url: str,
        transport: Transport,
        clock: Clock,
        observer: Observer,
        pace: Pace | None = None,
    ) -> None:
        """Remember where the CA is; nothing is asked before it is needed.

        Without a pace, requests go as they come.
        """
        self.name = name
        self.directory_url = directory_url
        self._transport = transport
        self._clock = clock
        self._observer = observer
        self._pace = pace
        self._nonces: list[tuple[str, float]] = []
        self._known = ""
        self._looking = asyncio.Lock()
        self._directory: Directory | None = None
        self._directory_until: float = 0

    async def directory(self) -> Directory:
        """Return the directory, fetched at most once a day.

        Raises:
            AgentError: It cannot be fetched or used.
        """
        # Jobs that begin together share one look.
        async with self._looking:
            now = self._clock.monotonic()
            if self._directory is None or now > self._directory_until:
                self._directory = await self._fetch_directory()
                life = DIRECTORY_LIFE.total_seconds()
                self._directory_until = self._clock.monotonic() + life
            return self._directory

    async def get(
        self, url: str, resource: str, accept: str = "application/json"
    ) -> Reply:
        """Read a resource that is public, without a signature (RFC 9773 section 4.1).

        Raises:
            AgentError: The CA refused, broke the protocol, or did not answer.
        """
        headers = {"Accept": accept}
        request = Request(method="GET", url=url, headers=headers)
        return self._checked(await self._exchange(request, resource), url)

    async def post(
        self,
        url: str,
        payload: dict[str, object] | None,
        signer: Signer,
        resource: str,
    ) -> Reply:
        """Send a signed request; None as payload is POST-as-GET (section 6.3).

        A refused nonce is replaced by the one that the refusal carries and the same
        payload is signed again (section 6.5); nothing else is repeated here.

        Raises:
            AgentError: The CA refused, broke the protocol, or did not answer.
        """
        nonce = await self._nonce()
        for _ in range(MAX_NONCE_TRIES):
            request = await _signed(url, payload, signer, nonce)
            response = await self._exchange(request, resource, nonce)
            fresh = replay_nonce(response.headers.get("replay-nonce"))
            if not _is_bad_nonce(response):
                self._keep(fresh)
                return self._checked(response, url)
            if fresh is None:
                fresh = await self._nonce()
            # "the retry MUST use the nonce of that very error" (section 6.5)
            nonce = fresh
        raise ProtocolError(f"the ca refused {MAX_NONCE_TRIES} fresh nonces in a row")

    async def download(
        self, url: str, signer: Signer | None, resource: str = "certificate"
    ) -> Reply:
        """Return a certificate chain, PEM (section 7.4.2), and links to others.

        Without a signer it is fetched as everybody may (RFC 8739 section 3.4).

        Raises:
            AgentError: As `post`; also where the media type is another one.
        """
        if signer is None:
            reply = await self.get(url, resource, _PEM)
        else:
            reply = await self.post(url, None, signer, resource)
        if reply.content_type != _PEM:
            raise ProtocolError(
                f"the ca sent the certificate as {reply.content_type or 'nothing'}"
            )
        return reply

    async def rest(self) -> None:
        """Close idle connections."""
        await self._transport.rest()

    async def _fetch_directory(self) -> Directory:
        request = Request(method="GET", url=self.directory_url, headers=_WORDS)
        reply = await self._exchange(request, "directory")
        body = self._checked(reply, self.directory_url).body
        return decode(body, Directory, "directory")

    async def _nonce(self) -> str:
        oldest = self._clock.monotonic() - NONCE_LIFE.total_seconds()
        while self._nonces:
            kept, since = self._nonces.pop()
            if since > oldest:
                return kept
        url = (await self.directory()).new_nonce
        response = await self._exchange(
            Request(method="HEAD", url=url, headers=_WORDS), "newNonce"
        )
        nonce = replay_nonce(response.headers.get("replay-nonce"))
        if nonce is None:
            # Its status and Retry-After say more than that a header is missing.
            self._checked(response, url)
            raise ProtocolError("the ca gave no usable nonce")
        return nonce

    def _keep(self, nonce: str | None) -> None:
        if nonce is not None and len(self._nonces) < MAX_NONCES:
            self._nonces.append((nonce, self._clock.monotonic()))

    def _tell(self, resource: str, nonce: str, response: Response | None) -> None:
        """Tell the observer of a request, whatever became of it."""
        headers = {} if response is None else response.headers
        received = replay_nonce(headers.get("replay-nonce")) or ""
        self._observer.exchanged(
            Exchange(
                ca=self.name,
                resource=resource,
                about=ABOUT.get() or About(),
                status=0 if response is None else response.status,
                sent=nonce,
                received=received,
                known=self._known,
                location=headers.get("location", ""),
                problem=_problem_of(response),
            )
        )
        if nonce:
            self._known = received or self._known

    async def _exchange(
        self, request: Request, resource: str, nonce: str = ""
    ) -> Response:
        if self._pace is not None:
            await self._pace.turn()
        begun = self._clock.monotonic()
        response: Response | None = None
        try:
            response = await self._transport.send(request)
        finally:
            status = 0 if response is None else response.status
            seconds = self._clock.monotonic() - begun
            self._observer.request(self.name, resource, status, seconds)
            self._tell(resource, nonce, response)
        date = http_date(response.headers.get("date"))
        if date is not None:
            ahead = (date - self._clock.now()).total_seconds()
            self._observer.skew(self.name, ahead)
        return response

    def _checked(self, response: Response, url: str) -> Reply:
        now = self._clock.now()
        retry_at = retry_after(response.headers.get("retry-after"), now)
        kind = media_type(response.headers.get("content-type"))
        if response.status in _OK and kind == _HTML and response.body[:1] == b"<":
            # Something in between said yes in the CA's place: it may know of nothing.
            raise ProtocolError("a page in html came instead of the ca's answer")
        if response.status in _OK:
            return Reply(
                response.status,
                response.headers.get("location", ""),
                kind,
                response.body,
                retry_at,
                links(response.headers.get("link"), "alternate", url),
            )
        if response.status == _NOT_FOUND:
            # A moved resource: ask for the directory again before the next attempt.
            self._directory = None
        problem = parse_problem(response.body, response.status)
        linked = links(response.headers.get("link"), "terms-of-service", url)
        raise ProblemError(
            problem,
            status=response.status,
            url=url,
            retry_at=retry_at,
            terms=linked[0] if linked and problem.token == _USER_ACTION else "",
        )


def _is_bad_nonce(response: Response) -> bool:
    if response.status in _OK:
        return False
    return parse_problem(response.body, response.status).type == _BAD_NONCE


def _problem_of(response: Response | None) -> str:
    """Return the type of the problem that came, printable and without its prefix."""
    if response is None or response.status in _OK:
        return ""
    problem = parse_problem(response.body, response.status)
    return printable(problem.token, MAX_PROBLEM)


async def _signed(
    url: str, payload: dict[str, object] | None, signer: Signer, nonce: str
) -> Request:
    protected = jws.protected_header(
        signer.public, url=url, nonce=nonce, account_url=signer.account_url
    )
    encoded = jws.encode_payload(payload)
    signature = await signer.sign(jws.signing_input(protected, encoded))
    return Request(
        method="POST",
        url=url,
        headers={"Content-Type": _JOSE, **_WORDS},
        body=jws.flattened(protected, encoded, signature),
    )
