"""What each certificate's jobs are told: configuration and neighbours, put together.

It knows which CA a certificate is ordered from: the choice that its record holds, or
the first CA of its list. It decides nothing.
"""

from datetime import datetime

from agent.cells import Cell, Cells
from agent.config.lookup import account_of, cas_of, trusted_by_peers
from agent.config.model import Certificate, Config
from agent.config.trust import list_of
from agent.jobs.account import is_bound
from agent.jobs.context import AccountContext, Authority, Context, chosen_of
from agent.jobs.ending import ends_with
from agent.notes import CaNotes
from agent.records.authority import CaRecord
from agent.records.certificate import CertificateRecord
from agent.records.ending import Ending
from agent.records.others import AccountRecord
from agent.records.trust import ListedRoots
from agent.renewal.breaker import OPEN_AFTER, Standing, of_directory, standing
from agent.trust.merge import leaving


class Contexts:
    """Makes contexts from the configuration in force and the records in memory."""

    def __init__(self, cells: Cells) -> None:
        """Look at these records; `configure` comes before everything else."""
        self._cells = cells
        self._config = Config()
        self._install = ""

    def configure(self, config: Config, install: str) -> None:
        """Take a checked configuration."""
        self._config = config
        self._install = install

    def __contains__(self, name: str) -> bool:
        """Tell whether a certificate is configured."""
        return name in self._config.certificate

    def current(self, name: str) -> Context:
        """Return the context of a configured certificate as its record is now."""
        cell = self._cells.certificates.get(name)
        return self.of(CertificateRecord(name=name) if cell is None else cell.record)

    def of(self, record: CertificateRecord) -> Context:
        """Return the context of a configured certificate with this record."""
        table = self._config.certificate[record.name]
        listed = tuple(self._authority(table, ca) for ca in cas_of(table))
        chosen = chosen_of(listed, record.choice)
        token = self._config.token.get(table.key.token or "")
        return Context(
            config=table,
            ca=chosen.ca,
            directory=chosen.directory,
            install=self._install,
            account=chosen.account,
            accounts={n: cell.record for n, cell in self._cells.accounts.items()},
            never_destroy=token is not None and token.destroy == "never",
            standing=chosen.standing,
            authorities=listed if len(listed) > 1 else (),
            trust=self._trust(table),
            leaving=self._leaving(table, chosen.ca),
            nf=self._config.nf.get(table.nf or ""),
            table=self._config.ca[chosen.ca],
            ends=self.ends(record.name),
            end=self._end(record.name),
        )

    def accounts(self, name: str) -> tuple[str, ...]:
        """Return the accounts of a certificate, one for each CA of its list.

        Those of stand-ins as well: what would keep one from ordering is found out
        before it is needed.
        """
        table = self._config.certificate[name]
        return tuple(account_of(self._config, table, ca) for ca in cas_of(table))

    def account(self, name: str) -> Cell[AccountRecord] | None:
        """Return the account that a certificate is ordered by now."""
        if name not in self:
            return None
        table, ca = self._config.certificate[name], self.current(name).ca
        return self._cells.accounts.get(account_of(self._config, table, ca))

    def of_account(self, name: str) -> AccountContext:
        """Return the context of a configured account."""
        config, tokens = self._config.account[name], self._config.token
        cell = self._cells.accounts.get(name)
        rolling = cell is not None and cell.record.roll is not None
        never = (token for token, table in tokens.items() if table.destroy == "never")
        return AccountContext(
            config=config,
            directory=self._config.ca[config.ca].directory,
            install=self._install,
            busy=self._bound(name) if rolling else "",
            never_destroy=frozenset(never),
            idle=name in self.idle_accounts(),
        )

    def ends(self, certificate: str) -> bool:
        """Tell whether the network function of a certificate is decommissioned.

        An end that has begun holds, whatever the tables say by now.
        """
        if self._end(certificate) is not None:
            return True
        name = self._config.certificate[certificate].nf or ""
        cell, table = self._cells.nfs.get(name), self._config.nf.get(name)
        if table is None:
            return False
        if cell is not None and cell.record.ends(table.instance_id):
            return True
        # Its own record says so as well, where that of the function cannot be read.
        own = self._cells.certificates.get(certificate)
        return own is not None and ends_with(own.record, name, table.instance_id)

    def _end(self, certificate: str) -> Ending | None:
        """Return the end under way that a certificate is a part of."""
        for name, known in self._cells.nfs.items():
            asked = known.record.ending
            if asked is not None and certificate in asked.certificates:
                return Ending(nf=name, instance_id=asked.instance_id)
        return None

    def idle_accounts(self) -> frozenset[str]:
        """Return the accounts that only decommissioned network functions had."""
        ending: set[str] = set()
        living: set[str] = set()
        for name in self._config.certificate if self._cells.nfs else ():
            (ending if self.ends(name) else living).update(self.accounts(name))
        return frozenset(ending - living)

    def free_accounts(self) -> frozenset[str]:
        """Return the accounts that nothing is left to sign for.

        A certificate that still ends may need its account to revoke what it has.
        """
        gone: set[str] = set()
        left: set[str] = set()
        for name in self._config.certificate if self._cells.nfs else ():
            cell = self._cells.certificates.get(name)
            ended = cell is not None and cell.record.ended is not None
            over = ended and self.ends(name)
            (gone if over else left).update(self.accounts(name))
        return frozenset(gone - left)

    def _bound(self, account: str) -> str:
        """Return a certificate whose order is bound to the key of an account.

        A revocation is signed by whichever account ordered the certificate, and so is
        what is asked of orders that were given up.
        """
        for name, cell in self._cells.certificates.items():
            wanted = cell.record.wanted
            known = "" if wanted is None else wanted.account
            ours = known == account if known else account in self._accounts_of(name)
            revoking = any(job.running for job in cell.record.revoke.values())
            left = cell.record.abandon
            abandoning = left is not None and left.running
            fetching = any(job.running for job in cell.record.series.values())
            if revoking or abandoning or fetching or (ours and is_bound(cell.record)):
                return name
        return ""

    def _accounts_of(self, name: str) -> tuple[str, ...]:
        return self.accounts(name) if name in self else ()

    def authority(self, ca: str) -> Cell[CaRecord] | None:
        """Return what is remembered of a CA; None in quarantine or not configured."""
        table = self._config.ca.get(ca)
        return None if table is None else self._cells.authority(ca, table.directory)

    def standing(self, account: str) -> Standing:
        """Return whether the CA of an account may be asked."""
        table = self._config.account.get(account)
        return Standing() if table is None else self._standing(table.ca, account)

    def notes(self, ca: str) -> CaNotes | None:
        """Return where outcomes at a CA are noted."""
        cell, table = self.authority(ca), self._config.ca.get(ca)
        if cell is None or table is None:
            return None
        return CaNotes(cell, table.directory, table.orders_per_hour)

    def notes_of(self, account: str) -> CaNotes | None:
        """Return where outcomes at the CA of an account are noted."""
        table = self._config.account.get(account)
        return None if table is None else self.notes(table.ca)

    def room(self, ca: str) -> int:
        """Return how many certificates may be ordered from a CA at the same time.

        One, where it has failed so often that this one is to find out.
        """
        table, cell = self._config.ca[ca], self.authority(ca)
        down = cell is not None and cell.record.failures >= OPEN_AFTER
        return 1 if down else table.concurrency

    def _trust(self, table: Certificate) -> tuple[ListedRoots, ...]:
        found = (self._cells.trusts.get(name) for name in table.trust)
        return tuple(
            ListedRoots(
                name=cell.record.name,
                version=cell.record.version,
                roots=cell.record.bundle,
            )
            for cell in found
            if cell is not None and cell.record.roots
        )

    def _leaving(self, table: Certificate, ca: str) -> dict[str, datetime]:
        """Return what the lists let go that our issuer's anchor may stand in."""
        followed = list_of(self._config.ca[ca].chain_roots or self._config.ca[ca].roots)
        cells = (self._cells.trusts.get(n) for n in (*table.trust, followed or ""))
        gone: dict[str, datetime] = {}
        for cell in cells:
            gone |= {} if cell is None else leaving(cell.record)
        return gone

    def _authority(self, table: Certificate, ca: str) -> Authority:
        account = account_of(self._config, table, ca)
        cell = self._cells.accounts.get(account)
        return Authority(
            ca=ca,
            directory=self._config.ca[ca].directory,
            account=None if cell is None else cell.record,
            trusted=trusted_by_peers(self._config, table, ca),
            standing=self._standing(ca, account),
        )

    def _standing(self, ca: str, account: str) -> Standing:
        cell, table = self.authority(ca), self._config.ca[ca]
        if cell is None:
            return Standing()
        known = of_directory(cell.record, table.directory)
        return standing(known, account, table.orders_per_hour)
