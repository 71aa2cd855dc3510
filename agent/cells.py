"""Subjects in memory: each record with its file behind it, changed only together.

A change is a pure edit; it is durable before anybody sees it, and what it means is
narrated after. Records that cannot be read quarantine their subject, not the daemon.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Final, Generic, Protocol

from agent.errors import AgentError
from agent.events import (
    Event,
    narrate,
    narrate_account,
    narrate_authority,
    narrate_trust,
)
from agent.hookviews import narrate_hook
from agent.jobs.lifecycle import (
    account_found_running,
    found_running,
    hook_found_running,
    trust_found_running,
)
from agent.records.authority import CaRecord
from agent.records.certificate import CertificateRecord
from agent.records.codec import R, Record, RecordError
from agent.records.hook import HookRecord
from agent.records.keys import PinRecord
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


class Cells:
    """All subjects of this installation."""

    def __init__(self, store: Store, emit: Emit) -> None:
        """Use a store; `load` reads it."""
        self._store = store
        self._emit_event = emit
        self.certificates: dict[str, Cell[CertificateRecord]] = {}
        self.accounts: dict[str, Cell[AccountRecord]] = {}
        self.tokens: dict[str, Cell[TokenRecord]] = {}
        self.authorities: dict[str, Cell[CaRecord]] = {}
        self.trusts: dict[str, Cell[TrustRecord]] = {}
        self.hooks: dict[str, Cell[HookRecord]] = {}
        self.quarantined: dict[str, str] = {}

    def load(self) -> None:
        """Read every record; what was running when the process ended has crashed.

        Raises:
            StoreError: A crash could not be noted.
        """
        for name in self._store.names(CertificateRecord):
            record = self._read(CertificateRecord, name)
            if record is not None:
                cell = Cell(record, self._store, self._narrate_certificate)
                cell.change(found_running)
                self.certificates[name] = cell
        for name in self._store.names(AccountRecord):
            account = self._read(AccountRecord, name)
            if account is not None:
                account_cell = Cell(account, self._store, self._narrate_account)
                account_cell.change(account_found_running)
                self.accounts[name] = account_cell
        self._load_trusts()
        self._load_hooks()
        self._load_quiet()

    def _load_quiet(self) -> None:
        """Read the records that have no jobs."""
        for name in self._store.names(TokenRecord):
            token = self._read(TokenRecord, name)
            if token is not None:
                self.tokens[name] = Cell(token, self._store, _silent)
        for name in self._store.names(CaRecord):
            authority = self._read(CaRecord, name)
            if authority is not None:
                cell = Cell(authority, self._store, self._narrate_authority)
                self.authorities[name] = cell

    def _load_trusts(self) -> None:
        for name in self._store.names(TrustRecord):
            record = self._read(TrustRecord, name)
            if record is not None:
                cell = Cell(record, self._store, self._narrate_trust)
                cell.change(trust_found_running)
                self.trusts[name] = cell

    def _load_hooks(self) -> None:
        for name in self._store.names(HookRecord):
            record = self._read(HookRecord, name)
            if record is not None:
                cell = Cell(record, self._store, self._narrate_hook)
                cell.change(hook_found_running)
                self.hooks[name] = cell

    def certificate(self, name: str) -> Cell[CertificateRecord] | None:
        """Return a certificate's cell, made empty at first; None in quarantine."""
        if f"certificate {name}" in self.quarantined:
            return None
        if name not in self.certificates:
            record = CertificateRecord(name=name)
            cell = Cell(record, self._store, self._narrate_certificate)
            self.certificates[name] = cell
        return self.certificates[name]

    def account(self, name: str, directory: str) -> Cell[AccountRecord] | None:
        """Return an account's cell, made empty at first; None in quarantine."""
        if f"account {name}" in self.quarantined:
            return None
        if name not in self.accounts:
            record = AccountRecord(name=name, directory=directory)
            self.accounts[name] = Cell(record, self._store, self._narrate_account)
        return self.accounts[name]

    def trust(self, name: str) -> Cell[TrustRecord] | None:
        """Return a list's cell, made empty at first; None in quarantine."""
        if f"trust {name}" in self.quarantined:
            return None
        if name not in self.trusts:
            record = TrustRecord(name=name)
            self.trusts[name] = Cell(record, self._store, self._narrate_trust)
        return self.trusts[name]

    def hook(self, name: str) -> Cell[HookRecord] | None:
        """Return a hook's cell, made empty at first; None in quarantine."""
        if f"hook {name}" in self.quarantined:
            return None
        if name not in self.hooks:
            record = HookRecord(name=name)
            self.hooks[name] = Cell(record, self._store, self._narrate_hook)
        return self.hooks[name]

    def roots(self, name: str) -> str:
        """Return what a list trusts, PEM; empty where it has no version."""
        cell = self.trusts.get(name)
        return "" if cell is None else cell.record.bundle

    def token(self, name: str) -> Cell[TokenRecord]:
        """Return a token's cell, made empty at first."""
        if name not in self.tokens:
            self.tokens[name] = Cell(TokenRecord(name=name), self._store, _silent)
        return self.tokens[name]

    def authority(self, name: str, directory: str) -> Cell[CaRecord] | None:
        """Return a CA's cell, made empty at first; None in quarantine."""
        if f"ca {name}" in self.quarantined:
            return None
        if name not in self.authorities:
            record = CaRecord(name=name, directory=directory)
            cell = Cell(record, self._store, self._narrate_authority)
            self.authorities[name] = cell
        return self.authorities[name]

    def _read(self, kind: type[R], name: str) -> R | None:
        try:
            return self._store.get(kind, name)
        except AgentError as error:
            subject = f"{_WORDS[kind]} {name}"
            self.quarantined[subject] = str(error)
            self._emit_event(
                Event(
                    subject=name,
                    kind="record.quarantined",
                    text=f"{subject} is quarantined: {error}",
                    severity=logging.ERROR,
                )
            )
            return None

    def _narrate_certificate(
        self, before: CertificateRecord, after: CertificateRecord
    ) -> None:
        for event in narrate(before, after):
            self._emit_event(event)

    def _narrate_trust(self, before: TrustRecord, after: TrustRecord) -> None:
        for event in narrate_trust(before, after):
            self._emit_event(event)

    def _narrate_hook(self, before: HookRecord, after: HookRecord) -> None:
        for event in narrate_hook(before, after):
            self._emit_event(event)

    def _narrate_account(self, before: AccountRecord, after: AccountRecord) -> None:
        for event in narrate_account(before, after):
            self._emit_event(event)

    def _narrate_authority(self, before: CaRecord, after: CaRecord) -> None:
        for event in narrate_authority(before, after):
            self._emit_event(event)


