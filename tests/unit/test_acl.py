"""A named reader can read a file that belongs to somebody else."""

import grp
import os
import pwd
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.publication.acl import allow_reading

NAME = "system.posix_acl_access"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Return a file of mode 0640 where ACLs work; skips where they do not."""
    path = tmp_path / "key.pem"
    path.write_text("secret")
    path.chmod(0o640)
    try:
        os.getxattr(path, NAME)
    except OSError as error:
        if error.errno == 95:
            pytest.skip("the file system has no posix acls")
    return path


def entries(path: Path) -> dict[str, str]:
    """Return what getfacl shows, by its part before the permissions."""
    if shutil.which("getfacl") is None:
        pytest.skip("getfacl is not installed")
    done = subprocess.run(
        ["getfacl", "-cp", path], capture_output=True, text=True, check=True
    )
    return {
        line.rpartition(":")[0]: line.rpartition(":")[2]
        for line in done.stdout.split("\n")
        if line
    }


def test_readers_are_named_beside_owner_and_group(secret: Path) -> None:
    """Everybody else still has nothing; nobody may write but the owner."""
    allow_reading(secret, ["user:nobody", "group:daemon", "user:daemon"])
    assert entries(secret) == {
        "user:": "rw-",
        "user:daemon": "r--",
        "user:nobody": "r--",
        "group:": "r--",
        "group:daemon": "r--",
        "mask:": "r--",
        "other:": "---",
    }


def test_the_mask_is_what_the_mode_shows(secret: Path) -> None:
    """`ls` shows 0640 and a plus."""
    allow_reading(secret, ["user:nobody"])
    assert oct(secret.stat().st_mode & 0o777) == "0o640"


def test_the_octets_are_those_of_the_kernel(secret: Path) -> None:
    """Version 2, then owner, named user, group, mask, other, little-endian."""
    allow_reading(secret, ["user:nobody"])
    uid = pwd.getpwnam("nobody").pw_uid.to_bytes(4, "little").hex()
    assert os.getxattr(secret, NAME).hex() == (
        "02000000"
        "01000600ffffffff"
        f"02000400{uid}"
        "04000400ffffffff"
        "10000400ffffffff"
        "20000000ffffffff"
    )


def test_the_last_word_counts(secret: Path) -> None:
    """Who is named no longer may read no longer."""
    allow_reading(secret, ["user:nobody"])
    allow_reading(secret, ["user:daemon"])
    shown = entries(secret)
    assert "user:daemon" in shown
    assert "user:nobody" not in shown


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
@pytest.mark.parametrize(("user", "allowed"), [("nobody", True), ("daemon", False)])
def test_a_reader_reads_and_a_stranger_does_not(
    secret: Path, user: str, allowed: bool
) -> None:
    """The kernel says so, for a process of that user."""
    allow_reading(secret, ["user:nobody"])
    # From inside, no right to pass through the directories above is needed.
    secret.parent.chmod(0o755)
    known = pwd.getpwnam(user)
    done = subprocess.run(
        ["cat", secret.name],
        cwd=secret.parent,
        capture_output=True,
        text=True,
        check=False,
        user=known.pw_uid,
        group=known.pw_gid,
        extra_groups=[],
    )
    assert (done.returncode == 0) is allowed
    assert (done.stdout == "secret") is allowed


@pytest.mark.parametrize("reader", ["user:no-such-user", "group:no-such-group"])
def test_a_name_that_nobody_has_is_an_error(secret: Path, reader: str) -> None:
    """The clause names kind and name, and the file is as it was."""
    with pytest.raises(FileNotFoundError, match=reader.replace(":", " ")):
        allow_reading(secret, [reader])
    with pytest.raises(OSError, match="No data available"):
        os.getxattr(secret, NAME)


def test_groups_are_looked_up_as_groups(secret: Path) -> None:
    """A user and a group of the same name are two entries."""
    allow_reading(secret, ["group:daemon"])
    gid = grp.getgrnam("daemon").gr_gid.to_bytes(4, "little").hex()
    assert f"08000400{gid}" in os.getxattr(secret, NAME).hex()
