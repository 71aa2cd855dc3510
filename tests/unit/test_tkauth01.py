"""tkauth-01: which authority is asked, what is kept, and what is never presented."""

import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from agent.acme.authority import AuthorityTokenError
from agent.acme.http import Request, Response
from agent.acme.identifiers import Identifier
from agent.config.token_authority import Obeyed, TokenAuthority
from agent.errors import AgentError
from agent.ports import KeySigner, Presentation
from agent.records.job import Disposition
from agent.renewal.disposition import failure_of
from agent.solvers.errors import AuthorityDeniedError, AuthorityError
from agent.solvers.tkauth01 import TkAuth01
from tests.fakes.clock import FakeClock
from tests.unit.test_authority_token import NF, NOW, THUMBPRINT, token

URL = "https://oam.example/at/account/nf-17/token"
OTHER = "https://oam2.example/at/account/nf-17/token"
TABLE = TokenAuthority(url=URL, roots="/oam.pem", bearer="file:/bearer")
Answer = Callable[[Request], Response]


async def unused(data: bytes) -> bytes:
    """Sign nothing: an attested identifier needs no signature."""
    raise AssertionError(data)


def presentation(**changes: object) -> Presentation:
    """Return a challenge of Annex J, with some fields changed."""
    fields: dict[str, object] = {
        "identifier": NF,
        "token_type": "atc",
        "authority": "oam",
        "account_url": "https://ca.example/acct/1",
        "thumbprint": THUMBPRINT,
        "certificate_key": KeySigner(b"", unused),
    }
    return Presentation(**(fields | changes))  # type: ignore[arg-type]  # by name


def granted(life: timedelta = timedelta(hours=1)) -> Answer:
    """Return an authority that gives a token of this life."""
    end = int((NOW + life).timestamp())
    body = json.dumps({"token": token(exp=end)}).encode()
    return lambda _: Response(status=200, headers={}, body=body)


