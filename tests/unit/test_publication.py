"""A publication is there as a whole or not at all, and readable by whom it should."""

import asyncio
import grp
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.config.endpoints import Endpoint
from agent.config.model import Certificate
from agent.errors import AgentError
from agent.pki.uri import key_uri
from agent.publication.directories import (
    FAREWELL,
    MANIFEST,
    Publications,
    link_name,
)
from agent.publication.snippets import SnippetError
from agent.publication.trees import PublicationError
from agent.records.keys import KeyRecord
from tests.fakes.subjects import ISSUER, LEAF, publication, table

PRIVATE = b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
TOKEN = "pkcs11:token=hsm"


class GoneError(AgentError):
    """What a key store says of a key that is gone."""

    kind = "token.key-missing"


def private_pem(key: KeyRecord) -> bytes:
    """Give the key, whichever it is."""
    del key
    return PRIVATE


def made(state: Path, give: Callable[[KeyRecord], bytes] = private_pem) -> Publications:
    """Return a publisher that is ready."""
    publications = Publications(state, lambda _: TOKEN, give)
    publications.prepare()
    return publications


def place(state: Path, number: int = 1) -> Path:
    """Return the directory of a publication."""
    return state / "certificates" / "web" / str(number)


def modes(directory: Path) -> dict[str, str]:
    """Return the mode of every file."""
    return {
        path.name: oct(stat.S_IMODE(path.stat().st_mode))
        for path in directory.iterdir()
    }


def snapshot(directory: Path) -> dict[str, tuple[bytes, int]]:
    """Return octets and inode of every file."""
    return {
        path.name: (path.read_bytes(), path.stat().st_ino)
        for path in directory.iterdir()
    }


def names_below(state: Path) -> set[str]:
    """Return what stands in the certificate's directory."""
    return {path.name for path in (state / "certificates" / "web").iterdir()}


async def test_a_software_key_is_for_its_owner_and_group(tmp_path: Path) -> None:
    """Certificates are for everybody; whatever holds the key is 0640."""
    await made(tmp_path).publish("web", publication(), table())
    assert modes(place(tmp_path)) == {
        "cert.pem": "0o644",
        "chain.pem": "0o644",
        "fullchain.pem": "0o644",
        "key.pem": "0o640",
        "combined.pem": "0o640",
        "nginx.conf": "0o644",
        MANIFEST: "0o644",
    }
    for directory in (place(tmp_path), place(tmp_path).parent):
        assert oct(stat.S_IMODE(directory.stat().st_mode)) == "0o755"


async def test_the_umask_decides_nothing(tmp_path: Path) -> None:
    """Endpoints can traverse and read, however the daemon was started."""
    before = os.umask(0o077)
    try:
        publications = made(tmp_path)
        await publications.publish("web", publication(), table())
    finally:
        os.umask(before)
    assert modes(place(tmp_path))["cert.pem"] == "0o644"
    for path in (tmp_path / "certificates", tmp_path / "live", place(tmp_path)):
        assert oct(stat.S_IMODE(path.stat().st_mode)) == "0o755"


async def test_the_files_are_the_parts_of_the_chain(tmp_path: Path) -> None:
    """Leaf, rest and whole; the combined file begins with the key."""
    await made(tmp_path).publish("web", publication(), table())
    found = {path.name: path.read_bytes() for path in place(tmp_path).iterdir()}
    assert found["cert.pem"].decode() == LEAF
    assert found["chain.pem"].decode() == ISSUER
    assert found["fullchain.pem"].decode() == LEAF + ISSUER
    assert found["combined.pem"] == PRIVATE + found["fullchain.pem"]


async def test_a_key_in_a_token_is_published_by_its_name(tmp_path: Path) -> None:
    """Nothing of it is secret: the URI, and the PEM that stands for it."""
    published = publication(store="hsm")
    endpoint = Endpoint(template="nginx-store", pin_source="file:/etc/nginx/pin")
    await made(tmp_path).publish("web", published, table("web", endpoint, token="hsm"))
    identity = bytes.fromhex(published.key.id)
    uri = key_uri(TOKEN, identity, pin_source=None)
    assert (place(tmp_path) / "key.uri").read_text() == f"{uri}\n"
    assert "PRIVATE KEY" not in (place(tmp_path) / "key.pem").read_text()
    assert set(modes(place(tmp_path)).values()) == {"0o644"}
    with_pin = key_uri(TOKEN, identity, pin_source="file:/etc/nginx/pin")
    assert with_pin in (place(tmp_path) / "nginx.conf").read_text()


async def test_each_endpoint_has_a_snippet(tmp_path: Path) -> None:
    """Paths in it are those of the publication, and not of the link."""
    endpoints = (Endpoint(name="edge"), Endpoint(name="core"))
    await made(tmp_path).publish("web", publication(), table("web", *endpoints))
    for name in ("nginx@edge.conf", "nginx@core.conf"):
        assert f"{place(tmp_path)}/key.pem" in (place(tmp_path) / name).read_text()


