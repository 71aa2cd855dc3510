"""Certificates that the CA renews by itself (RFC 8739), fetched by a real daemon."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.control.verbs import ControlError
from tests.ca import Authorizations, AutoRenewal, Config
from tests.ca.actions import Refuse
from tests.ca.faults import Fault
from tests.ca.problems import Problem
from tests.integration.scene import Daemon, Scene, Status, certificate_table, scene
from tests.integration.served import TlsServer, table, tls_server

pytestmark = pytest.mark.integration
STAR = AutoRenewal()
SPEAKING = Config(authorizations=Authorizations.NONE, auto_renewal=STAR)
SERIES = 'star = {{ lifetime = "4d", adjust = "1d", duration = "{days}d"{more} }}\n'


def configure(place: Scene, *, days: int = 40, more: str = "") -> None:
    """Write a configuration that wants a series, served by the small server."""
    endpoint = table(place.home / "endpoint", place.address)
    star = SERIES.format(days=days, more=more)
    body = f'{star}grace = "0s"\n[[certificate.web.endpoint]]\n{endpoint}'
    place.configure(certificate_table("web", more=body))


@contextmanager
def host(
    home: Path, config: Config = SPEAKING, *, days: int = 40, more: str = ""
) -> Iterator[tuple[Scene, TlsServer]]:
    """Install a host that wants a series; its endpoint runs, its daemon does not."""
    with scene(home, config, speed=20) as place:
        configure(place, days=days, more=more)
        live = place.state / "live/web"
        with tls_server(home / "endpoint", live, place.address) as server:
            yield place, server


def served(status: Status, number: int) -> bool:
    """Tell whether a publication, or a later one, is served, and no order is open."""
    shown = status.certificate("web")
    busy = [job for job in shown["jobs"] if not job["slot"].startswith("series")]
    return bool(shown["deployed"] and shown["publication"] >= number and not busy)


def settle(daemon: Daemon, number: int) -> Status:
    """Push the clock until a publication is served."""
    return daemon.settle(lambda status: served(status, number))


def series_of(status: Status) -> list[dict[str, object]]:
    """Return the series of the certificate."""
    found: list[dict[str, object]] = status.certificate("web")["series"]
    return found


def test_a_series_is_ordered_once_and_fetched_again_and_again(tmp_path: Path) -> None:
    """Eight certificates of one order and one key, each proven at the endpoint."""
    with host(tmp_path) as (place, server), place.daemon() as daemon:
        first = settle(daemon, 1)
        [series] = series_of(first)
        assert (series["state"], series["lifetime"]) == ("open", 4 * 86400)
        assert first.certificate("web")["rule"] == "before-the-series-ends"
        prints = {server.serves()}
        for number in range(2, 9):
            settle(daemon, number)
            prints.add(server.serves())
        samples = place.metrics()
        keys = [k for k in daemon.ask("keys")["keys"] if k["subject"] == "web"]
        # Two may have come between two looks of this test.
        assert len(prints) >= 6
        assert len(place.ca.certificates) >= 8
        assert len(keys) == 1
        assert len(place.ca.orders) == 1
        assert samples['nfcertd_series_failures{certificate="web"}'] == 0
        asked = place.ca.orders[0].terms
        assert asked is not None
        assert asked.adjust == timedelta(days=1)
        assert place.ca.log.of("starCertificate")


def test_a_series_that_is_about_to_end_is_followed_by_another(tmp_path: Path) -> None:
    """With another key; the old one is cancelled once the new one is served."""
    with host(tmp_path, days=20) as (place, _), place.daemon() as daemon:
        settle(daemon, 1)
        daemon.settle(
            lambda s: (
                len(place.ca.orders) == 2
                and place.ca.orders[0].status == "canceled"
                and len(series_of(s)) == 1
            )
        )
        daemon.settle(lambda s: len(s.certificate("web")["jobs"]) == 1)
        keys = [k for k in daemon.ask("keys")["keys"] if k["subject"] == "web"]
        assert len(keys) == 1
        daemon.ask("renew", "web")
        daemon.settle(lambda _: place.ca.orders[1].status == "canceled")
        assert len(place.ca.orders) == 3
        publics = {
            entry.leaf.public_key().public_bytes(
                Encoding.DER, PublicFormat.SubjectPublicKeyInfo
            )
            for entry in place.ca.certificates
        }
        assert len(publics) == 3


@pytest.mark.parametrize(
    "star",
    [
        replace(STAR, ignored=True),
        replace(STAR, advertised=False),
        replace(STAR, min_lifetime=timedelta(days=300), max_duration=timedelta(1)),
        None,
    ],
    ids=["ignored", "not-offered", "out-of-bounds", "unknown"],
)
def test_a_ca_that_makes_a_usual_order_of_it_is_taken_at_its_word(
    tmp_path: Path, star: AutoRenewal | None
) -> None:
    """One certificate is never taken for a series, and none is ordered in a loop."""
    config = replace(SPEAKING, auto_renewal=star)
    with host(tmp_path, config) as (place, _), place.daemon() as daemon:
        status = settle(daemon, 1)
        assert series_of(status) == []
        assert "auto-renewal" in status.certificate("web")["star"]
        daemon.ask("renew", "web")
        settle(daemon, 2)
        # Where it was ignored silently, the order that showed it is a second one.
        ignored = star is not None and star.ignored
        assert len(place.ca.orders) == (4 if ignored else 2)
        assert len(place.ca.certificates) == 2


def test_a_ca_that_refuses_it_is_asked_for_a_usual_order(tmp_path: Path) -> None:
    """At once, and the refusal is remembered for this order only."""
    with host(tmp_path) as (place, _):
        refuse = Refuse(problem=Problem(type="malformed", detail="no series here"))
        place.ca.faults.add(Fault(resource="newOrder", action=refuse))
        with place.daemon() as daemon:
            status = settle(daemon, 1)
            assert series_of(status) == []
            daemon.ask("renew", "web")
            assert len(series_of(settle(daemon, 2))) == 1


def test_what_the_ca_reflects_holds(tmp_path: Path) -> None:
    """A shorter life and an earlier end than were asked for; fetched without a key."""
    cut = replace(STAR, longest=timedelta(days=2), latest=timedelta(days=12))
    config = replace(SPEAKING, auto_renewal=cut)
    with (
        host(tmp_path, config, more=", get = true") as (place, _),
        place.daemon() as daemon,
    ):
        [series] = series_of(settle(daemon, 1))
        assert series["lifetime"] == 2 * 86400
        settle(daemon, 3)
        methods = {entry.method for entry in place.ca.log.of("starCertificate")}
        assert methods == {"POST", "GET"}
        assert len(place.ca.orders) == 1


def test_a_series_that_its_ca_has_cancelled_is_ordered_again_at_once(
    tmp_path: Path,
) -> None:
    """The refusal says so; what is served goes on being served meanwhile."""
    with host(tmp_path) as (place, _), place.daemon() as daemon:
        settle(daemon, 1)
        place.ca.orders[0].status = "canceled"
        daemon.settle(lambda s: len(place.ca.orders) == 2 and served(s, 2))
        assert len(series_of(daemon.status())) == 1


def test_a_certificate_of_a_series_is_cancelled_instead_of_revoked(
    tmp_path: Path,
) -> None:
    """By `revoke` and by `replace`: another series follows, nothing is revoked."""
    with host(tmp_path) as (place, _), place.daemon() as daemon:
        settle(daemon, 1)
        daemon.ask("revoke", "web", confirm="web", reason="superseded")
        daemon.settle(lambda s: served(s, 2) and len(series_of(s)) == 1)
        assert place.ca.orders[0].status == "canceled"
        daemon.ask("replace", "web", confirm="web", compromised=True)
        daemon.settle(
            lambda s: (
                served(s, 3)
                and len(series_of(s)) == 1
                and place.ca.orders[1].status == "canceled"
            )
        )
        old = f"{place.ca.certificates[0].leaf.serial_number:x}"
        with pytest.raises(ControlError, match="cannot be"):
            daemon.ask("revoke", "web", confirm="web", reason="superseded", serial=old)
        assert not place.ca.revoked
        assert place.ca.orders[2].status == "valid"
