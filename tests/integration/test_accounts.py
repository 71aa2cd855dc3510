"""Accounts of a real daemon: key roll-over in a token, contacts, terms, the end.

The test CA checks every signature with the key that is in force: an order that succeeds
proves which key the daemon signs with.
"""

from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from agent.control.verbs import ControlError
from tests.ca import Config, Fault, actions
from tests.ca.jose import b64encode
from tests.integration.offices import IN_TOKEN, has_key_other_than, is_quiet
from tests.integration.offices import office as an_office
from tests.integration.scene import Daemon, Status
from tests.parts.token import tool_missing

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(tool_missing()), reason=tool_missing()),
]
DAY: Final = timedelta(days=1)
EAB_KEY: Final = bytes(range(32))


def enrolled(daemon: Daemon) -> str:
    """Wait for the first certificate, and return the id of the account key."""
    daemon.settle_deployed("web")
    return str(daemon.status().account()["key"])


def renewed(daemon: Daemon, publication: int) -> None:
    """Show that an order succeeds."""
    daemon.ask("renew", "web")
    daemon.settle_deployed("web", publication)


def replaced(daemon: Daemon, key: str) -> None:
    """Wait until another key than this is in force, and the only one."""
    daemon.settle(lambda status: has_key_other_than(status, key))


def test_a_key_is_rolled_by_command_by_age_and_by_its_table(tmp_path: Path) -> None:
    """Each time in the token or out of it, the account stays and goes on ordering."""
    with an_office(tmp_path / "office") as office:
        office.configure(settings="")
        with office.place.daemon() as daemon:
            first = enrolled(daemon)
            daemon.ask("account-roll", "test")
            replaced(daemon, first)
            assert list(office.wrong()) == []
            renewed(daemon, 2)
            office.configure(f'{IN_TOKEN}, rotate = "10d"')
            daemon.ask("reload")
            assert is_quiet(daemon.status())
            second = office.key.id
            daemon.clock.push(10 * DAY)
            replaced(daemon, second)
            third = office.key.id
            office.configure(f'{IN_TOKEN}, type = "ec-p384"')
            daemon.ask("reload")
            replaced(daemon, third)
            assert list(office.wrong()) == []
            office.configure("file = true")
            daemon.ask("reload")
            replaced(daemon, office.key.id)
            assert office.key.store == "file"
            assert list(office.wrong()) == []
            renewed(daemon, 3)
        log = office.place.ca.log
        assert log.count("keyChange", status=200) == 4
        assert log.count("newAccount", status=200) == 4


@pytest.mark.parametrize("way", ["refused", "missing"])
def test_a_ca_that_does_not_change_keys_leaves_the_old_one(
    tmp_path: Path, way: str
) -> None:
    """With an alarm, no key too many, and orders as before, until it is cancelled."""
    lacks = {"keyChange": None} if way == "missing" else {}
    with an_office(tmp_path / "office", Config(directory=lacks)) as office:
        office.configure()
        refusal = Fault(resource="keyChange", action=actions.not_done(), times=None)
        office.place.ca.faults.add(refusal)
        with office.place.daemon() as daemon:
            first = enrolled(daemon)
            daemon.ask("account-roll", "test")
            status = daemon.wait(lambda s: "roll-failing" in s.alarms("test"))
            daemon.wait(lambda s: len(s.account()["jobs"]) == 1)
            assert status.alarms("test")["roll-failing"]["severity"] == "major"
            wanted = "keyChange" if way == "missing" else "does not do it"
            assert wanted in status.alarms("test")["roll-failing"]["cause"]
            assert list(office.wrong()) == []
            renewed(daemon, 2)
            daemon.ask("account-roll", "test", cancel=True)
            daemon.wait(is_quiet)
            # The CA is called so as well, and its clock may be pushed in an answer.
            alarms = daemon.status().alarms("test").values()
            assert [a for a in alarms if a["kind"] == "account"] == []
            assert daemon.status().account()["key"] == first
            assert list(office.wrong()) == []


def test_a_lost_answer_to_a_key_change_is_found_out(tmp_path: Path) -> None:
    """The CA changed the key and nobody heard of it: the new key shows it."""
    with an_office(tmp_path / "office") as office:
        office.configure()
        lost = Fault(resource="keyChange", action=actions.DropAfter())
        office.place.ca.faults.add(lost)
        with office.place.daemon() as daemon:
            first = enrolled(daemon)
            daemon.ask("account-roll", "test")
            replaced(daemon, first)
            assert list(office.wrong()) == []
            renewed(daemon, 2)
        assert office.place.ca.log.count("keyChange") == 1


def test_a_key_change_waits_for_an_open_challenge(tmp_path: Path) -> None:
    """Its proof contains the thumbprint; the order that it belongs to succeeds."""
    with an_office(tmp_path / "office", speed=1) as office:
        office.configure()
        with office.place.daemon() as daemon:
            first = enrolled(daemon)
            slow = actions.Processing(polls=6)
            office.place.ca.faults.add(Fault(resource="challenge", action=slow))
            daemon.ask("renew", "web")
            daemon.wait(lambda s: s.job("web", "issue").get("phase") == "answering")
            daemon.ask("account-roll", "test")
            daemon.wait(lambda s: "order of web" in s.account()["jobs"][0]["next"])
            replaced(daemon, first)
            daemon.settle_deployed("web", 2)
        log = office.place.ca.log.sequence
        assert log.index("POST keyChange") > max(
            number for number, one in enumerate(log) if one == "POST authz"
        )
        assert office.place.ca.answered_orders == 2


