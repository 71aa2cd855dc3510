"""Key roll-over, contacts and the end of an account, at a CA that checks them all."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from agent.acme.errors import (
    AccountClosedError,
    KeyChangeRefusedError,
    KeyChangeUnsupportedError,
    ProblemError,
)
from agent.client import AcmeClient
from agent.clock import SystemClock
from agent.config.authorities import Account, Eab
from agent.config.tokens import AccountKey
from agent.jobs import account, account_changes, register, retire, roll
from agent.jobs.step import Performed
from agent.keys.software import FileKeys
from agent.procedures.account import AccountProcedure
from agent.records.keys import KeyRecord, KeyState
from agent.records.others import AccountRecord
from agent.transport import HttpsTransport, Peer
from tests.ca import Config, Fault, Problem, TestCA, actions
from tests.fakes.acme import Ears
from tests.fakes.subjects import key as some_key

TABLE = Account(ca="test", key=AccountKey(file=True))


@dataclass(slots=True)
class Bureau:
    """A procedure, and the account that it works for.

    Attributes:
        ca: The CA.
        procedure: The procedure.
        keys: Where keys are.
        record: The account.
        table: Its table.
    """

    ca: TestCA
    procedure: AccountProcedure
    keys: FileKeys
    record: AccountRecord
    table: Account = TABLE

    async def perform(self, effect: account.Effect) -> account.Outcome:
        """Perform an effect of the account."""
        return await self.procedure.perform(effect, self.record, self.table)

    async def register(self) -> None:
        """Register the account with the key of the record."""
        assert self.record.key is not None
        seen = await self.perform(register.Register(self.record.key))
        assert isinstance(seen, register.Registered)
        self.record = replace(self.record, url=seen.url)

    async def key(self, number: int) -> KeyRecord:
        """Return a key that is made."""
        chosen = replace(some_key(number), state=KeyState.CHOSEN, public=b"")
        made = await self.perform(roll.MakeNewKey(chosen))
        assert isinstance(made, roll.NewKeyExists)
        return replace(chosen, state=KeyState.MADE, public=made.public)


@asynccontextmanager
async def bureau(home: Path, config: Config | None = None) -> AsyncIterator[Bureau]:
    """Run a CA, and a procedure toward it with an account whose key is made."""
    async with TestCA(config) as ca:
        peer = Peer(
            hosts=frozenset({urlsplit(ca.directory_url).netloc}),
            roots=ca.transport_root_pem.decode(),
            timeout=timedelta(seconds=10),
        )
        transport = HttpsTransport(peer)
        client = AcmeClient(
            name="test",
            directory_url=ca.directory_url,
            transport=transport,
            clock=SystemClock(),
            observer=Ears(),
        )
        keys = FileKeys(home / "keys")
        procedure = AccountProcedure(client, keys, lambda _: b"AAECAw")
        record = AccountRecord(name="test", directory=ca.directory_url)
        desk = Bureau(ca, procedure, keys, record)
        desk.record = replace(record, key=await desk.key(1))
        try:
            yield desk
        finally:
            await transport.aclose()


async def test_a_key_is_changed_and_shown_to_be_in_force(tmp_path: Path) -> None:
    """The CA checks both signatures, header and payload of the inner JWS (7.3.5)."""
    async with bureau(tmp_path) as desk:
        await desk.register()
        old, new = desk.record.key, await desk.key(2)
        assert old is not None
        assert await desk.perform(roll.FindKeyChange()) == roll.KeyChangeOffered()
        assert await desk.perform(roll.ProbeNewKey(new)) == roll.Probed("")
        known = roll.Probed(desk.record.url)
        assert await desk.perform(roll.ProbeOldKey(old)) == known
        assert await desk.perform(roll.ChangeKey(new)) == roll.KeyChanged()
        assert await desk.perform(roll.ProbeNewKey(new)) == known
        assert await desk.perform(roll.ProbeOldKey(old)) == roll.Probed("")
        assert len(desk.ca.accounts) == 1


@pytest.mark.parametrize(
    ("problem", "error"),
    [
        (Problem(type="notImplemented", status=501), KeyChangeRefusedError),
        (Problem(type="about:blank", status=404), KeyChangeRefusedError),
        (Problem(type="malformed", status=405), KeyChangeRefusedError),
        (Problem(type="serverInternal"), ProblemError),
        (Problem(type="badPublicKey"), ProblemError),
    ],
    ids=lambda value: getattr(value, "type", ""),
)
async def test_what_is_not_there_is_told_from_a_refusal(
    tmp_path: Path, problem: Problem, error: type[Exception]
) -> None:
    """CAs advertise a key change that they do not have; the key stays."""
    async with bureau(tmp_path) as desk:
        await desk.register()
        refusal = Fault(resource="keyChange", action=actions.Refuse(problem=problem))
        desk.ca.faults.add(refusal)
        new = await desk.key(2)
        with pytest.raises(error):
            await desk.perform(roll.ChangeKey(new))
        assert await desk.perform(roll.ProbeNewKey(new)) == roll.Probed("")


async def test_a_ca_without_key_change_is_asked_for_nothing(tmp_path: Path) -> None:
    """Its directory says so; the sentence names it."""
    async with bureau(tmp_path, Config(directory={"keyChange": None})) as desk:
        await desk.register()
        with pytest.raises(KeyChangeUnsupportedError, match="has no keyChange"):
            await desk.perform(roll.FindKeyChange())
        assert desk.ca.log.count("keyChange") == 0


async def test_a_key_of_another_account_is_a_conflict(tmp_path: Path) -> None:
    """409 (7.3.5); the probe names the account that has it."""
    async with bureau(tmp_path) as desk:
        await desk.register()
        mine, other = desk.record, await desk.key(2)
        desk.record = replace(desk.record, key=other, url="")
        await desk.register()
        theirs, desk.record = desk.record.url, mine
        with pytest.raises(ProblemError) as caught:
            await desk.perform(roll.ChangeKey(other))
        assert caught.value.status == 409
        assert await desk.perform(roll.ProbeNewKey(other)) == roll.Probed(theirs)


async def test_contacts_are_posted(tmp_path: Path) -> None:
    """The whole list replaces the one before, also by an empty one (7.3.2)."""
    async with bureau(tmp_path) as desk:
        await desk.register()
        for contact in (("mailto:a@example.org",), ()):
            done = await desk.perform(account_changes.UpdateContact(contact))
            assert done == account_changes.Updated(contact)
            assert desk.ca.accounts[0].contact == list(contact)


async def test_an_account_is_closed_once(tmp_path: Path) -> None:
    """A repeated request is refused with 401, and that is its success (7.3.6)."""
    async with bureau(tmp_path) as desk:
        await desk.register()
        for again in (False, True):
            effect = account_changes.Deactivate(again=again)
            assert await desk.perform(effect) == account_changes.Deactivated()
        assert desk.ca.accounts[0].status == "deactivated"
        key = desk.record.key
        assert key is not None
        with pytest.raises(ProblemError, match="unauthorized"):
            await desk.perform(register.Register(key))


@pytest.mark.parametrize(("again", "closed"), [(False, False), (True, True)])
async def test_a_refusal_closes_only_what_may_be_closed_already(
    tmp_path: Path, again: bool, closed: bool
) -> None:
    """Some CAs answer 403 for a closed account; a first 403 is a refusal."""
    async with bureau(tmp_path) as desk:
        await desk.register()
        refusal = actions.Refuse(problem=Problem(type="unauthorized"))
        desk.ca.faults.add(Fault(resource="account", action=refusal))
        effect = account_changes.Deactivate(again=again)
        if closed:
            assert await desk.perform(effect) == account_changes.Deactivated()
        else:
            with pytest.raises(ProblemError, match="unauthorized"):
                await desk.perform(effect)


async def test_an_account_that_the_ca_has_lost_is_closed_enough(tmp_path: Path) -> None:
    """There is nothing to deactivate."""
    async with bureau(tmp_path) as desk:
        await desk.register()
        desk.ca.forget_everything()
        effect = account_changes.Deactivate(again=False)
        assert await desk.perform(effect) == account_changes.Deactivated()


@pytest.mark.parametrize("status", ["deactivated", "revoked"])
async def test_an_account_that_is_over_is_not_taken_for_a_registration(
    tmp_path: Path, status: str
) -> None:
    """A CA that answers 200 for it shows its status; it is the operator's."""
    async with bureau(tmp_path) as desk:
        body = actions.Body(f'{{"status": "{status}"}}'.encode())
        desk.ca.faults.add(Fault(resource="newAccount", action=body))
        with pytest.raises(AccountClosedError, match=status):
            await desk.register()


