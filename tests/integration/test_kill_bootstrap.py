"""The daemon is killed before every step of taking a bootstrap bundle.

The steps are those of an import that nobody disturbs: temporary files that are removed,
renames, and what the new bundle no longer names. Each is met by a daemon of its own, on
a copy of the same state.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.control.verbs import ControlError
from tests.integration.firstboots import FirstBoot, first_boot
from tests.integration.scene import Daemon, Status
from tests.oam.host import Tables
from tests.parts.token import tool_missing

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(tool_missing()), reason=tool_missing()),
]


@pytest.fixture
def boot(tmp_path: Path) -> Iterator[FirstBoot]:
    """Return a host that waits for its first bundle."""
    with first_boot(tmp_path) as host:
        yield host


def in_force(status: Status) -> int:
    """Return the number of the bundle in force, 0 for none."""
    number: int = status.view["bootstrap"]["sequence"]
    return number


def watched(log: Path, kill_at: int = 0) -> tuple[str, ...]:
    """Return options of a daemon that notes its steps, and dies before one."""
    return (
        *("--steps-of", "/bootstrap/", "--steps", str(log)),
        *("--kill-step", str(kill_at)),
    )


def count(boot: FirstBoot, bundle: str) -> int:
    """Return how many steps taking a bundle takes."""
    log = boot.place.home / "steps"
    log.write_text("")
    with boot.place.daemon(*watched(log)) as daemon:
        daemon.ask("bootstrap", bundle=bundle)
    return len(log.read_text().splitlines())


def kill_and_resume(boot: FirstBoot, bundle: str, step: int) -> int:
    """Die on the way to a bundle; return which one is in force, then take it."""
    with boot.place.daemon(*watched(boot.place.home / "steps", step)) as first:
        with pytest.raises(ControlError):
            first.ask("bootstrap", bundle=bundle)
        first.ended()
        assert first.died(), step
    with boot.place.daemon() as second:
        number = _whole(boot, second)
        second.ask("bootstrap", bundle=bundle)
        assert _whole(boot, second) >= number
    return number


def _whole(boot: FirstBoot, daemon: Daemon) -> int:
    """Return the number in force, with which everything else has to agree."""
    status = daemon.status()
    number = in_force(status)
    waits = status.certificate("amf1-sbi")["state"] == "waiting"
    assert waits == (number == 0)
    there = boot.place.state / "bootstrap"
    texts = {p.read_text() for p in there.iterdir()} if there.exists() else set()
    assert texts == _texts(boot)[number]
    return number


def _texts(boot: FirstBoot) -> list[set[str]]:
    """Return what is laid down, by the number in force."""
    ca, home = boot.place.ca, boot.place.home / "oam"
    both = {
        ca.transport_root_pem.decode(),
        boot.oam.roots.read_text(),
        (home / "nf-host.pem").read_text(),
    }
    return [set(), both | {ca.issuing_root_pem.decode()}, both]


def fewer_roots(made: Tables) -> None:
    """Leave out the anchors of chains: one file less."""
    del made["ca"]["operator"]["chain_roots"]


@pytest.mark.parametrize("later", [False, True], ids=["first", "later"])
def test_a_kill_before_every_step_leaves_one_bundle_or_the_other(
    boot: FirstBoot, later: bool
) -> None:
    """Never a mixture: number, tables and files agree, and the bundle can be taken."""
    bundle = boot.bundle(1)
    if later:
        with boot.place.daemon() as daemon:
            daemon.ask("bootstrap", bundle=bundle)
        bundle = boot.bundle(2, fewer_roots)
    state, before = boot.place.state, boot.place.home / "before"
    shutil.copytree(state, before, symlinks=True)
    steps = count(boot, bundle)
    print(f"{steps} steps of a bundle")
    seen = []
    for step in range(1, steps + 1):
        shutil.rmtree(state)
        shutil.copytree(before, state, symlinks=True)
        seen.append(kill_and_resume(boot, bundle, step))
    # Up to one step the old one, from there on the new one.
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == ((1, 2) if later else (0, 0))
