"""Two CAs of one certificate: the daemon fails over, remembers it, and comes back."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from tests.ca import Authorizations, Config, Fault, TestCA, actions
from tests.integration.scene import Scene, certificate_table, scene, serving

pytestmark = pytest.mark.integration

SPEED: Final = 20
SECOND: Final = """\
[ca.second]
directory = "{directory}"
roots = "{home}/second-transport.pem"
chain_roots = "{home}/second-issuing.pem"
timeout = "5s"
trusted_by_peers = true
[account.second]
ca = "second"
key = {{ file = true }}
"""
NOTHING_TO_PROVE: Final = Config(authorizations=Authorizations.NONE)


@contextmanager
def second_ca(on: Scene) -> Iterator[TestCA]:
    """Run another CA beside that of a scene, and configure it."""
    config = Config(authorizations=Authorizations.NONE, now=on.clock)
    with serving(config) as ca:
        (on.home / "second-transport.pem").write_bytes(ca.transport_root_pem)
        (on.home / "second-issuing.pem").write_bytes(ca.issuing_root_pem)
        more = on.home / "conf.d"
        more.mkdir()
        text = SECOND.format(directory=ca.directory_url, home=on.home)
        (more / "second.toml").write_text(text)
        yield ca


def test_fail_over_survives_a_restart_and_comes_back(tmp_path: Path) -> None:
    """A dead first CA is left, and with the next renewal it is the first again."""
    with scene(tmp_path, NOTHING_TO_PROVE, speed=SPEED) as on, second_ca(on) as second:
        table = certificate_table("web").replace('"test"', '["test", "second"]')
        on.configure(table, health=False)
        on.ca.faults.add(Fault(resource=None, action=actions.DropBefore(), times=None))
        with on.daemon() as daemon:
            status = daemon.settle_deployed("web")
            shown = status.certificate("web")
            assert shown["ca"] == "second"
            assert "there is no certificate yet" in shown["stand_in"]
            assert "stand-in" in status.alarms("web")
            assert second.log.count("newOrder") == 1
        on.ca.faults.clear()
        with on.daemon() as daemon:
            assert daemon.status().certificate("web")["ca"] == "second"
            on.clock.push(timedelta(days=70))
            shown = daemon.settle_deployed("web", 2).certificate("web")
            assert (shown["ca"], shown["stand_in"]) == ("test", "")
            assert not daemon.status().alarms("web")
        assert second.log.count("newOrder") == 1
        assert on.ca.log.count("newOrder", status=201) == 1
