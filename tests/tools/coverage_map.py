"""Prove that docs/rfc-coverage.md is true: a row has a test that exists, or a reason.

It knows the shape of that document and where tests are defined. It does not know what a
standard says: that is read by people.

    python -m tests.tools.coverage_map
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCUMENT: Final = ROOT / "docs" / "rfc-coverage.md"
LEVELS: Final = frozenset({"MUST", "MUST NOT", "SHOULD", "SHOULD NOT"})
REASONS: Final = ("Not applicable: ", "Not followed: ", "Left out of this version: ")
"""How the cell of a row begins that no test can show."""
COLUMNS: Final = 4
_TEST: Final = re.compile(r"`([a-z]+/test_\w+\.py)::(test_\w+)`")
_SECTION: Final = re.compile(r"\d+(\.\d+)*")
Exists = Callable[[str, str], bool]


def problems(text: str, exists: Exists) -> Iterator[str]:
    """Yield what is wrong with a document.

    Args:
        text: The document.
        exists: Tells whether a file below `tests/` defines a test.
    """
    rows = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith("|"):
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == "§" or set(line) <= set("|- "):
            continue
        rows += 1
        for problem in _row(cells, exists):
            yield f"line {number}: {problem}"
    if not rows:
        yield "there is no row"


def _row(cells: list[str], exists: Exists) -> Iterator[str]:
    if len(cells) != COLUMNS:
        yield f"{len(cells)} cells instead of {COLUMNS}"
        return
    section, level, what, shown = cells
    if not _SECTION.fullmatch(section):
        yield f"{section!r} is no section"
    if level not in LEVELS:
        yield f"{level!r} is no level"
    if not what:
        yield "nothing is said"
    yield from _shown(shown, exists)


def _shown(shown: str, exists: Exists) -> Iterator[str]:
    reason = next((r for r in REASONS if shown.startswith(r)), None)
    if reason is not None:
        if not shown.removeprefix(reason):
            yield "the reason is empty"
        return
    named = shown.split("<br>")
    for one in named:
        match = _TEST.fullmatch(one)
        if match is None:
            yield f"{one!r} is neither a test nor a reason"
        elif not exists(match[1], match[2]):
            yield f"there is no test {match[1]}::{match[2]}"


@cache
def _tests(file: str) -> frozenset[str]:
    path = ROOT / "tests" / file
    if not path.is_file():
        return frozenset()
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    tree = ast.parse(path.read_text())
    return frozenset(n.name for n in ast.walk(tree) if isinstance(n, functions))


def defined(file: str, name: str) -> bool:
    """Tell whether a file below `tests/` defines a test."""
    return name in _tests(file)


def main() -> int:
    """Print what is wrong, one problem a line; return how many there are."""
    found = list(problems(DOCUMENT.read_text(), defined))
    for problem in found:
        print(f"{DOCUMENT.name}: {problem}")
    return len(found)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
