"""Lists of trusted roots on disk: numbered directories, and one link for each list.

Layout below the state directory:

    trust/<list>/<version>/     trust.pem, trust/ (hashed), manifest.json
    live/trust-<list>           symbolic link to the newest of them

It knows files and names. It does not know why a root is trusted.
"""

import asyncio
import shutil
from pathlib import Path

import msgspec

from agent.files import sync_directory, write_durable
from agent.publication.directories import MANIFEST
from agent.publication.trees import (
    DIRECTORY,
    PUBLIC,
    disk,
    fingerprints,
    point,
    write_roots,
)


class RootsManifest(msgspec.Struct, frozen=True, kw_only=True):
    """`manifest.json`: what is in the directory, for people and scripts."""

    trust: str
    version: int
    roots: tuple[str, ...]


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
        with disk(f"publish the list {name}"):
            await asyncio.to_thread(self._publish, name, version, bundle)

    async def prune_roots(self, name: str, version: int) -> None:
        """Remove what is older than a version and the one before it; idempotent.

        Raises:
            PublicationError: Something cannot be removed.
        """
        with disk(f"prune the list {name}"):
            await asyncio.to_thread(self._prune, name, version)

    def _publish(self, name: str, version: int, bundle: str) -> None:
        parent = self._trust / name
        for directory in (self._trust, parent):
            directory.mkdir(mode=DIRECTORY, exist_ok=True)
            directory.chmod(DIRECTORY)
        final = parent / str(version)
        if not (final / MANIFEST).exists():
            temporary = parent / f".{version}.tmp"
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(mode=DIRECTORY)
            temporary.chmod(DIRECTORY)
            write_roots(temporary, bundle)
            write_durable(
                temporary / MANIFEST, _manifest(name, version, bundle), PUBLIC
            )
            sync_directory(temporary)
            temporary.replace(final)
            sync_directory(parent)
        point(self._live / f"trust-{name}", Path("..") / "trust" / name / str(version))

    def _prune(self, name: str, version: int) -> None:
        parent = self._trust / name
        for path in parent.iterdir() if parent.is_dir() else ():
            if path.name.isdigit() and int(path.name) < version - 1:
                shutil.rmtree(path)


def _manifest(name: str, version: int, bundle: str) -> bytes:
    manifest = RootsManifest(trust=name, version=version, roots=fingerprints(bundle))
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
