"""Hooks with real programs: what they read, that they come again, how they end."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.ca import Config, Fault, actions
from tests.integration.scene import (
    MARGIN,
    PATIENCE,
    Daemon,
    Scene,
    certificate_table,
    is_root,
    scene,
)
from tests.unit.test_programs import is_gone

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not is_root(), reason="needs root: programs are root's"),
    pytest.mark.timeout(300),
]

SCRIPT = """\
#!/bin/sh
{before}
cat >> {home}/heard
"""
HOOK = """
[hook.nrf]
on = ["deployed", "revoked", "alarm"]
command = ["{script}", "one", "two words"]
within = "{within}"
"""
FAULT = Fault(resource="newOrder", action=actions.Html(status=500), times=None)
Event = dict[str, Any]


def program(home: Path, before: str = ":") -> Path:
    """Write a program that keeps what it reads, after what comes before."""
    path = home / "hook.sh"
    fresh = home / "hook.new"
    fresh.write_text(SCRIPT.format(home=home, before=before))
    fresh.chmod(0o755)
    fresh.rename(path)
    return path


def heard(home: Path) -> list[Event]:
    """Return what the program was told, in its order."""
    path = home / "heard"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def until(check: Callable[[], object]) -> None:
    """Wait in real time until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.03)


@contextmanager
def hooked(
    home: Path, before: str = ":", within: str = "20s", more: str = ""
) -> Iterator[Scene]:
    """Make a scene with one certificate and one hook."""
    with scene(home, Config()) as place:
        table = HOOK.format(script=program(home, before), within=within)
        place.configure(certificate_table("web", more=more), table)
        yield place


def trouble(daemon: Daemon) -> Event:
    """Return what is shown of the hook."""
    (shown,) = daemon.status().view["hooks"]
    return dict(shown)


def push(daemon: Daemon) -> bool:
    """Let the time pass that the hook waits for, if it does."""
    at = trouble(daemon)["at"]
    if at is not None:
        left = datetime.fromisoformat(at) - daemon.clock.now()
        daemon.clock.push(max(left, timedelta(0)) + MARGIN)
    return True


def test_a_deployment_and_a_revocation_are_told(tmp_path: Path) -> None:
    """One object a run, with what a registration needs."""
    with hooked(tmp_path, 'test "$2" = "two words" -a -z "$NOTIFY_SOCKET"') as place:
        with place.daemon() as daemon:
            daemon.settle_deployed("web")
            until(lambda: heard(tmp_path))
            shown = daemon.status().certificate("web")
            daemon.ask("revoke", "web", confirm="web", reason="superseded")
            until(lambda: len(heard(tmp_path)) > 1)
            assert place.metrics()['nfcertd_hook_dropped_total{hook="nrf"}'] == 0
        first = heard(tmp_path)[0]
        assert first["event"] == "deployed"
        assert first["names"] == ["web.example"]
        assert first["fingerprint"] == shown["fingerprint"]
        assert first["serial"] == shown["serial"]
        assert (first["publication"], first["sequence"], first["attempt"]) == (1, 1, 1)
        revoked = next(e for e in heard(tmp_path) if e["event"] == "revoked")
        assert revoked["fingerprint"] == shown["fingerprint"]
        assert (revoked["reason"], revoked["by"]) == ("superseded", "us")


def test_an_alarm_is_told_when_it_is_raised_and_when_it_is_over(tmp_path: Path) -> None:
    """Here the CA does not work for a while."""
    with hooked(tmp_path) as place:
        broken = place.ca.faults.add(FAULT)
        with place.daemon() as daemon:
            daemon.settle(
                lambda _: [e for e in heard(tmp_path) if e["event"] == "alarm"]
            )
            place.ca.faults.remove(broken)
            daemon.settle_deployed("web")
            until(lambda: not daemon.status().view["hooks"][0]["queued"])
    told = [e for e in heard(tmp_path) if e["event"] == "alarm"]
    states: dict[tuple[str, str], list[str]] = {}
    for event in told:
        states.setdefault((event["subject"], event["alarm"]), []).append(event["state"])
    assert states
    assert all(one[0] == "raised" for one in states.values())
    assert all(one[-1] == "cleared" for one in states.values())


def test_what_fails_is_run_again_and_takes_everything_in_order(tmp_path: Path) -> None:
    """Certificates do not wait for it."""
    with (
        hooked(tmp_path, "echo out of order; exit 3") as place,
        place.daemon() as daemon,
    ):
        daemon.settle_deployed("web")
        daemon.settle(lambda _: push(daemon) and trouble(daemon)["failures"] > 2)
        assert "status 3: out of order" in trouble(daemon)["failure"]["message"]
        assert "failing" in daemon.status().alarms("nrf")
        daemon.ask("renew", "web")
        daemon.settle_deployed("web", 2)
        assert not heard(tmp_path)
        program(tmp_path)
        daemon.settle(lambda _: push(daemon) and len(heard(tmp_path)) == 2)
        assert [e["publication"] for e in heard(tmp_path)] == [1, 2]
        assert heard(tmp_path)[0]["attempt"] > 2
        daemon.wait(lambda s: not s.alarms("nrf"))


def test_an_event_survives_a_power_cut_in_the_middle_of_its_delivery(
    tmp_path: Path,
) -> None:
    """It comes a second time with the same id, and the receiver can tell."""
    with hooked(tmp_path, f"touch {tmp_path}/began; sleep 60") as place:
        with place.daemon() as daemon:
            daemon.settle_deployed("web")
            until((tmp_path / "began").exists)
            daemon.kill()
        assert not heard(tmp_path)
        program(tmp_path)
        with place.daemon() as daemon:
            daemon.settle(lambda _: heard(tmp_path))
            daemon.settle(lambda _: not trouble(daemon)["queued"])
        (event,) = heard(tmp_path)
        assert (event["event"], event["sequence"]) == ("deployed", 1)


def test_a_hung_program_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    """After its time; and it is run again."""
    child = tmp_path / "child"
    before = f"sleep 60 & echo $! > {child}; sleep 60"
    with hooked(tmp_path, before, "500ms") as place, place.daemon() as daemon:
        daemon.settle_deployed("web")
        daemon.wait(lambda _: trouble(daemon)["failure"])
        assert "took longer than 0.5 s" in trouble(daemon)["failure"]["message"]
        assert is_gone(int(child.read_text()))
        program(tmp_path)
        daemon.settle(lambda _: push(daemon) and heard(tmp_path))


def test_a_program_that_others_can_write_is_not_run(tmp_path: Path) -> None:
    """It is an alarm, and it is run once it is root's alone."""
    with hooked(tmp_path) as place:
        (tmp_path / "hook.sh").chmod(0o777)
        with place.daemon() as daemon:
            daemon.settle_deployed("web")
            daemon.wait(lambda _: trouble(daemon)["failure"])
            assert "by others than root" in trouble(daemon)["failure"]["message"]
            (tmp_path / "hook.sh").chmod(0o755)
            daemon.settle(lambda _: push(daemon) and heard(tmp_path))
