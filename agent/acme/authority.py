"""Authority tokens (RFC 9447, RFC 9448): what is asked for, and what came back.

A token authority (OAM, in TS 33.310 Annex J) attests that an account may have
certificates for an identifier. Its token is presented as it is; whatever a CA would
refuse it for is looked for here first, because a refused one costs an order.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, TypeVar

import msgspec
from josepy.b64 import b64decode

from agent.acme.identifiers import Identifier, canonical
from agent.errors import AgentError

ATC: Final = "atc"
"""The only token subtype that RFC 9447 registers."""
MAX_TOKEN: Final = 16384
"""Characters of a token; a chain of certificates in `x5c` takes most of them."""
MARGIN: Final = timedelta(seconds=60)
"""Life that a token must have left when it is presented."""
MAX_SKEW: Final = timedelta(seconds=60)
_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_SYMMETRIC: Final = "HS"


class AuthorityTokenError(AgentError):
    """A token does not say what was asked for; it is not presented."""

    kind = "acme.authority-token"


class Atc(msgspec.Struct, frozen=True, kw_only=True):
    """The claim `atc` (RFC 9447 section 4).

    Attributes:
        tktype: An ACME identifier type, case and all.
        tkvalue: Value of the identifier.
        fingerprint: Of the account key, as `SHA256 AA:BB:...`.
        ca: The token may be used for a CA's certificate.
    """

    tktype: Annotated[str, msgspec.Meta(max_length=64)]
    tkvalue: Annotated[str, msgspec.Meta(max_length=4096)]
    fingerprint: Annotated[str, msgspec.Meta(max_length=256)]
    ca: bool = False


class _Header(msgspec.Struct, frozen=True):
    alg: Annotated[str, msgspec.Meta(max_length=16)]
    typ: str | None = None
    x5u: str | None = None
    x5c: tuple[str, ...] | None = None


class _Claims(msgspec.Struct, frozen=True):
    exp: int | float
    jti: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
    atc: Atc
    iss: str | None = None
    nbf: int | float | None = None


class _Answer(msgspec.Struct, frozen=True):
    token: Annotated[str, msgspec.Meta(max_length=MAX_TOKEN)]


def fingerprint(thumbprint: str) -> str:
    """Return an account key's thumbprint as RFC 9448 section 5.4 prints it.

    Args:
        thumbprint: SHA-256 JWK thumbprint (RFC 7638), base64url.
    """
    octets = b64decode(thumbprint)
    return "SHA256 " + ":".join(f"{octet:02X}" for octet in octets)


def wanted(identifier: Identifier, thumbprint: str) -> Atc:
    """Return what a token must say for an identifier of our order."""
    value = canonical(identifier).value
    return Atc(
        tktype=identifier.type, tkvalue=value, fingerprint=fingerprint(thumbprint)
    )


def request_body(atc: Atc, *, wrapped: bool) -> bytes:
    """Return what is posted to the authority, JSON.

    Args:
        atc: What the token is to say.
        wrapped: As the member `atc` of an object, which RFC 9447 section 5 describes;
            else bare, as the example of RFC 9448 section 5.5 has it.
    """
    members = msgspec.to_builtins(atc)
    return msgspec.json.encode({"atc": members} if wrapped else members)


def read_answer(body: bytes) -> str:
    """Return the token in an authority's answer.

    Raises:
        AuthorityTokenError: There is none, or it is no compact JWS.
    """
    try:
        token = msgspec.json.decode(body, type=_Answer).token
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _refused("the answer has no token") from error
    if not _COMPACT.fullmatch(token):
        raise _refused("the token is no compact JWS")
    return token


def check(token: str, atc: Atc, now: datetime) -> datetime:
    """Hold a token against what it must say; return when it ends.

    Signature and signer are the CA's to judge, which trusts the authority; we do not.

    Raises:
        AuthorityTokenError: A CA would refuse it. The token itself is never told.
    """
    header_part, claims_part, _ = token.split(".")
    header = _decoded(header_part, _Header, "header")
    claims = _decoded(claims_part, _Claims, "claims")
    if header.alg == "none" or header.alg.startswith(_SYMMETRIC):
        raise _refused(f"it is signed by {header.alg[:16]}")
    if not (header.x5u or header.x5c or claims.iss):
        # "iss ... needed if neither x5u nor x5c" (section 4)
        raise _refused("it names no signer")
    for problem in _differences(claims.atc, atc):
        raise _refused(problem)
    return _lifetime(claims, now)


def _differences(got: Atc, asked: Atc) -> list[str]:
    kinds: Mapping[str, bool] = {
        "it is for another type of identifier": got.tktype == asked.tktype,
        "it is for another identifier": _value(got) == _value(asked),
        "it is for another account": _normal(got.fingerprint)
        == _normal(asked.fingerprint),
        "its ca flag differs": got.ca == asked.ca,
    }
    return [problem for problem, good in kinds.items() if not good]


def _value(atc: Atc) -> str:
    return canonical(Identifier(type=atc.tktype, value=atc.tkvalue)).value


def _normal(text: str) -> str:
    return text.upper().replace(" ", "").replace(":", "")


def _lifetime(claims: _Claims, now: datetime) -> datetime:
    try:
        end = datetime.fromtimestamp(claims.exp, UTC)
        begin = datetime.fromtimestamp(claims.nbf or 0, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise _refused("its exp or nbf is no time") from error
    if end <= now + MARGIN:
        raise _refused(f"it ends at {end:%FT%TZ}")
    if begin > now + MAX_SKEW:
        raise _refused(f"it begins at {begin:%FT%TZ}")
    return end


T = TypeVar("T", _Header, _Claims)


def _decoded(part: str, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(b64decode(part), type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _refused(f"its {what} cannot be read") from error


def _refused(problem: str) -> AuthorityTokenError:
    return AuthorityTokenError(
        f"the token authority's token is of no use: {problem}",
        hint="ask the authority's operator",
    )
