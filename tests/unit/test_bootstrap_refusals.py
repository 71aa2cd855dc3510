"""What a host refuses of a bootstrap bundle, and that nothing changes by it."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.bootstrap.errors import (
    BootstrapError,
    ClockError,
    EarlyError,
    ExpiredError,
    FormatError,
    InstanceError,
    SecretError,
    SignatureError,
    UnwantedError,
)
from agent.config.errors import ConfigError
from agent.errors import AgentError
from agent.files import FileError
from tests.fakes.firstboot import FirstBoot, everything
from tests.oam import bundle as oam
from tests.vectors.bootstrap import (
    BEARER,
    NOW,
    changed,
    host,
    private_pem,
    secret,
    signed,
)
from tests.vectors.trust import key, root

WEEK = timedelta(days=7)


@pytest.fixture
def boot(tmp_path: Path) -> FirstBoot:
    """Return a host that waits for its first bundle."""
    return FirstBoot(tmp_path / "host")


OTHER = host(2).public_key()
REFUSED: dict[str, tuple[str, type[AgentError], str]] = {
    "by a stranger": (signed(by=key(901)), SignatureError, "not signed"),
    "for another host": (
        changed(lambda made: made.update(instance="nf-host-18")),
        InstanceError,
        "for nf-host-18, this host is nf-host-17",
    ),
    "expired": (
        changed(lambda made: made.update(expires=NOW.isoformat())),
        ExpiredError,
        "expired",
    ),
    "still to come": (
        changed(lambda made: made.update(issued=(NOW + WEEK).isoformat())),
        EarlyError,
        "still to come",
    ),
    "with a secret for another host": (
        changed(
            lambda made: made["token-authority"]["oam"].update(
                bearer=oam.seal(BEARER, OTHER)
            )
        ),
        SecretError,
        "token-authority.oam.bearer is encrypted to the key",
    ),
    "with a secret that is none": (
        changed(
            lambda made: made["account"]["operator"]["eab"].update(
                key=secret(b"not base64url!")
            )
        ),
        SecretError,
        "account.operator.eab.key is encrypted well, and is not base64url",
    ),
    "with a module": (
        changed(lambda made: made.update(token={"x": {"module": "/x.so"}})),
        FormatError,
        "token: unknown key",
    ),
    "without the ca that a certificate names": (
        changed(
            lambda made: (
                made["ca"].update(second=made["ca"].pop("operator")),
                made["account"]["operator"].update(ca="second"),
            )
        ),
        ConfigError,
        "certificate.amf1.ca: there is no operator; known: second",
    ),
    "with an account of no ca": (
        changed(lambda made: made["account"]["operator"].update(ca="none")),
        ConfigError,
        "account.operator.ca: there is no none",
    ),
    "with an nf that is none": (
        changed(lambda made: made["nf"]["amf1"].update(instance_id="x")),
        ConfigError,
        "nf.amf1.instance_id",
    ),
    "with both ways to prove ourselves": (
        changed(
            lambda made: made["token-authority"]["oam"].update(
                client={"certificate": root(1).pem, "key": secret(private_pem(key(1)))}
            )
        ),
        ConfigError,
        "token-authority.oam: say either client",
    ),
    "with a key of another certificate": (
        changed(
            lambda made: made["ca"]["operator"].update(
                client={"certificate": root(1).pem, "key": secret(private_pem(key(2)))}
            )
        ),
        SecretError,
        "ca.operator.client.key is encrypted well, and is not the private key of its",
    ),
}
"""What is handed over, with the error and words of it."""


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("before", [False, True], ids=["first", "later"])
def test_what_is_refused_changes_nothing(
    boot: FirstBoot, name: str, before: bool
) -> None:
    """Neither in memory nor on disk; the error says what is wrong."""
    if before:
        boot.take(signed())
    known, files = boot.loaded, everything(boot.state)
    applied, told = len(boot.applied), len(boot.events)
    text, kind, words = REFUSED[name]
    for check in (True, False):
        with pytest.raises(kind, match=words):
            boot.take(text, check=check)
    assert boot.loaded is known
    assert everything(boot.state) == files
    assert len(boot.applied) == applied
    assert [event.kind for event in boot.events[told:]] == ["bootstrap.refused"] * 2


def test_a_table_in_both_places_is_refused_with_both_named(tmp_path: Path) -> None:
    """Neither wins silently."""
    more = '[ca.operator]\ndirectory = "https://x.example/"\nroots = "/x.pem"\n'
    boot = FirstBoot(tmp_path / "host", more)
    with pytest.raises(ConfigError) as caught:
        boot.take(signed())
    [problem] = caught.value.problems
    assert (
        "ca.operator: stands in the configuration's files and in bootstrap" in problem
    )


def test_a_file_that_clashes_later_does_not_reload(boot: FirstBoot) -> None:
    """The files' mistake is the files' to mend; what is in force stays."""
    boot.take(signed())
    with boot.path.open("a") as file:
        file.write('[nf.amf1]\ninstance_id = "x"\ntypes = ["AMF"]\n')
    [problem] = boot.reloader.reload()
    assert "nf.amf1: stands in the configuration's files" in problem
    assert set(boot.loaded.config.nf) == {"amf1"}


def test_without_the_table_nobody_may_hand_a_bundle_over(boot: FirstBoot) -> None:
    """The refusal says what is missing."""
    boot.path.write_text(f'[agent]\nstate = "{boot.state}"\n')
    boot.starts()
    with pytest.raises(UnwantedError, match=r"no table \[bootstrap\]"):
        boot.take(signed())


def test_a_clock_that_is_not_believed_judges_no_dates(boot: FirstBoot) -> None:
    """The host asks for the bundle again; it says from when on."""
    boot.held = NOW + timedelta(minutes=10)
    with pytest.raises(ClockError) as caught:
        boot.take(signed())
    assert caught.value.retry_at == boot.held
    assert boot.loaded.bundle is None
    boot.held = None
    boot.take(signed())


def spoil_signer(boot: FirstBoot) -> None:
    """Put something else where the signer's key should be."""
    (boot.home / "oam.pem").write_text("no pem")


