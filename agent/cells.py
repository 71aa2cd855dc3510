"""Subjects in memory: each record with its file behind it, changed only together.

A change is a pure edit; it is durable before anybody sees it, and what it means is
narrated after. Records that cannot be read quarantine their subject, not the daemon.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol

from agent.errors import AgentError
from agent.events import (
    Event,
    narrate,
    narrate_account,
    narrate_authority,
    narrate_trust,
)
from agent.hookviews import narrate_hook
from agent.jobs.lifecycle import found_running
from agent.nfviews import narrate_nf
from agent.records.authority import CaRecord
from agent.records.certificate import CertificateRecord
from agent.records.codec import R, Record, RecordError
from agent.records.hook import HookRecord
from agent.records.keys import PinRecord
from agent.records.nf import NfRecord
from agent.records.others import AccountRecord, TokenRecord
from agent.records.trust import TrustRecord

Emit = Callable[[Event], None]
"""Takes an event to the log and to whoever else listens; never fails."""


class Store(Protocol):
    """Where records are durable."""

    def put(self, record: Record) -> None:
        """Make a record durable before returning."""
        ...

    def get(self, kind: type[R], name: str) -> R | None:
        """Return a record, None where there is none."""
        ...

    def names(self, kind: type[Record]) -> Iterator[str]:
        """Yield the names of the records of a kind."""
        ...


class Cell(Generic[R]):
    """One subject's record and the file behind it."""

    def __init__(self, record: R, store: Store, emit: Callable[[R, R], None]) -> None:
        """Hold a record that is durable already, or about to be by its first change."""
        self.record: R = record
        self._store = store
        self._emit: Callable[[R, R], None] = emit

    def change(self, edit: Callable[[R], R]) -> None:
        """Replace the record by an edit of it; unchanged, nothing is written.

        Raises:
            StoreError: It could not be made durable; the record is as before.
        """
        before, after = self.record, edit(self.record)
        if after == before:
            return
        self._store.put(after)
        self.record = after
        self._emit(before, after)


@dataclass(frozen=True, slots=True)
class Ground:
    """What all shelves of an installation stand on.

    Attributes:
        store: Where records are durable.
        emit: Takes every event.
        quarantined: By kind and name: why a record cannot be read.
    """

    store: Store
    emit: Emit
    quarantined: dict[str, str] = field(default_factory=dict)


class Shelf(dict[str, Cell[R]], Generic[R]):
    """The cells of one kind of subjects, by name."""

    def __init__(
        self,
        kind: type[R],
        word: str,
        ground: Ground,
        *,
        narrate: Callable[[R, R], Iterable[Event]] = lambda _, __: (),
        start: Callable[[R], R] = lambda record: record,
    ) -> None:
        """Describe the kind; `load` reads its records.

        Args:
            kind: The type of the records.
            word: The kind in words.
            ground: What is shared with the other kinds.
            narrate: Words the difference of two records; by default nobody is told.
            start: What a start of the process makes of a record.
        """
        super().__init__()
        self._kind: type[R] = kind
        self._word, self._ground = word, ground
        self._narrate: Callable[[R, R], Iterable[Event]] = narrate
        self._start: Callable[[R], R] = start

    def load(self) -> None:
        """Read every record; one that cannot be read quarantines its subject.

        Raises:
            StoreError: What a start makes of a record is not durable.
        """
        for name in self._ground.store.names(self._kind):
            record = self._read(name)
            if record is not None:
                cell = self._cell(record)
                cell.change(self._start)
                self[name] = cell

    def of(self, name: str, empty: Callable[[], R]) -> Cell[R] | None:
        """Return a subject's cell, made empty at first; None in quarantine."""
        if f"{self._word} {name}" in self._ground.quarantined:
            return None
        if name not in self:
            self[name] = self._cell(empty())
        return self[name]

    def _cell(self, record: R) -> Cell[R]:
        return Cell(record, self._ground.store, self._tell)

    def _tell(self, before: R, after: R) -> None:
        for event in self._narrate(before, after):
            self._ground.emit(event)

    def _read(self, name: str) -> R | None:
        try:
            return self._ground.store.get(self._kind, name)
        except AgentError as error:
            subject = f"{self._word} {name}"
            self._ground.quarantined[subject] = str(error)
            self._ground.emit(
                Event(
                    subject=name,
                    kind="record.quarantined",
                    text=f"{subject} is quarantined: {error}",
                    severity=logging.ERROR,
                )
            )
            return None


