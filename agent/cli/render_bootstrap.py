"""Draws bootstrap bundles for a person. Pure: shapes in, lines out."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from agent.cli.shapes import BootstrapShape, TakenShape
from agent.cli.text import Cell, day, printable, relative

_DONE: Final = {
    "taken": "is in force now",
    "checked": "is good, and was not taken",
    "nothing": "is in force already",
}


def rows(one: BootstrapShape | None, now: datetime) -> Iterator[list[Cell]]:
    """Yield the row of `nfcertd status`, where the configuration wants a bundle."""
    if one is None:
        return
    if not one.sequence:
        text = one.trouble or "none was handed over yet: nfcertd bootstrap FILE"
        yield [Cell("bootstrap"), Cell("missing", "bad"), Cell(text)]
        return
    text = (
        f"bundle {one.sequence} of {day(one.issued)}, "
        f"taken {relative(one.taken, now)}, signed by {one.signer[:16]}"
    )
    yield [Cell("bootstrap"), Cell("in force", "good"), Cell(text)]


def taken(one: TakenShape) -> Iterator[str]:
    """Yield the lines of `nfcertd bootstrap`."""
    done = _DONE.get(one.done, printable(one.done))
    yield f"bundle {one.sequence} of {day(one.issued)} {done}"
    yield f"  signed by {printable(one.signer)}"
    for word, paths in (
        ("adds", one.added),
        ("changes", one.changed),
        ("leaves out, which becomes unmanaged,", one.removed),
        ("gives the secrets", one.secrets),
        ("ends the waiting of", one.started),
    ):
        if paths:
            yield f"  {word} {', '.join(map(printable, paths))}"
