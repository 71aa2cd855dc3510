"""Lists on disk: whole or not at all, and as OpenSSL reads them."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.config.endpoints import Endpoint
from agent.publication.directories import MANIFEST, Publications
from agent.publication.roots import Roots
from agent.publication.trees import PublicationError
from agent.records.trust import ListedRoots
from tests.fakes.subjects import publication, table
from tests.vectors.trust import DAY, NOW, Ca, issued, named, root


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a state directory with a place for links."""
    (tmp_path / "live").mkdir()
    return tmp_path


def certificates(state: Path) -> Publications:
    """Return a publisher of certificates that is ready."""
    publications = Publications(state, lambda _: "pkcs11:token=hsm", lambda _: b"key")
    publications.prepare()
    return publications


def bundle(*cas: Ca) -> str:
    """Return roots as one PEM text."""
    return "".join(ca.pem for ca in cas)


async def test_a_version_is_a_bundle_and_a_hashed_directory(state: Path) -> None:
    """The link leads to both, and to the manifest."""
    await Roots(state).publish_roots("operator", 1, bundle(root(1), root(2), root(1)))
    live = state / "live" / "trust-operator"
    assert live.readlink() == Path("../trust/operator/1")
    assert (live / "trust.pem").read_text() == bundle(root(1), root(2))
    manifest = json.loads((live / "manifest.json").read_text())
    assert manifest == {
        "trust": "operator",
        "version": 1,
        "roots": [root(1).fingerprint, root(2).fingerprint],
    }
    hashed = sorted((live / "trust").iterdir())
    assert [path.suffix for path in hashed] == [".0", ".0"]
    assert {path.read_text() for path in hashed} == {root(1).pem, root(2).pem}
    for path in (live, live / "trust"):
        assert path.stat().st_mode & 0o777 == 0o755
    for path in (live / "trust.pem", *hashed):
        assert path.stat().st_mode & 0o777 == 0o644


async def test_publishing_again_changes_nothing(state: Path) -> None:
    """A step that is resumed does what it did."""
    roots = Roots(state)
    await roots.publish_roots("operator", 1, bundle(root(1)))
    before = (state / "trust/operator/1/trust.pem").stat().st_ino
    await roots.publish_roots("operator", 1, bundle(root(1)))
    assert (state / "trust/operator/1/trust.pem").stat().st_ino == before


async def test_what_a_crash_left_behind_is_written_anew(state: Path) -> None:
    """Nobody was ever pointed to it."""
    left = state / "trust/operator/.1.tmp"
    left.mkdir(parents=True)
    (left / "trust.pem").write_text("half")
    await Roots(state).publish_roots("operator", 1, bundle(root(1)))
    assert (state / "live/trust-operator/trust.pem").read_text() == root(1).pem
    assert not left.exists()


async def test_the_version_before_is_kept(state: Path) -> None:
    """Somebody may have opened it a moment ago."""
    roots = Roots(state)
    for version in (1, 2, 3, 4):
        await roots.publish_roots("operator", version, bundle(root(version)))
    await roots.prune_roots("operator", 4)
    assert sorted(p.name for p in (state / "trust/operator").iterdir()) == ["3", "4"]
    await roots.prune_roots("other", 4)


async def test_an_empty_list_is_an_empty_file(state: Path) -> None:
    """Only an operator can have said so."""
    await Roots(state).publish_roots("operator", 1, "")
    assert (state / "live/trust-operator/trust.pem").read_text() == ""
    assert list((state / "live/trust-operator/trust").iterdir()) == []


async def test_a_disk_that_fails_is_one_error(state: Path) -> None:
    """It names the list."""
    (state / "trust").write_text("in the way")
    with pytest.raises(PublicationError, match="cannot publish the list operator"):
        await Roots(state).publish_roots("operator", 1, bundle(root(1)))
    (state / "trust").unlink()
    directory = state / "trust/operator/1"
    directory.parent.mkdir(parents=True)
    directory.write_text("a file, no directory")
    with pytest.raises(PublicationError, match="cannot prune the list operator"):
        await Roots(state).prune_roots("operator", 4)


async def test_trusted_roots_stand_beside_the_certificate(tmp_path: Path) -> None:
    """Merged from all lists, each once; only the endpoint that verifies names them."""
    parts = tuple(
        ListedRoots(name=name, version=version, roots=text)
        for name, version, text in (
            ("ours", 3, root(1).pem + root(2).pem),
            ("theirs", 1, root(2).pem),
        )
    )
    trusting = replace(publication(), trust=parts)
    strict = Endpoint(name="strict", verify_peers=True)
    config = table("web", strict, Endpoint(name="lax"), trust=("ours", "theirs"))
    await certificates(tmp_path).publish("web", trusting, config)
    directory = tmp_path / "certificates/web/1"
    assert (directory / "trust.pem").read_text() == root(1).pem + root(2).pem
    assert len(list((directory / "trust").iterdir())) == 2
    said = json.loads((directory / MANIFEST).read_text())
    assert said["trust"] == {"ours": 3, "theirs": 1}
    strict_text = (directory / "nginx@strict.conf").read_text()
    assert f"ssl_client_certificate {directory}/trust.pem;" in strict_text
    assert "ssl_client" not in (directory / "nginx@lax.conf").read_text()


async def test_no_roots_are_no_demand(tmp_path: Path) -> None:
    """Nginx would not start with an empty file; the deployment waits meanwhile."""
    config = table("web", Endpoint(verify_peers=True), trust=("ours",))
    await certificates(tmp_path).publish("web", publication(), config)
    assert (
        b"ssl_client"
        not in ((tmp_path / "certificates/web/1") / "nginx.conf").read_bytes()
    )
    assert not ((tmp_path / "certificates/web/1") / "trust.pem").exists()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
async def test_openssl_verifies_with_either(state: Path, tmp_path: Path) -> None:
    """Of two roots with one name it finds the right one by its number."""
    old, new = root(1), root(2, name=named("Root 1"))
    await Roots(state).publish_roots("operator", 1, bundle(old, new))
    live = state / "live" / "trust-operator"
    for ca in (old, new, root(3)):
        peer = tmp_path / "peer.pem"
        peer.write_text(issued(ca, "peer.example", NOW - DAY, 30 * DAY).pem)
        for option in (["-CApath", live / "trust"], ["-CAfile", live / "trust.pem"]):
            common = ["-no-CApath", "-no-CAstore"] if option[0] == "-CAfile" else []
            command = ["openssl", "verify", "-attime", str(int(NOW.timestamp()))]
            found = subprocess.run(
                [*command, *map(str, option), *common, str(peer)],
                capture_output=True,
                check=False,
            )
            assert (found.returncode == 0) == (ca is not root(3)), found.stderr
