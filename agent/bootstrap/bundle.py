"""A bundle from octets: who signed it, what it says, whether this host takes it now.

The order is what a stranger can learn from the answers: nothing before the signature
is right. It reads no file and no clock.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from agent.bootstrap.errors import (
    EarlyError,
    ExpiredError,
    FormatError,
    InstanceError,
    RollbackError,
    SignatureError,
)
from agent.bootstrap.strict import shortened, strict
from agent.bootstrap.tables import TABLES, Payload
from agent.config.parse import word, wrong_entries
from agent.config.section import Section
from agent.config.unknown import unknown_keys
from agent.pki import jws

TYPE: Final = "nfcertd-bootstrap"
MAX_BUNDLE: Final = 60_000
"""Octets of a bundle: one request to the daemon has to hold it."""
SKEW: Final = timedelta(minutes=5)
"""How far ahead of ours the signer's clock may be."""
_PEM: Final = re.compile(r"(^|\.)(roots|chain_roots|issuers|signer|certificate)$")
"""Members whose text has lines."""
_BEYOND: Final = "what runs on the host, and where its keys are, the host's files say"


class _Header(Section, frozen=True, kw_only=True):
    """The protected header; a member that we do not understand is refused.

    So neither `crit` nor a key in the message (`jwk`, `x5c`, `jku`) is ever looked at.
    """

    alg: Literal["ES256", "ES384", "EdDSA", "PS256"]
    typ: Literal["nfcertd-bootstrap"]
    kid: Annotated[str, msgspec.Meta(max_length=200)] = ""


class Bundle(NamedTuple):
    """A bundle whose signature and form are right.

    Attributes:
        payload: What it says.
        digest: SHA-256 of the signed payload, lower-case hexadecimal: equal contents.
        signer: Which key has signed it, as `agent.pki.jws.key_id` names keys.
    """

    payload: Payload
    digest: str
    signer: str


class Known(NamedTuple):
    """What was taken last."""

    sequence: int
    digest: str


def read(text: str, signers: Sequence[bytes]) -> Bundle:
    """Return what a bundle says, once its signature is known to be right.

    Args:
        text: A compact JWS (RFC 7515 section 7.1); white space around it is no part.
        signers: Keys that may sign one, SubjectPublicKeyInfo, DER.

    Raises:
        FormatError: It is too large, or no bundle of the documented form.
        SignatureError: None of the signers has signed it.
    """
    if len(text) > MAX_BUNDLE:
        raise FormatError(f"the bundle is larger than {MAX_BUNDLE} octets")
    try:
        parts = jws.split(text.strip())
    except ValueError as error:
        raise FormatError("the bundle is no compact jws in base64url") from error
    signer = _signer(parts, signers)
    payload = _payload(strict(parts.payload, "payload", _PEM))
    return Bundle(payload, hashlib.sha256(parts.payload).hexdigest(), signer)


def reread(text: str) -> Payload:
    """Return what a bundle says that was verified when it was taken.

    Raises:
        FormatError: It is no bundle of the documented form.
    """
    try:
        parts = jws.split(text.strip())
    except ValueError as error:
        raise FormatError("the bundle is no compact jws in base64url") from error
    return _payload(strict(parts.payload, "payload", _PEM))


def check_taken(bundle: Bundle, instance: str, known: Known | None) -> bool:
    """Tell whether exactly this content is in force already.

    That is so whatever its dates say by now: an image hands the same file over at
    every boot.

    Raises:
        InstanceError: It is for another host.
        RollbackError: It is older than what was taken, or of the same number.
    """
    payload = bundle.payload
    if payload.instance != instance:
        raise InstanceError(
            f"the bundle is for {payload.instance}, this host is {instance}",
            hint="compare instance of [bootstrap] with what oam calls this host",
        )
    if known is None or payload.sequence > known.sequence:
        return False
    if bundle.digest == known.digest:
        return True
    if payload.sequence == known.sequence:
        raise RollbackError(
            f"another bundle of number {known.sequence} has been taken",
            hint="every bundle for a host needs a number of its own",
        )
    raise RollbackError(
        f"the bundle has number {payload.sequence}, older than {known.sequence}, "
        "which has been taken"
    )


def check_dates(payload: Payload, now: datetime) -> None:
    """Return where a bundle may be taken now.

    Raises:
        ExpiredError: No longer.
        EarlyError: Not yet.
    """
    if now >= payload.expires:
        raise ExpiredError(f"the bundle has expired at {_instant(payload.expires)}")
    if payload.issued > now + SKEW:
        raise EarlyError(
            f"the bundle is of {_instant(payload.issued)}, which is still to come",
            hint="is the clock right?",
        )


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def _signer(parts: jws.Compact, signers: Sequence[bytes]) -> str:
    header = strict(parts.header, "header")
    try:
        alg = msgspec.convert(header, type=_Header).alg
    except msgspec.ValidationError as error:
        clause = word(str(error), "header")
        raise FormatError(
            shortened(f"the bundle is of another form: {clause}")
        ) from error
    for public in signers:
        try:
            jws.verify(public, alg, parts.signature, parts.covered)
        except ValueError:
            continue
        return jws.key_id(public)
    raise SignatureError(
        "the bundle is not signed by a signer of [bootstrap]",
        hint="compare the keys in the files of bootstrap.signer with oam's",
    )


def _payload(tree: dict[str, object]) -> Payload:
    version = tree.get("version")
    if isinstance(version, int) and version != 1:
        raise FormatError("the bundle is of another version than 1")
    wrong = list(_wrong(tree))
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        clause = shortened(f"in the bundle, {wrong[0]}")
        raise FormatError(f"{clause}{more}", hint=_BEYOND)
    try:
        return msgspec.convert(tree, type=Payload)
    except msgspec.ValidationError as error:
        raise FormatError(
            f"in the bundle, {word(str(error), '').lstrip('.')}"
        ) from error


def _wrong(tree: dict[str, object]) -> Iterator[str]:
    """Yield a clause for what does not belong in, or is not as it should be."""
    yield from unknown_keys(tree, msgspec.inspect.type_info(Payload))
    for table, kind in TABLES.items():
        entries = tree.get(table)
        if isinstance(entries, dict):
            yield from wrong_entries(table, entries, kind)
