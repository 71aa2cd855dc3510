"""JSON that has one meaning only: no member twice, nothing deep, no NaN.

What two readers may understand differently is refused before it is looked at: a
signature vouches for octets, and both readers would find it good.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final, NoReturn

from agent.bootstrap.errors import FormatError

MAX_DEPTH: Final = 8
"""Objects and lists within each other; a bundle needs five."""
MAX_CLAUSE: Final = 300
"""Characters of a clause about what a stranger wrote."""
NOTHING: Final = re.compile(r"(?!)")


def strict(
    data: bytes, what: str, lines: re.Pattern[str] = NOTHING
) -> dict[str, object]:
    """Return the JSON object that octets hold; every text in it can be shown.

    Args:
        data: UTF-8.
        what: What it is called in an error, such as `header`.
        lines: Paths of the texts that may have several lines.

    Raises:
        FormatError: It is none, or one that could be read in two ways.
    """
    try:
        found = json.loads(
            data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_constant
        )
    except FormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise FormatError(f"the bundle's {what} is not json in utf-8") from error
    if not isinstance(found, dict):
        raise FormatError(f"the bundle's {what} is no json object")
    if not _is_shallow(found):
        raise FormatError(f"the bundle's {what} is nested too deeply")
    for path, text in _texts(found):
        if not _is_plain(text, several=bool(lines.search(path))):
            where = path or "the top"
            raise FormatError(
                shortened(f"in the bundle's {what}, {where} holds a control character")
            )
    return found


def shortened(clause: str) -> str:
    """Return a clause whose length a stranger cannot choose."""
    if len(clause) <= MAX_CLAUSE:
        return clause
    return f"{clause[: MAX_CLAUSE - 3]}..."


def _is_plain(text: str, *, several: bool) -> bool:
    return all(
        line.isprintable() for line in (text.splitlines() if several else [text])
    )


def _texts(tree: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text of a tree with its path, keys as well."""
    match tree:
        case str():
            yield path, tree
        case dict():
            for key, value in tree.items():
                yield path, key
                yield from _texts(value, f"{path}.{key}" if path else key)
        case list():
            for index, value in enumerate(tree):
                yield from _texts(value, f"{path}[{index}]")
        case _:
            return


def _is_shallow(tree: object) -> bool:
    level = [tree]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for value in level
            if isinstance(value, dict | list)
            for child in (value.values() if isinstance(value, dict) else value)
        ]
    return not level


def _once(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise FormatError(f"the member {_shown(name)} stands twice in one object")
        found[name] = value
    return found


def _shown(name: str) -> str:
    return name[:40] if name.isprintable() else "of a name that cannot be printed"


def _constant(text: str) -> NoReturn:
    raise ValueError(text)
