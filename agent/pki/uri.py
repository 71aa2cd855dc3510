"""References to tokens and keys: RFC 7512 URIs, and the PEM that carries one.

It knows the syntax and the matching rules of RFC 7512. It does not know modules,
sessions or files, and it never prints a `pin-value`.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agent.errors import AgentError

MAX_LENGTH: Final = 4096
"""Characters; a longer URI is refused unread."""

_SCHEME: Final = "pkcs11:"
_TOKEN_ATTRIBUTES: Final = ("token", "serial", "manufacturer", "model")
_LIBRARY_ATTRIBUTES: Final = (
    "library-manufacturer",
    "library-description",
    "library-version",
)
_SLOT_ATTRIBUTES: Final = ("slot-manufacturer", "slot-description", "slot-id")
_OBJECT_ATTRIBUTES: Final = ("object", "type", "id")
_KNOWN_PATH: Final = frozenset(
    (*_TOKEN_ATTRIBUTES, *_LIBRARY_ATTRIBUTES, *_SLOT_ATTRIBUTES, *_OBJECT_ATTRIBUTES)
)
_TYPES: Final = frozenset((b"public", b"private", b"cert", b"secret-key", b"data"))
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_SHAPES: Final = {
    "slot-id": re.compile(rb"[0-9]+"),
    "library-version": re.compile(rb"[0-9]+(\.[0-9]+)?"),
}
# RFC 7512 section 2.3: unreserved characters, percent triplets and the safe set of
# the part may stand; everything else must have been encoded.
_PATH_VALUE: Final = re.compile(
    r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=&]|%[0-9A-Fa-f]{2})*"
)
_QUERY_VALUE: Final = re.compile(
    r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=/?|]|%[0-9A-Fa-f]{2})*"
)
_UNRESERVED: Final = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
)
_PEM_LABEL: Final = "PKCS#11 PROVIDER URI"
_PEM_DESCRIPTION: Final = b"PKCS#11 Provider URI v1.0"
_PEM_COLUMNS: Final = 64


class UriError(AgentError):
    """A text is not the RFC 7512 URI that is wanted; the text itself is not quoted."""

    kind = "pki.uri"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Pkcs11Uri:
    """An RFC 7512 URI; values are octets with the percent-encoding removed.

    Attributes:
        path: What identifies: `token`, `serial`, `object`, `id` and so on.
        query: How to use it: `pin-source`, `module-path` and so on.
    """

    path: Mapping[str, bytes]
    query: Mapping[str, bytes]

    def __repr__(self) -> str:
        """Print as a URI, without the PIN that it may hold."""
        return f"Pkcs11Uri({self})"

    def __str__(self) -> str:
        """Write the URI again, a `pin-value` left out."""
        shown = {name: v for name, v in self.query.items() if name != "pin-value"}
        return render(Pkcs11Uri(path=self.path, query=shown))

    def text(self, name: str) -> str | None:
        """Return a path attribute as text, None where it is absent."""
        value = self.path.get(name)
        return None if value is None else value.decode()

    @property
    def id(self) -> bytes | None:
        """Return the CKA_ID, None where the URI does not name one."""
        return self.path.get("id")

    def matches_token(self, facts: Mapping[str, str]) -> bool:
        """Say whether a token with these facts is meant.

        Args:
            facts: Path attributes of a token, its blank padding removed already.
        """
        # RFC 7512 section 2.3: an attribute that is not understood matches nothing.
        wanted = {k: v for k, v in self.path.items() if k not in _OBJECT_ATTRIBUTES}
        return all(
            name in facts and facts[name].encode() == value
            for name, value in wanted.items()
        )


def parse(text: str) -> Pkcs11Uri:
    """Read an RFC 7512 URI.

    Raises:
        UriError: It breaks a rule of RFC 7512 section 2.3; the message never quotes a
            value.
    """
    if len(text) > MAX_LENGTH:
        raise UriError(f"PKCS#11 URI is longer than {MAX_LENGTH} characters")
    if text[: len(_SCHEME)].lower() != _SCHEME:
        raise UriError("PKCS#11 URI does not start with pkcs11:")
    path, _, query = text[len(_SCHEME) :].partition("?")
    uri = Pkcs11Uri(
        path=_attributes(path, ";", _PATH_VALUE),
        query=_attributes(query, "&", _QUERY_VALUE),
    )
    _check(uri)
    return uri


def _attributes(part: str, separator: str, shape: re.Pattern[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for attribute in part.split(separator) if part else ():
        name, equals, value = attribute.partition("=")
        if not (equals and _NAME.fullmatch(name)):
            raise UriError("PKCS#11 URI has an attribute that is not name=value")
        if name in found:
            raise UriError(f"PKCS#11 URI has {name} twice")
        if not shape.fullmatch(value):
            raise UriError(
                f"PKCS#11 URI has a character in {name} that must be percent-encoded"
            )
        found[name] = _decode(value)
    return found


def _decode(value: str) -> bytes:
    head, *rest = value.split("%")
    octets = [bytes.fromhex(part[:2]) + part[2:].encode() for part in rest]
    return head.encode() + b"".join(octets)


def _check(uri: Pkcs11Uri) -> None:
    if {"pin-source", "pin-value"} <= uri.query.keys():
        raise UriError("PKCS#11 URI has both pin-source and pin-value")
    if uri.path.get("type", b"data") not in _TYPES:
        raise UriError("PKCS#11 URI has an unknown type")
    for name, shape in _SHAPES.items():
        if name in uri.path and not shape.fullmatch(uri.path[name]):
            raise UriError(f"PKCS#11 URI has a malformed {name}")
    for name, value in (*uri.path.items(), *uri.query.items()):
        if name != "id":
            _check_text(name, value)


def _check_text(name: str, value: bytes) -> None:
    try:
        value.decode()
    except UnicodeDecodeError:
        # The cause would quote the value, which may be a PIN.
        raise UriError(f"PKCS#11 URI has a {name} that is not UTF-8") from None


def token_uri(text: str) -> Pkcs11Uri:
    """Read the URI of a token in the configuration.

    It must name the token by `token` or `serial`; slot numbers change at boot, keys
    and PINs do not belong here, and an unknown attribute would match nothing.

    Raises:
        UriError: It is no URI, or not one that can name a token for good.
    """
    uri = parse(text)
    allowed = {*_TOKEN_ATTRIBUTES, *_LIBRARY_ATTRIBUTES}
    _refuse_others(uri, allowed)
    if not uri.path.keys() & {"token", "serial"}:
        raise UriError("PKCS#11 URI of a token has neither token nor serial")
    return uri


def object_uri(text: str) -> Pkcs11Uri:
    """Read the URI of an existing key that is to be adopted.

    Raises:
        UriError: It is no URI, names no key, or names something else than a key.
    """
    uri = parse(text)
    _refuse_others(uri, _KNOWN_PATH - {*_SLOT_ATTRIBUTES})
    if not uri.path.keys() & {"id", "object"}:
        raise UriError("PKCS#11 URI of a key has neither id nor object")
    if uri.path.get("type", b"private") != b"private":
        raise UriError("PKCS#11 URI of a key has a type other than private")
    return uri


def _refuse_others(uri: Pkcs11Uri, allowed: frozenset[str] | set[str]) -> None:
    if "pin-value" in uri.query:
        raise UriError("PKCS#11 URI has a pin-value; a PIN belongs in a credential")
    if strange := sorted(uri.path.keys() - allowed):
        raise UriError(f"PKCS#11 URI must not have {', '.join(strange)} here")


def render(uri: Pkcs11Uri) -> str:
    """Write a URI; only unreserved characters stand unencoded, `id` not even those."""
    path = ";".join(
        f"{name}={_encode(value, whole=name == 'id')}"
        for name, value in uri.path.items()
    )
    query = "&".join(
        f"{name}={_encode(value, safe=b'/:')}" for name, value in uri.query.items()
    )
    return _SCHEME + path + (f"?{query}" if query else "")


def _encode(value: bytes, *, whole: bool = False, safe: bytes = b"") -> str:
    return "".join(
        chr(octet)
        if not whole and (octet in _UNRESERVED or octet in safe)
        else f"%{octet:02X}"
        for octet in value
    )


def key_uri(
    token: str, key_id: bytes, *, label: str = "", pin_source: str | None = None
) -> str:
    """Write the URI of a private key, as an endpoint's configuration wants it.

    Args:
        token: URI of the token, as configured; its query is left out.
        key_id: CKA_ID of the key.
        label: CKA_LABEL; empty leaves it out, the id is enough.
        pin_source: `file:/PATH` or `/PATH`: where the endpoint reads its own PIN.

    Raises:
        UriError: The token's URI is none, or `pin_source` is not a path.
    """
    path = dict(token_uri(token).path)
    if label:
        path["object"] = label.encode()
    path |= {"id": key_id, "type": b"private"}
    query = {}
    if pin_source is not None:
        # pkcs11-provider and libp11 would run a `|command`: only paths may pass.
        if not pin_source.startswith(("/", "file:/")):
            raise UriError("pin-source is neither file:/PATH nor /PATH")
        query["pin-source"] = pin_source.encode()
    return render(Pkcs11Uri(path=path, query=query))


def provider_pem(uri: str) -> bytes:
    """Return the PEM that OpenSSL's pkcs11-provider loads in place of a private key.

    DER is SEQUENCE { VisibleString description, UTF8String uri }.

    Raises:
        UriError: It is no URI, or holds a `pin-value`, which no file may.
    """
    if "pin-value" in parse(uri).query:
        raise UriError("PKCS#11 URI has a pin-value; a PIN belongs in no file")
    body = _tlv(0x1A, _PEM_DESCRIPTION) + _tlv(0x0C, uri.encode())
    text = base64.b64encode(_tlv(0x30, body)).decode()
    lines = [text[i : i + _PEM_COLUMNS] for i in range(0, len(text), _PEM_COLUMNS)]
    return "\n".join(
        (f"-----BEGIN {_PEM_LABEL}-----", *lines, f"-----END {_PEM_LABEL}-----", "")
    ).encode()


def _tlv(tag: int, value: bytes) -> bytes:
    size = len(value)
    if size < 0x80:  # noqa: PLR2004 -- X.690 8.1.3.4: the short form ends here
        return bytes((tag, size)) + value
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + value
