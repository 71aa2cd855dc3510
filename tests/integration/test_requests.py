"""The requests of an enrolment and of a renewal, exactly, as the CA saw them.

No request beyond what the protocol needs: an account that exists, one name and a CA
that validates at once cost seven requests, and a process one directory and one nonce.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from tests.ca import Authorizations, Config, Fault, PayloadKind, Profile, actions
from tests.integration.scene import Daemon, Scene, Status, certificate_table, scene

pytestmark = pytest.mark.integration

START: Final = ["GET directory", "HEAD newNonce"]
ACCOUNT: Final = ["POST newAccount"]
PROOF: Final = ["POST authz", "POST challenge", "POST authz"]
ORDER: Final = ["POST newOrder", *PROOF, "POST finalize", "POST certificate"]
POLLED: Final = [*ORDER[:-1], *["POST order"] * 3, "POST certificate"]
SPEED: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A CA and what it is to be asked.

    Attributes:
        config: The CA.
        names: What the certificate names.
        enrolment: Requests after directory, nonce and account.
        renewal: Requests of a renewal.
    """

    config: Config
    names: tuple[str, ...] = ("web.example",)
    enrolment: list[str]
    renewal: list[str]


CASES: Final = {
    "one name": Case(config=Config(), enrolment=ORDER, renewal=ORDER),
    "an order that is valid at the third look": Case(
        config=Config(order_polls=2), enrolment=POLLED, renewal=POLLED
    ),
    "two names, both answered before either is polled": Case(
        config=Config(),
        names=("one.example", "two.example"),
        enrolment=[
            "POST newOrder",
            *["POST authz"] * 2,
            *["POST challenge"] * 2,
            *["POST authz"] * 2,
            "POST finalize",
            "POST certificate",
        ],
        renewal=[
            "POST newOrder",
            *["POST authz"] * 2,
            *["POST challenge"] * 2,
            *["POST authz"] * 2,
            "POST finalize",
            "POST certificate",
        ],
    ),
    "a challenge that is processing for two looks": Case(
        config=Config(challenge_polls=2),
        enrolment=[*ORDER[:4], *["POST authz"] * 2, *ORDER[4:]],
        renewal=[*ORDER[:4], *["POST authz"] * 2, *ORDER[4:]],
    ),
    "a renewal whose name is proven still": Case(
        config=Config(reuse_authorizations=True),
        enrolment=ORDER,
        renewal=["POST newOrder", "POST finalize", "POST certificate"],
    ),
    "an order that is born ready": Case(
        config=Config(authorizations=Authorizations.NONE),
        enrolment=["POST newOrder", "POST finalize", "POST certificate"],
        renewal=["POST newOrder", "POST finalize", "POST certificate"],
    ),
}


@contextmanager
def enrolling(home: Path, case: Case) -> Iterator[Scene]:
    """Make a scene with one certificate that no endpoint uses."""
    with scene(home, case.config, speed=SPEED) as place:
        place.configure(certificate_table("web", names=case.names))
        yield place


def issued(number: int) -> Callable[[Status], bool]:
    """Return a check: the n-th certificate is there and nothing is under way."""
    return lambda status: status.deployed("web", number)


def renew(daemon: Daemon, number: int) -> None:
    """Ask for a renewal and wait for its certificate."""
    daemon.ask("renew", "web")
    daemon.wait(issued(number))


@pytest.mark.parametrize("name", CASES)
def test_an_enrolment_and_two_renewals_ask_for_no_more_than_they_need(
    tmp_path: Path, name: str
) -> None:
    """A renewal in the same process begins with newOrder; a restart costs two."""
    case = CASES[name]
    with enrolling(tmp_path, case) as place:
        with place.daemon() as daemon:
            daemon.wait(issued(1))
            assert place.ca.log.sequence == [*START, *ACCOUNT, *case.enrolment]
            begun = len(place.ca.log)
            renew(daemon, 2)
            assert place.ca.log.sequence[begun:] == case.renewal
        begun = len(place.ca.log)
        with place.daemon() as daemon:
            renew(daemon, 3)
        assert place.ca.log.sequence[begun:] == [*START, *case.renewal]
        assert place.ca.answered_orders == 3