def spoil_key(boot: FirstBoot) -> None:
    """Put something else where the host's key should be."""
    (boot.home / "host.key").write_text("no pem")


@pytest.mark.parametrize(
    ("spoil", "kind", "words"),
    [
        (spoil_signer, BootstrapError, r"oam\.pem holds neither"),
        (spoil_key, SecretError, "holds no private key"),
        (lambda b: (b.home / "oam.pem").unlink(), FileError, "no such file"),
        (lambda b: (b.home / "host.key").unlink(), FileError, "no such file"),
    ],
)
def test_what_the_host_lacks_is_named(
    boot: FirstBoot,
    spoil: Callable[[FirstBoot], Any],
    kind: type[AgentError],
    words: str,
) -> None:
    """The bundle is not to blame then."""
    spoil(boot)
    with pytest.raises(kind, match=words):
        boot.take(signed())


def test_an_account_key_that_is_taken_away_is_missed(boot: FirstBoot) -> None:
    """A reload that would leave accounts without a place for keys is refused."""
    boot.take(signed())
    text = boot.path.read_text().replace("account_key = { file = true }\n", "")
    boot.path.write_text(text)
    [problem] = boot.reloader.reload()
    assert "bootstrap.account_key" in problem


def test_what_waits_is_checked_as_far_as_it_goes(boot: FirstBoot) -> None:
    """A mistake that no bundle can mend is found before the first one."""
    with boot.path.open("a") as file:
        file.write('grace = "99999999d"\n[certificate.b]\nca = "operator"\n')
        file.write('names = ["b.example"]\nkey = { token = "none" }\n')
    assert [problem.partition(":")[0] for problem in boot.reloader.reload()] == [
        "certificate.amf1.grace",
        "certificate.b.key.token",
    ]
