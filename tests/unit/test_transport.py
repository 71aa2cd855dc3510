"""The transport reaches a CA over TLS, bounded, and nobody else."""

import asyncio
import gzip
import os
import ssl
import tracemalloc
import warnings
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from agent.acme.http import Request
from agent.transport import (
    MAX_BODY,
    HttpsTransport,
    Peer,
    RefusedUrlError,
    TransportError,
    import_aiohttp,
)
from tests.ca import Fault, TestCA, actions
from tests.ca.faults import Action
from tests.ca.transport import Transport, make_transport
from tests.fakes.wire import HOST, OK, get, serving, transport_to, until


@pytest.fixture(scope="module")
def tls() -> Transport:
    """Return TLS for loopback."""
    return make_transport(HOST)


async def test_an_answer_comes_back_whole(tls: Transport) -> None:
    """Status, headers in lower case, octets; errors are answers too."""
    text = b"HTTP/1.1 404 Nope\r\nReplay-Nonce: aB\r\nContent-Length: 3\r\n\r\na\x00b"
    async with (
        serving(tls, lambda _: text) as wire,
        transport_to(wire.url, wire.roots) as transport,
    ):
        answer = await get(transport, f"{wire.url}/x")
    assert (answer.status, answer.body) == (404, b"a\x00b")
    assert answer.headers["replay-nonce"] == "aB"


@pytest.mark.parametrize(
    "path",
    [
        "/acme/order/%41%2f%2F?a=%20+b&c",
        "/a/../b/./c//d",
        "/~!$&'()*+,;=:@",
        "/UPPER/lower",
    ],
)
async def test_a_url_goes_out_byte_for_byte(tls: Transport, path: str) -> None:
    """The signed `url` must be the one that the server sees (RFC 8555 6.4)."""
    async with (
        serving(tls) as wire,
        transport_to(wire.url, wire.roots) as transport,
    ):
        await get(transport, wire.url + path)
        [line, *_] = wire.seen[0].split(b"\r\n")
    assert line == f"GET {path} HTTP/1.1".encode()


async def test_who_asks_says_so(tls: Transport) -> None:
    """A client MUST send a User-Agent with its name and its library's (6.1)."""
    async with (
        serving(tls) as wire,
        transport_to(wire.url, wire.roots) as transport,
    ):
        await get(transport, wire.url)
    assert b"\r\nUser-Agent: nfcertd/" in wire.seen[0]
    assert b" aiohttp\r\n" in wire.seen[0]


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://127.0.0.1/x", "not https"),
        ("file:///etc/passwd", "not https"),
        ("", "not https"),
        ("https://evil.example/x", "evil.example"),
        ("https://127.0.0.1/x", "127.0.0.1"),
        ("https://ca.example:14000@evil.example/", "not allowed"),
        ("https://user@ca.example:14000/", "not allowed"),
        ("https://ca.example:14000\\@evil.example/", "not allowed"),
        ("https://ca.example:14001/", "not allowed"),
        ("https://[bad/", "a url that is none"),
        ("https://ca\u2100.example/", "a url that is none"),
    ],
)
async def test_only_allowed_hosts_are_asked(url: str, complaint: str) -> None:
    """A URL of the CA cannot make us ask somebody else, nor end us."""
    async with transport_to("https://ca.example:14000", None) as transport:
        with pytest.raises(RefusedUrlError, match=complaint):
            await get(transport, url)


async def test_hosts_are_compared_without_case(tls: Transport) -> None:
    """Names of hosts have none."""
    async with serving(tls) as wire:
        url = f"https://localhost:{wire.port}"
        async with transport_to(url, wire.roots) as transport:
            shouted = url.replace("localhost", "LOCALHOST")
            assert (await get(transport, shouted)).status == 200


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(tls: Transport, status: int) -> None:
    """Not even to the same host: the answer is handed on."""
    text = f"HTTP/1.1 {status} Go\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"
    async with (
        serving(tls, lambda _: text.encode()) as wire,
        transport_to(wire.url, wire.roots) as transport,
    ):
        assert (await get(transport, f"{wire.url}/a")).status == status
        assert len(wire.seen) == 1


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the variables that name a proxy, where nobody listens."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")


