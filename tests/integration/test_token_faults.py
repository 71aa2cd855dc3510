"""Tokens that refuse, vanish, hang or lock, under the whole daemon.

A wrong PIN costs one login, a token that comes back costs nothing, and a module that
never returns takes its own token down, and the process only after a stated limit.
"""

import shutil
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from agent.daemon import EXIT_HUNG
from agent.records.others import AccountRecord, InstanceRecord
from agent.store import Store
from tests.ca import Fault, actions
from tests.integration.scene import (
    ROOT,
    Daemon,
    Status,
    certificate_table,
    scene,
    token_table,
)
from tests.integration.served import table, tls_server
from tests.integration.tokens import PIN, TokenSetup, shim, softhsm, tpm_simulator
from tests.integration.tokens import write_pin as write
from tests.parts.process import Setting, missing, run
from tests.parts.token import TokenTool, tool_missing

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(tool_missing()), reason=tool_missing()),
]
SPEED: Final = 20
IN_TOKEN: Final = 'token = "hsm"'
WRONG: Final = "4321"
DAY: Final = timedelta(days=1)
DIED_IN_LOGIN: Final = 9
no_gcc = pytest.mark.skipif(bool(missing("gcc")), reason=missing("gcc"))


def refused(status: Status) -> bool:
    """Tell whether the daemon knows that the PIN is wrong."""
    return "pin-refused" in status.alarms("hsm")


def tool(setup: TokenSetup) -> TokenTool:
    """Return the token as pkcs11-tool sees it."""
    return TokenTool(module=setup.module, environment=setup.env, pin=PIN)


@no_gcc
def test_a_wrong_pin_costs_one_login_whatever_happens_after(tmp_path: Path) -> None:
    """Days, a SIGKILL and two restarts later it has been tried once."""
    token = shim(tmp_path, softhsm(tmp_path))
    write(token.pin_file, WRONG)
    with scene(tmp_path, token=token, speed=SPEED) as place:
        web = certificate_table("web", IN_TOKEN)
        place.configure(token_table(token), web, account=IN_TOKEN)
        with place.daemon() as daemon:
            daemon.wait(lambda s: refused(s) and s.alarms("web"))
            place.clock.push(2 * DAY)
            daemon.wait(lambda s: s.job("web", "issue")["failures"] > 1)
            daemon.kill()
        for _ in range(2):
            with place.daemon() as daemon:
                status = daemon.wait(lambda s: s.job("web", "issue")["failures"] > 1)
                assert refused(status)
                assert not status.token("hsm")["up"]
                assert status.alarms("web")["issue-failing"]["severity"] == "major"
        assert token.logins == 1
        assert len(place.ca.log) == 0
        write(token.pin_file)
        with place.daemon() as daemon:
            daemon.ask("renew", "web")
            status = daemon.wait(lambda s: s.deployed("web"))
            assert not status.alarms("hsm")
        assert token.logins == 2
    assert WRONG not in place.log()


@no_gcc
def test_a_pin_whose_login_was_cut_short_is_tried_once_more_ever(
    tmp_path: Path,
) -> None:
    """The process dies inside C_Login every time: after two deaths it gives up."""
    token = shim(tmp_path, softhsm(tmp_path))
    write(token.pin_file, WRONG)
    token.start("die-login")
    with scene(tmp_path, token=token, speed=SPEED) as place:
        web = certificate_table("web", IN_TOKEN)
        place.configure(token_table(token), web, account=IN_TOKEN)
        for _ in range(2):
            with place.daemon() as daemon:
                assert daemon.ended() == DIED_IN_LOGIN
        with place.daemon() as daemon:
            daemon.wait(refused)
        token.stop("die-login")
        with place.daemon() as daemon:
            daemon.wait(refused)
    assert token.logins == 2


@no_gcc
def test_a_kill_during_the_login_of_a_good_pin_locks_nobody_out(
    tmp_path: Path,
) -> None:
    """SIGKILL while C_Login hangs: the next start tries once more and goes on."""
    token = shim(tmp_path, softhsm(tmp_path))
    token.start("hang-login")
    with scene(tmp_path, token=token, speed=SPEED) as place:
        web = certificate_table("web", IN_TOKEN)
        place.configure(token_table(token), web, account=IN_TOKEN)
        with place.daemon() as daemon:
            daemon.wait(lambda _: token.logins)
            daemon.kill()
        token.stop("hang-login")
        with place.daemon() as daemon:
            daemon.settle(lambda s: s.deployed("web"))
    assert token.logins == 2


