"""Draws lists of trusted roots for a person. Pure: shapes in, lines out."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from agent.cli.shapes import TrustShape, TrustsShape
from agent.cli.text import Cell, Screen, day, relative

_HEAD: Final = "head"
_STYLES: Final = {"trusted": "good", "missing": "busy", "leaving": "busy"}
_SHOWN: Final = 16
"""Digits of a fingerprint that tell it apart on a screen; JSON has all of them."""


def rows(lists: tuple[TrustShape, ...], now: datetime) -> Iterator[list[Cell]]:
    """Yield a row of `nfcertd status` for each list."""
    for one in lists:
        name, text = Cell(f"trust {one.name}"), _summary(one, now)
        yield [name, _state(one), Cell(text)]


def plan(lists: tuple[TrustShape, ...], now: datetime) -> list[list[Cell]]:
    """Return a row of `nfcertd plan` for each list."""
    return [
        [
            Cell(relative(one.fetch_at, now)),
            Cell(day(one.fetch_at), "faint"),
            Cell(f"trust {one.name}"),
            Cell("fetch the list" + (f" ({one.next})" if one.failure else "")),
        ]
        for one in lists
    ]


def trust(view: TrustsShape, now: datetime, screen: Screen) -> list[str]:
    """Return the lines of `nfcertd trust`."""
    lines: list[str] = []
    for one in view.lists:
        title = f"{one.name} ({one.source}): {_summary(one, now)}"
        lines += ["", *screen.paragraph(title, "", "  ")] if lines else [title]
        if one.refused:
            text = (
                f"refused: {one.refused}; to take it: nfcertd trust accept {one.name}"
            )
            found = screen.paragraph(text, "  ", "    ")
            lines += [screen.paint(line, "bad") for line in found]
        lines += _roots(one, now, screen)
    return lines or ["no list of trusted roots is configured"]


def _roots(one: TrustShape, now: datetime, screen: Screen) -> list[str]:
    titles = ("ROOT", "STATE", "SINCE", "UNTIL", "SHA-256")
    head = [Cell(title, _HEAD) for title in titles]
    drawn = [
        [
            Cell(root.subject or "unknown"),
            Cell(root.state, _STYLES.get(root.state, "bad")),
            Cell(relative(root.since, now)),
            Cell(relative(root.until, now)),
            Cell(root.fingerprint[:_SHOWN], "faint"),
        ]
        for root in one.roots
    ]
    return screen.table([head, *drawn]) if drawn else []


def _state(one: TrustShape) -> Cell:
    if not one.version:
        return Cell("unknown", "busy")
    if one.version != one.published:
        return Cell("publishing", "busy")
    return Cell("refused", "bad") if one.refused else Cell("published", "good")


def _summary(one: TrustShape, now: datetime) -> str:
    parts = [f"version {one.version}, {one.count} roots"]
    if one.sequence:
        parts.append(f"number {one.sequence}")
    if one.pending:
        parts.append(f"{one.pending} on the way out")
    if one.fetched_at is not None:
        parts.append(f"fetched {relative(one.fetched_at, now)}")
    if one.expires is not None:
        parts.append(f"ends {relative(one.expires, now)}")
    if one.failure is not None:
        parts.append(one.failure.message)
    return ", ".join(parts)
