"""Profiles, chains, and orders without proofs, with a real daemon and CA."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.ca import Authorizations, Config, Profile
from tests.integration.scene import Scene, Status, certificate_table, scene

pytestmark = pytest.mark.integration

SHORT = Profile(lifetime=timedelta(days=6))
PROFILES: dict[str, Any] = {
    "authorizations": Authorizations.NONE,
    "profiles": {"classic": Profile(), "short": SHORT},
    "default_profile": "classic",
}


def web(more: str) -> str:
    """Return the table of the certificate."""
    return certificate_table("web", more=more)


def shown(status: Status) -> Any:
    """Return what is shown of the certificate."""
    return status.certificate("web")


def chain(place: Scene) -> list[x509.Certificate]:
    """Return the chain that was published."""
    pem = (place.state / "live" / "web" / "fullchain.pem").read_bytes()
    return x509.load_pem_x509_certificates(pem)


def test_a_changed_profile_orders_anew_and_is_kept_over_renewals(
    tmp_path: Path,
) -> None:
    """The CA's choice first; then the one that is asked for, again and again."""
    with scene(tmp_path, Config(**PROFILES)) as place:
        place.configure(web(""))
        with place.daemon() as daemon:
            status = daemon.wait(lambda s: s.deployed("web"))
            assert shown(status)["profile"] == "classic"
            place.configure(web('profile = "short"'))
            daemon.ask("reload")
            status = daemon.wait(lambda s: s.deployed("web", 2))
            assert shown(status)["profile"] == "short"
            place.clock.push(timedelta(days=3))
            status = daemon.wait(lambda s: s.deployed("web", 3))
            assert shown(status)["profile"] == "short"
        assert [o.profile for o in place.ca.orders] == ["classic", "short", "short"]


def test_a_required_profile_that_is_not_offered_needs_an_operator(
    tmp_path: Path,
) -> None:
    """Nothing is ordered; a preference takes what the CA chooses."""
    with scene(tmp_path, Config(**PROFILES)) as place:
        place.configure(web('profile = "new"'))
        with place.daemon() as daemon:
            status = daemon.wait(lambda s: s.alarms("web"))
            assert "classic, short" in status.alarms("web")["issue-failing"]["cause"]
            assert place.ca.log.count("newOrder") == 0
            place.configure(web('profile = { name = "new", required = false }'))
            daemon.ask("reload")
            status = daemon.wait(lambda s: s.deployed("web"))
            assert shown(status)["profile"] == "classic"
            assert status.alarms("web") == {}


def test_a_ca_that_does_not_show_the_profile_is_not_believed(tmp_path: Path) -> None:
    """One order is made and given up; it is not repeated before tomorrow."""
    with scene(tmp_path, Config(**PROFILES, echo_profile=False)) as place:
        place.configure(web('profile = "short"'))
        with place.daemon() as daemon:
            daemon.wait(lambda s: s.alarms("web"))
            place.clock.push(timedelta(hours=12))
            daemon.wait(lambda s: s.alarms("web"))
        assert place.ca.answered_orders == 1
        assert place.ca.certificates == []


def test_the_chain_of_the_preferred_anchor_is_published(tmp_path: Path) -> None:
    """Both roots are trusted; the operator's peers know the second one."""
    config = Config(authorizations=Authorizations.NONE, alternate_chains=1)
    with scene(tmp_path, config) as place:
        both = place.ca.issuing_root_pem + place.ca.alternate_root_pems[0]
        (place.home / "issuing.pem").write_bytes(both)
        place.configure(web('chain = "Test Root 1"'))
        with place.daemon() as daemon:
            status = daemon.wait(lambda s: s.deployed("web"))
        assert shown(status)["anchor"] == "CN=Test Root 1"
        assert chain(place)[-1].issuer.rfc4514_string() == "CN=Test Root 1"


@pytest.mark.parametrize("kind", ["MISSING", "PENDING_NONE", "BORN_VALID"])
def test_an_order_that_has_nothing_to_prove_is_finalized(
    tmp_path: Path, kind: str
) -> None:
    """No challenge is presented, and no authorization is asked for in vain."""
    config = Config(authorizations=Authorizations[kind])
    with scene(tmp_path, config) as place:
        place.configure(web(""))
        with place.daemon() as daemon:
            daemon.settle_deployed("web")
        assert place.ca.log.count("challenge") == 0
        assert place.ca.answered_orders == 1