def test_contacts_follow_the_configuration(tmp_path: Path) -> None:
    """The CA is told of a change, and of nothing else."""
    with an_office(tmp_path / "office") as office:
        office.configure(settings='contact = ["mailto:a@example.org"]')
        with office.place.daemon() as daemon:
            enrolled(daemon)
            assert office.place.ca.accounts[0].contact == ["mailto:a@example.org"]
            assert office.place.ca.log.count("account") == 0
            office.configure(settings='contact = ["mailto:b@example.org"]')
            daemon.ask("reload")
            daemon.settle(lambda s: s.account()["contact"] == ["mailto:b@example.org"])
            assert office.place.ca.accounts[0].contact == ["mailto:b@example.org"]
            assert office.place.ca.log.count("account") == 1


def test_changed_terms_are_the_operators(tmp_path: Path) -> None:
    """They are shown with their pages, not asked for again, and then it goes on."""
    terms, page = "https://ca.example/terms/2", "https://ca.example/agree"
    with an_office(tmp_path / "office") as office:
        office.configure()
        with office.place.daemon() as daemon:
            enrolled(daemon)
            refusal = actions.action_required(terms, page)
            fault = Fault(resource="newOrder", action=refusal, times=None)
            armed = office.place.ca.faults.add(fault)
            daemon.ask("renew", "web")
            status = daemon.wait(lambda s: "action-required" in s.alarms("test"))
            alarm = status.alarms("test")["action-required"]
            assert page in alarm["action"]
            assert terms in alarm["action"]
            assert "userActionRequired" in alarm["cause"]
            daemon.clock.push(timedelta(minutes=30))
            daemon.wait(lambda s: not s.job("web", "issue")["running"])
            assert armed.struck == 1
            office.place.ca.faults.remove(armed)
            renewed(daemon, 2)
            assert daemon.status().alarms("test") == {}


def test_an_account_is_given_up_for_good(tmp_path: Path) -> None:
    """Its key goes, its certificate says what it waits for, nothing more is asked."""
    with an_office(tmp_path / "office") as office:
        office.configure()
        with office.place.daemon() as daemon:
            enrolled(daemon)
            with pytest.raises(ControlError, match="not confirmed"):
                daemon.ask("account-deactivate", "test")
            daemon.ask("account-deactivate", "test", confirm="test")
            closed = daemon.settle(_is_closed)
            assert "closed" in closed.alarms("test")
            assert office.place.ca.accounts[0].status == "deactivated"
            assert (office.record.key, office.record.keys) == (None, ())
            daemon.ask("renew", "web")
            status = daemon.wait(lambda s: s.job("web", "issue").get("next"))
            daemon.wait(lambda s: "for good" in s.job("web", "issue")["next"])
            assert status.deployed("web") is False
            with pytest.raises(ControlError, match="for good"):
                daemon.ask("account-roll", "test")
        assert office.place.ca.answered_orders == 1


def _is_closed(status: Status) -> bool:
    account = status.account()
    return not account["valid"] and not account["jobs"] and not account["key"]


def test_a_binding_is_used_for_one_registration(tmp_path: Path) -> None:
    """A CA that loses the account gets no second one before there is a new binding."""
    keys = {"nf-1": EAB_KEY, "nf-2": EAB_KEY}
    config = Config(eab_keys=keys, eab_required=True, eab_once=True)
    with an_office(tmp_path / "office", config) as office:
        secret = office.place.home / "eab"
        secret.write_text(b64encode(EAB_KEY))
        binding = 'eab = {{ kid = "{}", key = "file:{}" }}'
        office.configure(settings=binding.format("nf-1", secret))
        ca = office.place.ca
        with office.place.daemon() as daemon:
            enrolled(daemon)
            asked = ca.log.count("newAccount")
            ca.forget_everything()
            daemon.ask("renew", "web")
            status = daemon.settle(lambda s: "register-failing" in s.alarms("test"))
            alarm = status.alarms("test")["register-failing"]
            assert "nf-1 was used" in alarm["cause"]
            assert "new external account binding" in alarm["action"]
            assert ca.log.count("newAccount") == asked
            office.configure(settings=binding.format("nf-2", secret))
            daemon.ask("reload")
            daemon.settle_deployed("web", 2)
            assert [account.eab_kid for account in ca.accounts] == ["nf-2"]
            assert office.record.eab_used == ("nf-1", "nf-2")


def test_a_ca_that_wants_a_binding_is_heard(tmp_path: Path) -> None:
    """The alarm names the setting, and a binding registers without a day's wait."""
    config = Config(eab_keys={"nf-1": EAB_KEY}, eab_required=True)
    with an_office(tmp_path / "office", config) as office:
        secret = office.place.home / "eab"
        secret.write_text(b64encode(EAB_KEY))
        office.configure()
        with office.place.daemon() as daemon:
            status = daemon.wait(lambda s: "register-failing" in s.alarms("test"))
            assert (
                "account.test.eab"
                in status.alarms("test")["register-failing"]["action"]
            )
            settings = f'eab = {{ kid = "nf-1", key = "file:{secret}" }}'
            office.configure(settings=settings)
            daemon.ask("reload")
            daemon.settle_deployed("web")