class Cells:
    """All subjects of this installation."""

    def __init__(self, store: Store, emit: Emit) -> None:
        """Use a store; `load` reads it."""
        ground = Ground(store, emit)
        self.quarantined = ground.quarantined
        self.certificates = Shelf(
            CertificateRecord,
            "certificate",
            ground,
            narrate=narrate,
            start=found_running,
        )
        self.accounts = Shelf(
            AccountRecord,
            "account",
            ground,
            narrate=narrate_account,
            start=found_running,
        )
        self.trusts = Shelf(
            TrustRecord, "trust", ground, narrate=narrate_trust, start=found_running
        )
        self.hooks = Shelf(
            HookRecord, "hook", ground, narrate=narrate_hook, start=found_running
        )
        self.nfs = Shelf(NfRecord, "nf", ground, narrate=narrate_nf)
        # What a PIN does is told by its token's status, hence no events.
        self.tokens = Shelf(TokenRecord, "token", ground)
        self.authorities = Shelf(CaRecord, "ca", ground, narrate=narrate_authority)

    def load(self) -> None:
        """Read every record; what was running when the process ended has crashed.

        Raises:
            StoreError: A crash could not be noted.
        """
        self.certificates.load()
        self.accounts.load()
        self.trusts.load()
        self.hooks.load()
        self.nfs.load()
        self.tokens.load()
        self.authorities.load()

    def certificate(self, name: str) -> Cell[CertificateRecord] | None:
        """Return a certificate's cell, made empty at first; None in quarantine."""
        return self.certificates.of(name, lambda: CertificateRecord(name=name))

    def account(self, name: str, directory: str) -> Cell[AccountRecord] | None:
        """Return an account's cell, made empty at first; None in quarantine."""
        return self.accounts.of(
            name, lambda: AccountRecord(name=name, directory=directory)
        )

    def trust(self, name: str) -> Cell[TrustRecord] | None:
        """Return a list's cell, made empty at first; None in quarantine."""
        return self.trusts.of(name, lambda: TrustRecord(name=name))

    def hook(self, name: str) -> Cell[HookRecord] | None:
        """Return a hook's cell, made empty at first; None in quarantine."""
        return self.hooks.of(name, lambda: HookRecord(name=name))

    def nf(self, name: str) -> Cell[NfRecord] | None:
        """Return a network function's cell, made empty at first; None in quarantine."""
        return self.nfs.of(name, lambda: NfRecord(name=name))

    def authority(self, name: str, directory: str) -> Cell[CaRecord] | None:
        """Return a CA's cell, made empty at first; None in quarantine."""
        return self.authorities.of(
            name, lambda: CaRecord(name=name, directory=directory)
        )

    def roots(self, name: str) -> str:
        """Return what a list trusts, PEM; empty where it has no version."""
        cell = self.trusts.get(name)
        return "" if cell is None else cell.record.bundle

    def token(self, name: str) -> Cell[TokenRecord] | None:
        """Return a token's cell, made empty at first; None in quarantine."""
        return self.tokens.of(name, lambda: TokenRecord(name=name))

    def pin(self, name: str) -> PinRecord:
        """Return what is remembered of a token's PIN."""
        cell = self.tokens.get(name)
        return PinRecord() if cell is None else cell.record.pin


class PinLedger:
    """The durable memory of PINs; satisfies the port of `agent.keys`."""

    def __init__(self, cells: Cells) -> None:
        """Keep it in the tokens' records."""
        self._cells = cells

    def load(self, token: str) -> PinRecord:
        """Return what is known of a token's PIN."""
        return self._cells.pin(token)

    async def save(self, token: str, record: PinRecord) -> None:
        """Make it durable; C_Login waits for this.

        Raises:
            RecordError: What was remembered cannot be read: a PIN that the token has
                refused would be tried again.
            StoreError: It is not durable: C_Login must not be called.
        """
        cell = self._cells.token(token)
        if cell is None:
            reason = self._cells.quarantined[f"token {token}"]
            raise RecordError(
                f"the pin of token {token} is not tried: {reason}",
                hint="restore the record, or remove it to try the pin again",
            )
        cell.change(lambda _: TokenRecord(name=token, pin=record))
