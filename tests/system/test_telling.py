"""Endpoints told from inside our own sandbox, by a real systemd and a real polkit."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.booted import BootedSystem, Outcome, missing

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(missing()), reason=missing() or "a machine can be booted"),
    pytest.mark.skipif(
        shutil.which("pkaction") is None, reason="polkitd is not installed"
    ),
]

HERE = Path(__file__).parent

LISTENER = """[Unit]
Description=Stand-in for an endpoint
[Service]
Type=notify
ExecStart=/usr/bin/nfcertd-python /opt/nfcertd/listener.py /run/{name}
ExecReload={reload}
[Install]
Alias={alias}.service
"""
KILL = "/bin/kill -HUP $MAINPID"

DEAF = """[Service]
Type=exec
ExecStart=/bin/sleep infinity
"""

TELLER = """[Service]
Type=oneshot
Restart=no
WatchdogSec=0
ExecStart=
ExecStart=/usr/bin/nfcertd-python /opt/nfcertd/teller.py
StandardOutput=truncate:/probe/told
StandardError=inherit
"""

SCRIPT = """
systemctl enable -q listener
systemctl start listener failing quiet counter deaf
systemctl show -P MainPID deaf >/run/deaf.pid
cp /run/listener.pid /run/open.pid; chmod 666 /run/open.pid

mv /etc/polkit-1/rules.d/49-nfcertd.rules /run
systemctl start nfcertd; cp /probe/told /probe/without-rule

mv /run/49-nfcertd.rules /etc/polkit-1/rules.d
systemctl restart polkit
systemctl start nfcertd; cp /probe/told /probe/with-rule