_WORDS: Final[dict[type[Record], str]] = {
    CertificateRecord: "certificate",
    AccountRecord: "account",
    TokenRecord: "token",
    CaRecord: "ca",
    TrustRecord: "trust",
    HookRecord: "hook",
}


def _silent(before: TokenRecord, after: TokenRecord) -> None:
    """Tell nobody: what a PIN does is told by its token's status."""


class PinLedger:
    """The durable memory of PINs; satisfies the port of `agent.keys`."""

    def __init__(self, cells: Cells) -> None:
        """Keep it in the tokens' records."""
        self._cells = cells

    def load(self, token: str) -> PinRecord:
        """Return what is known of a token's PIN."""
        return self._cells.token(token).record.pin

    async def save(self, token: str, record: PinRecord) -> None:
        """Make it durable; C_Login waits for this.

        Raises:
            RecordError: What was remembered cannot be read: a PIN that the token has
                refused would be tried again.
            StoreError: It is not durable: C_Login must not be called.
        """
        reason = self._cells.quarantined.get(f"token {token}")
        if reason is not None:
            raise RecordError(
                f"the pin of token {token} is not tried: {reason}",
                hint="restore the record, or remove it to try the pin again",
            )
        self._cells.token(token).change(lambda _: TokenRecord(name=token, pin=record))
