"""What happens becomes entries of the audit trail, and checkpoints vouch for them.

It knows when a checkpoint is due and which key signs it. It does not know files.
"""

import base64
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Protocol

from msgspec.structs import replace

from agent.cells import Store
from agent.clock import Clock
from agent.config.tokens import Key
from agent.config.trail import Audit
from agent.config.units import duration
from agent.errors import AgentError
from agent.events import Event
from agent.jobs.choosing import choose_key, key_fits
from agent.jobs.step import Moment
from agent.ports import Keys
from agent.records.keys import KeyRecord, KeyState
from agent.records.others import AuditRecord
from agent.trail.entry import Fact, checkpoint_input
from agent.trail.exchange import Exchange, facts
from agent.trail.vocabulary import Word, word_of_event

_log: Final = logging.getLogger("nfcertd.audit")
AGAIN: Final = timedelta(minutes=10)
"""Pause after a checkpoint that could not be signed."""
SOON: Final = timedelta(seconds=5)
"""Pause after one that the trail outgrew while it was signed."""
EMPTY: Final = timedelta(seconds=10)
"""Pause while there is nothing to vouch for, as on a host that was never used."""
OUTGROWN: Final = 60
"""So often in a row, some five minutes of them, it is trouble."""
LOOK: Final = timedelta(hours=1)
"""Longest pause between two looks at what is due; a reload may have changed it."""
NAME: Final = "audit"
MEND: Final = timedelta(seconds=10)
"""Pause between attempts to write, while nothing may happen unaudited."""


class Trail(Protocol):
    """Where entries are durable."""

    @property
    def head(self) -> tuple[int, str, datetime | None]:
        """Return number and digest of the last entry, and when it was vouched for."""
        ...

    @property
    def broken_since(self) -> datetime | None:
        """Return since when no entry can be written, None where all is well."""
        ...

    @property
    def failure(self) -> str:
        """Return why, empty where all is well."""
        ...

    def append(self, fact: Fact, *, durable: bool = True) -> bool:
        """Write an entry; tell whether it was written. MUST NOT raise."""
        ...

    def limit(self, *, size: int, keep: int) -> None:
        """Take new limits: octets of a file, and closed files that are kept."""
        ...

    def mend(self) -> bool:
        """Try to end a gap; tell whether entries can be written."""
        ...


class Auditor:
    """Writes down what happened."""

    def __init__(
        self, trail: Trail, settings: Audit, count: Callable[[str], None]
    ) -> None:
        """Take the parts.

        Args:
            trail: Where entries go.
            settings: The configuration in force.
            count: Hears the word of every entry, for a metric.
        """
        self.trail = trail
        self.settings = settings
        self._count = count
        self.unsigned = ""

    def configure(self, settings: Audit) -> None:
        """Take the configuration in force."""
        self.settings = settings
        self.trail.limit(size=settings.max_octets, keep=settings.keep)

    def event(self, event: Event) -> None:
        """Write down something that became durable here."""
        data = {**event.fields, "kind": event.kind}
        word = word_of_event(event.kind)
        self.append(Fact(event=word, subject=event.subject, text=event.text, data=data))

    def exchanged(self, exchange: Exchange) -> None:
        """Write down a request and its answer; the next durable entry syncs them."""
        for fact in facts(exchange):
            self.append(fact, durable=False)

    def append(self, fact: Fact, *, durable: bool = True) -> None:
        """Write an entry, unless the configuration wants none."""
        if self.settings.enabled:
            self.trail.append(fact, durable=durable)
            self._count(fact.event)

    def hold_until(self, now: datetime) -> datetime | None:
        """Return until when nothing may be begun because nothing could be audited."""
        if not self.settings.enabled or self.settings.on_full != "hold":
            return None
        if self.trail.broken_since is None or self.trail.mend():
            return None
        return now + MEND

    @property
    def trouble(self) -> str:
        """Return what an operator must know, empty for nothing."""
        if not self.settings.enabled:
            return ""
        return self.trail.failure or self.unsigned


