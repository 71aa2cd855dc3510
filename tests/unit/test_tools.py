"""The programs that check the tree refuse what they are there to refuse."""

import pytest

from tests.tools.requirements import PROJECT, requirements, runtime
from tests.tools.sizes import (
    FILE_LIMIT,
    FUNCTION_LIMIT,
    complaints,
    functions,
    main,
    median,
)


def test_a_long_file_is_refused() -> None:
    """The limit itself is allowed, one line more is not."""
    assert not list(complaints("x.py", "\n" * FILE_LIMIT))
    assert "401 lines" in next(complaints("x.py", "\n" * (FILE_LIMIT + 1)))


@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_a_long_function_is_refused(keyword: str) -> None:
    """It is named with its line; nested functions count as well."""
    body = "    x = 1\n" * FUNCTION_LIMIT
    found = list(complaints("x.py", f"\n{keyword} f():\n{body}"))
    assert found == [f"x.py:2: f has {FUNCTION_LIMIT + 1} lines, more than 40"]


def test_a_docstring_is_not_counted() -> None:
    """Documenting a function never makes it too long."""
    source = 'def f():\n    """One.\n\n    Two.\n    """\n    return 1\n'
    assert [function.length for function in functions(source)] == [2]


def test_the_median_is_that_of_all_functions() -> None:
    """Files with few functions weigh little."""
    assert median(["def f():\n  pass\n", "def g():\n  x\n  y\n  z\n"]) == 3
    assert median([]) == 0


def test_an_empty_tree_is_an_error() -> None:
    """A wrong path must not look like a tidy tree."""
    assert main(["no/such/directory"]) == 1


def test_requirements_are_those_of_the_project() -> None:
    """What runs is part of what is developed with."""
    text = PROJECT.read_text()
    assert any(line.startswith("aiohttp") for line in runtime(text))
    assert set(runtime(text)) < set(requirements(text))
