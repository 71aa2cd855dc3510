"""Network functions that leave the host: on the test CA, a token, real servers."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.control.verbs import ControlError
from tests.ca import SBA, Authorizations, Config
from tests.ca.actions import Refuse
from tests.ca.faults import Fault
from tests.ca.problems import Problem
from tests.integration.killing import NGINX_REASON
from tests.integration.scene import (
    Scene,
    Status,
    View,
    scene,
    token_table,
)
from tests.integration.served import TlsServer, look, table, tls_server
from tests.integration.tokens import PIN, softhsm
from tests.parts.nginx import Site, nginx
from tests.parts.process import free_port
from tests.parts.token import TokenTool, tool_missing

pytestmark = pytest.mark.integration
CESSATION = 5
HOME = "5gc.mnc012.mcc345.3gppnetwork.org"
UUIDS = {
    "amf1": "4ace9d34-2c69-4f99-92d5-a73a3fe8e23b",
    "smf1": "0b8a9c76-52d1-4c0e-8a3f-6f2f1d3c9b10",
}
ANOTHER = "5d1f3f0e-7a5b-4c6d-9e8f-001122334455"
CA = Config(
    identifier_types=frozenset({"dns", "NfInstanceId"}),
    authorizations=Authorizations.BORN_VALID,
    profile=SBA,
)
NF = """
[nf.{name}]
instance_id = "{uuid}"
types = ["{type}"]
fqdn = "{name}.{home}"
country = "DE"

