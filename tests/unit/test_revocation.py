"""Revocation at a CA that checks who signs, and what operators may demand."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.acme.errors import NotOfferedError, ProblemError
from agent.config.tokens import Key
from agent.demands import CommandError, confirmed
from agent.demands import replace as demand_replacement
from agent.demands import revoke as demand_revocation
from agent.jobs.issue import effects
from agent.jobs.revoke import Revoke
from agent.jobs.step import Performed
from agent.records.certificate import CertificateRecord
from agent.records.keys import KeyState
from agent.records.revocation import IssuedRecord, Revocation
from tests.ca import Fault, actions
from tests.fakes.desk import Desk, desk, order_record
from tests.fakes.subjects import LIFE
from tests.vectors.records import (
    NOW,
    certificate_table,
    context,
    enrolled,
    fingerprint,
    issued,
    key_id,
    moment,
)

SUPERSEDED = 4


async def enrol(place: Desk) -> IssuedRecord:
    """Return a certificate that the CA has issued."""
    order = order_record(await place.create())
    await place.prove(order)
    seen = await place.perform(effects.Finalize("k", order))
    assert isinstance(seen, effects.OrderSeen)
    assert seen.order.certificate is not None
    done = await place.perform(effects.Download("k", seen.order.certificate))
    assert isinstance(done, effects.Downloaded)
    leaf, end, _ = done.chain.pem.partition("-----END CERTIFICATE-----\n")
    return IssuedRecord(
        fingerprint=done.chain.fingerprint,
        serial=done.chain.serial,
        key=place.ordering.key.id,
        ca="test",
        directory=place.ca.directory_url,
        account="test",
        not_after=done.chain.not_before + LIFE,
        leaf=leaf + end,
    )


@pytest.mark.parametrize("by_key", [False, True])
@pytest.mark.parametrize("reason", [None, SUPERSEDED])
async def test_account_and_key_may_revoke(
    tmp_path: Path, reason: int | None, *, by_key: bool
) -> None:
    """Signed with `kid` or with `jwk`; without a reason it is unspecified."""
    async with desk(tmp_path) as place:
        mine = await enrol(place)
        signer = (
            place.revoke.by_key(place.ordering.key)
            if by_key
            else place.revoke.by_account(place.ordering.account)
        )
        effect = Revoke(mine.fingerprint, reason, by_key=by_key)
        assert await place.revoke.perform(effect, mine, signer) == Performed()
        revoked = place.ca.revoked[int(mine.serial, 16)]
        assert revoked.reason == (reason or 0)
        with pytest.raises(ProblemError, match="alreadyRevoked"):
            await place.revoke.perform(effect, mine, signer)


async def test_another_key_may_not_revoke(tmp_path: Path) -> None:
    """The CA says so, and nothing is revoked."""
    async with desk(tmp_path) as place:
        mine = await enrol(place)
        assert place.ordering.account.key is not None
        signer = place.revoke.by_key(place.ordering.account.key)
        effect = Revoke(mine.fingerprint, None, by_key=True)
        with pytest.raises(ProblemError, match="unauthorized"):
            await place.revoke.perform(effect, mine, signer)
        assert not place.ca.revoked


async def test_a_ca_without_revocation_is_told_apart(tmp_path: Path) -> None:
    """Private CAs leave `revokeCert` out of their directory."""
    async with desk(tmp_path) as place:
        mine = await enrol(place)
        urls = place.ca.urls
        bare = {
            "newNonce": urls.new_nonce,
            "newAccount": urls.new_account,
            "newOrder": urls.new_order,
        }
        body = actions.Body(json.dumps(bare).encode())
        place.ca.faults.add(Fault(resource="directory", action=body))
        client = place.revoke._client  # noqa: SLF001 -- forgets the directory it has
        client._directory = None  # noqa: SLF001 -- forgets the directory it has
        signer = place.revoke.by_account(place.ordering.account)
        with pytest.raises(NotOfferedError):
            await place.revoke.perform(
                Revoke(mine.fingerprint, None, by_key=False), mine, signer
            )


def known(count: int = 2) -> CertificateRecord:
    """Return a certificate that was issued more than once."""
    issuances = tuple(issued(n) for n in range(1, count + 1))
    return replace(enrolled(count), issued=issuances)


def test_the_newest_is_meant_unless_a_serial_is_given() -> None:
    """Serials are read as people write them."""
    for serial, number in (("", 2), ("1", 1), ("00:01", 1), ("2", 2)):
        asked = {"reason": "superseded", "serial": serial}
        after = demand_revocation(known(), asked, moment())
        assert list(after.revoke) == [fingerprint(number)]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"reason": "because"}, "the reason is one of unspecified"),
        ({}, "the reason is one of"),
        ({"reason": "cACompromise"}, "the reason is one of"),
        ({"reason": "superseded", "by": "me"}, "account or key"),
        (
            {"reason": "superseded", "serial": "77"},
            "no such certificate .* known: 1, 2",
        ),
    ],
)
def test_what_cannot_be_revoked_is_refused(asked: dict[str, str], words: str) -> None:
    """With what could be."""
    with pytest.raises(CommandError, match=words):
        demand_revocation(known(), asked, moment())


def test_a_certificate_is_revoked_once() -> None:
    """And a key that is gone cannot sign."""
    asked = {"reason": "superseded"}
    revocation = Revocation(at=NOW, reason="superseded", ours=True)
    record = known().with_revocation(fingerprint(2), revocation)
    with pytest.raises(CommandError, match="revoked already"):
        demand_revocation(record, asked, moment())
    key = replace(known().key(key_id(2)), state=KeyState.DESTROYED)
    with pytest.raises(CommandError, match="is gone"):
        demand_revocation(known().with_key(key), asked | {"by": "key"}, moment())
    under_way = demand_revocation(known(), asked, moment())
    busy = replace(under_way.revoke[fingerprint(2)], running=True)
    with pytest.raises(CommandError, match="at this moment"):
        demand_revocation(
            replace(under_way, revoke={fingerprint(2): busy}), asked, moment()
        )


@pytest.mark.parametrize("given", [{}, {"confirm": ""}, {"confirm": "other"}])
def test_what_cannot_be_taken_back_is_confirmed(given: dict[str, str]) -> None:
    """By the name once more."""
    with pytest.raises(CommandError, match="not confirmed"):
        confirmed("web", given)
    confirmed("web", {"confirm": "web"})


def test_only_a_compromised_key_of_ours_is_replaced() -> None:
    """Everything else is a renewal, or somebody else's."""
    asked = {"compromised": True}
    about = context()
    with pytest.raises(CommandError, match="only a compromised key"):
        demand_replacement(known(), about, {}, moment())
    adopted = context(certificate_table(key=Key(token="hsm", adopt="pkcs11:id=%01")))
    with pytest.raises(CommandError, match="adopted: it is not ours"):
        demand_replacement(known(), adopted, asked, moment())
    with pytest.raises(CommandError, match="no certificate yet"):
        demand_replacement(CertificateRecord(name="web"), about, asked, moment())
    under_way = demand_replacement(known(), about, asked, moment())
    assert under_way.replacing is not None
    with pytest.raises(CommandError, match="being replaced"):
        demand_replacement(under_way, about, asked, moment(NOW + timedelta(hours=1)))