async def test_contacts_of_an_account_that_was_there_are_those_that_it_has(
    tmp_path: Path,
) -> None:
    """200 is not 201: newAccount changes nothing of an account (7.3)."""
    async with bureau(tmp_path) as desk:
        key = desk.record.key
        assert key is not None
        seen = []
        for contact in (("mailto:a@example.org",), ("mailto:b@example.org",)):
            desk.table = Account(ca="test", key=AccountKey(file=True), contact=contact)
            outcome = await desk.perform(register.Register(key))
            assert isinstance(outcome, register.Registered)
            seen.append(outcome.contact)
        assert seen == [("mailto:a@example.org",)] * 2


async def test_refused_bindings_name_the_setting(tmp_path: Path) -> None:
    """None where one is needed, and one that the CA does not know."""
    config = Config(eab_keys={"nf-17": bytes(32)}, eab_required=True)
    async with bureau(tmp_path, config) as desk:
        with pytest.raises(ProblemError, match="externalAccountRequired") as caught:
            await desk.register()
        assert caught.value.hint.endswith("set account.test.eab")
        eab = Eab(kid="nf-18", key="file:/unread")
        desk.table = Account(ca="test", key=AccountKey(file=True), eab=eab)
        with pytest.raises(ProblemError, match="unauthorized") as caught:
            await desk.register()
        assert "nf-18" in caught.value.hint


async def test_changed_terms_lead_a_person_to_their_pages(tmp_path: Path) -> None:
    """The instance and the link of the refusal are in the hint (7.3.3)."""
    async with bureau(tmp_path) as desk:
        await desk.register()
        pages = ("https://ca.example/terms/2", "https://ca.example/agree")
        refusal = actions.action_required(*pages)
        desk.ca.faults.add(Fault(resource="account", action=refusal))
        with pytest.raises(ProblemError, match="userActionRequired") as caught:
            await desk.perform(account_changes.UpdateContact(()))
        assert caught.value.hint == (
            "see https://ca.example/agree; "
            "the terms of service are at https://ca.example/terms/2"
        )


async def test_a_key_that_went_out_is_destroyed(tmp_path: Path) -> None:
    """Also one that is gone already."""
    async with bureau(tmp_path) as desk:
        gone = await desk.key(2)
        desk.record = replace(desk.record, keys=(gone,))
        for _ in range(2):
            assert await desk.perform(retire.DestroyKey(gone.id)) == Performed()
        names = [path.stem for path in (tmp_path / "keys").glob("*.pem")]
        assert gone.id not in names
        assert len(names) == 1