async def test_the_manifest_says_what_is_there(tmp_path: Path) -> None:
    """For people and scripts: no secret in it."""
    published = publication(7)
    await made(tmp_path).publish("web", published, table())
    manifest = json.loads((place(tmp_path, 7) / MANIFEST).read_text())
    assert manifest["publication"] == 7
    assert manifest["fingerprint_sha256"] == published.issuance.fingerprint
    assert manifest["names"] == ["web.example"]
    assert manifest["key"] == published.key.label


async def test_publishing_again_changes_nothing(tmp_path: Path) -> None:
    """Not even a file is written: a directory is immutable once it has its name."""
    publications = made(tmp_path)
    await publications.publish("web", publication(), table())
    before = snapshot(place(tmp_path))
    await publications.publish("web", publication(), table("web", Endpoint(name="x")))
    assert snapshot(place(tmp_path)) == before


async def test_what_a_crash_left_behind_is_made_anew(tmp_path: Path) -> None:
    """A directory without its name is no publication, whatever is in it."""
    publications = made(tmp_path)
    torn = place(tmp_path).with_name(".1.tmp")
    (torn / "deep").mkdir(parents=True)
    for name in ("cert.pem", "stranger.pem", MANIFEST, "deep/x"):
        (torn / name).write_text("half of")
    with pytest.raises(PublicationError, match="no such publication"):
        await publications.swap("web", "", 1)
    await publications.publish("web", publication(), table())
    assert names_below(tmp_path) == {"1"}
    assert (place(tmp_path) / "cert.pem").read_text() == LEAF
    assert not (place(tmp_path) / "stranger.pem").exists()


async def test_a_crash_after_any_file_is_made_good(tmp_path: Path) -> None:
    """However far it came, the next start publishes exactly what was meant."""
    whole = made(_state(tmp_path, "whole"))
    await whole.publish("web", publication(), table("web", Endpoint(template="nginx")))
    files = sorted(place(tmp_path / "whole").iterdir(), key=_written)
    for count in range(len(files) + 1):
        state = _state(tmp_path, str(count))
        publications = made(state)
        torn = place(state).with_name(".1.tmp")
        torn.mkdir(parents=True)
        for path in files[:count]:
            (torn / path.name).write_bytes(path.read_bytes())
        assert not place(state).exists()
        await publications.publish("web", publication(), table())
        assert names_below(state) == {"1"}
        assert modes(place(state)) == modes(place(tmp_path / "whole"))


def _state(home: Path, name: str) -> Path:
    state = home / name
    state.mkdir()
    return state


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns


async def test_a_crash_while_pruning_is_made_good(tmp_path: Path) -> None:
    """A directory that is half gone goes wholly; those that stay are whole."""
    publications = made(tmp_path)
    for number in (1, 2):
        await publications.publish("web", publication(number), table())
    for name in ("cert.pem", MANIFEST):
        (place(tmp_path) / name).unlink()
    with pytest.raises(PublicationError, match="no such publication"):
        await publications.swap("web", "", 1)
    await publications.prune("web", frozenset({2}))
    assert names_below(tmp_path) == {"2"}
    assert len(modes(place(tmp_path, 2))) == 7


async def test_a_failure_leaves_no_publication(tmp_path: Path) -> None:
    """The key store fails between two files; afterwards it works."""
    keys = [PRIVATE]

    def give(key: KeyRecord) -> bytes:
        del key
        if not keys:
            raise GoneError("the file of the key is gone")
        return keys[0]

    publications = made(tmp_path, give)
    key = keys.pop()
    with pytest.raises(GoneError):
        await publications.publish("web", publication(), table())
    assert not place(tmp_path).exists()
    keys.append(key)
    await publications.publish("web", publication(), table())
    assert (place(tmp_path) / MANIFEST).exists()


@pytest.mark.parametrize("name", ["a;b", "a b", 'a"b', "a$b"])
async def test_a_state_directory_that_cannot_be_quoted_is_refused(
    tmp_path: Path, name: str
) -> None:
    """Nothing is published that root's nginx would read otherwise than meant."""
    state = tmp_path / name
    state.mkdir()
    with pytest.raises(SnippetError):
        await made(state).publish("web", publication(), table())
    assert not place(state).exists()


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        (table(group="no-such-group"), "no group no-such-group"),
        (table(readers=("user:no-such-user",)), "no user no-such-user"),
        (table(readers=("group:no-such-group",)), "no group no-such-group"),
    ],
)
async def test_rights_for_nobody_publish_nothing(
    tmp_path: Path, config: Certificate, complaint: str
) -> None:
    """A key that its endpoint could not read would be an outage later."""
    publications = made(tmp_path)
    with pytest.raises(PublicationError, match=complaint):
        await publications.publish("web", publication(), config)
    assert not place(tmp_path).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file to a group needs root")
