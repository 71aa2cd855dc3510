"""The map from standards to tests is true, and its checker sees where one is not."""

import pytest

from tests.tools.coverage_map import DOCUMENT, defined, problems

HEAD = "| § | level | what | shown by |\n|---|---|---|---|\n"


def test_every_row_has_a_test_that_exists_or_a_reason() -> None:
    """No test of the map was renamed or lost."""
    text = DOCUMENT.read_text()
    assert list(problems(text, defined)) == []
    assert text.count("\n| ") > 80


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("| 6.1 | MUST | x | `unit/test_a.py::test_there` |", ""),
        ("| 6.1 | MUST | x | Not applicable: of servers. |", ""),
        ("| 6.1 | MUST | x | `unit/test_a.py::test_gone` |", "there is no test"),
        ("| 6.1 | MUST | x | `unit/test_a.py::test_there`<br>x |", "neither"),
        ("| 6.1 | MUST | x | later |", "neither a test nor a reason"),
        ("| 6.1 | MUST | x | Not applicable: |", "neither a test nor a reason"),
        ("| 6.1 | MAY | x | Not followed: why. |", "is no level"),
        ("| six | MUST | x | Not followed: why. |", "is no section"),
        ("| 6.1 | MUST | | Not followed: why. |", "nothing is said"),
        ("| 6.1 | MUST | x |", "3 cells"),
        ("", "there is no row"),
    ],
)
def test_what_is_wrong_with_a_row_is_told(row: str, problem: str) -> None:
    """One thing wrong, one problem."""
    found = list(problems(HEAD + row, lambda _, name: name == "test_there"))
    assert len(found) == bool(problem)
    assert problem in "".join(found)
