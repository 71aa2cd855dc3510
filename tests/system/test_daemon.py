"""The real daemon, unit and command line in a booted systemd, from start to stop.

One machine is booted; `story` does in it what an operator does, and these tests judge
what was seen. `host` says what stands around the daemon.
"""

import json
import shutil
from collections import Counter
from typing import Any

import pytest

from tests.parts.nginx import nginx_missing
from tests.system.booted import BootedSystem, missing
from tests.system.host import furnish, module
from tests.system.story import IDLE


def lacking() -> str:
    """Return why the story cannot be told here, empty if it can."""
    if missing():
        return missing()
    for program in ("pkaction", "softhsm2-util", "setpriv"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return "" if module() else "softhsm2 is not installed"


pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(lacking()), reason=lacking() or "all is here"),
    pytest.mark.skipif(
        bool(nginx_missing(engine_too=True)), reason=nginx_missing(engine_too=True)
    ),
]

SCRIPT = """
nfcertd-python -m tests.system.story
told=$?
journalctl -b --no-pager -u nfcertd -o short-precise | tail -n 100
exit $told
"""
Facts = dict[str, Any]
NAMES = ["in-file", "in-token"]
ORDERED = dict.fromkeys(("newOrder", "challenge", "finalize", "certificate"), 4)


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    """Boot once, and return what was seen at each step."""
    scratch = tmp_path_factory.mktemp("daemon")
    with BootedSystem.prepared(scratch / "machine") as machine:
        furnish(machine, scratch)
        outcome = machine.run(SCRIPT)
        seen = machine.read("probe/facts.json")
    assert outcome.status == 0, outcome.output + outcome.console
    found: Facts = json.loads(seen)
    return found


def certificates(status: Facts) -> dict[str, Facts]:
    """Return the certificates of a status by name."""
    return {one["name"]: one for one in status["certificates"]}


def test_start_returns_when_the_daemon_is_ready(facts: Facts) -> None:
    """The unit is active, says how it fares, and answers, before any certificate."""
    seen = facts["start"]
    assert seen["active"] == "active"
    assert seen["text"] == "0 of 2 certificates deployed"
    assert seen["healthz"] == 200
    assert seen["start_job"] >= seen["to_ready"]


def test_ready_comes_within_a_second(facts: Facts) -> None:
    """Of four starts under load the best shows what the daemon itself needs."""
    again = ("restarted", "hung", "killed")
    starts = [facts["restarts"][how]["to_ready"] for how in again]
    starts.append(facts["start"]["to_ready"])
    assert 0 < min(starts) <= 1.0, starts


def test_the_daemon_has_no_privilege(facts: Facts) -> None:
    """It runs as its own user, without any capability."""
    assert facts["start"]["user"] == "nfcertd"
    assert int(facts["start"]["capabilities"], 16) == 0


def test_the_running_unit_is_hardly_exposed(facts: Facts) -> None:
    """Asked online, with drop-ins for SoftHSM2, PIN and group, and with CAP_KILL."""
    assert 0 < facts["exposure"]["running"] <= 1.8
    assert facts["exposure"]["running"] <= facts["exposure"]["signal"] <= 2.0


def test_the_configuration_is_found_valid(facts: Facts) -> None:
    """`nfcertd check` ends with 0 before anything was started."""
    code, output = facts["prepare"]["check"]
    assert code == 0, output
    assert output.endswith("is valid: 2 certificates\n")


@pytest.mark.parametrize("name", NAMES)
def test_a_certificate_is_enrolled_and_served(facts: Facts, name: str) -> None:
    """Key, order through the handed-over port 80, signal by systemd, proof by wire."""
    seen = certificates(facts["enrol"]["status"])[name]
    assert (seen["state"], seen["orders"], seen["publication"]) == ("deployed", 1, 1)
    assert [endpoint["by"] for endpoint in seen["endpoints"]] == ["wire"]
    # As numbers: one in 256 begins with zeros, which not everybody writes.
    assert int(facts["enrol"]["served"][name], 16) == int(seen["serial"], 16)


def test_the_token_is_used_with_the_pin_of_a_credential(facts: Facts) -> None:
    """The token is up, its PIN was accepted, and all is well."""
    status = facts["enrol"]["status"]
    assert [(one["up"], one["pin"]) for one in status["tokens"]] == [(True, "accepted")]
    assert status["alarms"] == []
    assert status["exit"] == 0


def test_status_is_a_table_for_people(facts: Facts) -> None:
    """It names every certificate with its state."""
    lines = facts["enrol"]["table"].splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("in-")] == [
        [name, "deployed"] for name in NAMES
    ]


