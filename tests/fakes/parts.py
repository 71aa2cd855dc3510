"""What the manager works with, in memory: a store, a performer, its surroundings."""

from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta

from agent.acme.messages import Order
from agent.clock import Clock
from agent.config.trust import Trust
from agent.jobs import (
    account,
    account_changes,
    certificate,
    deploy,
    register,
    retire,
    roll,
    trust,
)
from agent.jobs.context import Context
from agent.jobs.issue import effects as issue
from agent.jobs.step import Performed
from agent.pki.chain import CheckedChain
from agent.records.certificate import CertificateRecord
from agent.records.codec import R, Record, decode, encode
from agent.records.others import AccountRecord
from agent.records.slots import Slot
from agent.records.trust import TrustRecord
from agent.store import StoreError
from agent.trust.roots import Document
from tests.fakes.subjects import ISSUER, LEAF, LIFE

Place = tuple[type[Record], str]
Trouble = Callable[[str, str], Awaitable[None]]
"""Is given a subject and an effect before it is performed; may raise or wait."""


class MemoryStore:
    """A store whose files are octets in memory.

    Attributes:
        files: What is durable, as it would be on the disk.
        puts: Every record that became durable, in order.
        broken: The disk is full.
    """

    def __init__(self, *records: Record) -> None:
        """Begin with some records."""
        self.files: dict[Place, bytes] = {}
        self.puts: list[Record] = []
        self.broken = False
        for record in records:
            self.put(record)
        self.puts.clear()

    def put(self, record: Record) -> None:
        """Keep a record, or fail as a full disk does."""
        if self.broken:
            raise StoreError("cannot write the record: no space left on device")
        name = getattr(record, "name", "instance")
        self.files[type(record), name] = encode(record)
        self.puts.append(record)

    def get(self, kind: type[R], name: str) -> R | None:
        """Return a record; raises `RecordError` where it is corrupt."""
        data = self.files.get((kind, name))
        return None if data is None else decode(data, kind)

    def names(self, kind: type[Record]) -> Iterator[str]:
        """Yield the names of a kind, sorted."""
        yield from sorted(name for of, name in self.files if of is kind)


async def no_trouble(subject: str, effect: str) -> None:
    """Let every effect succeed."""
    del subject, effect


class ScriptedPerformer:
    """Performs every effect at once and as wished, unless there is trouble.

    Attributes:
        performed: Subject and effect, in the order of their beginning.
        times: When each of them began.
        trouble: Asked before every effect.
        settled: Names of the certificates that were settled.
        life: How long certificates live.
        offers: What the sources of lists offer.
    """

    def __init__(self, clock: Clock, trouble: Trouble = no_trouble) -> None:
        """Issue certificates that begin now."""
        self._clock = clock
        self.performed: list[tuple[str, str]] = []
        self.times: list[datetime] = []
        self.trouble = trouble
        self.settled: list[str] = []
        self.life: timedelta = LIFE
        self.offers: dict[str, Document] = {}

    def effects(self, subject: str) -> list[str]:
        """Return the effects of one subject."""
        return [effect for name, effect in self.performed if name == subject]

    async def for_certificate(  # noqa: PLR0911 -- one arm an effect
        self,
        record: CertificateRecord,
        slot: Slot,
        effect: certificate.Effect,
        context: Context,
    ) -> certificate.Outcome:
        """Perform an effect of a certificate."""
        del slot
        await self._begin(record.name, effect.name)
        match effect:
            case issue.MakeKey():
                return issue.KeyExists(b"spki", "")
            case issue.CreateOrder() | issue.FindOrder():
                return issue.OrderSeen("https://ca.example/order/1", _order("ready"))
            case issue.Finalize():
                return issue.OrderSeen("https://ca.example/order/1", _order("valid"))
            case issue.Download():
                return issue.Downloaded(self._chain(record, context))
            case deploy.LookBefore():
                return deploy.Looked(())
            case deploy.Watch():
                return deploy.Watched((), settled=True)
            case _:
                return Performed()

    async def for_account(
        self, record: AccountRecord, effect: account.Effect
    ) -> account.Outcome:
        """Perform an effect of an account."""
        await self._begin(record.name, effect.name)
        url = f"{record.directory}/account"
        match effect:
            case register.MakeAccountKey(key):
                return register.AccountKeyExists(key.id.encode(), "")
            case register.Register():
                return register.Registered(url, "")
            case roll.MakeNewKey(key):
                return roll.NewKeyExists(key.id.encode(), "")
            case retire.DestroyKey():
                return Performed()
            case _:
                return _changed(effect, url)

    async def for_list(
        self, record: TrustRecord, effect: trust.Effect, table: Trust
    ) -> trust.Outcome:
        """Perform an effect of a list of trusted roots."""
        del table
        await self._begin(record.name, effect.name)
        if isinstance(effect, trust.Fetch):
            return trust.Fetched(self.offers[record.name])
        return Performed()

    async def settle(self, record: CertificateRecord) -> None:
        """Note that nothing is kept for a certificate."""
        self.settled.append(record.name)

    async def _begin(self, subject: str, effect: str) -> None:
        self.performed.append((subject, effect))
        self.times.append(self._clock.now())
        await self.trouble(subject, effect)

    def _chain(self, record: CertificateRecord, context: Context) -> CheckedChain:
        now, number = self._clock.now(), record.publication_count + 1
        return CheckedChain(
            names=context.config.names,
            pem=LEAF + ISSUER,
            fingerprint=f"{number:064x}",
            serial=f"{number:02x}",
            not_before=now,
            not_after=now + self.life,
        )


def _changed(
    effect: account_changes.Effect | roll.Effect, url: str
) -> account_changes.Outcome | roll.Outcome:
    match effect:
        case account_changes.UpdateContact(contact):
            return account_changes.Updated(contact)
        case account_changes.Deactivate():
            return account_changes.Deactivated()
        case roll.FindKeyChange():
            return roll.KeyChangeOffered()
        case roll.ChangeKey():
            return roll.KeyChanged()
        case _:
            return roll.Probed(url)


def _order(status: str) -> Order:
    return Order(
        status=status,
        finalize="https://ca.example/order/1/finalize",
        certificate="https://ca.example/certificate/1",
    )


class House:
    """The surroundings of a manager; satisfies `agent.manager.Housekeeping`.

    Attributes:
        held_until: Nothing is begun before this instant.
        hung: Name of a token whose module hangs.
        pauses: When nothing ran any more, by the clock.
        rests: How often connections were let go.
        idle: Nothing runs, and nothing was looked at since.
    """

    def __init__(self, clock: Clock) -> None:
        """Begin with nothing wrong."""
        self._clock = clock
        self.held_until: datetime | None = None
        self.hung = ""
        self.pauses: list[datetime] = []
        self.rests = 0
        self.idle = False

    def hold_until(self, now: datetime) -> datetime | None:
        """Return until when the clock is not believed."""
        self.idle = False
        held = self.held_until
        return held if held is not None and now < held else None

    def paused(self) -> None:
        """Note a pause."""
        self.pauses.append(self._clock.now())
        self.idle = True

    async def rest(self) -> None:
        """Note a rest."""
        self.rests += 1

    def hung_too_long(self) -> str:
        """Return the token that hangs."""
        return self.hung
