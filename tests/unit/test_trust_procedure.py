"""How a list is fetched from each source, and what stands between."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    pkcs7,
)

from agent.acme.http import Request, Response
from agent.config.trust import Trust
from agent.files import FileError
from agent.jobs.step import Performed
from agent.jobs.trust import Fetch, Fetched, PruneRoots, PublishRoots
from agent.procedures.trust import TrustProcedure
from agent.records.trust import TrustRecord
from agent.trust.errors import SignatureError, SourceError
from tests.fakes.clock import START, FakeClock
from tests.vectors.trust import DAY, entry, key, payload, public, root, signed

URL = "https://lists.example/roots"


class Source:
    """A source of lists, and a publisher, that remember.

    Attributes:
        body: What is answered.
        status: With which status.
        headers: With which headers.
        asked: Every request.
        rested: How often connections were let go.
        anchors: The roots that were handed to the transport.
        done: What was published and pruned.
    """

    def __init__(self) -> None:
        """Answer with nothing."""
        self.body = b""
        self.status = 200
        self.headers: Mapping[str, str] = {}
        self.asked: list[Request] = []
        self.rested = 0
        self.anchors: list[str | None] = []
        self.done: list[object] = []

    def reach(self, table: Trust, roots: str | None) -> "Source":
        """Be the transport."""
        del table
        self.anchors.append(roots)
        return self

    async def send(self, request: Request) -> Response:
        """Answer."""
        self.asked.append(request)
        return Response(status=self.status, headers=self.headers, body=self.body)

    async def rest(self) -> None:
        """Let go."""
        self.rested += 1

    async def publish_roots(self, name: str, version: int, bundle: str) -> None:
        """Publish."""
        self.done.append((name, version, bundle))

    async def prune_roots(self, name: str, version: int) -> None:
        """Prune."""
        self.done.append((name, version))


@pytest.fixture
def source() -> Source:
    """Return a source."""
    return Source()


async def fetch(source: Source, table: Trust, **known: object) -> Fetched:
    """Fetch once."""
    record = TrustRecord(name="operator-roots", **known)  # type: ignore[arg-type]  # a test's own keywords
    procedure = TrustProcedure(source.reach, source, FakeClock())
    outcome = await procedure.perform(Fetch(), record, table)
    assert isinstance(outcome, Fetched)
    return outcome


def est(**more: str) -> Trust:
    """Return the table of an EST server."""
    return Trust(est=f"{URL}/cacerts", roots="system", **more)  # type: ignore[arg-type]  # a test's own keywords


async def test_a_file_is_read(source: Source, tmp_path: Path) -> None:
    """Nobody is asked."""
    path = tmp_path / "roots.pem"
    path.write_text(root(1).pem)
    outcome = await fetch(source, Trust(file=str(path)))
    assert [r.fingerprint for r in outcome.document.roots] == [root(1).fingerprint]
    assert source.asked == []
    with pytest.raises(FileError):
        await fetch(source, Trust(file=str(tmp_path / "gone.pem")))


async def test_an_est_server_is_asked_for_its_certificates(source: Source) -> None:
    """One request on a connection that is let go."""
    certificates = [root(1).certificate]
    source.body = pkcs7.serialize_certificates(certificates, Encoding.PEM)
    source.body = b"".join(source.body.splitlines()[1:-1])
    outcome = await fetch(source, est())
    assert [r.fingerprint for r in outcome.document.roots] == [root(1).fingerprint]
    [request] = source.asked
    assert (request.method, request.url) == ("GET", f"{URL}/cacerts")
    assert request.headers["Accept"] == "application/pkcs7-mime"
    assert (source.rested, source.anchors) == (1, [None])


@pytest.mark.parametrize("form", ["certificate", "public key"])
async def test_a_signed_list_is_held_against_its_pin(
    source: Source, tmp_path: Path, form: str
) -> None:
    """The pin is a certificate or a bare key; its name and dates do not matter."""
    pin, tls = tmp_path / "signer.pem", tmp_path / "tls.pem"
    spki = key(500).public_key()
    bare = spki.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    pin.write_bytes(bare if form == "public key" else root(500).pem.encode())
    tls.write_text(root(9).pem)
    table = Trust(signed=URL, roots=str(tls), signer=str(pin), list="operator-roots")
    said = payload([entry(root(1))], issued_at=START, expires=START + DAY)
    source.body = signed(said, 500)
    outcome = await fetch(source, table)
    assert outcome.document.pin == outcome.document.signer == public(500)
    assert source.anchors == [root(9).pem]
    with pytest.raises(SignatureError):
        await fetch(source, table, signer=public(501), pin=public(500))
    pin.write_text("no key")
    with pytest.raises(SourceError, match="neither certificate nor public key"):
        await fetch(source, table)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": "3600"}, timedelta(hours=1)),
        ({"retry-after": "99999999"}, timedelta(hours=6)),
    ],
)
async def test_a_source_that_is_busy_is_obeyed_for_an_interval_at_most(
    source: Source, headers: Mapping[str, str], wait: timedelta | None
) -> None:
    """What it distrusts must reach us, whatever stands before it says."""
    source.status, source.headers = 503, headers
    with pytest.raises(SourceError) as caught:
        await fetch(source, est())
    assert caught.value.retry_at == (None if wait is None else START + wait)
    assert source.rested == 1


async def test_versions_are_published_and_pruned(source: Source) -> None:
    """With what the record says is trusted."""
    procedure = TrustProcedure(source.reach, source, FakeClock())
    record = TrustRecord(name="operator-roots", published=4)
    for effect in (PublishRoots(4), PruneRoots()):
        assert await procedure.perform(effect, record, est()) == Performed()
    assert source.done == [("operator-roots", 4, ""), ("operator-roots", 4)]
