"""Draws network functions for a person. Pure: shapes in, cells and lines out."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from agent.cli.shapes import DecommissionShape, NfShape
from agent.cli.text import Cell, printable, relative

_STYLES: Final = {"decommissioning": "busy", "decommissioned": "faint"}


def rows(nfs: tuple[NfShape, ...], now: datetime) -> Iterator[list[Cell]]:
    """Yield a row of `nfcertd status` for each network function."""
    for nf in nfs:
        style = _STYLES.get(nf.state, "good")
        yield [Cell(f"nf {nf.name}"), Cell(nf.state, style), Cell(_summary(nf, now))]


def _summary(nf: NfShape, now: datetime) -> str:
    about = f"{', '.join(nf.types)} {nf.instance_id}".strip()
    if nf.ended_at is not None:
        return f"{about}, ended {relative(nf.ended_at, now)}"
    return "; ".join((about, *nf.waits))


def consequences(answer: DecommissionShape) -> Iterator[str]:
    """Yield the lines that say what goes with a network function."""
    yield f"nf {printable(answer.name)}, instance {printable(answer.instance_id)}"
    for one in answer.certificates:
        serials = ", ".join(printable(serial) for serial in one.revoked) or "none"
        yield f"  certificate {printable(one.name)}"
        yield f"    revoked for cessationOfOperation: {serials}"
        yield f"    keys destroyed: {one.keys}"
        names = ", ".join(printable(n) or "the only one" for n in one.endpoints)
        yield f"    endpoints out of service: {names}"
    for account in answer.accounts:
        yield f"  account {printable(account)} is given up"
