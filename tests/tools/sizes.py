"""Refuse files and functions that have grown too large.

It knows lines: of a file, and of a function without its docstring. What else makes code
hard to read (complexity, parameters, statements) is ruff's.
"""

import ast
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

FILE_LIMIT: Final = 400
FUNCTION_LIMIT: Final = 40
MEDIAN_LIMIT: Final = 8
"""Median lines of a function of the package; the tests' functions are not in it."""

_FUNCTION: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


class Function(NamedTuple):
    """A function and how many lines it has without its docstring."""

    name: str
    line: int
    length: int


def functions(source: str) -> Iterator[Function]:
    """Yield every function of a module, nested ones and methods as well."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, _FUNCTION):
            yield Function(node.name, node.lineno, _length(node))


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    total = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is None:
        return total
    return total - ((first.end_lineno or first.lineno) - first.lineno + 1)


def complaints(path: str, source: str) -> Iterator[str]:
    """Yield one line for each limit that a file breaks."""
    lines = source.count("\n")
    if lines > FILE_LIMIT:
        yield f"{path}: {lines} lines, more than {FILE_LIMIT}"
    for function in functions(source):
        if function.length > FUNCTION_LIMIT:
            yield (
                f"{path}:{function.line}: {function.name} has {function.length} lines,"
                f" more than {FUNCTION_LIMIT}"
            )


def median(sources: list[str]) -> float:
    """Return the median length of the functions in some sources, 0 where none is."""
    lengths = [function.length for text in sources for function in functions(text)]
    return statistics.median(lengths) if lengths else 0


def main(roots: list[str]) -> int:
    """Print what is too large under some directories; 1 if anything is."""
    files = {
        str(path): path.read_text()
        for root in roots
        for path in sorted(Path(root).rglob("*.py"))
    }
    if not files:
        print(f"no Python file under {roots}")
        return 1
    found = [line for path, text in files.items() for line in complaints(path, text)]
    package = [text for path, text in files.items() if path.startswith("agent")]
    if (middle := median(package)) > MEDIAN_LIMIT:
        found.append(f"agent: median function {middle} lines, more than {MEDIAN_LIMIT}")
    print("\n".join(found) or f"{len(files)} files within limits, median {middle:.0f}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