mv /probe/*.conf /etc/systemd/system/nfcertd.service.d
systemctl daemon-reload
systemctl start nfcertd-http01.socket
systemctl start nfcertd; cp /probe/told /probe/with-capability

for unit in listener failing quiet counter deaf; do
    echo $unit $(systemctl is-active $unit) $(cat /run/$unit 2>/dev/null | wc -l)
done
systemctl show -P StatusText listener
journalctl -u nfcertd --no-pager -o cat
"""


@pytest.fixture(scope="module")
def booted(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[BootedSystem, Outcome]]:
    """Boot once and tell everybody in three postures."""
    with BootedSystem.prepared(tmp_path_factory.mktemp("booted")) as machine:
        machine.install()
        for name in ("listener", "failing", "quiet", "counter"):
            reload = "/bin/false" if name == "failing" else KILL
            alias = "alias" if name == "listener" else f"alias-{name}"
            text = LISTENER.format(name=name, reload=reload, alias=alias)
            machine.write(f"etc/systemd/system/{name}.service", text)
        for name in ("deaf", "stopped"):
            machine.write(f"etc/systemd/system/{name}.service", DEAF)
        for program in ("listener.py", "teller.py"):
            machine.write(f"opt/nfcertd/{program}", (HERE / program).read_text())
        machine.write("etc/systemd/system/nfcertd.service.d/teller.conf", TELLER)
        machine.polkit(
            [
                *((f"{name}.service", "kill") for name in ("listener", "deaf")),
                ("counter.service", "kill"),
                *((f"{n}.service", "reload") for n in ("listener", "deaf", "failing")),
            ]
        )
        for name in ("signal", "credentials"):
            machine.drop_in(name)
            drop_in = machine.root / f"etc/systemd/system/nfcertd.service.d/{name}.conf"
            machine.write(f"probe/{name}.conf", drop_in.read_text())
            drop_in.unlink()
        machine.write("etc/nfcertd/credentials/hsm-pin", "1234", 0o600)
        yield machine, machine.run(SCRIPT)


def report(booted: tuple[BootedSystem, Outcome], posture: str) -> dict[str, Any]:
    """Return what the teller printed in one posture."""
    machine, outcome = booted
    text = machine.read(f"probe/{posture}")
    assert text.startswith("{"), outcome.output + outcome.console
    found: dict[str, Any] = json.loads(text)
    return found


DENIED_BY_BUS = "EndpointDeniedError: not allowed to tell .*nfcertd polkit"
DENIED_BY_KERNEL = r"EndpointDeniedError: not allowed to signal .*signal\.conf"
DEAF_TO_SIGNAL = "EndpointDeafError: .* does not handle signal 1"
NOT_NAMED = ["signal quiet", "reload quiet"]
NAMED = ["signal listener", "signal listener by its alias", "reload listener"]


@pytest.mark.parametrize("name", [*NAMED, *NOT_NAMED, "reload failing", "reload deaf"])
def test_without_the_rule_everything_is_denied(
    booted: tuple[BootedSystem, Outcome], name: str
) -> None:
    """Polkit says no by default, and the hint names the command that helps."""
    assert re.match(DENIED_BY_BUS, report(booted, "without-rule")["told"][name])


@pytest.mark.parametrize("posture", ["with-rule", "with-capability"])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, "told$") for name in NAMED),
        *((name, DENIED_BY_BUS) for name in NOT_NAMED),
        ("signal deaf", DEAF_TO_SIGNAL),
        ("reload deaf", "EndpointDeafError: .* cannot be reloaded"),
        ("reload failing", "EndpointFailedError: .* ended as failed"),
        ("signal stopped", "EndpointDownError: "),
        ("reload nobody", "EndpointDownError: "),
    ],
)
def test_with_the_rule_what_it_names_is_told(
    booted: tuple[BootedSystem, Outcome], posture: str, name: str, expected: str
) -> None:
    """Without any capability, systemd delivers to the named units and no others."""
    assert re.match(expected, report(booted, posture)["told"][name])


@pytest.mark.parametrize(
    ("posture", "name", "expected"),
    [
        ("with-rule", "pidfile", DENIED_BY_KERNEL),
        ("with-capability", "pidfile", "told$"),
        ("with-capability", "pidfile deaf", DEAF_TO_SIGNAL),
        ("with-capability", "pidfile elsewhere", "EndpointDownError: .* is stale"),
        ("with-capability", "pidfile open", "EndpointDeniedError: .* writable by"),
    ],
)
def test_a_pidfile_needs_the_drop_in(
    booted: tuple[BootedSystem, Outcome], posture: str, name: str, expected: str
) -> None:
    """CAP_KILL signals the pidfile's process, if it is the one that is meant."""
    assert re.match(expected, report(booted, posture)["told"][name])


def test_everybody_lives_and_heard_what_was_sent(
    booted: tuple[BootedSystem, Outcome],
) -> None:
    """Deaf units were never signalled; three tells at once were one signal."""
    _, outcome = booted
    lines = outcome.output.splitlines()
    # Three in each posture with the rule and one by pidfile; counter: one in each.
    assert lines[:6] == [
        "listener active 7",
        "failing active 0",
        "quiet active 0",
        "counter active 2",
        "deaf active 0",
        "listening",
    ]
    assert outcome.status == 0


@pytest.mark.parametrize(
    ("posture", "own", "pin", "sockets"),
    [
        ("with-rule", 0, "", {}),
        (
            "with-capability",
            1 << 5,
            "1234",
            {"http-01": [["0.0.0.0", 80], ["::", 80]]},
        ),
    ],
)
def test_the_sandbox_gives_what_the_daemon_needs(
    booted: tuple[BootedSystem, Outcome],
    posture: str,
    own: int,
    pin: str,
    sockets: dict[str, list[list[object]]],
) -> None:
    """Groups, ACLs, credentials and sockets work; children get no capability."""
    facts = report(booted, posture)["facts"]
    assert facts.pop("uid") > 0
    assert facts == {
        "own capabilities": f"{own:016x}",
        "child's capabilities": "0" * 16,
        "group": "True",
        "acl": "True",
        "write /etc": "Read-only file system",
        "pin": pin,
        "sockets": sockets,
    }
