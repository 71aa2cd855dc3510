"""The polkit rule: exactly the configured units, strictly quoted."""

import json
from pathlib import Path

import pytest

from agent.config.endpoints import Reload
from agent.endpoints.polkit import needed, rules

EXAMPLE = Path(__file__).resolve().parents[2] / "systemd/49-nfcertd.rules"


def test_only_what_goes_through_systemd_is_needed() -> None:
    """Pidfiles need no rule, and a unit that is told twice stands once."""
    reloads = [
        Reload(unit="nginx.service"),
        Reload(unit="haproxy.service", verb="reload"),
        Reload(unit="nginx.service", signal="SIGUSR2"),
        Reload(pidfile="/run/envoy.pid"),
    ]
    assert needed(reloads) == (("haproxy.service", "reload"), ("nginx.service", "kill"))


def test_the_example_is_what_the_command_prints() -> None:
    """The file in systemd/ is this function's output."""
    printed = rules([("haproxy.service", "reload"), ("nginx.service", "kill")])
    assert EXAMPLE.read_text() == printed


@pytest.mark.parametrize(
    "unit",
    ['a"]];polkit.addRule();//.service', "a\\x2d\\.service", "a\n.service", "\u2028"],
)
def test_no_name_leaves_its_quotes(unit: str) -> None:
    """Whatever a name holds, it stays one ASCII string on one line."""
    text = rules([(unit, "kill")], user=unit)
    assert text.isascii()
    line = next(line for line in text.splitlines() if line.endswith('"kill"]'))
    assert json.loads(line) == [unit, "kill"]
    assert len(text.splitlines()) == len(rules([("a.service", "kill")]).splitlines())


def test_nothing_to_tell_allows_nothing() -> None:
    """An empty rule is still a valid one."""
    assert "var allowed = [\n\n    ];" in rules([])
