"""Network functions as subjects: they end when nothing of theirs is left.

They have no jobs: what is to be done stands with their certificates and accounts.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from agent.admission import Place, Urgency
from agent.cells import Cell, Cells
from agent.config.model import Config
from agent.contexts import Contexts
from agent.jobs import nf
from agent.records.job import Failure
from agent.records.nf import NfRecord
from agent.runner import Work
from agent.subjects.subject import Draw

SOON: Final = timedelta(seconds=1)
"""After an end, everything is looked at once more."""


class Nfs:
    """Every network function that ends; satisfies `subjects.subject.Subjects`."""

    def __init__(self, cells: Cells, contexts: Contexts) -> None:
        """Take the collaborators; `configure` comes before the first turn."""
        self._cells = cells
        self._contexts = contexts
        self._config = Config()

    def configure(self, config: Config) -> None:
        """Take the configuration in force."""
        self._config = config

    def reconcile(self, moment: Draw) -> Iterator[datetime]:
        """Close what was theirs alone, then leave the tombstone; nothing is awaited.

        Certificates come to their end before, in their own records: so each step is
        one rename, and a crash between two of them changes nothing.
        """
        for name, cell in self._cells.nfs.items():
            if cell.record.ending is None:
                continue
            self._end(name, cell, moment)
            if cell.record.ending is None:
                # Another instance may begin; its certificates were looked at before.
                yield moment().now + SOON

    def _end(self, name: str, cell: Cell[NfRecord], moment: Draw) -> None:
        asked = cell.record.ending
        if asked is None:
            return
        certificates = self._certificates(asked.certificates)
        if nf.left(asked.instance_id, certificates):
            return
        accounts = () if asked.keep_account else self._accounts(certificates)
        at = moment()
        if asked.keep_account:
            for known in self._cells.accounts.values():
                known.change(lambda record: nf.kept(record, name))
        for account in accounts:
            known = self._cells.accounts[account]
            known.change(lambda record: nf.closing(record, name, at))
        if any(self._is_left(account) for account in accounts):
            return
        closed = [a for a in accounts if self._cells.accounts[a].record.closed]
        cell.change(lambda record: nf.ended(record, certificates, closed, at))

    def _is_left(self, account: str) -> bool:
        """Tell whether an account is still open, or has keys that are still there."""
        record = self._cells.accounts[account].record
        if record.register is not None and record.register.running:
            # What it brings has to be closed.
            return True
        never = self._contexts.of_account(account).never_destroy
        return nf.is_open(record) or nf.leaves_keys(record, never)

    def _certificates(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the records of certificates; None for one that is not there to end."""
        cells, tables = self._cells.certificates, self._config.certificate
        found = {name: cells[name].record if name in cells else None for name in names}
        # Without its table nothing goes on, but where nothing is left of it.
        return {
            name: record
            if name in tables or (record is not None and record.ended is not None)
            else None
            for name, record in found.items()
        }

    def _accounts(self, certificates: dict[str, Any]) -> list[str]:
        """Return the accounts that nothing but this network function had left."""
        known = certificates.keys() & self._config.certificate.keys()
        used = {a for name in known for a in self._contexts.accounts(name)}
        free = used & self._contexts.free_accounts() & self._cells.accounts.keys()
        return sorted(free)

    def jobs(self, now: datetime) -> Iterator[Urgency]:  # noqa: ARG002 -- there are none
        """Yield nothing."""
        yield from ()

    def work(self, place: Place, moment: Draw) -> Work[Any, Any]:  # noqa: ARG002
        """Raise: there is no job."""
        raise LookupError(place.name)

    def is_suspect(self, place: Place) -> bool:  # noqa: ARG002 -- there are none
        """Return False."""
        return False

    def ca(self, place: Place) -> str | None:  # noqa: ARG002 -- there are none
        """Return None."""
        return None

    def failures(self) -> Iterator[Failure]:
        """Yield nothing."""
        yield from ()

    async def settle(self, place: Place) -> None:
        """Let go of nothing."""