async def test_group_and_readers_get_the_secret_files_only(tmp_path: Path) -> None:
    """What everybody may read needs no rights."""
    config = table(group="daemon", readers=("user:nobody",))
    await made(tmp_path).publish("web", publication(), config)
    daemon = grp.getgrnam("daemon").gr_gid
    for name in ("key.pem", "combined.pem"):
        path = place(tmp_path) / name
        assert path.stat().st_gid == daemon
        assert os.getxattr(path, "system.posix_acl_access")
    assert (place(tmp_path) / "cert.pem").stat().st_gid != daemon
    assert os.listxattr(place(tmp_path) / "cert.pem") == []


async def test_a_swap_is_one_rename(tmp_path: Path) -> None:
    """The link is relative, and never missing while it changes."""
    publications = made(tmp_path)
    link = tmp_path / "live" / "web"
    for number in (1, 2):
        await publications.publish("web", publication(number), table())
    await publications.swap("web", "", 1)
    assert str(link.readlink()) == "../certificates/web/1"
    seen: list[str] = []
    async with asyncio.TaskGroup() as tasks:
        swaps = tasks.create_task(_swap_often(publications))
        while not swaps.done():
            seen.append((link / MANIFEST).resolve().parent.name)
            await asyncio.sleep(0)
    assert set(seen) <= {"1", "2"}
    assert [path.name for path in (tmp_path / "live").iterdir()] == ["web"]


async def _swap_often(publications: Publications) -> None:
    for number in (2, 1) * 10:
        await publications.swap("web", "", number)


async def test_a_swap_again_is_the_same(tmp_path: Path) -> None:
    """Also over what a crash between its two steps left behind."""
    publications = made(tmp_path)
    await publications.publish("web", publication(), table())
    (tmp_path / "live" / ".web@edge.tmp").symlink_to("/nowhere")
    for _ in range(2):
        await publications.swap("web", "edge", 1)
    assert [path.name for path in (tmp_path / "live").iterdir()] == ["web@edge"]
    assert (tmp_path / "live" / "web@edge" / "cert.pem").read_text() == LEAF


async def test_a_link_never_points_to_nothing(tmp_path: Path) -> None:
    """A publication that is not there is refused; the link stays as it is."""
    publications = made(tmp_path)
    await publications.publish("web", publication(), table())
    await publications.swap("web", "", 1)
    with pytest.raises(PublicationError, match="cannot swap live/web"):
        await publications.swap("web", "", 2)
    assert (tmp_path / "live" / "web").resolve() == place(tmp_path)


async def test_pruning_keeps_what_is_kept(tmp_path: Path) -> None:
    """And takes what a crash left behind; done again it does nothing."""
    publications = made(tmp_path)
    for number in range(1, 5):
        await publications.publish("web", publication(number), table())
    place(tmp_path).with_name(".9.tmp").mkdir()
    for _ in range(2):
        await publications.prune("web", frozenset({2, 4, 11}))
        assert names_below(tmp_path) == {"2", "4"}
    await publications.prune("never-published", frozenset())


async def test_pruning_spares_what_was_published_meanwhile(tmp_path: Path) -> None:
    """A number above those known was made while the pruning waited its turn."""
    publications = made(tmp_path)
    for number in (1, 2, 3):
        await publications.publish("web", publication(number), table())
    await publications.prune("web", frozenset({2}))
    assert names_below(tmp_path) == {"2", "3"}


async def test_what_serves_nothing_stays_when_all_else_goes(tmp_path: Path) -> None:
    """Nothing that an endpoint's configuration includes is pulled from under it."""
    publications = made(tmp_path)
    await publications.publish("web", publication(), table())
    await publications.swap("web", "", 1)
    await publications.withdraw("web", "", table())
    await publications.prune("web", frozenset({1}))
    await publications.prune("web", frozenset())
    await publications.clear("web")
    assert names_below(tmp_path) == {FAREWELL}
    included = tmp_path / "live" / "web" / "nginx.conf"
    assert "ssl_reject_handshake on;" in included.read_text()


async def test_publishers_side_by_side_make_one_publication(tmp_path: Path) -> None:
    """Two endpoints of a certificate publish the same number at the same time."""
    publications = made(tmp_path)
    async with asyncio.TaskGroup() as tasks:
        for number in (1, 1, 2, 1, 2):
            tasks.create_task(publications.publish("web", publication(number), table()))
    assert names_below(tmp_path) == {"1", "2"}
    assert len(list(place(tmp_path).iterdir())) == 7


def test_a_state_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file stands in the way."""
    (tmp_path / "live").write_text("")
    with pytest.raises(PublicationError, match=r"file exists \(.*live\)"):
        made(tmp_path)


@pytest.mark.parametrize(
    ("endpoint", "name"), [("", "web"), ("edge", "web@edge"), ("a.b-c", "web@a.b-c")]
)
def test_a_link_is_named_after_certificate_and_endpoint(
    endpoint: str, name: str
) -> None:
    """The only endpoint needs no name."""
    assert link_name("web", endpoint) == name
