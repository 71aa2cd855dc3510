"""Status, plan and keys read well in a log, on a terminal, and on a narrow one."""

import re
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from msgspec.structs import replace

from agent.cli import render, shapes
from agent.cli.text import Cell, Screen, coloured, cut, day, printable, relative, span
from agent.control.verbs import MalformedError
from agent.records.job import Severity
from agent.sba.findings import Finding, Level
from agent.shapes import State, StatusView
from tests.fakes.views import deployed, endpoint, missing, status

SEEN = "192.0.2.4:443"


def shaped(view: StatusView) -> shapes.StatusShape:
    """Return what the command line reads of a view after its way through JSON."""
    sent = msgspec.json.decode(msgspec.json.encode(view))
    return shapes.read(sent, shapes.StatusShape)


def test_a_healthy_fleet_fits_a_few_lines() -> None:
    """Name, state, end, next step; the endpoint under it; tokens and accounts last."""
    assert render.status(shaped(status(deployed())), Screen()) == [
        "nfcertd 0.1.0, up 5 h, 1 certificate",
        "",
        "CERTIFICATE  STATE     ENDS     NEXT",
        "amf1-sbi     deployed  in 60 d  renew in 30 d (two thirds of its life)",
        f"  endpoint: publication 2 deployed, proven 24 h ago (wire); {SEEN} served",
        "",
        "token hsm         up",
        "account operator  valid  at operator",
    ]


def test_a_sick_fleet_says_what_to_do() -> None:
    """Failures stand under their certificate, alarms at the end with their action."""
    lines = render.status(shaped(status(missing(), sick=True)), Screen())
    assert lines == [
        "nfcertd 0.1.0, up 5 h, 1 certificate",
        "configuration refused 60 min ago, that of 5 h ago is in force:",
        "  certificate.x: no such ca",
        "",
        "CERTIFICATE  STATE    ENDS  NEXT",
        "smf1         missing  -     issue: wait in 60 min (after 3 failures)",
        "  endpoint edge: waits for a certificate; 192.0.2.4:443 served",
        "  issue failed 3 times: rateLimited: too many orders; again in 60 min",
        "",
        "token hsm         down     no token matches",
        "ca operator       down     asked again in 5 min, no answer",
        "account operator  limited  orders again in 60 min, too many orders",
        "account operator  valid    at operator",
        "",
        "ALARMS",
        "  major: smf1: no certificate since 2 h (since 2 h)",
        "    look at the ca",
    ]


def test_issued_and_deployed_are_told_apart() -> None:
    """A certificate that nobody serves yet is deploying, and the endpoint says why."""
    waiting = replace(
        deployed(),
        state=State.DEPLOYING,
        deployed=False,
        endpoints=(endpoint("edge", deployed=False),),
    )
    text = "\n".join(render.status(shaped(status(waiting)), Screen()))
    assert "deploying" in text
    assert "publication 2 not deployed yet, publication 1 is proven" in text


