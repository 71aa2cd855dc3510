"""A first boot on a real daemon: one bundle from OAM, and a certificate is served."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.control.verbs import RefusedError
from agent.records.bootstrap import BootstrapRecord
from agent.records.others import AccountRecord
from agent.store import Store
from tests.integration.firstboots import (
    KIDS,
    FirstBoot,
    bound,
    bound_by,
    first_boot,
)
from tests.integration.scene import PATIENCE, Daemon, Status, serving
from tests.oam import bundle as oam
from tests.oam.host import Tables
from tests.parts.token import tool_missing

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(tool_missing()), reason=tool_missing()),
]
SBI = "amf1-sbi"


@pytest.fixture
def boot(tmp_path: Path) -> Iterator[FirstBoot]:
    """Return a host that waits for its first bundle."""
    with first_boot(tmp_path) as host:
        yield host


def hand_over(daemon: Daemon, bundle: str, *, check: bool = False) -> dict[str, object]:
    """Hand a bundle over and return the answer."""
    answer: dict[str, object] = daemon.ask("bootstrap", bundle=bundle, check=check)
    return answer


def in_force(status: Status) -> int:
    """Return the number of the bundle in force, 0 for none."""
    number: int = status.view["bootstrap"]["sequence"]
    return number


def test_one_bundle_makes_a_host_run(boot: FirstBoot) -> None:
    """CA, account, identity and token endpoint are OAM's; the rest is the host's.

    Before it the certificate waits and nobody is asked; after it the certificate is
    issued by annex J and served, without a further step. A restart changes nothing.
    """
    with boot.place.daemon() as daemon:
        waiting = daemon.status()
        assert waiting.certificate(SBI)["state"] == "waiting"
        assert waiting.view["bootstrap"]["waiting"] == {SBI: "ca.operator"}
        assert len(boot.place.ca.log) == 0
        answer = hand_over(daemon, boot.bundle())
        assert (answer["done"], answer["started"]) == ("taken", [SBI])
        status = daemon.settle_deployed(SBI)
        assert boot.endpoint.serves() == status.certificate(SBI)["fingerprint"]
    attested = {(atc["tktype"], atc["tkvalue"]) for atc in boot.oam.asked}
    assert attested == {*boot.oam.script.accounts["nf-17"]}
    [account] = boot.place.ca.accounts
    assert account.eab_kid == "nf-17"
    requests = len(boot.place.ca.log)
    with boot.place.daemon() as daemon:
        assert in_force(daemon.wait(lambda s: s.deployed(SBI))) == 1
        assert hand_over(daemon, _kept(boot))["done"] == "nothing"
    assert len(boot.place.ca.log) == requests
    _shows_no_secret(boot)


def _kept(boot: FirstBoot) -> str:
    record = Store(boot.place.state).get(BootstrapRecord, "bootstrap")
    assert record is not None
    return record.bundle


def _shows_no_secret(boot: FirstBoot) -> None:
    """No file of the state directory, and no line of the log, has a secret."""
    secrets = [oam.b64(key).encode() for key in KIDS.values()]
    secrets += [line for line in _client_key(boot) if len(line) > 40]
    files = [p for p in boot.place.state.rglob("*") if p.is_file()]
    for file in (*files, boot.place.home / "nfcertd.log"):
        assert not [s for s in secrets if s in file.read_bytes()], file
    trail = (boot.place.state / "audit" / "audit.jsonl").read_text().splitlines()
    words = [json.loads(line)["event"] for line in trail]
    assert "bootstrap" in words


def _client_key(boot: FirstBoot) -> list[bytes]:
    return (boot.place.home / "oam" / "nf-host.key").read_bytes().splitlines()


def test_a_later_bundle_moves_the_host_to_another_ca(boot: FirstBoot) -> None:
    """Another directory, other roots, another binding: one bundle, no other step."""
    with serving(bound(boot.oam)) as second, boot.place.daemon() as daemon:
        hand_over(daemon, boot.bundle())
        daemon.settle_deployed(SBI)

        def edit(made: Tables) -> None:
            made["account"]["operator"]["eab"] = bound_by("nf-18")

        answer = hand_over(daemon, boot.bundle(2, edit, second))
        assert answer["changed"] == ["account.operator", "ca.operator"]
        daemon.ask("renew", SBI)
        status = daemon.settle_deployed(SBI, 2)
        assert boot.endpoint.serves() == status.certificate(SBI)["fingerprint"]
        assert [account.eab_kid for account in second.accounts] == ["nf-18"]
        with pytest.raises(RefusedError, match="older than 2"):
            hand_over(daemon, boot.bundle(1))
        record = Store(boot.place.state).get(AccountRecord, "operator")
        assert record is not None
        assert record.directory == second.directory_url


def test_another_binding_changes_nothing_for_a_registered_account(
    boot: FirstBoot,
) -> None:
    """A key identifier is good for one registration; there is nothing to register."""
    with boot.place.daemon() as daemon:
        hand_over(daemon, boot.bundle())
        daemon.settle_deployed(SBI)

        def edit(made: Tables) -> None:
            made["account"]["operator"]["eab"] = bound_by("nf-18")

        hand_over(daemon, boot.bundle(2, edit))
        daemon.ask("renew", SBI)
        daemon.settle_deployed(SBI, 2)
    assert [account.eab_kid for account in boot.place.ca.accounts] == ["nf-17"]
    assert len(boot.place.ca.log.of("newAccount")) == 1


def test_trust_is_what_the_bundle_says_and_a_later_one_mends_it(
    boot: FirstBoot,
) -> None:
    """With another's root in the bundle the CA is never spoken to."""

    def wrong(made: Tables) -> None:
        made["ca"]["operator"]["roots"] = made["token-authority"]["oam"]["roots"]

    with boot.place.daemon() as daemon:
        hand_over(daemon, boot.bundle(1, wrong))
        daemon.wait(lambda s: s.account("operator")["failure"], PATIENCE)
        assert len(boot.place.ca.log) == 0
        hand_over(daemon, boot.bundle(2))
        daemon.settle_deployed(SBI)


def test_a_bundle_that_makes_no_valid_configuration_changes_nothing(
    boot: FirstBoot,
) -> None:
    """The answer names what is wrong; the certificate goes on waiting."""
    with boot.place.daemon() as daemon:
        for edit, words in (
            (lambda made: made.pop("nf"), r"certificate\.amf1-sbi\.nf: there is no"),
            (lambda made: made.update(instance="nf-host-18"), "for nf-host-18"),
            (lambda made: made.update(hook={"x": {}}), "hook: "),
        ):
            for check in (True, False):
                with pytest.raises(RefusedError, match=words):
                    hand_over(daemon, boot.bundle(1, edit), check=check)
        status = daemon.status()
        assert in_force(status) == 0
        assert status.certificate(SBI)["state"] == "waiting"
        hand_over(daemon, boot.bundle(1))
        daemon.settle_deployed(SBI)