[certificate.{name}]
nf = "{name}"
ca = "test"
key = {{ {key} }}
"""
ENDPOINT = "\n[[certificate.{name}.endpoint]]\n{body}"


def nf_tables(
    name: str, body: str = "", *, key: str = "file = true", uuid: str = ""
) -> str:
    """Return the tables of an NF and its certificate; `body` is that of an endpoint."""
    tables = NF.format(
        name=name, uuid=uuid or UUIDS[name], type=name[:3].upper(), home=HOME, key=key
    )
    return tables + (ENDPOINT.format(name=name, body=body) if body else "")


def nf_of(status: Status, name: str) -> View:
    """Return a network function as the daemon shows it."""
    return next(nf for nf in status.view["nfs"] if nf["name"] == name)


def unavailable() -> Refuse:
    """Return the answer of a CA that is out of order."""
    words = "the CA is out of order"
    return Refuse(problem=Problem(type="serverInternal", detail=words, status=503))


def is_gone(name: str, status: Status) -> bool:
    """Tell whether a network function is decommissioned."""
    return bool(nf_of(status, name)["state"] == "decommissioned")


def files(place: Scene) -> set[str]:
    """Return the key files and the publications that there are."""
    keys = {path.name for path in place.state.glob("keys/*.pem")}
    return keys | {
        str(p.parent.name) for p in place.state.glob("certificates/*/[0-9]*")
    }


@dataclass(frozen=True, slots=True)
class Host:
    """A host with one network function that a small server serves."""

    scene: Scene
    server: TlsServer

    def configure(self, uuid: str = "", more: str = "", body: str = "") -> None:
        """Write the configuration, with another instance where one is given."""
        home = self.scene.home / "endpoint"
        endpoint = table(home, self.scene.address, more=body)
        self.scene.configure(nf_tables("amf1", endpoint, uuid=uuid), more)


@contextmanager
def host(home: Path, *, speed: float = 20) -> Iterator[Host]:
    """Make a host with the function amf1."""
    with scene(home, CA, speed=speed) as place:
        live = place.state / "live/amf1"
        with tls_server(home / "endpoint", live, place.address) as server:
            made = Host(place, server)
            made.configure()
            yield made


def test_nothing_is_left_of_a_network_function_but_its_tombstone(
    tmp_path: Path,
) -> None:
    """Revoked for cessation, not served, keys and files and account gone, for good.

    An end that was begun goes on to the end only with the name as confirmation.
    """
    with host(tmp_path) as here:
        place = here.scene
        with place.daemon() as daemon:
            daemon.settle_deployed("amf1")
            assert here.server.serves()
            said = daemon.ask("decommission", "amf1", check=True)
            assert not nf_of(daemon.status(), "amf1")["asked_at"]
            with pytest.raises(ControlError, match="confirm"):
                daemon.ask("decommission", "amf1", confirm="smf1")
            daemon.ask("decommission", "amf1", confirm="amf1")
            status = daemon.settle(lambda s: is_gone("amf1", s))
        serial = int(said["certificates"][0]["revoked"][0], 16)
        assert {n: r.reason for n, r in place.ca.revoked.items()} == {serial: CESSATION}
        assert said["accounts"] == ["test"]
        assert status.certificate("amf1")["state"] == "ended"
        assert status.view["alarms"] == []
        with pytest.raises(OSError, match="wrong version"):
            look(here.server.address)
        assert files(place) == set()
        assert [a.status for a in place.ca.accounts] == ["deactivated"]


def test_what_has_ended_is_never_ordered_again(tmp_path: Path) -> None:
    """After a restart and a reload, though its tables still stand; it says why."""
    with host(tmp_path) as here:
        place = here.scene
        with place.daemon() as daemon:
            daemon.settle_deployed("amf1")
            daemon.ask("decommission", "amf1", confirm="amf1")
            daemon.settle(lambda s: is_gone("amf1", s))
        with place.daemon() as daemon:
            daemon.ask("reload")
            daemon.wait(lambda s: is_gone("amf1", s))
            with pytest.raises(ControlError, match="decommissioned"):
                daemon.ask("renew", "amf1")
            with pytest.raises(ControlError, match="decommissioned since"):
                daemon.ask("decommission", "amf1", confirm="amf1")
            samples = place.metrics()
        assert len(place.ca.orders) == 1
    assert samples['nfcertd_nf_state{nf="amf1",state="decommissioned"}'] == 1


def test_another_instance_of_the_name_begins_anew(tmp_path: Path) -> None:
    """With a key, an account and a certificate of its own; the old one never again."""
    with host(tmp_path) as here, here.scene.daemon() as daemon:
        place = here.scene
        daemon.settle_deployed("amf1")
        daemon.ask("decommission", "amf1", confirm="amf1")
        daemon.settle(lambda s: is_gone("amf1", s))
        here.configure(ANOTHER)
        daemon.ask("reload")
        daemon.settle_deployed("amf1", 2)
        assert here.server.serves()
        assert sorted(a.status for a in place.ca.accounts) == [
            "deactivated",
            "valid",
        ]
        here.configure()
        daemon.ask("reload")
        daemon.settle(
            lambda s: (
                is_gone("amf1", s)
                and s.certificate("amf1")["state"] in {"ending", "ended"}
            )
        )


def test_a_ca_that_does_not_answer_keeps_no_key_alive(tmp_path: Path) -> None:
    """Out of service and destroyed at once; the revocation is asked for until it is."""
    with host(tmp_path) as here, here.scene.daemon() as daemon:
        place = here.scene
        daemon.settle_deployed("amf1")
        place.ca.faults.add(
            Fault(resource="revokeCert", action=unavailable(), times=None)
        )
        daemon.ask("decommission", "amf1", confirm="amf1")
        status = daemon.settle(
            lambda s: (
                s.job("amf1", "revoke").get("failures", 0) > 2
                and not any(p.suffix == ".pem" for p in place.state.glob("keys/amf1*"))
                and "revoke" in " ".join(s.alarms("amf1"))
            )
        )
        assert nf_of(status, "amf1")["state"] == "decommissioning"
        assert "revoked first" in nf_of(status, "amf1")["waits"][0]
        assert len(daemon.ask("keys")["keys"]) == 1
        assert not place.ca.revoked
        place.ca.faults.clear()
        daemon.settle(lambda s: is_gone("amf1", s))
        assert [r.reason for r in place.ca.revoked.values()] == [CESSATION]


def test_tables_that_change_meanwhile_do_not_undo_an_end(tmp_path: Path) -> None:
    """The old instance goes to its end first; then the new one begins."""
    with host(tmp_path) as here, here.scene.daemon() as daemon:
        place = here.scene
        daemon.settle_deployed("amf1")
        place.ca.faults.add(
            Fault(resource="revokeCert", action=unavailable(), times=None)
        )
        daemon.ask("decommission", "amf1", confirm="amf1")
        daemon.settle(lambda s: s.job("amf1", "revoke").get("failures", 0) > 1)
        here.configure(ANOTHER)
        daemon.ask("reload")
        shown = nf_of(daemon.status(), "amf1")
        assert (shown["state"], shown["instance_id"]) == (
            "decommissioning",
            UUIDS["amf1"],
        )
        with pytest.raises(ControlError, match="is still ending"):
            daemon.ask("decommission", "amf1", confirm="amf1")
        assert len(place.ca.orders) == 1
        place.ca.faults.clear()
        daemon.settle_deployed("amf1", 2)
        assert [r.reason for r in place.ca.revoked.values()] == [CESSATION]
        assert nf_of(daemon.status(), "amf1")["instance_id"] == ANOTHER


def test_an_endpoint_that_still_serves_keeps_its_key(tmp_path: Path) -> None:
    """Destroyed under it, every handshake would fail: an operator is told instead."""
    with host(tmp_path) as here, here.scene.daemon() as daemon:
        daemon.settle_deployed("amf1")
        here.server.feel("ignore")
        daemon.ask("decommission", "amf1", confirm="amf1")
        status = daemon.settle(
            lambda s: "farewell-failing" in s.alarms("amf1") and here.scene.ca.revoked
        )
        assert "still served" in status.alarms("amf1")["farewell-failing"]["cause"]
        assert here.server.serves()
        assert len(daemon.ask("keys")["keys"]) == 2
        daemon.ask("ack", "amf1")
        daemon.settle(lambda s: is_gone("amf1", s))


def test_an_account_that_others_use_stays(tmp_path: Path) -> None:
    """It is closed with the last network function that orders with it."""
    with scene(tmp_path, CA, speed=20) as place:
        place.configure(nf_tables("amf1"), nf_tables("smf1"))
        with place.daemon() as daemon:
            for name in UUIDS:
                daemon.settle_deployed(name)
            daemon.ask("decommission", "amf1", confirm="amf1")
            status = daemon.settle(lambda s: is_gone("amf1", s))
            assert status.account()["valid"]
            assert status.deployed("smf1")
            daemon.ask("renew", "smf1")
            daemon.settle_deployed("smf1", 2)
            daemon.ask("decommission", "smf1", confirm="smf1")
            daemon.settle(lambda s: is_gone("smf1", s))
        assert [a.status for a in place.ca.accounts] == ["deactivated"]


@pytest.mark.skipif(bool(NGINX_REASON), reason=NGINX_REASON)
@pytest.mark.skipif(bool(tool_missing()), reason=tool_missing())
def test_nginx_refuses_every_handshake_and_the_token_has_no_key(tmp_path: Path) -> None:
    """What it includes stays valid, and names neither key nor certificate."""
    token, port, pin = softhsm(tmp_path), free_port(), tmp_path / "nginx.pin"
    pin.touch(mode=0o600)
    pin.write_text(PIN)
    tool = TokenTool(module=token.module, environment=token.env, pin=PIN)
    with scene(tmp_path, CA, token=token, speed=3) as place:
        site = Site(
            snippet=place.state / "live/amf1/nginx.conf",
            ports=(port,),
            module=token.module,
            environment=token.env,
            worker="root",
        )
        body = (
            f'reload = {{ pidfile = "{place.home}/nginx/nginx.pid" }}\n'
            f'template = "nginx-engine"\npin_source = "file:{pin}"\n'
            f'verify = {{ connect = "127.0.0.1:{port}", within = "20s" }}\n'
        )
        tables = nf_tables("amf1", body, key='token = "hsm"')
        place.configure(token_table(token), tables)
        with place.daemon() as daemon:
            daemon.wait(lambda _: site.snippet.exists())
            with nginx(place.home, site) as server:
                daemon.settle_deployed("amf1")
                assert look(("127.0.0.1", port))
                daemon.ask("decommission", "amf1", confirm="amf1")
                daemon.settle(lambda s: is_gone("amf1", s))
                refused(port)
                assert server.part.alive
            assert "ID:" not in tool.private_keys()
        # Started again, it still has a valid configuration: there may be other sites.
        with nginx(place.home, site):
            refused(port)


def refused(port: int) -> None:
    """See that a server has no certificate for anybody."""
    with pytest.raises(OSError, match=r"(?i)unrecognized"):
        look(("127.0.0.1", port))


def test_a_token_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """The key is destroyed once its token is there again; nothing else waits for it."""
    token = softhsm(tmp_path)
    with scene(tmp_path, CA, token=token, speed=20) as place:
        place.configure(token_table(token), nf_tables("amf1", key='token = "hsm"'))
        with place.daemon() as daemon:
            daemon.settle_deployed("amf1")
        away = tmp_path / "away"
        store = Path(tokens_of(token.env))
        store.rename(away)
        store.mkdir()
        with place.daemon() as daemon:
            daemon.ask("decommission", "amf1", confirm="amf1")
            daemon.settle(lambda _: place.ca.revoked)
            daemon.wait(lambda s: s.job("amf1", "retire").get("failure"))
            daemon.wait(lambda s: "destroyed first" in nf_of(s, "amf1")["waits"][0])
        store.rmdir()
        away.rename(store)
        with place.daemon() as daemon:
            daemon.settle(lambda s: is_gone("amf1", s))


def tokens_of(env: dict[str, str]) -> str:
    """Return where SoftHSM2 keeps its tokens, by its configuration file."""
    text = Path(env["SOFTHSM2_CONF"]).read_text()
    lines = dict(line.split(" = ", 1) for line in text.splitlines() if " = " in line)
    return lines["directories.tokendir"]
