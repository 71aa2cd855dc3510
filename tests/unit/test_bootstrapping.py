"""A host takes a bootstrap bundle: all of it durably, or nothing of it."""

import json
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.bootstrap.errors import (
    BootstrapError,
    RollbackError,
    SecretError,
    SignatureError,
)
from agent.config.errors import ConfigError
from agent.records.bootstrap import BootstrapRecord
from agent.store import StoreError
from tests.fakes.firstboot import FirstBoot, everything
from tests.oam import bundle as oam
from tests.vectors.bootstrap import (
    BEARER,
    INSTANCE,
    MAC,
    NOW,
    SIGNER,
    Tables,
    changed,
    private_pem,
    public_pem,
    secret,
    signed,
    tables,
)
from tests.vectors.trust import key, root

WEEK = timedelta(days=7)
OF_NO_KNOWN_KIND = """\
-----BEGIN PUBLIC KEY-----
MBEwCwYJKwYBBAGGjR8BAwIAAQ==
-----END PUBLIC KEY-----
"""
"""A key of an algorithm that nobody has defined, 1.3.6.1.4.1.99999.1."""


@pytest.fixture
def boot(tmp_path: Path) -> FirstBoot:
    """Return a host that waits for its first bundle."""
    return FirstBoot(tmp_path / "host")


def test_a_certificate_waits_for_what_only_the_bundle_brings(boot: FirstBoot) -> None:
    """The host starts; why the certificate is not begun is said."""
    assert boot.loaded.config.certificate == {}
    assert boot.loaded.waiting == {"amf1": "ca.operator"}
    boot.take(signed())
    assert boot.loaded.waiting == {}
    [certificate] = boot.loaded.config.certificate.values()
    assert certificate.names == ("amf1.5gc.mnc012.mcc345.3gppnetwork.org",)


def test_a_bundle_is_taken_and_kept(boot: FirstBoot) -> None:
    """What it brings is in force at once, and again after a restart."""
    answer = boot.take(signed())
    assert (answer["done"], answer["sequence"]) == ("taken", 3)
    assert answer["started"] == ["amf1"]
    assert boot.laid_down == {root(1).pem, root(2).pem, root(3).pem, public_pem()}
    before = boot.loaded
    boot.starts()
    assert boot.loaded == before
    assert [event.kind for event in boot.events] == ["bootstrap.taken"]
    record = boot.loaded.bundle
    assert record is not None
    assert (record.taken, record.instance) == (NOW, INSTANCE)


def test_secrets_are_opened_and_nowhere_written(boot: FirstBoot) -> None:
    """At rest they stay encrypted to the host's key; nothing shows them."""
    boot.take(signed())
    assert boot.opened("account.operator.eab.key") == MAC
    assert boot.opened("token-authority.oam.bearer") == BEARER
    for file in boot.home.rglob("*"):
        if file.is_file():
            assert MAC not in file.read_bytes(), file
            assert BEARER not in file.read_bytes(), file
    shown = repr((boot.loaded, boot.events, boot.loaded.config))
    assert MAC.decode() not in shown
    assert BEARER.decode() not in shown
    with pytest.raises(SecretError, match=r"no secret account\.other"):
        boot.opened("account.other.eab.key")


def test_who_the_host_is_comes_in_the_bundle_as_well(boot: FirstBoot) -> None:
    """Toward a CA and OAM: the certificate is laid down, its key stays sealed."""
    identity = {"certificate": root(1).pem, "key": secret(private_pem(key(1)))}

    def edit(made: Tables) -> None:
        made["ca"]["operator"]["client"] = identity
        made["token-authority"]["oam"].pop("bearer")
        made["token-authority"]["oam"]["client"] = identity
        made["trust"]["peers"] = {"est": "https://est.example/", "roots": root(3).pem}

    boot.take(changed(edit))
    config = boot.loaded.config
    for where, client in (
        ("ca.operator", config.ca["operator"].client),
        ("token-authority.oam", config.token_authority["oam"].client),
    ):
        assert client is not None
        assert Path(client.certificate).read_text() == root(1).pem
        assert client.key == f"bootstrap:{where}.client.key"
        assert boot.opened(f"{where}.client.key") == private_pem(key(1))
    assert config.trust["peers"].source == "est"


