"""Takes bootstrap bundles: holds them against what is known, keeps what they bring.

The bundle as it came is one record, and so one rename takes it; its secrets stay
encrypted and are opened at each use. It does not know what the tables mean.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from agent.bootstrap.errors import (
    BootstrapError,
    ClockError,
    RollbackError,
    SecretError,
    UnwantedError,
)
from agent.bootstrap.made import SCHEME, Made
from agent.config.bootstrap import Bootstrap, is_reference
from agent.errors import AgentError
from agent.files import FileError, describe, read_bounded, write_atomic
from agent.records.bootstrap import BootstrapRecord

_log: Final = logging.getLogger("nfcertd")
NAME: Final = "bootstrap"
_PRIVATE: Final = 0o700
_LONGEST: Final = 200
"""Characters of what a host is called."""


class Store(Protocol):
    """Where the bundle is durable."""

    def put(self, record: BootstrapRecord, /) -> None:
        """Make a record durable before returning."""
        ...

    def get(self, kind: type[BootstrapRecord], name: str, /) -> BootstrapRecord | None:
        """Return a record, None where there is none."""
        ...


class Bundles:
    """The bundle that was taken last, and the judgement of another one."""

    def __init__(
        self, store: Store, directory: Path, read_secret: Callable[[str], bytes]
    ) -> None:
        """Take the parts.

        Args:
            store: Where a bundle is durable.
            directory: Where what is public in it is laid down.
            read_secret: Resolves a reference of the configuration to a secret.
        """
        self._store = store
        self._directory = directory
        self._read_secret = read_secret

    def instance(self, table: Bootstrap) -> str:
        """Return what this host is called; raises as `instance_of`."""
        return instance_of(table, self._read_secret)

    def judge(
        self,
        text: str,
        table: Bootstrap | None,
        now: datetime,
        held_until: datetime | None,
    ) -> tuple[BootstrapRecord, bool]:
        """Return what a bundle would be remembered as, and whether it is already.

        Args:
            text: The bundle.
            table: Who may sign it, and for whom; None where nobody may.
            now: What the clock says.
            held_until: Until when nothing is begun, None where nothing holds us.

        Raises:
            AgentError: It is not taken; says why.
        """
        if table is None:
            raise UnwantedError(
                "the configuration has no table [bootstrap]: nothing says who may sign "
                "a bundle for this host",
                hint="signer, instance and decrypt in [bootstrap], see nfcertd.toml",
            )
        # Late: a daemon that takes no bundle does not carry what reads one.
        from agent.bootstrap import bundle as reading  # noqa: PLC0415
        from agent.bootstrap.overlay import made_of  # noqa: PLC0415

        bundle = reading.read(text, [_signer(path) for path in table.signer])
        payload, known = bundle.payload, self._known()
        last = None if known is None else reading.Known(known.sequence, known.digest)
        taken = reading.check_taken(bundle, self.instance(table), last)
        if known is not None and taken:
            return known, True
        _check_clock(now, held_until)
        reading.check_dates(payload, now)
        made = made_of(payload, str(self._directory), table.account_key)
        self._check_secrets(made, table)
        return BootstrapRecord(
            instance=payload.instance,
            sequence=payload.sequence,
            digest=bundle.digest,
            signer=bundle.signer,
            issued=payload.issued,
            expires=payload.expires,
            taken=now,
            bundle=text.strip(),
        ), False

    def keep(self, record: BootstrapRecord) -> None:
        """Take a bundle: from here on it is in force, whatever happens.

        Raises:
            AgentError: It could not be made durable; nothing has changed.
        """
        self._store.put(record)

    def lay_down(self, made: Made) -> None:
        """Write what is public in a bundle; what is there already stays.

        Raises:
            FileError: The disk is full or the directory is gone.
        """
        try:
            self._directory.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            self._directory.chmod(_PRIVATE)
            for name, text in made.files.items():
                path = self._directory / name
                if not path.exists() or path.read_bytes() != text.encode():
                    write_atomic(path, text.encode())
        except OSError as error:
            raise FileError(
                f"cannot use {self._directory}: {describe(error)}"
            ) from error

    def clear_away(self, made: Made | None) -> None:
        """Remove what the bundle in force does not name; what stays harms nobody."""
        kept = set() if made is None else made.files.keys()
        there = self._directory.iterdir() if self._directory.is_dir() else ()
        try:
            for path in there:
                if path.name not in kept:
                    path.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("cannot clear %s: %s", self._directory, describe(error))

    def secret(
        self, reference: str, table: Bootstrap | None, made: Made | None
    ) -> bytes:
        """Return a secret of the bundle in force, opened.

        Raises:
            AgentError: It is none of that bundle, or the host's key does not open it.
        """
        where = reference.removeprefix(SCHEME)
        if table is None or made is None or where not in made.secrets:
            raise SecretError(f"the bundle in force has no secret {where}")
        return self._opened(made, where, table)

    def _known(self) -> BootstrapRecord | None:
        try:
            return self._store.get(BootstrapRecord, NAME)
        except AgentError as error:
            # Without its number an old bundle could be handed over again.
            raise RollbackError(
                f"which bundle was taken last cannot be read: {error}",
                hint="restore the record, or remove it to begin again",
            ) from error

    def _check_secrets(self, made: Made, table: Bootstrap) -> None:
        from agent.bootstrap.overlay import check_secret  # noqa: PLC0415 -- as above

        for where, secret in made.secrets.items():
            opened = self._opened(made, where, table)
            check_secret(opened, secret.use, where, secret.public)

    def _opened(self, made: Made, where: str, table: Bootstrap) -> bytes:
        from agent.bootstrap.sealed import host_key, unseal  # noqa: PLC0415 -- as above

        key = host_key(self._read_secret(table.decrypt))
        return unseal(made.secrets[where].sealed, key, where)


def _signer(path: str) -> bytes:
    from agent.pki import jws  # noqa: PLC0415 -- as above

    try:
        return jws.public_key(read_bounded(Path(path)))
    except ValueError as error:
        raise BootstrapError(
            f"bootstrap.signer: {path} holds neither certificate nor public key"
        ) from error


def _check_clock(now: datetime, until: datetime | None) -> None:
    if until is not None:
        raise ClockError(
            f"at {now:%Y-%m-%d %H:%M:%SZ} by its clock this host begins nothing: the "
            "clock may not be believed, or nothing could be audited",
            retry_at=until,
            hint="hand it over again later; nfcertd status has the alarm",
        )


def instance_of(table: Bootstrap, read_secret: Callable[[str], bytes]) -> str:
    """Return what this host is called.

    Args:
        table: `[bootstrap]`.
        read_secret: Resolves a reference of the configuration; here it is no secret.

    Raises:
        AgentError: The reference cannot be read, or is no name.
    """
    if not is_reference(table.instance):
        return table.instance
    text = read_secret(table.instance).decode("utf-8", "replace").strip()
    if not text.isprintable() or not 0 < len(text) <= _LONGEST:
        raise BootstrapError(f"{table.instance} holds no name of this host")
    return text
