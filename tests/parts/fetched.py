"""Where the servers are that `tests/tools/servers` has fetched, or why they are not."""

from pathlib import Path
from typing import Final

DIRECTORY: Final = Path(__file__).parents[2] / ".scratch" / "servers"


def fetched(name: str) -> Path:
    """Return the directory of a server; it need not be there."""
    return DIRECTORY / name


def not_fetched(name: str) -> str:
    """Say why a server is not there, or nothing."""
    if fetched(name).is_dir():
        return ""
    reason = DIRECTORY / f"{name}.missing"
    if reason.is_file():
        return f"{name}: {reason.read_text().strip()}"
    return f"{name}: not fetched, run `make servers`"
