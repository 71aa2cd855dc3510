"""Documents name tests that exist."""

import re
from pathlib import Path

import pytest

from tests.tools.coverage_map import ROOT, defined

NAMED = re.compile(r"`([a-z]+/test_\w+\.py)::(test_\w+)`")
DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_test_that_a_document_names_exists(document: Path) -> None:
    """A renamed test takes its documents along."""
    named = NAMED.findall(document.read_text())
    assert [f"{file}::{name}" for file, name in named if not defined(file, name)] == []


def test_the_study_is_mapped_to_tests() -> None:
    """The pattern finds what the map names: a glob of nothing would pass above."""
    assert len(NAMED.findall((ROOT / "docs" / "5g.md").read_text())) > 15