def refused(status: int, **headers: str) -> Answer:
    """Return an authority that answers with a status."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: Response(status=status, headers=named, body=b"no")


class Oam:
    """Authorities in memory, and the solver that asks them."""

    def __init__(self, answer: Answer, table: TokenAuthority = TABLE) -> None:
        """Answer every request alike."""
        self.answer = answer
        self.requests: list[Request] = []
        self.rests = 0
        self.secret = b"credential-1"
        self.clock = FakeClock(NOW)
        self.tables = {"oam": table}
        self.solver = TkAuth01(
            lambda: self.tables, self.reach, lambda _: self.secret, self.clock
        )

    async def reach(self, table: TokenAuthority, url: str) -> "Oam":
        """Return ourselves as the way there."""
        del table, url
        return self

    async def send(self, request: Request) -> Response:
        """Answer."""
        self.requests.append(request)
        return self.answer(request)

    async def rest(self) -> None:
        """Hear that the connection is done with."""
        self.rests += 1

    async def payload(self, **changes: object) -> dict[str, object]:
        """Prepare a challenge, leave it, and return its response object."""
        async with AsyncExitStack() as stack:
            about = presentation(**changes)
            return await stack.enter_async_context(self.solver.prepare(about))


async def test_the_response_is_the_token_and_nothing_else() -> None:
    """It was asked for with our credential, about our identifier."""
    oam = Oam(granted())
    payload = await oam.payload()
    assert set(payload) == {"tkauth"}
    [request] = oam.requests
    assert (request.method, request.url) == ("POST", URL)
    assert request.headers["Authorization"] == "Bearer credential-1"
    body = json.loads(request.body or b"")
    assert (body["tktype"], body["tkvalue"], body["ca"]) == (NF.type, NF.value, False)
    assert oam.rests == 1


async def test_the_wrapped_form_is_posted_where_that_is_configured() -> None:
    """RFC 9447 describes it so."""
    table = TokenAuthority(url=URL, roots="/r", bearer="file:/b", wrap_atc=True)
    oam = Oam(granted(), table)
    await oam.payload()
    assert set(json.loads(oam.requests[0].body or b"")) == {"atc"}


async def test_a_token_is_kept_until_it_ends_and_bound_to_its_key() -> None:
    """Another key, another identifier or its end asks again."""
    oam = Oam(granted())
    first = await oam.payload()
    assert await oam.payload() == first
    assert len(oam.requests) == 1
    with pytest.raises(AuthorityTokenError):
        await oam.payload(thumbprint="A" * 43)
    with pytest.raises(AuthorityTokenError):
        await oam.payload(
            identifier=Identifier(type="dns", value="amf1.example"), thumbprint="A" * 43
        )
    assert len(oam.requests) == 3
    oam.clock.advance(timedelta(minutes=59, seconds=1))
    oam.answer = granted(timedelta(hours=3))
    assert await oam.payload() != first


async def test_a_token_is_asked_for_each_time_where_reuse_is_off() -> None:
    """As some authorities want it."""
    table = TokenAuthority(url=URL, roots="/r", bearer="file:/b", reuse=False)
    oam = Oam(granted(), table)
    await oam.payload()
    await oam.payload()
    assert len(oam.requests) == 2


@pytest.mark.parametrize(
    ("hint", "asked"),
    [
        ("", URL),
        ("https://oam2.example", OTHER),
        ("https://evil.example", URL),
        ("https://oam2.example.evil.example", URL),
    ],
)
async def test_a_hint_is_obeyed_only_when_it_is_listed(hint: str, asked: str) -> None:
    """A rogue CA cannot make us authenticate to a host of its own."""
    table = TokenAuthority(
        url=URL,
        roots="/r",
        bearer="file:/b",
        obey=(Obeyed(authority="https://oam2.example", url=OTHER),),
    )
    oam = Oam(granted(), table)
    await oam.payload(authority_hint=hint)
    assert [request.url for request in oam.requests] == [asked]


@pytest.mark.parametrize(
    ("answer", "disposition"),
    [
        (refused(403), Disposition.NEEDS_OPERATOR),
        (refused(404), Disposition.NEEDS_OPERATOR),
        (refused(500), Disposition.BACK_OFF),
        (refused(302), Disposition.BACK_OFF),
        (refused(429, retry_after="120"), Disposition.WAIT_UNTIL),
        (lambda _: Response(status=200, headers={}, body=b"{}"), "operator"),
    ],
)
async def test_a_refusal_is_an_error_with_a_disposition(
    answer: Answer, disposition: str
) -> None:
    """The token authority's words never become a stack trace, nor a loop."""
    oam = Oam(answer)
    with pytest.raises(AgentError) as caught:
        await oam.payload()
    wanted = Disposition.NEEDS_OPERATOR if disposition == "operator" else disposition
    assert failure_of(caught.value, NOW).disposition == wanted
    assert oam.rests == 1


async def test_an_unknown_subtype_or_authority_asks_nobody() -> None:
    """Only `atc` is registered."""
    for changes in ({"token_type": "xyz"}, {"token_type": ""}, {"authority": "none"}):
        oam = Oam(granted())
        with pytest.raises(AuthorityDeniedError):
            await oam.payload(**changes)
        assert oam.requests == []


@pytest.mark.parametrize("secret", [b"", b"a b", b"\xff", b"a\nb"])
async def test_a_credential_that_is_none_is_not_sent(secret: bytes) -> None:
    """Nor is it told."""
    oam = Oam(granted())
    oam.secret = secret
    with pytest.raises(AuthorityDeniedError, match="no token68"):
        await oam.payload()
    assert oam.requests == []


async def test_a_server_error_keeps_its_retry_after() -> None:
    """As a CA's does."""
    oam = Oam(refused(503, retry_after="60"))
    with pytest.raises(AuthorityError) as caught:
        await oam.payload()
    assert caught.value.retry_at == NOW + timedelta(seconds=60)
