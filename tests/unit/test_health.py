"""The health listener shows what it is told and can be asked by anybody."""

import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from agent.health import Health, HealthError, Verdict


class Told:
    """Vitals that tests set by hand."""

    def __init__(self) -> None:
        """Begin well."""
        self.alive = Verdict(ok=True)
        self.ready = Verdict(ok=True)
        self.accepted: list[str] = []

    def healthz(self) -> Verdict:
        """Return what was set."""
        return self.alive

    def readyz(self) -> Verdict:
        """Return what was set."""
        return self.ready

    def metrics(self, accept: str) -> tuple[str, bytes]:
        """Remember what was accepted."""
        self.accepted.append(accept)
        return "text/plain; version=0.0.4; charset=utf-8", b"up 1\n"


@pytest.fixture
def told() -> Told:
    """Return vitals to set."""
    return Told()


@pytest.fixture
async def base(told: Told) -> AsyncIterator[str]:
    """Serve on a free port; the value is the URL."""
    async with Health("127.0.0.1:0", told).serving() as where:
        yield f"http://{where}"


async def get(
    url: str, method: str = "GET", **headers: str
) -> tuple[int, str, str, dict[str, str]]:
    """Return status, content type, body and header fields."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, headers=headers) as answer,
    ):
        fields = dict(answer.headers)
        return answer.status, fields["Content-Type"], await answer.text(), fields


@pytest.mark.parametrize(
    ("verdict", "status", "body"),
    [
        (Verdict(ok=True), 200, "ok\n"),
        (Verdict(ok=True, lines=("amf1: renews tomorrow",)), 200, None),
        (Verdict(ok=False), 503, "not ok\n"),
        (Verdict(ok=False, lines=("token hsm: absent", "b")), 503, None),
    ],
)
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_verdict_becomes_a_status_and_lines(
    base: str, told: Told, path: str, verdict: Verdict, status: int, body: str | None
) -> None:
    """200 is well and 503 is not; the reasons stand one a line."""
    told.alive = told.ready = verdict
    expected = body or "".join(f"{line}\n" for line in verdict.lines)
    found = await get(base + path)
    assert found[:3] == (status, "text/plain; charset=utf-8", expected)


async def test_liveness_does_not_follow_readiness(base: str, told: Told) -> None:
    """A token that is away must not get the daemon restarted."""
    told.ready = Verdict(ok=False, lines=("token hsm: absent",))
    assert (await get(base + "/healthz"))[0] == 200
    assert (await get(base + "/readyz"))[0] == 503


async def test_metrics_follow_what_the_scraper_accepts(base: str, told: Told) -> None:
    """The field reaches who renders; type and body come back as they were made."""
    found = await get(base + "/metrics", Accept="application/openmetrics-text")
    assert found[:3] == (200, "text/plain; version=0.0.4; charset=utf-8", "up 1\n")
    assert told.accepted == ["application/openmetrics-text"]


async def test_the_index_names_the_pages(base: str) -> None:
    """Who opens the port in a browser sees what there is."""
    status, _, text, _ = await get(base + "/")
    assert status == 200
    assert all(page in text for page in ("/healthz", "/readyz", "/metrics"))


async def test_head_has_no_body(base: str) -> None:
    """A probe may ask by HEAD."""
    assert (await get(base + "/healthz", "HEAD"))[2] == ""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_nothing_can_be_changed(base: str, method: str) -> None:
    """RFC 9110 section 15.5.6: 405 says what is allowed."""
    status, _, _, fields = await get(base + "/readyz", method)
    assert (status, fields["Allow"]) == (405, "GET, HEAD")


async def test_an_unknown_page_is_not_found(base: str) -> None:
    """Nothing is guessed."""
    assert (await get(base + "/nothing"))[0] == 404


async def test_a_query_does_not_matter(base: str) -> None:
    """Scrapers add parameters such as `?name[]=`."""
    assert (await get(base + "/healthz?verbose"))[0] == 200


async def test_an_empty_address_serves_nowhere(told: Told) -> None:
    """`health = ""` switches the listener off."""
    async with Health("", told).serving() as where:
        assert where == ""


async def test_a_port_in_use_is_named(told: Told) -> None:
    """The error says which address and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(HealthError, match=address) as caught:
            async with Health(address, told).serving():
                pass
    assert caught.value.hint


async def test_the_port_is_closed_afterwards(told: Told) -> None:
    """Leaving frees the address."""
    async with Health("127.0.0.1:0", told).serving() as where:
        port = int(where.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1).close()
