"""Text for a terminal: harmless characters, cells, colours, spans of time. Pure."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

Style = str
"""A name in `_COLOURS`, or empty."""

_COLOURS: Final = {"good": "32", "busy": "33", "bad": "31;1", "faint": "2", "head": "1"}
_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_TWO_OF: Final = 2
GAP: Final = "  "
"""Between two columns."""


def printable(text: str) -> str:
    """Return text without anything that drives a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def span(length: timedelta) -> str:
    """Return a length in one unit, the largest of which there are at least two.

    >>> span(timedelta(hours=47)), span(timedelta(days=2))
    ('47 h', '2 d')
    """
    seconds = abs(length.total_seconds())
    for size, unit in _UNITS:
        if seconds >= _TWO_OF * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def relative(instant: datetime | None, now: datetime) -> str:
    """Return how far an instant is away, `-` for none.

    >>> from datetime import UTC
    >>> relative(datetime(2026, 1, 3, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
    'in 2 d'
    """
    if instant is None:
        return "-"
    left = instant - now
    return f"{span(left)} ago" if left < timedelta() else f"in {span(left)}"


def day(instant: datetime | None) -> str:
    """Return the date and minute of an instant, UTC, or nothing."""
    return "" if instant is None else f"{instant:%Y-%m-%d %H:%MZ}"


class Cell(NamedTuple):
    """Text in a column, and how it looks."""

    text: str
    style: Style = ""


Painter = Callable[[str, Style], str]
"""Puts a style on a text that has its final width."""


def plain(text: str, style: Style) -> str:
    """Paint nothing."""
    del style
    return text


def coloured(text: str, style: Style) -> str:
    """Paint for an ANSI terminal."""
    code = _COLOURS.get(style)
    return text if code is None else f"\x1b[{code}m{text}\x1b[0m"


class Screen(NamedTuple):
    """Where text goes: its width (0 for no limit) and its colours."""

    width: int = 0
    paint: Painter = plain

    def row(self, cells: Sequence[Cell], widths: Sequence[int]) -> str:
        """Return a line of padded columns; what is over the width is cut."""
        line, room = "", self.width or 1 << 30
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True)):
            last = index == len(cells) - 1
            text = printable(cell.text)
            shown = cut(text if last else text.ljust(width) + GAP, room)
            room -= len(shown)
            line += self.paint(shown, cell.style)
        return line if line.endswith("\x1b[0m") else line.rstrip()

    def table(self, rows: Sequence[Sequence[Cell]]) -> list[str]:
        """Return lines of columns that are as wide as their widest cell."""
        columns = list(zip(*rows, strict=True))
        widths = [max(len(printable(c.text)) for c in column) for column in columns]
        return [self.row(row, widths) for row in rows]

    def paragraph(self, text: str, indent: str, hanging: str) -> list[str]:
        """Return text in lines of the width: `indent` before the first."""
        width = (self.width or 1 << 30) - len(hanging)
        lines, line = [], ""
        for word in printable(text).split():
            if line and len(line) + 1 + len(word) > width:
                lines.append(line)
                line = word
            else:
                line = f"{line} {word}".strip()
        first, *rest = (cut(each, max(width, 1)) for each in [*lines, line])
        return [indent + first, *(hanging + each for each in rest)]


def cut(text: str, room: int) -> str:
    """Return text of at most `room` characters, an ellipsis where something is gone."""
    if len(text) <= room:
        return text
    kept = text[: max(room - 1, 0)].rstrip()
    return f"{kept}…" if room > 0 else ""
