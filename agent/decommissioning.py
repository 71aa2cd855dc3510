"""What an operator asks when a network function leaves this host for good."""

from collections.abc import Mapping

from agent.cells import Cell, Cells
from agent.control.verbs import Argument
from agent.demands import CommandError, confirmed
from agent.jobs import nf
from agent.jobs.context import Context
from agent.jobs.step import Moment
from agent.manager import Manager
from agent.records.certificate import CertificateRecord
from agent.records.keys import KeyState
from agent.records.nf import NfRecord

Answer = dict[str, object]


class Decommissions:
    """Answers the verb `decommission`."""

    def __init__(self, cells: Cells, manager: Manager) -> None:
        """Take the records, and who looks at them next."""
        self._cells = cells
        self._manager = manager

    def handle(self, name: str, asked: Mapping[str, Argument]) -> Answer:
        """Begin the end of a network function, or only say what that would do.

        Raises:
            CommandError: There is none of that name, it has ended, or it was not
                confirmed.
        """
        table = self._manager.nfs().get(name)
        if table is None:
            known = ", ".join(sorted(self._manager.nfs())) or "none"
            raise CommandError(f"there is no nf {name[:64]}; known: {known}")
        cell = self._readable(name)
        stone = cell.record.tombstone(table.instance_id)
        if stone is not None:
            raise CommandError(
                f"{name} is decommissioned since {stone.ended_at:%FT%TZ}",
                hint="a new instance needs a new instance_id",
            )
        keep = asked.get("keep_account") is True
        answer = self._consequences(name, table.instance_id, keep=keep)
        if asked.get("check") is True:
            return {"done": "checked", **answer}
        confirmed(name, asked)
        moment = self._manager.moment()
        instance, ours = table.instance_id, self._certificates(name)
        cell.change(lambda record: self._asked(record, instance, ours, moment, keep))
        self._manager.touch()
        return {"done": "decommission", **answer}

    @staticmethod
    def _asked(
        record: NfRecord,
        instance_id: str,
        certificates: list[str],
        moment: Moment,
        keep: bool,  # noqa: FBT001 -- as the verb has it
    ) -> NfRecord:
        known = record.ending
        same = known is not None and known.keep_account == keep
        if same and record.ends(instance_id):
            raise CommandError(f"{record.name} is being decommissioned already")
        if known is not None and known.instance_id.lower() != instance_id.lower():
            raise CommandError(
                f"the instance {known.instance_id} of {record.name} is still ending",
                hint="see nfcertd status for what it waits for",
            )
        return nf.begin(record, instance_id, certificates, moment, keep_account=keep)

    def _readable(self, name: str) -> Cell[NfRecord]:
        cell = self._cells.nf(name)
        if cell is None:
            reason = self._cells.quarantined[f"nf {name}"]
            raise CommandError(f"{name} is in quarantine: {reason}")
        return cell

    def _consequences(self, name: str, instance_id: str, *, keep: bool) -> Answer:
        """Return what goes: certificates with what is theirs, and accounts."""
        contexts = self._manager.contexts()
        ours = {c: contexts[c] for c in self._certificates(name)}
        for certificate in ours:
            reason = self._cells.quarantined.get(f"certificate {certificate}")
            if reason is not None:
                raise CommandError(f"{certificate} is in quarantine: {reason}")
        others = {a for c in contexts if c not in ours for a in self._accounts(c)}
        used = {a for c in ours for a in self._manager.accounts(c)}
        accounts = set() if keep else used - others
        return {
            "name": name,
            "instance_id": instance_id,
            "certificates": [self._goes(c, x) for c, x in sorted(ours.items())],
            "accounts": sorted(a for a in accounts if self._is_open(a)),
        }

    def _certificates(self, name: str) -> list[str]:
        contexts = self._manager.contexts()
        return sorted(c for c, x in contexts.items() if x.config.nf == name)

    def _accounts(self, certificate: str) -> tuple[str, ...]:
        return (
            ()
            if self._manager.ends(certificate)
            else self._manager.accounts(certificate)
        )

    def _is_open(self, account: str) -> bool:
        cell = self._cells.accounts.get(account)
        return cell is not None and nf.is_open(cell.record)

    def _goes(self, name: str, context: Context) -> Answer:
        cell, now = self._cells.certificates.get(name), self._manager.moment().now
        record = CertificateRecord(name=name) if cell is None else cell.record
        usable = [
            issued.serial
            for issued in record.issued
            if issued.revocation is None and issued.not_after > now
        ]
        return {
            "name": name,
            "revoked": usable,
            "keys": sum(
                not key.adopted and key.state is not KeyState.DESTROYED
                for key in record.keys
            ),
            "endpoints": [endpoint.name for endpoint in context.endpoints],
        }