def test_a_record_whose_bundle_is_spoilt_does_not_start_half(boot: FirstBoot) -> None:
    """What was verified once and cannot be read now is a mistake, not an absence."""
    boot.take(signed())
    record = boot.store.get(BootstrapRecord, "bootstrap")
    assert record is not None
    for bundle in ("nothing", signed(tables(lambda made: made.clear()))):
        boot.store.put(replace(record, bundle=bundle))
        assert boot.reloader.reload() != ()
        with pytest.raises(ConfigError):
            boot.starts()


def test_a_directory_that_cannot_be_used_takes_nothing(boot: FirstBoot) -> None:
    """The error has its path."""
    (boot.state / "bootstrap").write_text("a file where a directory belongs")
    with pytest.raises(ConfigError, match=r"cannot use .*/state/bootstrap"):
        boot.take(signed())
    assert boot.loaded.bundle is None


def test_what_is_kept_is_for_the_daemon_only(boot: FirstBoot) -> None:
    """The directory is 0700, files are 0600, the record as well."""
    boot.take(signed())
    directory = boot.state / "bootstrap"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    record = boot.state / "records" / "bootstrap" / "bootstrap.json"
    for file in (record, *directory.iterdir()):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_same_bundle_again_does_nothing(boot: FirstBoot) -> None:
    """An image hands it over at every boot, also long after it has expired."""
    text = signed()
    boot.take(text)
    boot.clock.jump(NOW + 100 * WEEK)
    boot.held = NOW + 101 * WEEK
    boot.starts()
    assert boot.take(text)["done"] == "nothing"
    assert boot.applied[1:] == []
    # Signed once more it has other octets, and the same content.
    header, payload, _ = text.split(".")
    covered = f"{header}.{payload}"
    again = f"{covered}.{oam.b64(oam.signature(SIGNER, covered.encode()))}"
    assert boot.take(again)["done"] == "nothing"


def test_a_bundle_stays_in_force_after_it_has_expired(boot: FirstBoot) -> None:
    """It is the message that expires, not the trust that it gave."""
    boot.take(signed())
    boot.clock.jump(NOW + 52 * WEEK)
    boot.starts()
    assert set(boot.loaded.config.ca) == {"operator"}
    assert boot.reloader.reload() == ()
    assert set(boot.loaded.config.ca) == {"operator"}


def test_a_later_bundle_replaces_the_one_in_force(boot: FirstBoot) -> None:
    """As a whole: what it leaves out is gone, and so are its files."""
    boot.take(signed())

    def edit(made: Tables) -> None:
        made.pop("trust")
        made["ca"]["operator"]["roots"] = root(9).pem
        made["account"]["operator"]["eab"] = {"kid": "nf-18", "key": secret(b"QUJD")}

    answer = boot.take(changed(edit))
    assert answer["removed"] == ["trust.peers"]
    assert answer["changed"] == ["account.operator", "ca.operator"]
    assert boot.laid_down == {root(9).pem, root(2).pem}
    assert boot.opened("account.operator.eab.key") == b"QUJD"


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_older_bundle_is_never_taken_again(boot: FirstBoot, number: int) -> None:
    """Not after a restart either; nor another one of the same number."""
    boot.take(signed())
    boot.starts()
    with pytest.raises(RollbackError):
        boot.take(changed(lambda made: made.pop("trust"), number))


def test_a_check_changes_nothing(boot: FirstBoot) -> None:
    """It says what taking the bundle would do."""
    files = everything(boot.state)
    answer = boot.take(signed(), check=True)
    assert answer["done"] == "checked"
    assert answer["added"] == [
        "account.operator",
        "ca.operator",
        "nf.amf1",
        "token-authority.oam",
        "trust.peers",
    ]
    assert answer["secrets"] == [
        "account.operator.eab.key",
        "token-authority.oam.bearer",
    ]
    assert MAC.decode() not in json.dumps(answer, default=str)
    assert (boot.applied, boot.loaded.bundle) == ([], None)
    assert everything(boot.state) == files


def test_a_full_disk_takes_nothing(boot: FirstBoot) -> None:
    """What could not be made durable is not in force, and can be handed over again."""
    boot.store.full = True
    with pytest.raises(StoreError):
        boot.take(signed())
    assert (boot.applied, boot.loaded.bundle) == ([], None)
    boot.starts()
    assert boot.laid_down == set()
    boot.take(signed())


