"""Telephone numbers as an identifier: the TNAuthList of RFC 8226 and RFC 9448.

One list is one identifier. Its value and the extension of the certificate are the same
octets, so that what was attested is what is certified.
"""

import re
from collections.abc import Iterable
from typing import Final

from josepy.b64 import b64decode, b64encode

from agent.acme.der import IA5_STRING, SEQUENCE, element, explicit, integer
from agent.acme.identifiers import TN_AUTH_LIST, Identifier

OID: Final = "1.3.6.1.5.5.7.1.26"
"""id-pe-TNAuthList (RFC 8226 section 9)."""
_NUMBER: Final = re.compile(r"[0-9#*]{1,15}")
_SPC: Final = re.compile(r"[!-~]{1,64}")
_SPC_TAG, _RANGE_TAG, _ONE_TAG = range(3)


def is_number(text: str) -> bool:
    """Tell whether a text is a TelephoneNumber: digits, `#` and `*`, no plus sign."""
    return _NUMBER.fullmatch(text) is not None


def is_spc(text: str) -> bool:
    """Tell whether a text can be a ServiceProviderCode; the standard has no bound."""
    return _SPC.fullmatch(text) is not None


def encode(
    spc: Iterable[str] = (),
    ranges: Iterable[tuple[str, int]] = (),
    numbers: Iterable[str] = (),
) -> bytes:
    """Return a TNAuthorizationList, DER with the explicit tags of RFC 8226.

    >>> encode(spc=["1234"]).hex()
    '3008a006160431323334'

    Args:
        spc: Service provider codes.
        ranges: First number and count of each range.
        numbers: Single numbers.
    """
    entries = [explicit(_SPC_TAG, _text(code)) for code in spc]
    for start, count in ranges:
        body = element(SEQUENCE, _text(start) + integer(count))
        entries.append(explicit(_RANGE_TAG, body))
    entries += [explicit(_ONE_TAG, _text(number)) for number in numbers]
    return element(SEQUENCE, b"".join(entries))


def _text(text: str) -> bytes:
    return element(IA5_STRING, text.encode("ascii"))


def identifier_of(der: bytes) -> Identifier:
    """Return the identifier of a list (RFC 9448 section 3)."""
    return Identifier(type=TN_AUTH_LIST, value=b64encode(der).decode("ascii"))


def der_of(identifier: Identifier) -> bytes:
    """Return the list that an identifier of ours stands for."""
    return b64decode(identifier.value)
