"""Print what pip has to install: the dependencies and the `dev` extra of pyproject.

It knows the shape of `pyproject.toml`. It knows no versions: those are pinned in
`constraints.txt`. It runs before the virtual environment exists, so it imports the
standard library only.
"""

import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def runtime(text: str) -> list[str]:
    """Return the requirement lines for running."""
    return [*tomllib.loads(text)["project"]["dependencies"]]


def requirements(text: str) -> list[str]:
    """Return the requirement lines for running and for developing."""
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    return [*runtime(text), *extras["dev"]]


def main() -> None:
    """Print one requirement a line."""
    sys.stdout.write("\n".join(requirements(PROJECT.read_text())) + "\n")


if __name__ == "__main__":
    main()