@pytest.mark.usefixtures("proxied")
async def test_the_environment_names_no_proxy(tls: Transport) -> None:
    """What a unit inherits does not decide whom we talk through."""
    async with (
        serving(tls) as wire,
        transport_to(wire.url, wire.roots) as transport,
    ):
        assert (await get(transport, wire.url)).status == 200


async def test_cookies_are_not_kept(tls: Transport) -> None:
    """An ACME server has no business with them."""
    text = OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: id=7; Path=/\r\n\r\n", 1)
    async with (
        serving(tls, lambda _: text) as wire,
        transport_to(wire.url, wire.roots) as transport,
    ):
        await get(transport, wire.url)
        await get(transport, wire.url)
    assert not any(b"cookie" in head.lower() for head in wire.seen)


async def test_a_connection_is_used_again_until_rest(tls: Transport) -> None:
    """Rest closes what is idle; the next request opens a new connection."""
    async with (
        serving(tls) as wire,
        transport_to(wire.url, wire.roots) as transport,
    ):
        await get(transport, wire.url)
        await get(transport, wire.url)
        assert (wire.connections, wire.open) == (1, 1)
        await transport.rest()
        await until(lambda: wire.open == 0)
        assert (await get(transport, wire.url)).status == 200
        assert wire.connections == 2


async def test_rest_disturbs_no_request_under_way() -> None:
    """What somebody waits for is not closed under them."""
    async with (
        TestCA() as ca,
        transport_to(ca.directory_url, ca.transport_root_pem.decode()) as transport,
    ):
        ca.faults.add(Fault(resource="directory", action=actions.Delay(0.1)))
        async with asyncio.TaskGroup() as tasks:
            request = tasks.create_task(get(transport, ca.directory_url))
            await until(lambda: len(ca.log) == 1)
            await transport.rest()
        assert request.result().status == 200


@pytest.mark.parametrize(
    ("action", "complaint"),
    [
        (actions.DropBefore(), "no answer from"),
        (actions.DropAfter(), "no answer from"),
        (actions.Truncate(keep=5), "its answer was cut short"),
        (actions.Huge(MAX_BODY + 1), "body larger than"),
    ],
)
async def test_half_an_answer_is_none(action: Action, complaint: str) -> None:
    """Nobody knows whether the request arrived: it is not repeated here."""
    async with (
        TestCA() as ca,
        transport_to(ca.directory_url, ca.transport_root_pem.decode()) as transport,
    ):
        ca.faults.add(Fault(resource="directory", action=action))
        request = Request(method="POST", url=ca.directory_url, body=b"{}")
        with pytest.raises(TransportError, match=complaint) as caught:
            await transport.send(request)
        assert urlsplit(ca.directory_url).netloc in str(caught.value)
        assert len(ca.log) == 1
        assert (await get(transport, ca.directory_url)).status == 200


async def test_a_body_at_the_bound_is_read() -> None:
    """Ten mebibytes are not too many."""
    async with (
        TestCA() as ca,
        transport_to(ca.directory_url, ca.transport_root_pem.decode()) as transport,
    ):
        ca.faults.add(Fault(resource="directory", action=actions.Huge(MAX_BODY)))
        assert len((await get(transport, ca.directory_url)).body) == MAX_BODY


async def test_a_small_body_that_unpacks_to_a_large_one_is_refused(
    tls: Transport,
) -> None:
    """The bound counts what is unpacked, and memory is spared as well."""
    body = gzip.compress(bytes(20 * MAX_BODY), 9)
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n"
    )
    text = head.encode() + b"\r\n" + body
    async with (
        serving(tls, lambda _: text) as wire,
        transport_to(wire.url, wire.roots) as transport,
    ):
        tracemalloc.start()
        try:
            with pytest.raises(TransportError):
                await get(transport, wire.url)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 8 * MAX_BODY


