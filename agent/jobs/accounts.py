"""Which jobs should exist for an account: configuration against record."""

from agent.config.authorities import Account
from agent.jobs import register
from agent.jobs.reconcile import choose_key
from agent.jobs.step import Moment
from agent.records.others import AccountRecord


def reconcile_account(
    record: AccountRecord,
    config: Account,
    directory: str,
    install: str,
    moment: Moment,
) -> AccountRecord:
    """Return the account with the jobs that should exist now.

    Args:
        record: What is known of it.
        config: Its table.
        directory: URL of its CA's directory.
        install: Id of this installation, for labels.
        moment: Names what is begun.
    """
    if record.directory != directory:
        # Another CA: another account, and so another key (section 11.1).
        record = AccountRecord(
            name=record.name, directory=directory, key_count=record.key_count
        )
    if record.url or record.register is not None:
        return record
    key = None
    if record.key is None:
        key = choose_key(
            config.key,
            subject=f"account:{record.name}",
            number=record.key_count + 1,
            install=install,
            moment=moment,
        )
    return register.begin(record, key, moment)