STATE = "/var/lib/nfcertd"
RIGHTS = {
    STATE: "drwx--x--x nfcertd nfcertd",
    f"{STATE}/records": "drwx------ nfcertd nfcertd",
    f"{STATE}/records/certificate": "drwx------ nfcertd nfcertd",
    f"{STATE}/records/certificate/in-token.json": "-rw------- nfcertd nfcertd",
    f"{STATE}/records/token/hsm.json": "-rw------- nfcertd nfcertd",
    f"{STATE}/keys": "drwx------ nfcertd nfcertd",
    f"{STATE}/live": "drwxr-xr-x nfcertd nfcertd",
    f"{STATE}/certificates/in-file": "drwxr-xr-x nfcertd nfcertd",
    f"{STATE}/certificates/in-file/1": "drwxr-xr-x nfcertd nfcertd",
    f"{STATE}/certificates/in-file/1/fullchain.pem": "-rw-r--r-- nfcertd nfcertd",
    f"{STATE}/certificates/in-file/1/key.pem": "-rw-r----- nfcertd web",
    f"{STATE}/certificates/in-file/1/combined.pem": "-rw-r----- nfcertd web",
    f"{STATE}/certificates/in-token/1/key.pem": "-rw-r--r-- nfcertd nfcertd",
    "/run/nfcertd/status.sock": "srw-rw---- nfcertd nfcertd-read",
    "/run/nfcertd/control.sock": "srw-rw---- nfcertd nfcertd-admin",
}


@pytest.mark.parametrize("path", RIGHTS)
def test_files_and_sockets_have_the_rights_that_are_promised(
    facts: Facts, path: str
) -> None:
    """Mode, owner and group, although the unit's umask is 0077."""
    assert facts["rights"][path] == RIGHTS[path]


def test_no_secret_can_be_read_or_anything_be_written_by_others(facts: Facts) -> None:
    """Records and kept keys are the daemon's alone; nobody else writes anywhere."""
    for path, rights in facts["rights"].items():
        private = path.startswith((f"{STATE}/records", f"{STATE}/keys"))
        assert not private or rights[4:10] == "------", path
        assert rights[0] in "ls" or rights[8] == "-", path


@pytest.mark.parametrize(
    ("who", "certificate", "key", "record"),
    [("alice", True, False, False), ("worker", True, True, False)],
)
def test_certificates_are_public_and_keys_are_their_groups(
    facts: Facts, who: str, certificate: bool, key: bool, record: bool
) -> None:
    """Anybody reads certificates, the group reads the key, nobody reads records."""
    wanted = {"certificate": certificate, "key": key, "record": record}
    seen = {what: facts["readers"][f"{who} {what}"] == 0 for what in wanted}
    assert seen == wanted


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        *(("alice status", 3), ("alice keys", 3), ("alice renew", 3)),
        *(("reader status", 0), ("reader keys", 0), ("reader renew", 3)),
        *(("admin status", 0), ("admin keys", 0), ("admin renew", 0)),
        ("unknown", 4),
    ],
)
def test_groups_decide_who_may_ask(facts: Facts, asked: str, code: int) -> None:
    """Readers look, administrators operate, others find no daemon they may talk to."""
    seen, output = facts["askers"]["exits"][asked]
    assert seen == code, output
    assert code != 3 or "permission denied" in output


@pytest.mark.parametrize(
    ("step", "name"), [("askers", "in-token"), ("renew", "in-file")]
)
def test_a_renewal_that_was_asked_for_is_served(
    facts: Facts, step: str, name: str
) -> None:
    """By a member of the group; by root after the daemon was killed."""
    seen = facts[step]
    assert seen["served"] != seen["before"]
    assert int(seen["served"], 16) == int(seen["status"]["serial"], 16)
    about = seen["status"]
    assert (about["name"], about["state"], about["orders"]) == (name, "deployed", 2)
    assert (about["publication"], about["endpoints"][0]["proven"]) == (2, 2)


def test_after_all_of_it_status_ends_well(facts: Facts) -> None:
    """`nfcertd renew` and `nfcertd status` end with 0."""
    assert facts["renew"]["answer"][0] == 0
    assert facts["renew"]["exit"] == 0


