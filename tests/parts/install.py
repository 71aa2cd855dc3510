"""The package and what it needs at run time, copied to where any user can read it.

A checkout may lie in a home directory that only its owner can enter; the daemon runs as
a user of its own. It knows installed distributions. It downloads nothing.
"""

import compileall
import importlib.metadata
import re
import shutil
import sys
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

from tests.parts.process import PartError
from tests.tools.requirements import PROJECT, runtime

NAME: Final = re.compile(r"[-_.]+")


def install(target: Path) -> Path:
    """Copy the package and its dependencies below a directory; return that directory.

    Start it with `PYTHONPATH` set to the directory and `python -m agent`.

    Raises:
        PartError: A dependency is not installed here.
    """
    for name in sorted(closure(runtime(PROJECT.read_text()))):
        _copy_distribution(name, target)
    package = PROJECT.parent / "agent"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package, target / "agent", ignore=ignored)
    # An unprivileged daemon could not keep what it compiles, and would pay each time.
    compileall.compile_dir(target, quiet=2, workers=1)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return target


def closure(requirements: list[str]) -> set[str]:
    """Return the names of everything that some requirements need, themselves as well.

    Raises:
        PartError: One of them is not installed here.
    """
    found: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        name = NAME.sub("-", requirement.name).lower()
        marker = requirement.marker
        if name in found or (marker and not marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        try:
            needed = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError as error:
            raise PartError(f"missing: {name} in the virtual environment") from error
        waiting.extend(Requirement(text) for text in needed)
    return found


def python_for_all() -> Path | None:
    """Return a Python of our version that any user can run, or None.

    One in a home directory (pyenv's, for instance) cannot be read by a service's user.
    """
    path = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}").resolve()
    return path if all(part.stat().st_mode & 0o001 for part in path.parents) else None


def _copy_distribution(name: str, target: Path) -> None:
    for file in importlib.metadata.files(name) or []:
        if ".." in file.parts or "__pycache__" in file.parts:
            continue
        destination = target / file
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(file.locate()), destination)
