"""Publications on disk: numbered directories, and `live` links swapped by one rename.

It knows files, modes, ACLs and the syntax of what endpoints include. It does not know
when something is published, nor what an endpoint makes of it.

Layout below the state directory:

    certificates/<certificate>/<number>/   one publication, immutable once it has a name
    certificates/<certificate>/farewell/   what serves nothing
    live/<certificate>[@<endpoint>]        symbolic link to one of them
"""

import asyncio
import grp
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from agent.config.endpoints import Endpoint
from agent.config.model import Certificate
from agent.files import sync_directory, write_atomic, write_durable
from agent.pki.uri import key_uri, provider_pem
from agent.publication import acl
from agent.publication.snippets import rejecting, snippet
from agent.publication.trees import DIRECTORY, PUBLIC, disk, point, write_roots
from agent.records.certificate import Publication
from agent.records.keys import FILE_STORE, KeyRecord

SECRET: Final = 0o640
MANIFEST: Final = "manifest.json"
FAREWELL: Final = "farewell"
"""The directory of what serves nothing; it outlives the certificate's end."""

PrivatePem = Callable[[KeyRecord], bytes]
"""Gives the PEM of a software key; the only way a private key leaves its store."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`manifest.json`: what is in the directory, for people and scripts."""

    certificate: str
    publication: int
    fingerprint_sha256: str
    serial: str
    names: tuple[str, ...]
    not_before: str
    not_after: str
    key: str
    trust: dict[str, int] = {}


def link_name(certificate: str, endpoint: str) -> str:
    """Return the name of a link below `live/`."""
    return f"{certificate}@{endpoint}" if endpoint else certificate


