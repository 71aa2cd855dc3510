"""A first boot under a real systemd: unit, credential, oneshot, and modes."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.oam import bundle as oam
from tests.parts.authority import Authority, pem
from tests.system.booted import BootedSystem, Outcome, missing

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(missing()), reason=missing() or "a machine can be booted"),
]

CONFIG = """
[agent]
clock = "assume"
[bootstrap]
signer = ["/etc/nfcertd/oam-signer.pem"]
instance = "file:/etc/machine-id"
decrypt = "credential:bootstrap-key"
account_key = { file = true }
[certificate.amf1]
nf = "amf1"
ca = "operator"
key = { file = true }
"""
CREDENTIAL = """[Service]
LoadCredential=bootstrap-key:/etc/nfcertd/credentials/bootstrap-key
"""
MACHINE = "0123456789abcdef0123456789abcdef"
SCRIPT = """
at() { echo "== $1"; }
handed=/run/nfcertd-bootstrap
hand() {
    install -D -m 0600 /probe/$1 $handed/bundle.jws
    systemctl reset-failed nfcertd-bootstrap 2>/dev/null
    systemctl restart nfcertd-bootstrap
    systemctl show -P Result -P NRestarts -P ExecMainStatus nfcertd-bootstrap
}
at waiting; systemctl start nfcertd nfcertd-bootstrap
systemctl show -P ConditionResult nfcertd-bootstrap
nfcertd status --json >/probe/waiting
at first; hand first
at again; systemctl stop nfcertd; systemctl start nfcertd; hand first
journalctl -u nfcertd-bootstrap --no-pager -o cat | grep '^bundle'
at wrong; hand wrong
at second; hand second
nfcertd status --json >/probe/taken
at modes; stat -c '%a %U %n' /var/lib/nfcertd/bootstrap \
    /var/lib/nfcertd/bootstrap/* /var/lib/nfcertd/records/bootstrap/*
at reader; setpriv --reuid=65534 --regid=65534 --clear-groups \
    nfcertd bootstrap /probe/open; echo $?
at admin; setpriv --reuid=65534 --regid=65534 --groups "$(getent group \
    nfcertd-admin | cut -d: -f3)" nfcertd bootstrap /probe/open; echo $?
at log; journalctl -u nfcertd --no-pager -o cat
"""


@pytest.fixture(scope="module")
def booted(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[BootedSystem, dict[str, list[str]]]]:
    """Boot once, and return what was seen at each step."""
    scratch = tmp_path_factory.mktemp("first-boot")
    with BootedSystem.prepared(scratch / "machine") as machine:
        machine.install()
        machine.configure(CONFIG)
        _furnish(machine)
        outcome = machine.run(SCRIPT)
        yield machine, _steps(outcome)


def _furnish(machine: BootedSystem) -> None:
    """Write what an image has, and what the platform hands over later."""
    signer = ed25519.Ed25519PrivateKey.generate()
    host = x25519.X25519PrivateKey.generate()
    public = signer.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    private = host.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    ).decode()
    machine.write("etc/machine-id", f"{MACHINE}\n")
    machine.write("etc/nfcertd/oam-signer.pem", public.decode())
    machine.write("etc/nfcertd/credentials/bootstrap-key", private, 0o600)
    drop_in = "etc/systemd/system/nfcertd.service.d/bootstrap.conf"
    machine.write(drop_in, CREDENTIAL)
    stranger = ed25519.Ed25519PrivateKey.generate()
    for name, sequence, by in (
        ("first", 1, signer),
        ("wrong", 2, stranger),
        ("second", 2, signer),
        ("open", 3, signer),
    ):
        text = oam.bundle(_tables(sequence), by, host.public_key())
        machine.write(f"probe/{name}", text)


def _tables(sequence: int) -> dict[str, object]:
    now = datetime.now(UTC)
    root = pem(Authority().root).decode()
    return {
        "version": 1,
        "instance": MACHINE,
        "sequence": sequence,
        "issued": now.isoformat(),
        "expires": (now + timedelta(hours=1)).isoformat(),
        "ca": {"operator": {"directory": "https://192.0.2.1/dir", "roots": root}},
        "account": {
            "operator": {
                "ca": "operator",
                "eab": {"kid": "nf", "key": {"secret": "c2VjcmV0LW1hYy1rZXk"}},
            }
        },
        "nf": {
            "amf1": {
                "instance_id": "4ace9d34-2c69-4f99-92d5-a73a3fe8e23b",
                "types": ["AMF"],
                "fqdn": "amf1.5gc.mnc012.mcc345.3gppnetwork.org",
            }
        },
    }


def _steps(outcome: Outcome) -> dict[str, list[str]]:
    """Return the lines of each step by its name."""
    assert outcome.status is not None, outcome.console
    found: dict[str, list[str]] = {"": []}
    at = ""
    for line in outcome.output.splitlines():
        if line.startswith("== "):
            at = line.removeprefix("== ")
            found[at] = []
        else:
            found[at].append(line)
    return found


Booted = tuple[BootedSystem, dict[str, list[str]]]


def test_without_a_bundle_the_host_waits_and_nothing_fails(booted: Booted) -> None:
    """The oneshot is skipped: its condition says that there is no file."""
    machine, steps = booted
    assert steps["waiting"] == ["no"]
    view = json.loads(machine.read("probe/waiting"))
    assert view["certificates"][0]["state"] == "waiting"
    assert view["bootstrap"]["sequence"] == 0


def test_the_oneshot_hands_the_bundle_over(booted: Booted) -> None:
    """At the first boot, at every later one, and a newer one when there is one.

    The daemon opens its secret by a credential that only its unit has.
    """
    machine, steps = booted
    assert steps["first"] == ["success", "0", "0"]
    assert steps["again"][:3] == ["success", "0", "0"]
    assert steps["again"][3].endswith("is in force now")
    assert steps["again"][4].endswith("is in force already")
    assert steps["second"] == ["success", "0", "0"]
    view = json.loads(machine.read("probe/taken"))
    assert view["bootstrap"]["sequence"] == 2
    assert view["certificates"][0]["state"] == "missing"


def test_a_wrong_bundle_is_not_tried_for_ever(booted: Booted) -> None:
    """It ends with 4, which the unit does not answer by another attempt."""
    _, steps = booted
    assert steps["wrong"][-3:] == ["exit-code", "0", "4"]


def test_what_is_kept_is_the_daemon_s_alone(booted: Booted) -> None:
    """The directory is 0700, files and the record 0600, all of the service user."""
    _, steps = booted
    modes = [line.split()[:2] for line in steps["modes"]]
    assert modes[0] == ["700", "nfcertd"]
    assert len(modes) >= 3
    assert all(mode == ["600", "nfcertd"] for mode in modes[1:])


def test_nobody_but_root_hands_one_over(booted: Booted) -> None:
    """Not a stranger, who cannot even ask, and not an administrator of certificates."""
    _, steps = booted
    assert steps["reader"][-1] == "3"
    assert steps["admin"][-1] == "4"
    assert "uid 65534 may not use bootstrap" in "".join(steps["admin"])


def test_the_journal_says_what_happened_and_no_secret(booted: Booted) -> None:
    """Taken, refused, taken; and which tables it brought."""
    _, steps = booted
    text = "\n".join(steps["log"])
    assert "bootstrap bundle 1 is in force; it brings ca.operator" in text
    assert "a bootstrap bundle is not taken: the bundle is not signed by" in text
    assert "c2VjcmV0LW1hYy1rZXk" not in text
