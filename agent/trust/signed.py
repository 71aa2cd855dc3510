"""Signed lists: a JWS (RFC 7515) by a pinned key, or by one that succeeded it.

docs/trust-lists.md defines the form. The `typ` of the header tells a list from a
succession, so that neither can be given out for the other.
"""

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, NamedTuple, TypeVar

import msgspec

from agent.pki import jws
from agent.trust.errors import (
    ExpiredError,
    FormatError,
    SignatureError,
)
from agent.trust.roots import Document, Root, bounded, count, read_der

LIST_TYPE: Final = "nfcertd-trust-list"
SUCCESSION_TYPE: Final = "nfcertd-trust-succession"
MAX_SUCCESSIONS: Final = 100
SKEW: Final = timedelta(minutes=5)
"""How far ahead of ours the signer's clock may be."""

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Text = Annotated[str, msgspec.Meta(max_length=200)]


class _Shape(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what is read; members that are not known are ignored."""


class _File(_Shape, frozen=True, kw_only=True):
    successions: Annotated[
        tuple[str, ...], msgspec.Meta(max_length=MAX_SUCCESSIONS)
    ] = ()
    list: str


class _Header(_Shape, frozen=True, kw_only=True):
    alg: Text
    typ: Text
    kid: Text = ""
    crit: tuple[str, ...] | None = None


class _Succession(_Shape, frozen=True, kw_only=True):
    name: Text
    successor: Annotated[str, msgspec.Meta(max_length=2000)]


class _Entry(_Shape, frozen=True, kw_only=True):
    certificate: str | None = None
    sha256: Sha256 | None = None
    key_sha256: Sha256 | None = None
    distrust: bool = False


class _List(_Shape, frozen=True, kw_only=True):
    version: int
    name: Text
    sequence: Annotated[int, msgspec.Meta(ge=1, lt=1 << 53)]
    issued: datetime
    expires: datetime
    entries: tuple[_Entry, ...]


class Expected(NamedTuple):
    """Which list is wanted, and who may sign it.

    Attributes:
        name: What the list calls itself.
        pin: Key of the configuration, SubjectPublicKeyInfo, DER.
        signer: Key that was learnt from it by succession; the pin at first.
    """

    name: str
    pin: bytes
    signer: bytes


def read_signed(data: bytes, expected: Expected, now: datetime) -> Document:
    """Return a list whose signature, name and dates are right.

    Raises:
        BoundsError: It is too large.
        FormatError: It is no signed list, or another one than the one wanted.
        SignatureError: Nobody whom we know has signed it.
        ExpiredError: It has ended, or begins in the future.
        EntryError: An entry is no CA.
    """
    bounded(data)
    file = _decoded(data, _File)
    signer = _walk(file.successions, expected)
    payload = _verified(file.list, LIST_TYPE, signer)
    found = _decoded(payload, _List)
    _check(found, expected.name, now)
    return _document(found, hashlib.sha256(payload).hexdigest(), signer, expected.pin)


Shape = TypeVar("Shape", bound=_Shape)


def _decoded(data: bytes, kind: type[Shape]) -> Shape:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError("the list is not of the documented form") from error


def _walk(successions: Sequence[str], expected: Expected) -> bytes:
    """Follow the successions from the key that we know to the one that signs now.

    Those before our key name other keys and are passed over; the way only leads on.
    """
    signer = expected.signer
    for compact in successions:
        if _header(_split(compact).header).kid != jws.key_id(signer):
            continue
        payload = _verified(compact, SUCCESSION_TYPE, signer)
        succession = _decoded(payload, _Succession)
        if succession.name != expected.name:
            raise FormatError("a succession is that of another list")
        signer = _spki(succession.successor)
    return signer


def _header(part: bytes) -> _Header:
    header = _decoded(part, _Header)
    if header.crit is not None:
        # RFC 7515 section 4.1.11: we understand no extension.
        raise FormatError("the list's signature has a critical extension")
    return header


def _split(compact: str) -> jws.Compact:
    try:
        return jws.split(compact)
    except ValueError as error:
        raise FormatError(
            "the list holds something that is no compact jws in base64url"
        ) from error


def _verified(compact: str, typ: str, public: bytes) -> bytes:
    """Return the payload of a JWS of this type that this key has signed."""
    parts = _split(compact)
    header = _header(parts.header)
    if header.typ != typ:
        raise FormatError(f"the header's typ is not {typ}")
    try:
        jws.verify(public, header.alg, parts.signature, parts.covered)
    except ValueError as error:
        raise SignatureError(
            "the list is not signed by its pinned signer or a successor of it",
            hint="compare the pinned key with that of who signs the list",
        ) from error
    return parts.payload


def _spki(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise FormatError("a successor is not base64") from error


def _check(found: _List, name: str, now: datetime) -> None:
    if found.version != 1:
        raise FormatError(f"the list is of version {found.version}, not 1")
    if found.name != name:
        raise FormatError(f"the list is another one than {name}")
    if found.issued.tzinfo is None or found.expires.tzinfo is None:
        raise FormatError("the list's dates have no zone")
    if now >= found.expires:
        ended = found.expires.astimezone(UTC)
        raise ExpiredError(f"the list has ended at {ended:%Y-%m-%d %H:%M:%SZ}")
    if found.issued > now + SKEW:
        issued = found.issued.astimezone(UTC)
        raise ExpiredError(
            f"the list is of {issued:%Y-%m-%d %H:%M:%SZ}; is the clock right?"
        )


def _document(found: _List, digest: str, signer: bytes, pin: bytes) -> Document:
    count(len(found.entries))
    roots: dict[str, Root] = {}
    certificates: set[str] = set()
    keys: set[str] = set()
    for entry in found.entries:
        if entry.certificate is not None and not entry.distrust:
            root = read_der(entry.certificate)
            roots[root.fingerprint] = root
        elif entry.distrust and (entry.sha256 or entry.key_sha256):
            certificates |= {entry.sha256} if entry.sha256 else set()
            keys |= {entry.key_sha256} if entry.key_sha256 else set()
        else:
            raise FormatError("an entry neither holds a certificate nor distrusts one")
    return Document(
        tuple(roots.values()),
        digest,
        distrusted=frozenset(certificates),
        distrusted_keys=frozenset(keys),
        sequence=found.sequence,
        expires=found.expires.astimezone(UTC),
        signer=signer,
        pin=pin,
    )