def test_authorizations_that_are_born_valid_are_not_answered(tmp_path: Path) -> None:
    """An order whose authorizations are listed and valid is finalized at once."""
    config = Config(authorizations=Authorizations.BORN_VALID)
    case = Case(config=config, enrolment=[], renewal=[])
    with enrolling(tmp_path, case) as place, place.daemon() as daemon:
        daemon.wait(issued(1))
        wanted = ["POST newOrder", "POST finalize", "POST certificate"]
        assert place.ca.log.sequence == [*START, *ACCOUNT, *wanted]


def test_an_account_that_exists_is_found_by_its_key(tmp_path: Path) -> None:
    """A lost answer to newAccount costs one newAccount more, and no second account."""
    with enrolling(tmp_path, CASES["one name"]) as place:
        place.ca.faults.add(Fault(resource="newAccount", action=actions.DropAfter()))
        with place.daemon() as daemon:
            daemon.settle(issued(1))
        assert [entry.status for entry in place.ca.log.of("newAccount")] == [0, 200]
        assert len(place.ca.accounts) == 1
        wanted = [*START, *ACCOUNT, "HEAD newNonce", *ACCOUNT, *ORDER]
        assert place.ca.log.sequence == wanted


def test_an_account_that_the_ca_has_lost_is_registered_again(tmp_path: Path) -> None:
    """A CA that lost its state gets the same key once more, and then the order."""
    with enrolling(tmp_path, CASES["one name"]) as place:
        with place.daemon() as daemon:
            daemon.wait(issued(1))
            place.ca.forget_everything()
            begun = len(place.ca.log)
            daemon.ask("renew", "web")
            daemon.settle(issued(2))
            assert len(place.ca.accounts) == 1
        after = list(place.ca.log)[begun:]
        answers = [e.problem.rpartition(":")[2] or e.status for e in after]
        # With its accounts the CA has lost the nonces that it had given out.
        told = ["badNonce", "accountDoesNotExist", 201, 201]
        assert answers[: len(told)] == told
        assert [str(e) for e in after[3:]] == ORDER


def test_a_renewal_begins_by_itself_when_it_is_due(tmp_path: Path) -> None:
    """Half of a short life passes without a request; then comes the renewal."""
    config = Config(profile=Profile(lifetime=timedelta(days=4)))
    case = Case(config=config, enrolment=ORDER, renewal=ORDER)
    with enrolling(tmp_path, case) as place, place.daemon() as daemon:
        daemon.wait(issued(1))
        begun = len(place.ca.log)
        place.clock.push(timedelta(days=1, hours=18))
        daemon.wait(lambda status: not status.certificate("web")["jobs"])
        assert len(place.ca.log) == begun
        place.clock.push(timedelta(hours=7))
        daemon.wait(issued(2))
        renewal = place.ca.log.sequence[begun:]
        # The directory is asked for once a day, nonces are let go by an idle daemon.
        assert renewal == [*START, *ORDER]


def test_payloads_are_what_the_protocol_wants(tmp_path: Path) -> None:
    """Reads are POST-as-GET, the answer to a challenge is the empty object."""
    with enrolling(tmp_path, CASES["one name"]) as place, place.daemon() as daemon:
        daemon.wait(issued(1))
        kinds = {entry.resource: entry.payload_kind for entry in place.ca.log}
        assert kinds["authz"] == kinds["certificate"] == PayloadKind.POST_AS_GET
        assert kinds["challenge"] == PayloadKind.EMPTY
        assert kinds["newOrder"] == kinds["finalize"] == PayloadKind.OBJECT


def test_refused_nonces_cost_one_request_each_and_no_order(tmp_path: Path) -> None:
    """Every other POST is refused as badNonce, and goes again with the nonce given."""
    with enrolling(tmp_path, CASES["one name"]) as place:
        place.ca.faults.add(
            Fault(
                resource=None,
                action=actions.bad_nonce(),
                method="POST",
                every=2,
                times=None,
            )
        )
        with place.daemon() as daemon:
            daemon.wait(issued(1))
        refused = [e for e in place.ca.log if e.problem.endswith("badNonce")]
        answered = [str(e) for e in place.ca.log if e not in refused]
        assert answered == [*START, *ACCOUNT, *ORDER]
        assert len(refused) == len(ACCOUNT) + len(ORDER)
        assert place.ca.answered_orders == 1
