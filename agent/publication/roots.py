"""Lists of trusted roots on disk: numbered directories, and one link for each list.

Layout below the state directory:

    trust/<list>/<version>/     trust.pem, trust/ (hashed), manifest.json
    live/trust-<list>           symbolic link to the newest of them

It knows files and names. It does not know why a root is trusted.
"""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from agent.files import describe, sync_directory, write_durable
from agent.publication.directories import (
    DIRECTORY,
    MANIFEST,
    PUBLIC,
    PublicationError,
)
from agent.trust.names import hashed_names

BUNDLE: Final = "trust.pem"
"""Every root, PEM; what nginx calls `ssl_client_certificate`."""

HASHED: Final = "trust"
"""A directory with a file for each root, named as OpenSSL's `-CApath` wants it."""


class RootsManifest(msgspec.Struct, frozen=True, kw_only=True):
    """`manifest.json`: what is in the directory, for people and scripts."""

    trust: str
    version: int
    roots: tuple[str, ...]


def root_files(bundle: str) -> Iterator[tuple[str, bytes]]:
    """Yield the bundle and the files of the hashed directory by their names.

    A root that stands in several lists is written once.
    """
    roots = _certificates(bundle)
    yield BUNDLE, b"".join(map(_pem, roots))
    for name, root in hashed_names(roots).items():
        yield f"{HASHED}/{name}", _pem(root)


class Roots:
    """Writes lists below a state directory; satisfies `ports.RootsPublisher`."""

    def __init__(self, state: Path) -> None:
        """Use a state directory."""
        self._trust = state / "trust"
        self._live = state / "live"

    async def publish_roots(self, name: str, version: int, bundle: str) -> None:
        """Write a version and point the link at it; done before, it does nothing.

        Raises:
            PublicationError: The disk failed.
        """
        try:
            await asyncio.to_thread(self._publish, name, version, bundle)
        except OSError as error:
            raise PublicationError(
                f"cannot publish the list {name}: {describe(error)}"
                f" ({error.filename or 'state directory'})"
            ) from error

    async def prune_roots(self, name: str, version: int) -> None:
        """Remove what is older than a version and the one before it; idempotent.

        Raises:
            PublicationError: Something cannot be removed.
        """
        try:
            await asyncio.to_thread(self._prune, name, version)
        except OSError as error:
            raise PublicationError(
                f"cannot prune the list {name}: {describe(error)}"
            ) from error

    def _publish(self, name: str, version: int, bundle: str) -> None:
        parent = self._trust / name
        for directory in (self._trust, parent):
            directory.mkdir(mode=DIRECTORY, exist_ok=True)
            directory.chmod(DIRECTORY)
        final = parent / str(version)
        if not (final / MANIFEST).exists():
            temporary = parent / f".{version}.tmp"
            shutil.rmtree(temporary, ignore_errors=True)
            write_tree(temporary, root_files(bundle))
            write_durable(
                temporary / MANIFEST, _manifest(name, version, bundle), PUBLIC
            )
            sync_directory(temporary)
            temporary.replace(final)
            sync_directory(parent)
        self._link(name, version)

    def _link(self, name: str, version: int) -> None:
        link = self._live / f"trust-{name}"
        temporary = link.with_name(f".{link.name}.tmp")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(Path("..") / "trust" / name / str(version))
        temporary.replace(link)
        sync_directory(self._live)

    def _prune(self, name: str, version: int) -> None:
        parent = self._trust / name
        for path in parent.iterdir() if parent.is_dir() else ():
            if path.name.isdigit() and int(path.name) < version - 1:
                shutil.rmtree(path)


def write_tree(directory: Path, files: Iterator[tuple[str, bytes]]) -> None:
    """Write public files durably into a directory that is made, with its `trust/`.

    Raises:
        OSError: The caller maps it, because it knows what the files are.
    """
    hashed = directory / HASHED
    for made in (directory, hashed):
        made.mkdir(mode=DIRECTORY, exist_ok=True)
        made.chmod(DIRECTORY)
    for name, data in files:
        write_durable(directory / name, data, PUBLIC)
    sync_directory(hashed)


def _certificates(bundle: str) -> list[x509.Certificate]:
    """Return what the core has read before, each certificate once."""
    if not bundle:
        return []
    found = x509.load_pem_x509_certificates(bundle.encode("ascii"))
    return list(dict.fromkeys(found))


def _manifest(name: str, version: int, bundle: str) -> bytes:
    roots = tuple(
        root.fingerprint(hashes.SHA256()).hex() for root in _certificates(bundle)
    )
    manifest = RootsManifest(trust=name, version=version, roots=roots)
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def _pem(root: x509.Certificate) -> bytes:
    return root.public_bytes(Encoding.PEM)
