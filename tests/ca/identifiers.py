"""Identifiers that may be ordered (RFC 8555 7.1.3, RFC 8738, TS 33.310 annex J).

Knows the types, their canonical values, and what goes into a certificate for them. A
further type is one more entry of `_CHECKS`.
"""

import ipaddress
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from cryptography import x509

from tests.ca.config import Config
from tests.ca.devices import DEVICES, check_device, other_name
from tests.ca.jose import b64decode
from tests.ca.numbers import check_list
from tests.ca.problems import Problem, ProblemError, refusal

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")
_MAX_NAME: Final = 253
WILDCARD: Final = "*."
"""How an ordered wildcard begins (RFC 8555 7.1.3)."""
_MAX_IDENTIFIERS: Final = 100
_UUID_VERSION: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifier:
    """What a certificate is about."""

    type: str
    value: str

    @property
    def base(self) -> "Identifier":
        """Return what is proven: a wildcard without its star (RFC 8555 7.1.4)."""
        return replace(self, value=self.value.removeprefix(WILDCARD))

    @property
    def wildcard(self) -> bool:
        """Tell whether it stands for all names below one."""
        return self.value.startswith(WILDCARD)

    def document(self) -> dict[str, str]:
        """Return the JSON object."""
        return {"type": self.type, "value": self.value}

    @property
    def list_der(self) -> bytes | None:
        """Return the TNAuthList that it is, DER; None for every other type."""
        listed = self.type == "TNAuthList"
        return b64decode(self.value, "the value") if listed else None

    def general_name(self) -> x509.GeneralName:
        """Return the subject alternative name that stands for it.

        A TNAuthList has none: it stands in an extension of its own.
        """
        if self.type in DEVICES:
            return other_name(self.type, self.value)
        if self.type == "ip":
            return x509.IPAddress(ipaddress.ip_address(self.value))
        if self.type == "NfInstanceId":
            return x509.UniformResourceIdentifier(f"urn:uuid:{self.value}")
        return x509.DNSName(self.value)


def parse_identifiers(value: object, config: Config) -> tuple[Identifier, ...]:
    """Return the identifiers of a newOrder, or refuse the order."""
    if not isinstance(value, list) or not 0 < len(value) <= _MAX_IDENTIFIERS:
        raise refusal("malformed", "identifiers is not a list of 1 to 100 objects")
    found = tuple(_parse(item, config) for item in value)
    if len(set(found)) != len(found):
        raise refusal("malformed", "identifiers repeat")
    refused = [item for item in found if item.value in config.rejected_names]
    if refused:
        raise _rejection(refused)
    return found


def _parse(item: object, config: Config) -> Identifier:
    if not isinstance(item, dict):
        raise refusal("malformed", "an identifier is not an object")
    kind, value = item.get("type"), item.get("value")
    if not isinstance(kind, str) or not isinstance(value, str):
        raise refusal("malformed", "an identifier has a type and a value")
    if kind not in config.identifier_types or kind not in _CHECKS:
        raise refusal("unsupportedIdentifier", f"no identifiers of type {kind!r}")
    _CHECKS[kind](value, config)
    return Identifier(type=kind, value=value)


def _check_dns(value: str, config: Config) -> None:
    if value.startswith(WILDCARD) and config.dns is None:
        raise refusal("rejectedIdentifier", "no wildcards: dns-01 is not offered")
    if len(value) > _MAX_NAME or not _NAME.fullmatch(value.removeprefix(WILDCARD)):
        raise refusal("malformed", f"{value!r} is not a name in lower-case A-labels")


def _check_ip(value: str, _: Config) -> None:
    # RFC 8738 3: dotted decimal, or the compressed form of RFC 5952.
    try:
        canonical = str(ipaddress.ip_address(value))
    except ValueError as error:
        raise refusal("malformed", f"{value!r} is not an address") from error
    if canonical != value:
        raise refusal("malformed", f"{value!r} is not in canonical form")


def _check_nf_instance(value: str, _: Config) -> None:
    # TS 33.310 annex J: a UUID of version 4; senders SHOULD use lower case.
    try:
        version = uuid.UUID(value).version
    except ValueError:
        version = None
    if version != _UUID_VERSION or str(uuid.UUID(value)) != value:
        raise refusal("malformed", f"{value!r} is not a UUID of version 4")


def _check_permanent(value: str, _: Config) -> None:
    check_device("permanent-identifier", value)


def _check_hardware(value: str, _: Config) -> None:
    check_device("hardware-module", value)


def _check_numbers(value: str, _: Config) -> None:
    check_list(value)


_CHECKS: Final[Mapping[str, Callable[[str, Config], None]]] = {
    "dns": _check_dns,
    "ip": _check_ip,
    "NfInstanceId": _check_nf_instance,
    "TNAuthList": _check_numbers,
    "permanent-identifier": _check_permanent,
    "hardware-module": _check_hardware,
}


def _rejection(refused: list[Identifier]) -> ProblemError:
    kind, detail = "rejectedIdentifier", "policy forbids an identifier"
    subproblems = [
        Problem(type=kind, detail=detail).document() | {"identifier": item.document()}
        for item in refused
    ]
    return refusal(kind, detail, subproblems=subproblems)
