"""What operators ask for is done to a record, or refused with a reason."""

from datetime import timedelta

import msgspec
import pytest
from msgspec.structs import replace

from agent.auditing import Auditor
from agent.byhand import ByHand
from agent.cells import Cells
from agent.commands import Commands
from agent.config.trail import Audit
from agent.config.trust import Trust
from agent.control.verbs import RESERVED, VERBS, Argument, Peer, Request
from agent.counters import Counters
from agent.demands import CommandError
from agent.errors import AgentError
from agent.jobs.context import Context
from agent.jobs.issue.effects import Downloaded
from agent.keys.ports import TokenKey
from agent.keys.store import Keys
from agent.loading import Loaded
from agent.manager import Draws, Manager
from agent.pki.chain import ChainError
from agent.records.certificate import CertificateRecord, EndpointRecord, IssueJob
from agent.records.job import Disposition, Failure
from agent.records.keys import KeyRecord
from agent.records.phases import KeyMade
from agent.records.trust import RefusedDocument
from agent.shapes import TrustView
from agent.store import StoreError
from agent.vitals import Instruments, Loading, Vitals
from tests.fakes.clock import START, FakeClock
from tests.fakes.parts import House, MemoryStore, ScriptedPerformer
from tests.fakes.subjects import config, deployed
from tests.fakes.trail import MemoryTrail

OURS = f"nfcertd/{'0' * 16}/"


class AbsentError(AgentError):
    """What a token says that is not there."""

    kind = "token.absent"


class Tokens(Keys):
    """Keys of two tokens, one of which is not there."""

    def __init__(self) -> None:
        """Contact nothing."""

    @property
    def tokens(self) -> tuple[str, ...]:
        """Return their names."""
        return ("hsm", "gone")

    async def list_keys(self, token: str) -> tuple[TokenKey, ...]:
        """Return keys of ours, known or not, and of another host."""
        if token == "gone":
            raise AbsentError("token gone is not there")
        return tuple(
            TokenKey(id=i, label=label, type="ec-p256", private=True, public=True)
            for i, label in (
                (f"{1:032x}", f"{OURS}web/1"),
                ("ff" * 16, f"{OURS}web/0"),
                ("ee" * 16, f"nfcertd/{'1' * 16}/web/1"),
                ("dd" * 16, "somebody else"),
            )
        )


class Office:
    """The commands with what they act on.

    Attributes:
        clock: The time.
        store: What is durable.
        cells: What is in memory.
        problems: What the next reload finds.
        reloads: How often one was asked for.
    """

    def __init__(self, *records: CertificateRecord) -> None:
        """Configure a certificate that is called web."""
        self.clock = FakeClock()
        self.store = MemoryStore(*records)
        self.cells = Cells(self.store, lambda _: None)
        self.cells.load()
        self.manager = Manager(
            self.cells,
            ScriptedPerformer(self.clock),
            House(self.clock),
            clock=self.clock,
            draws=Draws(fraction=lambda: 0.0, token=lambda: "0" * 32),
        )
        table = config("web")
        self.manager.configure(table, "0" * 16)
        self._loading = Loading(loaded=Loaded(table), loaded_at=START)
        vitals = Vitals(
            self.cells,
            self.manager,
            self._loading,
            clock=self.clock,
            install="0" * 16,
            instruments=Instruments(
                tokens=dict,
                auditor=Auditor(MemoryTrail(), Audit(), lambda _: None),
                counters=Counters(),
                audit_key=lambda: None,
            ),
        )
        self.problems: tuple[str, ...] = ()
        self.reloads = 0
        self.commands = Commands(
            self.cells,
            self.manager,
            vitals,
            keys=Tokens(),
            by_hand=ByHand(self.manager, self.clock, self._check),
            reloader=self,
        )

    async def _check(self, pem: bytes, key: KeyRecord, about: Context) -> Downloaded:
        del pem, about
        raise ChainError(f"nobody brings a chain for key {key.number}")

    def follow(self, name: str) -> None:
        """Configure a list, and give it its record."""
        table = replace(self._loading.config, trust={name: Trust(file="/roots.pem")})
        self._loading.loaded = Loaded(table)
        self.manager.configure(table, "0" * 16)
        self.cells.trust(name)

    def reload(self) -> tuple[str, ...]:
        """Count a reload."""
        self.reloads += 1
        return self.problems

    def bootstrap(self, text: str, *, check: bool) -> dict[str, object]:
        """Tell how it was asked for."""
        return {text: check}

    async def ask(self, verb: str, **arguments: Argument) -> dict[str, object]:
        """Ask for a verb as root."""
        request = Request(verb=verb, verb_class=VERBS[verb], arguments=arguments)
        return await self.commands.handle(request, Peer(uid=0, pid=1))

    @property
    def record(self) -> CertificateRecord:
        """Return the certificate, as it is durable."""
        record = self.store.get(CertificateRecord, "web")
        assert record is not None
        return record


