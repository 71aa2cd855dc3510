"""A SoftHSM2 token that is taken away, refuses a PIN, or whose module hangs."""

import asyncio
import shutil
import subprocess

import msgspec
import pytest

from agent.keys.errors import (
    KeyMissingError,
    PinMissingError,
    PinRefusedError,
    PinUnprovenError,
    TokenAbsentError,
    TokenHungError,
)
from agent.records.keys import PinStatus
from tests.integration import tokens
from tests.integration.softhsm_host import (
    Host,
    eventually,
    host,
    pkcs11_tool,
    record,
    shim_of,
    shimmed,
    token,
)

__all__ = ["host", "shimmed", "token"]

pytestmark = pytest.mark.integration


async def test_a_token_taken_away_and_put_back_works_again(host: Host) -> None:
    """Absence is an error of its own; return needs no restart; one login each time."""
    keys = host.start()
    await keys.make(record())
    tokens_dir, away = host.tmp / "tokens", host.tmp / "away"
    shutil.move(tokens_dir, away)
    for _ in range(2):
        with pytest.raises(TokenAbsentError):
            await keys.sign(record(), b"data")
        with pytest.raises(TokenAbsentError):
            await keys.check("hsm")
    status = keys.status()["hsm"]
    assert (status.up, status.hung_since) == (False, None)
    assert status.reason
    shutil.move(away, tokens_dir)
    assert (await keys.check("hsm")).up
    assert await keys.sign(record(), b"data")
    assert host.ledger.load("hsm").status is PinStatus.ACCEPTED


async def test_an_absent_token_is_noticed_while_making_and_listing(host: Host) -> None:
    """An empty answer of a vanished token is not taken for an empty token."""
    keys = host.start()
    await keys.check("hsm")
    shutil.move(host.tmp / "tokens", host.tmp / "away")
    with pytest.raises(TokenAbsentError):
        await keys.make(record())
    with pytest.raises(TokenAbsentError):
        await keys.list_keys("hsm")
    with pytest.raises(TokenAbsentError):
        await keys.destroy(record())


async def test_a_token_initialised_anew_has_lost_its_keys(host: Host) -> None:
    """A wiped token reports the key as missing and makes new ones."""
    keys = host.start()
    made = await keys.make(record())
    used = msgspec.structs.replace(record(), public=made.public)
    tokens.softhsm_init(host.setup, "--token", "nf", "--label", "nf")
    with pytest.raises(KeyMissingError):
        await keys.sign(used, b"data")
    await keys.make(record(2))
    assert await keys.sign(record(2), b"data")


async def test_a_wrong_pin_costs_one_login_ever(shimmed: Host) -> None:
    """Neither calls nor restarts try a refused PIN again; a new PIN is tried once."""
    shim = shim_of(shimmed)
    tokens.write_pin(shim.pin_file, "9999")
    for _ in range(3):
        keys = shimmed.start()
        for _ in range(2):
            with pytest.raises(PinRefusedError):
                await keys.check("hsm")
        await shimmed.stop()
    assert shim.logins == 1
    tokens.write_pin(shim.pin_file, tokens.PIN)
    keys = shimmed.start()
    await keys.make(record())
    assert (await keys.check("hsm")).up
    assert shim.logins == 2
    assert shimmed.ledger.load("hsm").status is PinStatus.ACCEPTED


async def test_only_a_pin_that_a_login_has_proven_is_handed_on(host: Host) -> None:
    """Not before one, nor one that was changed since; some tokens have none."""
    keys = host.start()
    with pytest.raises(PinUnprovenError, match="not the one that it has accepted"):
        await keys.accepted_pin("hsm")
    await keys.make(record(1))
    assert await keys.accepted_pin("hsm") == tokens.PIN.encode()
    tokens.write_pin(host.setup.pin_file, "9999")
    with pytest.raises(PinUnprovenError, match="not the one that it has accepted"):
        await keys.accepted_pin("hsm")
    with pytest.raises(TokenAbsentError):
        await keys.accepted_pin("another")
    assert await host.start(pin=None).accepted_pin("hsm") == b""


async def test_the_attempt_is_durable_before_and_after_the_login(shimmed: Host) -> None:
    """The ledger sees ATTEMPTING, then the outcome, and never the PIN."""
    tokens.write_pin(shim_of(shimmed).pin_file, "9999")
    with pytest.raises(PinRefusedError) as caught:
        await shimmed.start().check("hsm")
    assert [record.status for record in shimmed.ledger.history] == [
        PinStatus.ATTEMPTING,
        PinStatus.REFUSED,
    ]
    assert "9999" not in f"{caught.value}{shimmed.ledger.history}"