@pytest.mark.parametrize("width", [20, 40, 60, 80, 132])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Columns are cut with an ellipsis, sentences are wrapped."""
    view = shaped(status(deployed(), missing(), sick=True))
    for lines in (
        render.status(view, Screen(width)),
        render.plan(view, Screen(width)),
    ):
        assert all(len(line) <= width for line in lines)


def test_colour_changes_nothing_but_colour() -> None:
    """Painted text without its escapes is the plain text."""
    view = shaped(status(deployed(), missing(), sick=True))
    painted = render.status(view, Screen(80, coloured))
    assert any("\x1b[31;1m" in line for line in painted)
    bare = [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in painted]
    assert bare == render.status(view, Screen(80))


def test_words_of_strangers_cannot_drive_the_terminal() -> None:
    """A CA's or a token's escape sequence loses its escape, painted or not."""
    view = shaped(status(deployed()))
    evil = replace(
        view,
        tokens=(shapes.TokenShape(name="hsm", reason="\x1b]0;owned\x07\nx"),),
        alarms=(shapes.AlarmShape(id="a", severity="major", cause="\x1b[2J\r"),),
    )
    text = "\n".join(render.status(evil, Screen()))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "]0;owned  x" in text


@pytest.mark.parametrize(
    ("view", "well"),
    [
        (status(), True),
        (status(deployed()), True),
        (status(replace(deployed(), state=State.HELD)), True),
        (status(replace(deployed(), state=State.UNMANAGED)), True),
        (status(replace(missing(), state=State.HELD)), False),
        (status(replace(deployed(), state=State.DEPLOYING)), False),
        (status(replace(deployed(), state=State.EXPIRED)), False),
        (status(replace(deployed(), state=State.QUARANTINED)), False),
        (status(missing()), False),
        (status(deployed(), sick=True), False),
    ],
)
def test_well_means_that_nobody_is_needed(view: StatusView, *, well: bool) -> None:
    """The exit code of `status` follows from it."""
    assert render.is_well(shaped(view)) is well


def test_a_warning_alone_is_still_well() -> None:
    """Only major and critical alarms call somebody."""
    sick = status(deployed(), sick=True)
    mild = replace(
        sick,
        config=status().config,
        tokens=(),
        alarms=(replace(sick.alarms[0], severity=Severity.WARNING),),
    )
    assert render.is_well(shaped(mild))


def test_the_plan_has_the_soonest_first() -> None:
    """What happens next stands at the top, with its rule."""
    lines = render.plan(shaped(status(deployed(), missing())), Screen())
    assert [line.split()[:2] for line in lines] == [
        ["WHEN", "CERTIFICATE"],
        ["in", "60"],
        ["in", "30"],
    ]
    assert lines[1].endswith("smf1         issue: wait (after 3 failures)")


def test_an_empty_configuration_says_so() -> None:
    """No table without rows."""
    assert render.plan(shaped(status()), Screen()) == ["no certificate is configured"]
    assert render.keys(shapes.KeysShape(), Screen()) == ["there is no key"]


def test_keys_orphans_and_problems() -> None:
    """Orphans are reported with their id; a token that cannot be listed is named."""
    key = shapes.KeyShape(
        subject="amf1",
        id="0a",
        store="hsm",
        type="ec-p256",
        state="made",
        created=datetime(2026, 3, 1, tzinfo=UTC),
        use="certificate",
        referenced=True,
    )
    view = shapes.KeysShape(
        keys=(key, replace(key, id="0b", referenced=False)),
        orphans=(shapes.OrphanShape(token="hsm", id="0c", label="nfcertd/1/x/1"),),
        problems=("token tpm: no token matches",),
    )
    lines = render.keys(view, Screen())
    made = ["amf1", "hsm", "ec-p256", "made", "2026-03-01", "00:00Z", "certificate"]
    assert [line.split() for line in lines[1:3]] == [
        [*made, "0a"],
        [*made, "(no", "longer", "needed)", "0b"],
    ]
    assert lines[3:] == [
        "",
        "with a label of ours and in no record, never destroyed by us:",
        "TOKEN  TYPE  LABEL          CKA_ID",
        "hsm          nfcertd/1/x/1  0c",
        "",
        "token tpm: no token matches",
    ]


def test_an_answer_of_a_strange_version_is_an_error_with_a_hint() -> None:
    """Unknown fields are ignored; wrong types are not."""
    shapes.read({"version": "9", "new": 1}, shapes.StatusShape)
    with pytest.raises(MalformedError) as caught:
        shapes.read({"version": 9}, shapes.StatusShape)
    assert "version" in caught.value.hint


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172799, "47 h"),
        (172800, "2 d"),
        (-7200, "2 h"),
    ],
)
def test_spans_have_one_unit(seconds: int, shown: str) -> None:
    """The largest unit of which there are at least two."""
    assert span(timedelta(seconds=seconds)) == shown


def test_no_instant_is_a_dash() -> None:
    """What will not happen has no time."""
    assert relative(None, datetime(2026, 1, 1, tzinfo=UTC)) == "-"
    assert day(None) == ""


@pytest.mark.parametrize(
    ("text", "room", "shown"),
    [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("a cd", 3, "a…"), ("abc", 0, "")],
)
def test_cutting_leaves_an_ellipsis(text: str, room: int, shown: str) -> None:
    """Nobody takes a cut word for a whole one."""
    assert cut(text, room) == shown


def test_cells_line_up_by_what_is_seen() -> None:
    """Padding counts printable characters."""
    rows = [[Cell("a\x1b"), Cell("b")], [Cell("long"), Cell("c")]]
    assert Screen().table(rows) == ["a     b", "long  c"]
    assert printable("a\tb") == "a b"


def test_a_certificate_that_differs_from_its_profile_says_in_what() -> None:
    """One line for each rule, under the certificate."""
    odd = Finding(rule="san-critical", level=Level.WARN, text="it is not critical")
    lines = render.status(
        shaped(status(replace(deployed(), findings=(odd,)))), Screen()
    )
    assert "  breaks its profile: san-critical: it is not critical (warn)" in lines