class Checkpoints:
    """Vouches for the trail with a key that is best kept in a token."""

    def __init__(
        self,
        auditor: Auditor,
        keys: Keys,
        store: Store,
        *,
        clock: Clock,
        moment: Callable[[], Moment],
        install: str,
    ) -> None:
        """Take the parts.

        Args:
            auditor: Whose trail is signed.
            keys: Where the key is.
            store: Where its record is durable.
            clock: Paces the checkpoints.
            moment: Draws the id of a key.
            install: Id of this installation, for labels.
        """
        self._auditor = auditor
        self._keys = keys
        self._store = store
        self._clock = clock
        self._moment = moment
        self._install = install
        self._outgrown = 0
        self.record = store.get(AuditRecord, NAME) or AuditRecord()

    async def run(self) -> None:
        """Sign a checkpoint whenever one is due, until cancelled."""
        while True:
            pause = await self._look()
            await self._clock.sleep(pause)

    async def _look(self) -> timedelta:
        settings = self._auditor.settings
        key = settings.key
        if key is None or not settings.enabled:
            return LOOK
        seq, _, last = self._auditor.trail.head
        if not seq:
            return EMPTY
        due = None if last is None else last + duration(settings.checkpoint)
        now = self._clock.now()
        if due is not None and now < due:
            return min(due - now, LOOK)
        try:
            await self.checkpoint(key)
        except AgentError as error:
            self._outgrown += isinstance(error, BusyError)
            if isinstance(error, BusyError) and self._outgrown < OUTGROWN:
                # Much happens at a start: it is vouched for once it is written.
                return SOON
            self._auditor.unsigned = (
                f"no checkpoint of the audit trail was signed: {error}"
            )
            _log.warning("%s", self._auditor.unsigned)
            return AGAIN
        self._auditor.unsigned, self._outgrown = "", 0
        return min(duration(settings.checkpoint), LOOK)

    async def checkpoint(self, config: Key) -> None:
        """Vouch for the trail as it stands.

        Raises:
            AgentError: The key cannot be made or does not sign.
        """
        key = await self._key(config)
        seq, digest, _ = self._auditor.trail.head
        signature = await self._keys.sign(key, checkpoint_input(seq + 1, digest))
        now_seq, now_digest, _ = self._auditor.trail.head
        if (now_seq, now_digest) != (seq, digest):
            # Something was written meanwhile; sign what now stands, once more.
            seq, digest = now_seq, now_digest
            signature = await self._keys.sign(key, checkpoint_input(seq + 1, digest))
        if self._auditor.trail.head[:2] != (seq, digest):
            raise BusyError("the trail grew while it was signed")
        data = {
            "public": base64.b64encode(key.public).decode(),
            "signature": base64.b64encode(signature).decode(),
        }
        self._auditor.append(Fact(event=Word.CHECKPOINT, subject=NAME, data=data))

    async def _key(self, config: Key) -> KeyRecord:
        """Return the key, made where there is none; its id is durable before it is."""
        record = self.record
        if record.key is None or not key_fits(record.key, config):
            number = record.key_count + 1
            chosen = choose_key(
                config,
                subject=NAME,
                number=number,
                install=self._install,
                moment=self._moment(),
            )
            record = replace(record, key=chosen, key_count=number)
            self._put(record)
        key = record.key
        if key is None:
            raise LookupError(NAME)
        if key.state is not KeyState.MADE:
            made = await self._keys.make(key)
            key = replace(
                key,
                state=KeyState.MADE,
                public=made.public,
                token_serial=made.token_serial,
            )
            self._put(replace(record, key=key))
        return key

    def _put(self, record: AuditRecord) -> None:
        self._store.put(record)
        self.record = record


class BusyError(AgentError):
    """The trail did not stand still long enough to be signed."""

    kind = "audit.busy"
