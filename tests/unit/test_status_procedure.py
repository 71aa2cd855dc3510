"""Asking for a status: sources in turn, one cache, nothing older than allowed."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from agent.jobs.status import AskStatus, Heard
from agent.pki.status import StatusError
from agent.procedures.status import Asking, StatusProcedure
from agent.records.revocation import IssuedRecord
from agent.retrieval import RetrievalError
from tests.ca.certificates import Revocation
from tests.ca.issuing import Issuer
from tests.ca.status import Answering, make_crl, make_ocsp
from tests.fakes.clock import START, FakeClock
from tests.unit.test_pki_status import ROOT, leaf
from tests.vectors.records import issued

HOUR = timedelta(hours=1)
CRL, OCSP = "http://ca.example/crl", "http://ca.example/ocsp"
LEAF = leaf()
EFFECT = AskStatus("f" * 64, "0123456789abcdef" * 2)


class Network:
    """Where CRLs and OCSP responses come from.

    Attributes:
        fetched: What was asked for.
        broken: URLs that do not answer.
        revoked: The certificate is revoked from now on.
        life: From thisUpdate to nextUpdate.
    """

    def __init__(self, clock: FakeClock, issuer: Issuer = ROOT) -> None:
        """Answer for an issuer."""
        self._clock = clock
        self._issuer = issuer
        self.fetched: list[str] = []
        self.broken: set[str] = set()
        self.revoked = False
        self.life = 7 * 24 * HOUR

    async def fetch(self, url: str, body: bytes | None, allow: Sequence[str]) -> bytes:
        """Answer, or not."""
        assert allow == ("192.0.2.0/24",)
        self.fetched.append(url)
        await asyncio.sleep(0)
        if url in self.broken:
            raise RetrievalError(f"no answer from {url}")
        now = self._clock.now()
        updates = (now, now + self.life)
        revocation = Revocation(at=now, reason=4) if self.revoked else None
        if body is None:
            listed = {} if revocation is None else {LEAF.serial_number: revocation}
            return make_crl(self._issuer, listed, updates).public_bytes(Encoding.DER)
        about = Answering(
            issuer=self._issuer,
            signer=self._issuer,
            leaf=LEAF,
            revocation=revocation,
            updates=updates,
        )
        made = make_ocsp(ocsp.load_der_ocsp_request(body), about)
        return made.public_bytes(Encoding.DER)


class Place:
    """A procedure with its network and its clock."""

    def __init__(self) -> None:
        """Begin with an empty cache."""
        self.clock = FakeClock()
        self.network = Network(self.clock)
        self.procedure = StatusProcedure(self.network, self.clock)

    async def ask(self, *, crl: tuple[str, ...] = (CRL,), by: str = "") -> Heard:
        """Ask about the certificate."""
        record = issued(1)
        pem = LEAF.public_bytes(Encoding.PEM).decode("ascii")
        about = Asking(
            issued=_with(record, pem, (by,) if by else (), crl),
            candidates=(ROOT.certificate,),
            allow=("192.0.2.0/24",),
            interval=HOUR,
        )
        return await self.procedure.perform(EFFECT, about)


def _with(
    record: IssuedRecord, pem: str, responders: tuple[str, ...], crl: tuple[str, ...]
) -> IssuedRecord:
    return IssuedRecord(
        fingerprint=record.fingerprint,
        serial=record.serial,
        key=record.key,
        ca=record.ca,
        directory=record.directory,
        account=record.account,
        not_after=START + 90 * 24 * HOUR,
        leaf=pem,
        ocsp=responders,
        crl=crl,
    )


async def test_ocsp_is_asked_first() -> None:
    """And the CRL only where that gives nothing to rely on."""
    place = Place()
    assert await place.ask(by=OCSP) == Heard("", "ocsp")
    place.network.broken = {OCSP}
    place.network.revoked = True
    assert await place.ask(by=OCSP) == Heard("superseded", "crl")
    assert place.network.fetched == [OCSP, OCSP, CRL]


async def test_the_last_failure_is_told() -> None:
    """A certificate without a source has one of its own."""
    place = Place()
    place.network.broken = {OCSP, CRL}
    with pytest.raises(RetrievalError, match=r"ca\.example/crl"):
        await place.ask(by=OCSP)
    with pytest.raises(StatusError, match="names no source"):
        await place.ask(crl=())


async def test_a_crl_is_fetched_once_for_all_who_ask_together() -> None:
    """They share what the first one fetched."""
    place = Place()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(5):
            tasks.create_task(place.ask())
    assert place.network.fetched == [CRL]


@pytest.mark.parametrize(
    ("life", "later", "fetches"),
    [
        (7 * 24 * HOUR, HOUR / 2, 1),
        (7 * 24 * HOUR, HOUR, 2),
        (HOUR / 4, HOUR / 2, 2),
    ],
)
async def test_a_cached_crl_is_used_until_its_next_update(
    life: timedelta, later: timedelta, fetches: int
) -> None:
    """And for one interval at most, so that a revocation is heard of."""
    place = Place()
    place.network.life = life
    await place.ask()
    place.network.revoked = True
    place.clock.advance(later)
    heard = await place.ask()
    assert len(place.network.fetched) == fetches
    assert heard.revoked == ("" if fetches == 1 else "superseded")


async def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest stay."""
    place = Place()
    await place.ask()
    size = len(place.procedure._crls[CRL].der)  # noqa: SLF001 -- what it keeps
    monkeypatch.setattr("agent.procedures.status.MAX_CACHE", 2 * size + 20)
    for number in range(4):
        await place.ask(crl=(f"{CRL}{number}",))
        place.clock.advance(timedelta(seconds=1))
    assert set(place.procedure._crls) == {f"{CRL}2", f"{CRL}3"}  # noqa: SLF001 -- what it keeps
