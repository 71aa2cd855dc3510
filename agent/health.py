"""The health and metrics listener: `/healthz`, `/readyz`, `/metrics`.

It knows paths, status codes and content types. It does not know what health is: that
is asked of `Vitals` at each request. Nothing here changes anything.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from agent.errors import AgentError

if TYPE_CHECKING:
    from aiohttp.web_request import BaseRequest
    from aiohttp.web_response import StreamResponse

OK: Final = 200
"""The verdict is well."""

UNAVAILABLE: Final = 503
"""The verdict is not well."""

TEXT: Final = "text/plain; charset=utf-8"
"""Content type of everything but the metrics."""

INDEX: Final = b"""\
nfcertd
/healthz  200 while the scheduler makes progress
/readyz   200 while nothing needs anybody; the reasons, one a line
/metrics  Prometheus text 0.0.4, or OpenMetrics 1.0 for who accepts it
"""
"""What `/` answers."""


class HealthError(AgentError):
    """The health listener cannot be opened."""

    kind = "health.bind"


class Verdict(NamedTuple):
    """Whether something is well, and why not.

    Attributes:
        ok: Well or not.
        lines: One reason each, without line breaks and without secrets.
    """

    ok: bool
    lines: tuple[str, ...] = ()


class Vitals(Protocol):
    """What the listener shows; every answer MUST be computed without waiting."""

    def healthz(self) -> Verdict:
        """Tell whether the scheduler makes progress; MUST NOT depend on the world."""
        ...

    def readyz(self) -> Verdict:
        """Tell whether certificates, tokens and CAs are well."""
        ...

    def metrics(self, accept: str) -> tuple[str, bytes]:
        """Return content type and body for the `Accept` field of a scrape."""
        ...


Page = tuple[int, str, bytes]
"""Status, content type, body."""


class Health:
    """Serves the pages on one address."""

    def __init__(self, address: str, vitals: Vitals) -> None:
        """Serve `vitals` on `address`, such as `127.0.0.1:9469`; empty for nowhere."""
        self._address = address
        self._pages: dict[str, Callable[[str], Page]] = {
            "/": lambda _accept: (OK, TEXT, INDEX),
            "/healthz": lambda _accept: _page(vitals.healthz()),
            "/readyz": lambda _accept: _page(vitals.readyz()),
            "/metrics": lambda accept: (OK, *vitals.metrics(accept)),
        }

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve until left; the value is the address, its port resolved, or empty.

        Raises:
            HealthError: The address cannot be listened on.
        """
        if not self._address:
            yield ""
            return
        # Late, because a daemon without a health listener needs no HTTP server.
        from agent.listener import (  # noqa: PLC0415 -- memory
            ListenError,
            bind,
            bound_addresses,
            parse_address,
            serving,
        )

        try:
            sock = bind(parse_address(self._address))
        except ListenError as error:
            raise HealthError(
                f"no health listener: {error}", hint=error.hint
            ) from error
        where = str(bound_addresses([sock])[0])
        async with serving([sock], self._responder()):
            yield where

    def _responder(
        self,
    ) -> "Callable[[BaseRequest], Awaitable[StreamResponse]]":
        from agent.listener import respond  # noqa: PLC0415 -- loaded already

        async def answer(request: "BaseRequest") -> "StreamResponse":
            page = self._pages.get(request.path)
            if page is None:
                return respond(404)
            if request.method not in {"GET", "HEAD"}:
                refusal = respond(405)
                refusal.headers["Allow"] = "GET, HEAD"
                return refusal
            status, content_type, body = page(request.headers.get("Accept", ""))
            return respond(status, body, content_type)

        return answer


def _page(verdict: Verdict) -> Page:
    lines = verdict.lines or (("ok",) if verdict.ok else ("not ok",))
    body = "".join(f"{line}\n" for line in lines)
    return OK if verdict.ok else UNAVAILABLE, TEXT, body.encode(errors="replace")