def issuing(**changes: object) -> CertificateRecord:
    """Return a certificate whose next issuance is under way."""
    job = IssueJob(id="j", phase=KeyMade(key="k"), reason="due", created=START)
    return replace(deployed(), issue=replace(job, **changes))


async def test_a_renewal_is_asked_for() -> None:
    """The instant is durable before the answer; the manager looks at it at once."""
    office = Office(deployed())
    office.clock.advance(timedelta(hours=1))
    assert await office.ask("renew", name="web") == {"name": "web", "done": "renew"}
    assert office.record.renew_asked == START + timedelta(hours=1)


async def test_a_renewal_under_way_is_hurried_and_not_repeated() -> None:
    """Our own back-off ends; nothing else of the job changes."""
    office = Office(issuing(not_before=START + timedelta(hours=3), failures=4))
    await office.ask("renew", name="web")
    issue = office.record.issue
    assert issue is not None
    assert (issue.not_before, issue.failures) == (None, 4)
    assert office.record.renew_asked is None


async def test_a_poll_keeps_its_pace() -> None:
    """While the CA validates or issues there is nothing of ours to hurry."""
    office = Office(issuing(not_before=START + timedelta(seconds=30), polls=5))
    await office.ask("renew", name="web")
    issue = office.record.issue
    assert issue is not None
    assert issue.not_before == START + timedelta(seconds=30)


async def test_the_patience_that_a_ca_asked_for_is_kept() -> None:
    """An operator does not undercut Retry-After."""
    until = START + timedelta(hours=3)
    failure = Failure(
        kind="acme:rateLimited",
        message="too many",
        at=START,
        retry_at=until,
        disposition=Disposition.WAIT_UNTIL,
    )
    office = Office(issuing(not_before=until, failure=failure))
    await office.ask("renew", name="web")
    issue = office.record.issue
    assert issue is not None
    assert issue.not_before == until


async def test_a_refused_certificate_is_ordered_anew_on_request() -> None:
    """Its day is ours, not a CA's: who has mended the CA need not wait for it."""
    failure = Failure(
        kind="sba.lint",
        message="it breaks its profile",
        at=START,
        retry_at=START + timedelta(days=1),
        disposition=Disposition.NEEDS_OPERATOR,
    )
    office = Office(issuing(failure=failure, not_before=failure.retry_at))
    await office.ask("renew", name="web")
    assert office.record.issue is not None
    assert office.record.issue.not_before is None


async def test_there_must_be_something_to_accept() -> None:
    """A certificate that was not refused is not deployed twice."""
    with pytest.raises(AgentError, match="web has no refused certificate"):
        await Office(deployed()).ask("accept", name="web")


async def test_a_renewal_while_an_effect_runs_comes_after_it() -> None:
    """The effect under way is left alone."""
    office = Office(deployed())
    cell = office.cells.certificate("web")
    assert cell is not None
    cell.change(lambda _: issuing(running=True, intent="finalize"))
    await office.ask("renew", name="web")
    assert office.record.issue == issuing(running=True, intent="finalize").issue
    assert office.record.renew_asked == START


async def test_hold_and_release() -> None:
    """Released, a publication that waits for it may go."""
    office = Office(deployed(number=3))
    await office.ask("hold", name="web")
    assert office.record.held
    with pytest.raises(CommandError, match="web is held") as caught:
        await office.ask("renew", name="web")
    assert caught.value.hint == "nfcertd release web first"
    await office.ask("release", name="web")
    assert not office.record.held
    assert office.record.released == 3


async def test_an_operator_can_vouch_for_what_is_served() -> None:
    """Every endpoint of the newest publication is accepted on their word."""
    served = {
        name: EndpointRecord(live=1, proven=1, by="nobody-asked") for name in ("a", "b")
    }
    office = Office(replace(deployed(), endpoints=served))
    await office.ask("ack", name="web")
    assert {e.by for e in office.record.endpoints.values()} == {"operator"}
    assert {e.proven_at for e in office.record.endpoints.values()} == {START}


@pytest.mark.parametrize(
    ("record", "complaint"),
    [
        (CertificateRecord(name="web"), "has no certificate yet"),
        (
            replace(deployed(number=2), endpoints={"": EndpointRecord(proven=1)}),
            "is not deployed yet",
        ),
    ],
)
async def test_nobody_can_vouch_for_what_is_not_there(
    record: CertificateRecord, complaint: str
) -> None:
    """Only the proof is taken on an operator's word, not the deployment."""
    office = Office(record)
    before = office.record
    with pytest.raises(CommandError, match=complaint):
        await office.ask("ack", name="web")
    assert office.record == before


