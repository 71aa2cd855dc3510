"""Is a trail whole: chain, numbers and checkpoints, over one file after the other."""

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key

from agent.trail.entry import (
    CHECKPOINT,
    GENESIS,
    Entry,
    EntryError,
    checkpoint_input,
    digest,
    read_line,
)

MAX_PROBLEMS: Final = 20
"""Problems that are worded; of more only the number is told."""
_WIDE: Final = 384


@dataclass(slots=True)
class Report:
    """What was found.

    Attributes:
        entries: Entries read.
        first: Number of the first.
        last: Number of the last.
        checkpoints: Checkpoints with a signature that verifies.
        covered: Number of the last entry that such a checkpoint vouches for.
        covered_at: When that checkpoint was made.
        keys: Public keys of the checkpoints, SPKI in base64, in their order.
        problems: What is wrong, with file and line; empty for a whole trail.
        more: Further problems that are not worded.
    """

    entries: int = 0
    first: int = 0
    last: int = 0
    checkpoints: int = 0
    covered: int = 0
    covered_at: datetime | None = None
    keys: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    more: int = 0

    def complain(self, problem: str) -> None:
        """Note a problem."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)
        else:
            self.more += 1


class Check:
    """Reads lines in their order, and keeps what the next one must fit to."""

    def __init__(self, pinned: bytes | None = None) -> None:
        """Begin before the first line.

        Args:
            pinned: The only key that checkpoints may have, SPKI in DER; None takes the
                key that they name, which proves less.
        """
        self.report = Report()
        self._pinned = pinned
        self._prev = ""

    def read(self, name: str, lines: Iterable[bytes]) -> None:
        """Read a file's lines, without their ends, after those before it."""
        for number, line in enumerate(lines, 1):
            where = f"{name}:{number}"
            try:
                entry = read_line(line)
            except EntryError as error:
                self.report.complain(f"{where}: no entry: {error}")
            else:
                self._entry(where, entry)
            self._prev = digest(line)

    def _entry(self, where: str, entry: Entry) -> None:
        report = self.report
        if not report.entries:
            report.first = entry.seq
            if entry.seq == 1 and entry.prev != GENESIS:
                report.complain(f"{where}: the first entry names one before it")
        else:
            if entry.prev != self._prev:
                report.complain(f"{where}: does not follow the line before it")
            if entry.seq != report.last + 1:
                report.complain(f"{where}: number {entry.seq} after {report.last}")
        report.entries += 1
        report.last = entry.seq
        if entry.event == CHECKPOINT:
            self._checkpoint(where, entry)

    def _checkpoint(self, where: str, entry: Entry) -> None:
        public = _decoded(entry.data.get("public", ""))
        signature = _decoded(entry.data.get("signature", ""))
        if self._pinned is not None and public != self._pinned:
            self.report.complain(f"{where}: a checkpoint by another key")
            return
        if not verifies(public, signature, checkpoint_input(entry.seq, entry.prev)):
            self.report.complain(f"{where}: the signature of a checkpoint is wrong")
            return
        self.report.checkpoints += 1
        self.report.covered = entry.seq
        self.report.covered_at = entry.at
        key = entry.data["public"]
        if key not in self.report.keys:
            self.report.keys.append(key)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def verifies(public: bytes, signature: bytes, data: bytes) -> bool:
    """Tell whether a signature in the form of JWS (RFC 7518) is a key's.

    Args:
        public: SubjectPublicKeyInfo, DER.
        signature: r||s for EC, PKCS#1 v1.5 for RSA, or Ed25519's.
        data: What was signed, unhashed.
    """
    try:
        _verify(public, signature, data)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _verify(public: bytes, signature: bytes, data: bytes) -> None:
    key = load_der_public_key(public)
    if isinstance(key, ec.EllipticCurvePublicKey):
        width = (key.key_size + 7) // 8
        if len(signature) != 2 * width:
            raise ValueError("the signature has another width")
        r, s = signature[:width], signature[width:]
        der = utils.encode_dss_signature(
            int.from_bytes(r, "big"), int.from_bytes(s, "big")
        )
        wide: HashAlgorithm = SHA384() if key.key_size == _WIDE else SHA256()
        key.verify(der, data, ec.ECDSA(wide))
    elif isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, data, padding.PKCS1v15(), SHA256())
    elif isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, data)
    else:
        raise UnsupportedAlgorithm("no key that signs checkpoints")