async def test_an_interrupted_attempt_is_tried_once_more(shimmed: Host) -> None:
    """After a crash in C_Login: no flag, one more try; then none until the PIN changes.

    The crash is a ledger that still says ATTEMPTING, as a killed process leaves it.
    """
    shim = shim_of(shimmed)
    await shimmed.start().check("hsm")
    await shimmed.stop()
    attempting = shimmed.ledger.history[0]
    shimmed.ledger.records["hsm"] = attempting
    assert (await shimmed.start().check("hsm")).up
    assert shimmed.ledger.load("hsm").crashed_attempts == 0
    await shimmed.stop()
    shimmed.ledger.records["hsm"] = msgspec.structs.replace(
        attempting, crashed_attempts=1
    )
    with pytest.raises(PinRefusedError):
        await shimmed.start().check("hsm")
    assert shim.logins == 2


async def test_a_worn_pin_is_not_tried_after_a_crash(shimmed: Host) -> None:
    """CKF_USER_PIN_COUNT_LOW beside ATTEMPTING means that our attempt was wrong."""
    shim = shim_of(shimmed)
    await shimmed.start().check("hsm")
    await shimmed.stop()
    shimmed.ledger.records["hsm"] = shimmed.ledger.history[0]
    with pytest.raises(subprocess.CalledProcessError):
        pkcs11_tool(shimmed.setup, "--list-objects", pin="0000")
    logins = shim.logins
    with pytest.raises(PinRefusedError):
        await shimmed.start().check("hsm")
    assert shim.logins == logins
    await shimmed.running[0].token("hsm").forget_pin()
    assert (await shimmed.running[0].check("hsm")).up


async def test_a_pin_that_cannot_be_read_is_no_attempt(shimmed: Host) -> None:
    """A missing PIN file is named, and the token is left alone."""
    shim = shim_of(shimmed)
    shim.pin_file.unlink()
    with pytest.raises(PinMissingError):
        await shimmed.start().check("hsm")
    assert shim.logins == 0


async def test_a_hung_signature_fails_everybody_at_once(shimmed: Host) -> None:
    """Queued and later calls fail fast while it hangs; its return cures the module."""
    shim = shim_of(shimmed)
    keys = shimmed.start(deadline="300ms")
    await keys.make(record())
    shim.start("hang-sign")
    outcomes: list[str] = []

    async def sign() -> None:
        try:
            await keys.sign(record(), b"data")
        except TokenHungError as error:
            outcomes.append(error.kind)

    async with asyncio.timeout(2), asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(sign())
    await sign()
    assert outcomes == ["token.hung"] * 4
    status = keys.status()["hsm"]
    assert not status.up
    assert status.hung_since is not None
    shim.stop("hang-sign")
    await eventually(lambda: keys.status()["hsm"].hung_since is None)
    assert await keys.sign(record(), b"data")
    assert shim.logins == 2


async def test_a_hung_login_settles_when_it_returns(shimmed: Host) -> None:
    """The outcome of a login that nobody waits for still reaches the ledger."""
    shim = shim_of(shimmed)
    keys = shimmed.start(deadline="300ms")
    shim.start("hang-login")
    with pytest.raises(TokenHungError):
        await keys.check("hsm")
    assert shimmed.ledger.load("hsm").status is PinStatus.ATTEMPTING
    shim.stop("hang-login")
    await eventually(lambda: keys.status()["hsm"].hung_since is None)
    assert (await keys.check("hsm")).up
    assert [record.status for record in shimmed.ledger.history][:2] == [
        PinStatus.ATTEMPTING,
        PinStatus.ACCEPTED,
    ]


async def test_a_cancelled_call_leaves_the_module_usable(shimmed: Host) -> None:
    """A caller that is cancelled while its call runs delays the next, no more."""
    shim = shim_of(shimmed)
    keys = shimmed.start()
    await keys.make(record())
    shim.start("hang-sign")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await keys.sign(record(), b"data")
    shim.stop("hang-sign")
    assert await keys.sign(record(), b"data")
    assert shim.logins == 1


async def test_a_token_without_pin_is_never_logged_in(shimmed: Host) -> None:
    """No PIN in the configuration, no C_Login."""
    keys = shimmed.start(pin=None)
    assert (await keys.check("hsm")).up
    assert shim_of(shimmed).logins == 0


async def test_two_tokens_of_one_module_live_side_by_side(host: Host) -> None:
    """One thread serves both; an absent one does not log the other out."""
    second = tokens.softhsm(host.tmp, "second")
    keys = host.start()
    absent = host.setup.table(token="pkcs11:token=absent")
    keys.configure({"hsm": host.setup.table(), "two": second.table(), "three": absent})
    await keys.make(record())
    await keys.make(msgspec.structs.replace(record(), store="two"))
    saved = len(host.ledger.history)
    for _ in range(3):
        with pytest.raises(TokenAbsentError):
            await keys.check("three")
        assert await keys.sign(record(), b"data")
    assert len(host.ledger.history) <= saved + 2
    assert keys.status()["hsm"].serial != keys.status()["two"].serial
