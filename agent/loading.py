"""From files to the configuration in force: read, checked, replaced all or nothing.

It knows where files lie and how large they may be. It does not know what is in them.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from agent.bootstrap.errors import BootstrapError
from agent.bootstrap.made import Made
from agent.config.bootstrap import Bootstrap
from agent.config.errors import ConfigError
from agent.config.model import Agent, Config
from agent.config.parse import Source, settle, typed
from agent.errors import AgentError
from agent.files import FileError, describe, read_bounded
from agent.records.bootstrap import BootstrapRecord
from agent.records.codec import decode

DEFAULT: Final = Path("/etc/nfcertd/nfcertd.toml")
"""The main file; `conf.d/*.toml` beside it is read after it, by name."""

MAX_FILES: Final = 256
"""Files in `conf.d`; more are refused, not skipped."""

FIXED: Final = ("state", "runtime", "health")
"""Keys of `[agent]` that a reload cannot change."""


class Loaded(NamedTuple):
    """The configuration, and what a bootstrap bundle has to do with it.

    Attributes:
        config: What can run.
        waiting: Certificates that wait for a bundle, with what they lack.
        bundle: The bundle in force, None where there is none.
        made: What it amounts to.
        trouble: Why a bundle that was taken is not in force, empty where none is.
        unsigned: Why nobody may sign the bundle in force any more, empty where one may.
    """

    config: Config
    waiting: Mapping[str, str] = MappingProxyType({})
    bundle: BootstrapRecord | None = None
    made: Made | None = None
    trouble: str = ""
    unsigned: str = ""

    def lacks(self) -> Iterator[str]:
        """Yield a clause for everything that a bundle is still to bring."""
        if self.trouble:
            yield f"no bootstrap bundle is in force: {self.trouble}"
        if self.unsigned:
            yield f"advice: {self.unsigned}"
        for name, lacks in self.waiting.items():
            yield f"certificate.{name}: waits for the bootstrap bundle, no {lacks} yet"


def load(
    path: Path,
    offered: BootstrapRecord | None = None,
    instance: Callable[[Bootstrap], str] | None = None,
) -> Loaded:
    """Return the configuration of a file, of the `conf.d` beside it, and of a bundle.

    Args:
        path: The main file.
        offered: A bundle in place of the one that was taken last.
        instance: Returns what this host is called; without it a bundle that was taken
            is not held against that.

    Raises:
        ConfigError: It cannot be read, or something in it is wrong.
    """
    try:
        files = typed(read_sources(path))
    except FileError as error:
        raise ConfigError([str(error)]) from error
    bundle, trouble = offered, ""
    if bundle is None and files.bootstrap is not None:
        bundle, trouble = _taken(files, files.bootstrap, instance)
    if bundle is None or files.bootstrap is None:
        return Loaded(*settle(files), None, None, trouble)
    made = _made(bundle, bundles(files.agent), files.bootstrap)
    unsigned = _unsigned(bundle, files.bootstrap)
    return Loaded(*settle(files, made.overlay), bundle, made, "", unsigned)


def _unsigned(bundle: BootstrapRecord, table: Bootstrap) -> str:
    """Return what is to be said where who signed a bundle may sign none any more.

    It stays in force: a host must not lose its CA because its signer has a successor.
    """
    from agent.pki import jws  # noqa: PLC0415 -- as above

    for path in table.signer:
        try:
            public = jws.public_key(read_bounded(Path(path)))
        except (FileError, ValueError):
            # It signs nothing; who hands over the next bundle is told why.
            continue
        if jws.key_id(public) == bundle.signer:
            return ""
    return (
        f"bootstrap.signer: bundle {bundle.sequence} in force is signed by "
        f"{bundle.signer[:16]}, who is none of them any more; "
        "have it replaced by one of a signer that is"
    )


def _made(bundle: BootstrapRecord, directory: Path, table: Bootstrap) -> Made:
    # Late: a daemon without a bundle does not carry what reads one.
    from agent.bootstrap.bundle import reread  # noqa: PLC0415
    from agent.bootstrap.overlay import made_of  # noqa: PLC0415

    try:
        return made_of(reread(bundle.bundle), str(directory), table.account_key)
    except BootstrapError as error:
        raise ConfigError([str(error)]) from error


def bundles(agent: Agent) -> Path:
    """Return the directory of what is public in the bundle in force."""
    return Path(agent.state) / "bootstrap"


def _taken(
    files: Config, table: Bootstrap, instance: Callable[[Bootstrap], str] | None
) -> tuple[BootstrapRecord | None, str]:
    """Return the bundle that was taken last, or why it is not in force."""
    path = Path(files.agent.state) / "records" / "bootstrap" / "bootstrap.json"
    try:
        if not path.exists():
            return None, ""
        found = decode(read_bounded(path), BootstrapRecord)
        here = found.instance if instance is None else instance(table)
    except OSError as error:
        return None, f"cannot look for {path}: {describe(error)}"
    except AgentError as error:
        return None, str(error)
    if here == found.instance:
        return found, ""
    return None, f"the bundle that was taken is for {found.instance}, this is {here}"


def reload(
    path: Path,
    before: Loaded,
    offered: BootstrapRecord | None = None,
    instance: Callable[[Bootstrap], str] | None = None,
) -> Loaded:
    """Return a new configuration that a running daemon can take; arguments as `load`.

    Raises:
        ConfigError: As `load`; also where it needs a restart, or would lose the bundle
            that is in force.
    """
    loaded, running = load(path, offered, instance), before.config
    if loaded.trouble and before.bundle is not None:
        raise ConfigError([f"the bootstrap bundle would be lost: {loaded.trouble}"])
    config = loaded.config
    changed = [
        f"agent.{key}: cannot change while running, restart nfcertd"
        for key in FIXED
        if getattr(config.agent, key) != getattr(running.agent, key)
    ]
    changed += [
        f"{table}: cannot change while running, restart nfcertd"
        for table, new, old in (
            ("http-01", config.http01, running.http01),
            ("tls-alpn-01", config.tlsalpn01, running.tlsalpn01),
        )
        if new != old
    ]
    if changed:
        raise ConfigError(changed)
    return loaded


def read_sources(main: Path) -> tuple[Source, ...]:
    """Return the main file and those of `conf.d` beside it, sorted by name.

    Raises:
        FileError: A file cannot be read, is too large, or there are too many.
    """
    directory = main.parent / "conf.d"
    try:
        names = sorted(directory.iterdir()) if directory.is_dir() else []
    except OSError as error:
        raise FileError(f"cannot list {directory}: {describe(error)}") from error
    parts = [p for p in names if p.suffix == ".toml" and not p.name.startswith(".")]
    if len(parts) > MAX_FILES:
        raise FileError(f"{directory} holds more than {MAX_FILES} files")
    return tuple(Source(str(path), read_bounded(path)) for path in (main, *parts))