def test_a_bad_configuration_changes_nothing_and_is_told(facts: Facts) -> None:
    """The unit stays active with what it had, and status, text and exit code say so."""
    bad = facts["reload"]["bad"]
    assert (bad["reload"], bad["active"]) == (0, "active")
    assert "new configuration refused" in bad["text"]
    assert bad["status"]["exit"] == 1
    assert not bad["status"]["config"]["reload_ok"]
    assert "unknown key" in bad["status"]["config"]["problems"][0]
    assert list(certificates(bad["status"])) == NAMES
    assert bad["served"] == facts["askers"]["served"]


def test_the_verb_reload_says_what_is_wrong(facts: Facts) -> None:
    """`nfcertd reload` ends with 4 where `systemctl reload` cannot tell."""
    code, output = facts["reload"]["bad"]["verb"]
    assert code == 4
    assert "unknown key" in output


def test_a_good_configuration_applies(facts: Facts) -> None:
    """The same process enrols the certificate that was added."""
    good = facts["reload"]["good"]
    assert (good["reload"], good["active"], good["same"]) == (0, "active", True)
    assert good["status"]["config"]["reload_ok"]
    assert certificates(good["status"])["third"]["state"] == "deployed"
    assert good["text"].startswith("3 of 3 certificates deployed")
    assert "refused" not in good["text"]


def test_an_idle_daemon_feeds_its_watchdog(facts: Facts) -> None:
    """Over three periods without work the process stays the same."""
    before, after = facts["restarts"]["restarted"], facts["restarts"]["idle"]
    assert after["MainPID"] == before["MainPID"]
    assert (after["NRestarts"], after["timeouts"]) == ("0", 0)


def test_an_idle_daemon_sleeps(facts: Facts) -> None:
    """It wakes to feed its watchdog, here once a second, and hardly for anything."""
    assert facts["restarts"]["idle"]["woken"] <= IDLE + 3


def test_a_hung_daemon_is_replaced(facts: Facts) -> None:
    """Stopped by SIGSTOP, it is ended by the watchdog and comes back ready."""
    hung = facts["restarts"]["hung"]
    assert (hung["ActiveState"], hung["NRestarts"]) == ("active", "1")
    assert hung["timeouts"] == 1
    assert hung["MainPID"] != facts["restarts"]["idle"]["MainPID"]


def test_a_killed_daemon_comes_back(facts: Facts) -> None:
    """SIGKILL costs one restart, and the new process says at once how it fares."""
    killed = facts["restarts"]["killed"]
    assert (killed["ActiveState"], killed["NRestarts"]) == ("active", "2")
    assert killed["StatusText"].startswith("3 of 3 certificates deployed")


def test_restarts_cost_nothing_at_the_ca(facts: Facts) -> None:
    """Restarted, hung and killed, the daemon orders nothing and asks the CA nothing."""
    before, after = facts["restarts"]["before"], facts["restarts"]["after"]
    assert (
        after["orders"]
        == before["orders"]
        == {
            "in-file": 1,
            "in-token": 2,
            "third": 1,
        }
    )
    assert after["requests"] == before["requests"]


def test_four_certificates_were_four_orders_of_one_account(facts: Facts) -> None:
    """Nothing is asked twice; how often an authorization is polled is the CA's pace."""
    counted = Counter(facts["restarts"]["before"]["requests"])
    assert {name: counted[f"POST {name}"] for name in ORDERED} == ORDERED
    assert counted["POST newAccount"] == counted["GET directory"] == 1


def test_the_daemon_stays_small(facts: Facts) -> None:
    """Idle, with three certificates and a token, it is below 50 MiB."""
    assert 0 < facts["restarts"]["idle"]["pss"] <= 50 * 1024


def test_stop_is_orderly_and_leaves_the_endpoints_alone(facts: Facts) -> None:
    """It ends with 0, its sockets are gone, and nginx serves what it served."""
    seen = facts["stop"]
    assert (seen["result"], seen["exit"], seen["sockets"]) == ("success", "0", [])
    assert seen["took"] < 10
    assert seen["status"][0] == 3
    assert seen["web"] == {
        "in-token": facts["askers"]["served"],
        "in-file": facts["renew"]["served"],
    }


def test_a_stranger_at_port_80_does_not_start_it_again(facts: Facts) -> None:
    """Who knocked while it was idle is forgotten at its stop, and it stays stopped."""
    assert facts["stop"]["active"] == "inactive"
    assert facts["stop"]["socket"] == "active"


def test_a_refused_configuration_fails_the_start_and_is_tried_again(
    facts: Facts,
) -> None:
    """The start ends with status 5; once the file is repaired it starts by itself."""
    seen = facts["refuse"]
    assert seen["start"] != 0
    assert seen["exit"] == "5"
    assert seen["text"].startswith("3 of 3 certificates deployed")