async def test_a_silent_server_is_given_up() -> None:
    """The bound is on the whole request."""
    async with (
        TestCA() as ca,
        transport_to(
            ca.directory_url, ca.transport_root_pem.decode(), seconds=0.1
        ) as transport,
    ):
        ca.faults.add(Fault(resource="directory", action=actions.Delay(10)))
        with pytest.raises(TransportError, match="in time"):
            await get(transport, ca.directory_url)


@pytest.mark.parametrize(
    "text",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx",
        b"",
    ],
)
async def test_rubbish_is_no_answer(tls: Transport, text: bytes) -> None:
    """Whatever a server says ends as an error of ours, worded in a line."""
    async with (
        serving(tls, lambda _: text) as wire,
        transport_to(wire.url, wire.roots) as transport,
    ):
        with pytest.raises(TransportError) as caught:
            await get(transport, wire.url)
    assert len(str(caught.value)) < 300


async def test_nobody_who_listens_is_a_transport_error(tls: Transport) -> None:
    """The clause says what the kernel said."""
    async with serving(tls) as wire:
        url, roots = wire.url, wire.roots
    async with transport_to(url, roots) as transport:
        with pytest.raises(TransportError, match="connect"):
            await get(transport, url)


async def test_a_server_under_another_root_is_refused(tls: Transport) -> None:
    """Only the configured anchors count."""
    other = make_transport(HOST).root_pem.decode()
    async with serving(tls) as wire, transport_to(wire.url, other) as transport:
        with pytest.raises(TransportError, match="tls certificate is refused"):
            await get(transport, wire.url)
        assert wire.seen == []


async def test_a_server_of_another_name_is_refused(tls: Transport) -> None:
    """The name is always verified, also under the right root."""
    async with serving(tls) as wire:
        url = f"https://127.0.0.2:{wire.port}"
        async with (
            await asyncio.start_server(
                wire.serve, "127.0.0.2", wire.port, ssl=tls.context
            ),
            transport_to(url, wire.roots) as transport,
        ):
            with pytest.raises(TransportError, match="tls certificate is refused"):
                await get(transport, url)
            assert wire.seen == []


@pytest.mark.parametrize(
    ("version", "works"),
    [
        (ssl.TLSVersion.TLSv1_3, True),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_1, False),
    ],
)
async def test_tls_is_at_least_1_2(version: ssl.TLSVersion, works: bool) -> None:
    """RFC 9325 section 3.1: older ones MUST NOT be negotiated."""
    tls = make_transport(HOST)
    with warnings.catch_warnings():
        # TLS 1.1 is what is refused here, so it has to be switched on.
        warnings.simplefilter("ignore", DeprecationWarning)
        tls.context.minimum_version = tls.context.maximum_version = version
    tls.context.set_ciphers("ALL:@SECLEVEL=0")
    async with serving(tls) as wire, transport_to(wire.url, wire.roots) as transport:
        if works:
            assert (await get(transport, wire.url)).status == 200
            return
        with pytest.raises(TransportError):
            await get(transport, wire.url)


@pytest.mark.parametrize("roots", ["", "junk", "-----BEGIN CERTIFICATE-----\nAA==\n"])
def test_roots_without_a_certificate_are_refused(roots: str) -> None:
    """The operator hears of it, and the daemon goes on."""
    peer = Peer(hosts=frozenset(), roots=roots, timeout=timedelta(seconds=1))
    with pytest.raises(RefusedUrlError, match="no usable certificate"):
        HttpsTransport(peer)


def test_importing_the_http_library_leaves_the_environment() -> None:
    """The trick that saves memory is undone."""
    before = dict(os.environ)
    assert import_aiohttp() is import_aiohttp()
    assert dict(os.environ) == before


async def test_a_ca_may_be_under_the_roots_of_the_system() -> None:
    """Without roots of its own it is verified against those, which fails here."""
    async with TestCA() as ca, transport_to(ca.directory_url, None) as transport:
        with pytest.raises(TransportError, match="tls certificate is refused"):
            await get(transport, ca.directory_url)