def test_files_that_a_crash_has_left_or_lost_are_put_right(boot: FirstBoot) -> None:
    """What is in the directory follows from the record alone."""
    boot.take(signed())
    directory = boot.state / "bootstrap"
    first, second, *_ = sorted(directory.iterdir())
    first.unlink()
    second.write_text("torn")
    (directory / "left.pem").write_text("of a bundle that was never taken")
    boot.starts()
    (directory / "strange").mkdir()
    boot.starts()
    boot.take(changed())
    (directory / "strange").rmdir()
    assert boot.laid_down == {root(1).pem, root(2).pem, root(3).pem, public_pem()}


def test_a_copied_state_directory_gives_no_identity(boot: FirstBoot) -> None:
    """A host of another name sets the bundle aside, and says so."""
    boot.take(signed())
    text = boot.path.read_text().replace(INSTANCE, "nf-host-99")
    boot.path.write_text(text)
    assert "would be lost" in boot.reloader.reload()[0]
    boot.starts()
    assert boot.loaded.waiting == {"amf1": "ca.operator"}
    assert "is for nf-host-17, this is nf-host-99" in boot.loaded.trouble
    assert boot.laid_down == set()


def test_a_record_that_cannot_be_read_opens_no_way_back(boot: FirstBoot) -> None:
    """The host runs without the bundle, and takes none until the number is known."""
    boot.take(signed())
    record = boot.state / "records" / "bootstrap" / "bootstrap.json"
    record.write_text("{")
    boot.starts()
    assert "corrupt" in boot.loaded.trouble
    with pytest.raises(RollbackError, match="cannot be read"):
        boot.take(changed(number=9))
    record.unlink()
    boot.take(changed(number=9))


def test_the_name_of_the_host_may_stand_in_a_file(tmp_path: Path) -> None:
    """One image serves many hosts, such as by `file:/etc/machine-id`."""
    name = tmp_path / "machine-id"
    name.write_text(f"{INSTANCE}\n")
    boot = FirstBoot(tmp_path / "host", instance=f"file:{name}")
    boot.take(signed())
    boot.starts()
    assert boot.loaded.bundle is not None
    for bad in ("", "a\nb", "x" * 201):
        name.write_text(bad)
        with pytest.raises(BootstrapError, match="holds no name"):
            boot.take(changed())


def test_signers_succeed_each_other(boot: FirstBoot) -> None:
    """Both may sign while both stand there; what the old one signed stays in force."""
    boot.take(signed())
    (boot.home / "next.pem").write_text(public_pem(key(902)))
    text = boot.path.read_text()
    both = f'"{boot.home}/oam.pem", "{boot.home}/next.pem"'
    boot.path.write_text(text.replace(f'"{boot.home}/oam.pem"', both))
    assert boot.reloader.reload() == ()
    made = tables()
    made["sequence"] = 4
    boot.take(signed(made, by=key(902)))
    boot.path.write_text(text.replace("oam.pem", "next.pem"))
    assert boot.reloader.reload() == ()
    assert list(boot.loaded.lacks()) == []
    with pytest.raises(SignatureError):
        boot.take(changed(number=5))


@pytest.mark.parametrize("how", ["another", "no file", "no key", "no known kind"])
def test_a_bundle_of_a_signer_that_left_is_in_force_and_told(
    boot: FirstBoot, how: str
) -> None:
    """Now and after a restart, until a bundle of another signer replaces it."""
    boot.take(signed())
    assert boot.loaded.unsigned == ""
    signer = boot.home / "oam.pem"
    match how:
        case "another":
            signer.write_text(public_pem(key(902)))
        case "no file":
            signer.unlink()
        case "no known kind":
            signer.write_text(OF_NO_KNOWN_KIND)
        case _:
            signer.write_text("no key")
    assert boot.reloader.reload() == ()
    assert "bundle 3 in force is signed by" in boot.loaded.unsigned
    boot.starts()
    assert boot.loaded.bundle is not None
    [line] = boot.loaded.lacks()
    assert line.startswith("advice: bootstrap.signer: bundle 3 in force")
    signer.write_text(public_pem(key(902)))
    made = tables()
    made["sequence"] = 4
    boot.take(signed(made, by=key(902)))
    assert boot.loaded.unsigned == ""


def test_the_record_survives_its_octets(boot: FirstBoot) -> None:
    """What is read back is what was taken, white space of the file apart."""
    boot.take(f"\n{signed()}\n")
    record = boot.store.get(BootstrapRecord, "bootstrap")
    assert record == boot.loaded.bundle
    assert record is not None
    assert record.bundle == record.bundle.strip()