@pytest.mark.parametrize("verb", ["renew", "hold", "release", "ack"])
@pytest.mark.parametrize("name", ["nobody", "", "removed", "x" * 9000])
async def test_a_name_that_is_not_configured_is_refused(verb: str, name: str) -> None:
    """Those that are configured are listed, and the message is bounded."""
    office = Office(deployed("removed"))
    with pytest.raises(CommandError, match="known: web") as caught:
        await office.ask(verb, name=name)
    assert len(str(caught.value)) < 200
    assert office.store.puts == []


async def test_a_certificate_without_a_record_can_be_held() -> None:
    """It is configured, and the daemon has not come to it yet."""
    office = Office()
    await office.ask("hold", name="web")
    assert office.record.held


async def test_a_certificate_in_quarantine_says_so() -> None:
    """It is not said to be unknown, and nothing is written over its record."""
    office = Office()
    office.cells.quarantined["certificate web"] = "the record is corrupt"
    with pytest.raises(CommandError, match="quarantine: the record is corrupt"):
        await office.ask("hold", name="web")
    assert office.store.puts == []


async def test_what_cannot_be_made_durable_is_not_done() -> None:
    """The operator hears of the full disk."""
    office = Office(deployed())
    office.store.broken = True
    with pytest.raises(StoreError, match="no space left"):
        await office.ask("hold", name="web")
    assert not office.record.held


@pytest.mark.parametrize("verb", sorted(RESERVED))
async def test_reserved_verbs_do_nothing(verb: str) -> None:
    """They say that this version cannot do it."""
    office = Office(deployed())
    with pytest.raises(CommandError, match=f"{verb} is not possible in this version"):
        await office.ask(verb, name="web")
    assert office.store.puts == []


@pytest.mark.parametrize("verb", ["status", "plan"])
async def test_status_is_the_whole_view(verb: str) -> None:
    """As plain values that become JSON."""
    answer = await Office(deployed()).ask(verb)
    certificates = answer["certificates"]
    assert isinstance(certificates, (list, tuple))
    assert [c["name"] for c in certificates] == ["web"]


async def test_the_version_is_that_of_the_daemon() -> None:
    """Which may be another than that of the command line."""
    assert list(await Office().ask("version")) == ["version"]


async def test_keys_without_a_record_are_reported() -> None:
    """Ours by the label and in no record; those of other hosts are none of ours.

    A token that is not there is a problem beside them, not a failure.
    """
    answer = await Office(deployed()).ask("keys")
    keys = answer["keys"]
    assert isinstance(keys, tuple)
    assert [key["id"] for key in keys] == [f"{1:032x}"]
    assert answer["orphans"] == [
        {"token": "hsm", "id": "ff" * 16, "label": f"{OURS}web/0", "type": "ec-p256"}
    ]
    assert answer["problems"] == ["token gone: token gone is not there"]


async def test_a_reload_answers_with_the_configuration() -> None:
    """`config` shows it without one."""
    office = Office()
    assert (await office.ask("config"))["reload_ok"] is True
    assert office.reloads == 0
    assert (await office.ask("reload"))["reload_ok"] is True
    assert office.reloads == 1


async def test_a_bundle_is_only_checked_where_that_is_said_clearly() -> None:
    """What is not understood must not pass for a check."""
    assert await Office().ask("bootstrap", bundle="a", check=True) == {"a": True}
    assert await Office().ask("bootstrap", bundle="a", check="true") == {"a": False}


async def test_a_refused_reload_lists_every_problem() -> None:
    """The one who asked gets them all."""
    (office := Office()).problems = ("certificate.a: no", "ca.b: no")
    with pytest.raises(CommandError, match=r"certificate\.a: no; ca\.b: no"):
        await office.ask("reload")


async def test_lists_are_shown_fetched_and_accepted() -> None:
    """Nothing is accepted that was not refused, and no list is made up."""
    office = Office()
    with pytest.raises(CommandError, match="there is no list ours; known: none"):
        await office.ask("trust-fetch", name="ours")
    refused = RefusedDocument(digest="a" * 64, reason="nothing left", at=START)
    office.follow("ours")
    assert await office.ask("trust-fetch", name="ours")
    with pytest.raises(CommandError, match="refused nothing"):
        await office.ask("trust-accept", name="ours")
    (cell := office.cells.trusts["ours"]).change(lambda r: replace(r, refused=refused))
    await office.ask("trust-accept", name="ours")
    assert cell.record.accepted == "a" * 64
    answer = await office.ask("trust")
    [shown] = msgspec.convert(answer["lists"], list[TrustView])
    assert (shown.name, shown.refused) == ("ours", "nothing left")
