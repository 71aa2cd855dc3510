"""Lists of trusted roots read well, and are asked for by name."""

from datetime import timedelta

import pytest

from agent.cli import lists, render
from agent.cli.dispatch import main
from agent.cli.shapes import (
    EPOCH,
    FailureShape,
    RootShape,
    StatusShape,
    TrustShape,
    TrustsShape,
)
from agent.cli.text import Screen

NOW = EPOCH + timedelta(days=100)
DAY = timedelta(days=1)
WELL = TrustShape(
    name="operator-roots",
    source="signed",
    version=3,
    published=3,
    sequence=41,
    count=2,
    pending=1,
    fetched_at=NOW - timedelta(hours=3),
    fetch_at=NOW + timedelta(hours=3),
    expires=NOW + 20 * DAY,
    roots=(
        RootShape(
            fingerprint="ab" * 32,
            subject="CN=Old Root",
            state="leaving",
            since=NOW - 2 * DAY,
            until=NOW + 28 * DAY,
        ),
        RootShape(fingerprint="cd" * 32, state="distrusted", since=NOW - 9 * DAY),
    ),
)
SICK = TrustShape(
    name="visited",
    source="est",
    next="the list would leave nothing that is trusted",
    failure=FailureShape(message="the list would leave nothing that is trusted"),
    refused="the list would leave nothing that is trusted",
)


def test_each_list_says_what_is_in_force_and_what_goes() -> None:
    """And what an operator can do about what was refused."""
    view = TrustsShape(lists=(WELL, SICK))
    first, *table, empty, second, refused = lists.trust(view, NOW, Screen())
    assert first.startswith("operator-roots (signed): version 3, 2 roots, number 41, ")
    assert first.endswith("1 on the way out, fetched 3 h ago, ends in 20 d")
    assert table == [
        "ROOT         STATE       SINCE    UNTIL    SHA-256",
        "CN=Old Root  leaving     2 d ago  in 28 d  abababababababab",
        "unknown      distrusted  9 d ago  -        cdcdcdcdcdcdcdcd",
    ]
    assert empty == ""
    assert second.startswith("visited (est): version 0, 0 roots, the list would leave")
    assert refused.endswith("to take it: nfcertd trust accept visited")
    nothing = lists.trust(TrustsShape(), NOW, Screen())
    assert nothing == ["no list of trusted roots is configured"]


def test_status_and_plan_have_a_line_for_each_list() -> None:
    """Below tokens and accounts, and below certificates."""
    view = StatusShape(now=NOW, started=NOW, trust=(WELL, SICK))
    drawn = "\n".join(render.status(view, Screen()))
    assert "trust operator-roots  published  version 3, 2 roots" in drawn
    assert "trust visited         unknown    version 0" in drawn
    planned = "\n".join(render.plan(view, Screen()))
    assert "trust operator-roots" in planned
    assert "fetch the list (the list would leave" in planned


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({"published": 2}, "publishing"),
        ({"refused": "too far"}, "refused"),
        ({}, "published"),
    ],
)
def test_a_list_has_a_state_in_one_word(change: dict[str, int], state: str) -> None:
    """Worst first."""
    one = TrustShape(name="a", version=3, **{"published": 3, **change})  # type: ignore[arg-type]  # a test's own keywords
    [[_, cell, _]] = lists.rows((one,), NOW)
    assert cell.text == state


def test_what_is_asked_of_a_list_needs_its_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It says so before anybody is asked."""
    assert main(["trust", "accept"]) == 2
    assert "name the list" in capsys.readouterr().out