def test_a_token_that_leaves_in_mid_order_and_returns_costs_nothing(
    tmp_path: Path,
) -> None:
    """No failure is counted, and the same order goes on to its certificate."""
    token = softhsm(tmp_path)
    tokens, away = tmp_path / "tokens", tmp_path / "away"
    with scene(tmp_path, token=token, speed=SPEED) as place:
        web = certificate_table("web", IN_TOKEN)
        place.configure(token_table(token), web, account=IN_TOKEN)
        place.ca.faults.add(Fault(resource="authz", action=actions.Delay(0.5)))
        with place.daemon() as daemon:
            daemon.wait(lambda _: place.ca.log.count("authz"))
            shutil.move(tokens, away)
            status = daemon.wait(lambda s: s.job("web", "issue").get("failure"))
            job = status.job("web", "issue")
            assert job["failure"]["kind"].startswith("token.")
            for _ in range(3):
                place.clock.push(timedelta(minutes=2))
                status = daemon.wait(lambda s: not s.job("web", "issue")["running"])
                assert status.job("web", "issue")["failures"] == 0
                assert not status.token("hsm")["up"]
            begun = len(place.ca.log)
            shutil.move(away, tokens)
            status = daemon.settle(lambda s: s.deployed("web"))
            assert status.token("hsm")["up"]
            assert not status.alarms("web")
        assert place.ca.answered_orders == len(place.ca.orders) == 1
        assert "POST newOrder" not in place.ca.log.sequence[begun:]


@no_gcc
def test_a_hung_module_takes_its_token_down_and_nothing_else(tmp_path: Path) -> None:
    """The other certificate goes on; at the limit the process ends, as documented."""
    token = shim(tmp_path, softhsm(tmp_path))
    with scene(tmp_path, token=token, speed=SPEED) as place:
        place.configure(
            token_table(token, deadline="500ms", limit="10m"),
            certificate_table("hung", IN_TOKEN),
            certificate_table("free"),
        )
        with place.daemon() as daemon:
            both_there(daemon, 1)
            token.start("hang-sign")
            daemon.ask("renew", "hung")
            status = daemon.wait(lambda s: s.token("hsm")["reason"].count("hangs"))
            assert not status.token("hsm")["up"]
            daemon.ask("renew", "free")
            daemon.wait(lambda s: s.deployed("free", 2))
            place.clock.push(timedelta(minutes=5))
            status = daemon.wait(
                lambda s: s.job("hung", "issue")["failure"]["kind"] == "token.hung"
            )
            assert status.job("hung", "issue")["failures"] == 0
            place.clock.push(timedelta(minutes=6))
            assert daemon.ended() == EXIT_HUNG
            assert "ending on purpose" in place.log()
        token.stop("hang-sign")
        with place.daemon() as daemon:
            daemon.settle(lambda s: s.deployed("hung", 2))
        assert place.ca.answered_orders == 4


def both_there(daemon: Daemon, publication: int) -> None:
    """Wait until both certificates of a test are deployed."""
    for name in ("hung", "free"):
        daemon.settle_deployed(name, publication)


@no_gcc
def test_a_hung_module_without_work_due_ends_nothing(tmp_path: Path) -> None:
    """Nobody waits for the token: the process stays, and stops when it is told to."""
    token = shim(tmp_path, softhsm(tmp_path))
    token.start("hang-login")
    with scene(tmp_path, token=token, speed=SPEED) as place:
        place.configure(
            token_table(token, deadline="500ms", limit="10m"),
            certificate_table("free"),
        )
        with place.daemon() as daemon:
            daemon.wait(lambda s: s.token("hsm")["reason"].count("hangs"))
            daemon.settle(lambda s: s.deployed("free"))
            place.clock.push(timedelta(minutes=30))
            daemon.ask("renew", "free")
            daemon.wait(lambda s: s.deployed("free", 2))
            daemon.part.signal(signal.SIGTERM)
            assert daemon.ended(10) == 0


def test_a_locked_pin_is_an_alarm_and_is_left_alone(tmp_path: Path) -> None:
    """A TPM that somebody has locked out: critical, and no login makes it worse."""
    with tpm_simulator(tmp_path) as token:
        for _ in range(12):
            login = subprocess.run(
                [
                    *("pkcs11-tool", "--module", token.module, "--login"),
                    *("--pin", WRONG, "--token-label", "nf", "--list-objects"),
                ],
                env=Setting(environment=token.env).complete(),
                capture_output=True,
                check=False,
                timeout=20,
            )
            if b"PIN_LOCKED" in login.stderr:
                break
        else:
            pytest.skip("the simulator does not lock")
        with scene(tmp_path, token=token, speed=SPEED) as place:
            web = certificate_table("web", IN_TOKEN)
            place.configure(token_table(token), web)
            with place.daemon() as daemon:
                status = daemon.wait(lambda s: s.alarms("hsm"))
                alarm = status.alarms("hsm")["pin-locked"]
                assert alarm["severity"] == "critical"
                assert "security officer" in alarm["action"]
                daemon.wait(lambda s: s.alarms("web"))
            assert len(place.ca.orders) == 0