class Publications:
    """Writes publications below a state directory; satisfies `ports.Publisher`."""

    def __init__(
        self, state: Path, token_uri: Callable[[str], str], private_pem: PrivatePem
    ) -> None:
        """Use a state directory.

        Args:
            state: The state directory.
            token_uri: Gives the RFC 7512 URI of a configured token by its name.
            private_pem: Gives software keys.
        """
        self._certificates = state / "certificates"
        self._live = state / "live"
        self._token_uri = token_uri
        self._private_pem = private_pem
        # Endpoints of one certificate share its publications.
        self._busy = asyncio.Lock()

    def prepare(self) -> None:
        """Make the two directories that endpoints traverse.

        Raises:
            PublicationError: The state directory cannot be written.
        """
        with disk("make the directories of endpoints"):
            for directory in (self._certificates, self._live):
                directory.mkdir(mode=DIRECTORY, exist_ok=True)
                directory.chmod(DIRECTORY)

    async def publish(
        self, certificate: str, publication: Publication, config: Certificate
    ) -> None:
        """Write a publication's directory durably; done before, it does nothing.

        Rights are set before content, and the directory gets its name last, by one
        rename: whoever can see it sees all of it.

        Raises:
            PublicationError: Disk full, group unknown, ACL refused.
        """
        with disk(f"publish {certificate}"):
            async with self._busy:
                await asyncio.to_thread(self._publish, certificate, publication, config)

    async def swap(self, certificate: str, endpoint: str, number: int) -> None:
        """Point a link at a publication by one rename; idempotent.

        Raises:
            PublicationError: The publication is not there, or the disk failed.
        """
        with disk(f"swap live/{link_name(certificate, endpoint)}"):
            async with self._busy:
                await asyncio.to_thread(self._swap, certificate, endpoint, number)

    async def prune(self, certificate: str, keep: frozenset[int]) -> None:
        """Remove the directories of publications that are not kept; idempotent.

        Raises:
            PublicationError: Something cannot be removed.
        """
        with disk(f"prune {certificate}"):
            async with self._busy:
                await asyncio.to_thread(self._prune, certificate, keep)

    async def withdraw(
        self, certificate: str, endpoint: str, config: Certificate
    ) -> None:
        """Point a link at what serves nothing, by one rename; idempotent.

        Raises:
            PublicationError: The disk failed.
        """
        with disk(f"withdraw live/{link_name(certificate, endpoint)}"):
            async with self._busy:
                await asyncio.to_thread(self._withdraw, certificate, endpoint, config)

    async def clear(self, certificate: str) -> None:
        """Remove every publication of a certificate; idempotent.

        Raises:
            PublicationError: Something cannot be removed.
        """
        with disk(f"clear {certificate}"):
            async with self._busy:
                await asyncio.to_thread(self._clear, certificate)

    def _withdraw(self, certificate: str, endpoint: str, config: Certificate) -> None:
        parent = self._certificates / certificate
        parent.mkdir(mode=DIRECTORY, exist_ok=True)
        parent.chmod(DIRECTORY)
        directory = parent / FAREWELL
        directory.mkdir(mode=DIRECTORY, exist_ok=True)
        directory.chmod(DIRECTORY)
        names = {endpoint, *(e.name for e in config.endpoint)}
        for name in sorted(names):
            path = directory / f"{link_name('nginx', name)}.conf"
            # What a full disk left of it at another attempt is there, and is empty.
            if not path.exists() or path.read_bytes() != rejecting():
                write_atomic(path, rejecting(), PUBLIC)
        sync_directory(directory)
        sync_directory(parent)
        self._link(certificate, endpoint, FAREWELL)

    def _clear(self, certificate: str) -> None:
        for path in self._made(certificate):
            shutil.rmtree(path)

    def _made(self, certificate: str) -> tuple[Path, ...]:
        """Return the publications, finished or not.

        What an endpoint that is told to go points to is none: a server that starts
        again with a link to nothing would take its other sites down with it.
        """
        parent = self._certificates / certificate
        found = parent.iterdir() if parent.is_dir() else ()
        return tuple(path for path in found if path.name != FAREWELL)

    def _publish(
        self, certificate: str, publication: Publication, config: Certificate
    ) -> None:
        parent = self._certificates / certificate
        final = parent / str(publication.number)
        if (final / MANIFEST).exists():
            return
        parent.mkdir(mode=DIRECTORY, exist_ok=True)
        parent.chmod(DIRECTORY)
        temporary = parent / f".{publication.number}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(mode=DIRECTORY)
        temporary.chmod(DIRECTORY)
        if publication.trust:
            write_roots(temporary, "".join(part.roots for part in publication.trust))
        for name, data, mode in self._files(certificate, publication, config):
            write_durable(temporary / name, data, mode)
            if mode == SECRET:
                _share(temporary / name, config)
        sync_directory(temporary)
        temporary.replace(final)
        sync_directory(parent)

    def _swap(self, certificate: str, endpoint: str, number: int) -> None:
        target = self._certificates / certificate / str(number)
        if not (target / MANIFEST).exists():
            raise FileNotFoundError(2, "no such publication", str(target))
        self._link(certificate, endpoint, str(number))

    def _link(self, certificate: str, endpoint: str, directory: str) -> None:
        link = self._live / link_name(certificate, endpoint)
        point(link, Path("..") / "certificates" / certificate / directory)

    def _prune(self, certificate: str, keep: frozenset[int]) -> None:
        newest = max(keep, default=0)
        for path in self._made(certificate):
            # A number above those known is a publication made while this one waited.
            number = int(path.name) if path.name.isdigit() else 0
            if number not in keep and number <= newest:
                shutil.rmtree(path)

    def _files(
        self, certificate: str, publication: Publication, config: Certificate
    ) -> Iterable[tuple[str, bytes, int]]:
        issuance, key = publication.issuance, publication.key
        leaf, end, rest = issuance.chain.partition("-----END CERTIFICATE-----\n")
        private = self._key_pem(key)
        key_mode = SECRET if key.store == FILE_STORE else PUBLIC
        fullchain = issuance.chain.encode("ascii")
        yield "cert.pem", (leaf + end).encode("ascii"), PUBLIC
        yield "chain.pem", rest.encode("ascii"), PUBLIC
        yield "fullchain.pem", fullchain, PUBLIC
        yield "key.pem", private, key_mode
        yield "combined.pem", private + fullchain, key_mode
        if key.store != FILE_STORE:
            yield "key.uri", f"{self._uri(key, None)}\n".encode("ascii"), PUBLIC
        final = self._certificates / certificate / str(publication.number)
        for endpoint in config.endpoint or (Endpoint(),):
            uri = "" if key.store == FILE_STORE else self._uri(key, endpoint.pin_source)
            name = link_name("nginx", endpoint.name)
            # Peers cannot be verified with no root; the deployment waits for some.
            verify = endpoint.verify_peers and bool(publication.trust)
            text = snippet(endpoint.template, final, uri, verify_peers=verify)
            yield f"{name}.conf", text, PUBLIC
        yield MANIFEST, _manifest(certificate, publication), PUBLIC

    def _key_pem(self, key: KeyRecord) -> bytes:
        if key.store == FILE_STORE:
            return self._private_pem(key)
        return provider_pem(self._uri(key, None))

    def _uri(self, key: KeyRecord, pin_source: str | None) -> str:
        return key_uri(
            self._token_uri(key.store), bytes.fromhex(key.id), pin_source=pin_source
        )


def _share(path: Path, config: Certificate) -> None:
    """Give the configured group and readers the right to read a secret file.

    Raises:
        OSError: The group is unknown or not one of ours: without CAP_CHOWN a file can
            only be given to a group that we are in.
    """
    if config.group is not None:
        try:
            group = grp.getgrnam(config.group).gr_gid
        except KeyError as error:
            raise FileNotFoundError(2, f"no group {config.group}") from error
        os.chown(path, -1, group)
    if config.readers:
        acl.allow_reading(path, config.readers)


def _manifest(certificate: str, publication: Publication) -> bytes:
    issuance = publication.issuance
    manifest = Manifest(
        certificate=certificate,
        publication=publication.number,
        fingerprint_sha256=issuance.fingerprint,
        serial=issuance.serial,
        names=issuance.names,
        not_before=issuance.not_before.isoformat(),
        not_after=issuance.not_after.isoformat(),
        key=publication.key.label,
        trust={part.name: part.version for part in publication.trust},
    )
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
