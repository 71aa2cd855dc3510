"""nfcertd itself as a real part: installed for any user, run as one of its own.

It knows the command line, the sockets' directory and the pages of the health listener.
What it is asked to do stands in the configuration that the caller writes.
"""

import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.parts.install import install, python_for_all
from tests.parts.process import Identity, Part, PartError, Setting, run, running

USER: Final = Identity(uid=64123, gid=64123)
"""As whom it runs where the caller has no wish; needs no entry in /etc/passwd."""
READ_THE_FILE: Final = {"run", "check"}
"""Subcommands that read the configuration; the others ask the daemon."""
MAX_PAGE: Final = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The installed program.

    Attributes:
        library: Directory with the package and its dependencies.
        config: Its configuration file.
        environment: What its PKCS#11 module needs.
        health: Address and port of the health listener in the configuration.
        runtime: Directory of the control sockets in the configuration.
    """

    library: Path
    config: Path
    environment: Mapping[str, str]
    health: str
    runtime: str

    def argv(self, *arguments: str) -> list[str]:
        """Return the command line that runs a subcommand."""
        python = str(python_for_all() or sys.executable)
        reads = arguments[0] in READ_THE_FILE
        where = ("--config", str(self.config)) if reads else ("--runtime", self.runtime)
        return [python, "-m", "agent", *arguments, *where]

    def setting(self, identity: Identity | None = None) -> Setting:
        """Return the environment that the program runs in, and as whom."""
        found = {"PYTHONPATH": str(self.library), "PYTHONDONTWRITEBYTECODE": "1"}
        return Setting(environment={**self.environment, **found}, identity=identity)

    def ask(self, *arguments: str) -> str:
        """Run a subcommand as ourselves and return what it prints.

        Raises:
            PartError: It failed; the message holds what it wrote.
        """
        return run(self.argv(*arguments), self.setting()).stdout

    def page(self, path: str) -> str:
        """Return a page of the health listener, whatever its status says.

        Raises:
            OSError: It does not answer.
        """
        url = f"http://{self.health}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                return _text(reply.read(MAX_PAGE))
        except urllib.error.HTTPError as error:
            return _text(error.read(MAX_PAGE))

    def samples(self) -> dict[str, float]:
        """Return the samples of `/metrics` by name with labels, as they are written."""
        lines = self.page("/metrics").splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs if name}

    def total(self, name: str) -> float:
        """Return the sum of a metric over its labels; 0 where it is not there."""
        found = self.samples().items()
        return sum(value for key, value in found if key.partition("{")[0] == name)

    def answers(self) -> bool:
        """Tell whether the health listener answers."""
        try:
            return bool(self.page("/"))
        except OSError:
            return False


def _text(octets: bytes) -> str:
    return octets.decode("utf-8")


def installed(scratch: Path, config: Path, environment: Mapping[str, str]) -> Program:
    """Install the program below `scratch`/lib and read where it can be asked.

    Raises:
        PartError: Our own Python cannot be run by other users.
    """
    if python_for_all() is None:
        raise PartError(f"missing: a python that other users can run, not {sys.prefix}")
    table = tomllib.loads(config.read_text())["agent"]
    return Program(
        library=install(scratch / "lib"),
        config=config,
        environment=environment,
        health=table["health"],
        runtime=table["runtime"],
    )


@contextmanager
def nfcertd(
    program: Program, scratch: Path, identity: Identity = USER
) -> Iterator[Part]:
    """Run the daemon until the end of the context; its log is in `scratch`."""
    log = scratch / "nfcertd.log"
    argv = program.argv("run")
    with running("nfcertd", argv, log, program.setting(identity)) as part:
        part.wait_until(program.answers)
        yield part
