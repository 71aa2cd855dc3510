"""Directories that are published: their rights, what the disk says, roots in them.

Trusted roots are a bundle, and a directory as OpenSSL's -CApath wants it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from agent.errors import AgentError
from agent.files import describe, sync_directory, write_durable
from agent.trust.names import hashed_names

DIRECTORY: Final = 0o755
PUBLIC: Final = 0o644
BUNDLE: Final = "trust.pem"
"""Every root, PEM; what nginx calls `ssl_client_certificate`."""

HASHED: Final = "trust"
"""A directory with a file for each root, named as OpenSSL's `-CApath` wants it."""


class PublicationError(AgentError):
    """A publication could not be written, linked or removed; nothing is half done."""

    kind = "publication"


@contextmanager
def disk(what: str) -> Iterator[None]:
    """Say in one error what could not be done, why, and at which file.

    Raises:
        PublicationError: The disk refused something within the context.
    """
    try:
        yield
    except OSError as error:
        where = error.filename or "state directory"
        raise PublicationError(f"cannot {what}: {describe(error)} ({where})") from error


def point(link: Path, target: Path) -> None:
    """Point a link at a directory durably, by one rename; idempotent."""
    temporary = link.with_name(f".{link.name}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)
    sync_directory(link.parent)


def root_files(bundle: str) -> Iterator[tuple[str, bytes]]:
    """Yield the bundle and the files of the hashed directory by their names.

    A root that stands in several lists is written once.
    """
    roots = _certificates(bundle)
    yield BUNDLE, b"".join(map(_pem, roots))
    for name, root in hashed_names(roots).items():
        yield f"{HASHED}/{name}", _pem(root)


def fingerprints(bundle: str) -> tuple[str, ...]:
    """Return SHA-256 of every root, lower-case hexadecimal."""
    return tuple(r.fingerprint(hashes.SHA256()).hex() for r in _certificates(bundle))


def write_roots(directory: Path, bundle: str) -> None:
    """Write roots durably into a directory that is there already.

    Raises:
        OSError: The caller maps it, because it knows whose roots they are.
    """
    hashed = directory / HASHED
    hashed.mkdir(mode=DIRECTORY)
    hashed.chmod(DIRECTORY)
    for name, data in root_files(bundle):
        write_durable(directory / name, data, PUBLIC)
    sync_directory(hashed)


def _certificates(bundle: str) -> list[x509.Certificate]:
    """Return what the core has read before, each certificate once."""
    if not bundle:
        return []
    found = x509.load_pem_x509_certificates(bundle.encode("ascii"))
    return list(dict.fromkeys(found))


def _pem(root: x509.Certificate) -> bytes:
    return root.public_bytes(Encoding.PEM)
