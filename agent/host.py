"""What the daemon takes from the outside, and who this installation is."""

import os
import random  # noqa: TID251 -- the source that everything else is given
import secrets
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from agent import systemd
from agent.bootstrapping import instance_of
from agent.cells import Store
from agent.clock import Clock, SystemClock
from agent.config.bootstrap import Bootstrap
from agent.files import read_secret
from agent.manager import Draws
from agent.records.others import InstanceRecord
from agent.store import Store as FileStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What the daemon takes from the outside; tests replace single parts.

    Attributes:
        path: The configuration file.
        environ: Environment variables; those of socket activation are consumed.
        clock: Where time comes from.
        draws: Where randomness comes from.
        store: Makes the durable store of a state directory.
    """

    path: Path
    environ: MutableMapping[str, str] = field(default_factory=lambda: os.environ)
    clock: Clock = field(default_factory=SystemClock)
    draws: Draws = field(
        default_factory=lambda: Draws(
            fraction=random.SystemRandom().random, token=partial(secrets.token_hex, 16)
        )
    )
    store: Callable[[Path], FileStore] = FileStore

    def secret(self, reference: str) -> bytes:
        """Resolve `credential:NAME` or `file:/PATH`.

        Raises:
            FileError: It names the reference and never the content.
        """
        return read_secret(reference, systemd.credentials_directory(self.environ))

    def called(self, table: Bootstrap) -> str:
        """Return what OAM calls this host; raises as `instance_of`."""
        return instance_of(table, self.secret)


def installation(store: Store, host: Host) -> InstanceRecord:
    """Return this installation's record, made at the first start."""
    now = host.clock.now()
    record = store.get(InstanceRecord, "instance")
    if record is None:
        record = InstanceRecord(install=host.draws.token()[:16], high_water=now)
        store.put(record)
    elif now > record.high_water:
        store.put(replace(record, high_water=now))
    return record
