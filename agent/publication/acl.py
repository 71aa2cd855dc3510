"""POSIX ACLs as the kernel stores them: how a named user may read without a chown.

Without CAP_CHOWN a file cannot be given away, but its owner may add ACL entries. The
layout is that of linux/posix_acl_xattr.h: a version, then (tag, permissions, id).
"""

import grp
import os
import pwd
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_NAME: Final = "system.posix_acl_access"
_VERSION: Final = 2
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NOBODY: Final = 0xFFFFFFFF
_READ: Final = 4


def allow_reading(path: Path, readers: Sequence[str]) -> None:
    """Let users and groups read a file besides its owner and group.

    Args:
        path: A file that we own.
        readers: `user:NAME` or `group:NAME`.

    Raises:
        OSError: A name is unknown, or the file system has no ACLs.
    """
    mode = path.stat().st_mode
    entries = [
        (_USER_OBJ, mode >> 6 & 7, _NOBODY),
        (_GROUP_OBJ, mode >> 3 & 7, _NOBODY),
        (_MASK, _READ, _NOBODY),
        (_OTHER, mode & 7, _NOBODY),
        *(_entry(reader) for reader in readers),
    ]
    packed = b"".join(struct.pack("<HHI", *entry) for entry in sorted(entries))
    os.setxattr(path, _NAME, struct.pack("<I", _VERSION) + packed)


def _entry(reader: str) -> tuple[int, int, int]:
    kind, _, name = reader.partition(":")
    try:
        if kind == "user":
            return _USER, _READ, pwd.getpwnam(name).pw_uid
        return _GROUP, _READ, grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise FileNotFoundError(2, f"no {kind} {name}") from error