def test_an_orphan_is_reported_and_never_removed(tmp_path: Path) -> None:
    """A key with a label of ours and no record stays, through a renewal."""
    token = softhsm(tmp_path)
    with scene(tmp_path, token=token, speed=SPEED) as place:
        web = certificate_table("web", IN_TOKEN, more='grace = "0s"')
        place.configure(token_table(token), web, account=IN_TOKEN)
        with place.daemon() as daemon:
            daemon.settle(lambda s: s.deployed("web"))
        instance = Store(place.state).get(InstanceRecord, "instance")
        assert instance is not None
        tool(token).generate(f"nfcertd/{instance.install}/web/99", 0x99)
        tool(token).generate("nfcertd/another-host/web/1", 0x77)
        with place.daemon() as daemon:
            answer = daemon.ask("keys")
            assert [orphan["id"] for orphan in answer["orphans"]] == ["99"]
            assert not answer["problems"]
            daemon.ask("renew", "web")
            daemon.settle(lambda s: s.deployed("web", 2))
            daemon.ask("ack", "web")
            daemon.wait(lambda _: len(daemon.ask("keys")["keys"]) == 2)
            assert len(daemon.ask("keys")["orphans"]) == 1
        left = tool(token).private_keys()
        assert left.count("ID:") == 4
        account = Store(place.state).get(AccountRecord, "test")
        assert account is not None
        assert account.key is not None
        assert account.key.id in left


def test_a_key_is_destroyed_only_after_proof_and_grace(tmp_path: Path) -> None:
    """An endpoint that goes on with the old certificate keeps the old key alive."""
    with scene(tmp_path, speed=SPEED) as place:
        home, live = tmp_path / "endpoint", place.state / "live/web"
        with tls_server(home, live, place.address) as server:
            endpoint = f"[[certificate.web.endpoint]]\n{table(home, place.address)}"
            more = f'grace = "24h"\n{endpoint}'
            place.configure(certificate_table("web", more=more))
            with place.daemon() as daemon:
                daemon.settle(lambda s: s.deployed("web"))
                server.feel("ignore")
                daemon.ask("renew", "web")
                daemon.wait(lambda s: s.job("web", "deploy").get("failure"))
                place.clock.push(timedelta(hours=30))
                daemon.wait(lambda s: s.job("web", "deploy")["failures"] > 1)
                assert len(key_files(place.state)) == 3
                server.feel("")
                daemon.settle(lambda s: s.job("web", "retire"))
                assert daemon.status().certificate("web")["deployed"]
                place.clock.push(timedelta(hours=23))
                status = daemon.wait(lambda s: s.job("web", "retire"))
                assert status.job("web", "retire")["next"] == "the key's grace"
                assert len(key_files(place.state)) == 3
                place.clock.push(timedelta(hours=2))
                daemon.wait(lambda _: len(key_files(place.state)) == 2)
                daemon.wait(lambda s: s.deployed("web", 2))
                assert server.serves() == fingerprint(daemon)


def key_files(state: Path) -> list[str]:
    """Return the software keys that exist: of the certificate and of the account."""
    return sorted(path.stem for path in state.glob("keys/*.pem"))


def fingerprint(daemon: Daemon) -> str:
    """Return the fingerprint of the newest certificate."""
    return str(daemon.status().certificate("web")["fingerprint"])


def test_a_key_without_proof_waits_for_an_operator_or_the_end(tmp_path: Path) -> None:
    """Where nobody can be asked, the old key outlives its grace until `ack`."""
    token = softhsm(tmp_path)
    with scene(tmp_path, token=token, speed=SPEED) as place:
        web = certificate_table("web", IN_TOKEN, more='grace = "1h"')
        place.configure(token_table(token), web)
        with place.daemon() as daemon:
            daemon.settle(lambda s: s.deployed("web"))
            daemon.ask("renew", "web")
            daemon.settle(lambda s: s.deployed("web", 2))
            place.clock.push(2 * DAY)
            daemon.wait(lambda s: s.deployed("web", 2))
            assert tool(token).private_keys().count("ID:") == 2
            daemon.ask("ack", "web")
            daemon.wait(lambda s: s.job("web", "retire"))
            assert tool(token).private_keys().count("ID:") == 2
            place.clock.push(timedelta(hours=2))
            daemon.wait(lambda s: s.deployed("web", 2))
            assert tool(token).private_keys().count("ID:") == 1


def test_a_missing_pin_is_awaited(tmp_path: Path) -> None:
    """No PIN file, no login, no failure counted; with the file it goes on by itself."""
    token = softhsm(tmp_path)
    token.pin_file.unlink()
    with scene(tmp_path, token=token, speed=SPEED) as place:
        web = certificate_table("web", IN_TOKEN)
        place.configure(token_table(token), web)
        with place.daemon() as daemon:
            status = daemon.wait(lambda s: s.job("web", "issue").get("failure"))
            assert status.job("web", "issue")["failure"]["kind"] == "token.pin-missing"
            assert status.job("web", "issue")["failures"] == 0
            write(token.pin_file)
            daemon.settle(lambda s: s.deployed("web"))


def test_a_daemon_without_tokens_loads_no_pkcs11(tmp_path: Path) -> None:
    """Software keys only: the binding, and its memory, stay out of the process."""
    with scene(tmp_path, speed=SPEED) as place:
        place.configure(certificate_table("web"))
        with place.daemon() as daemon:
            daemon.settle(lambda s: s.deployed("web"))
            maps = Path(f"/proc/{daemon.part.pid}/maps").read_text()
            assert "pkcs11" not in maps
        argv = [sys.executable, "-m", "agent", "check", "--config", str(place.config)]
        run(argv, Setting(directory=ROOT))
