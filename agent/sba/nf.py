"""An NF instance: its id (TS 29.571 NfInstanceId) and its types (TS 29.510, RFC 9310).

The NFTypes extension is encoded and decoded here, because no library knows it.
"""

import re
from collections.abc import Iterable
from typing import Final

from agent.acme import der

OID: Final = "1.3.6.1.5.5.7.1.34"
"""id-pe-nftype (RFC 9310 section 3); never critical."""
URN: Final = "urn:uuid:"
"""How an instance id begins as a URI of a subjectAltName (TS 29.571 clause 5.3.2)."""
MAX_TYPES: Final = 100
"""Types of one extension; the standard has no bound."""

_UUID4: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)
_TYPE: Final = re.compile(r"[!-~]{1,32}")

_KNOWN: Final = """
NRF UDM AMF SMF AUSF NEF PCF SMSF NSSF UDR LMF GMLC 5G_EIR SEPP UPF N3IWF
AF UDSF BSF CHF NWDAF PCSCF CBCF HSS UCMF SOR_AF SPAF MME SCSAS SCEF SCP
NSSAAF ICSCF SCSCF DRA IMS_AS AANF 5G_DDNMF NSACF MFAF EASDF DCCF MB_SMF
TSCTSF ADRF GBA_BSF CEF MB_UPF NSWOF PKMF MNPF SMS_GMSC SMS_IWMSC MBSF
MBSTF PANF DCSF MRF MRFP MF SLPKMF
"""
KNOWN: Final = frozenset(_KNOWN.split())
"""NFType of TS 29.510; the enumeration is open, operators have types of their own."""


def instance_id(text: str) -> str:
    """Return an instance id in lower case, as it is sent.

    Raises:
        ValueError: It is no UUID of version 4.
    """
    lower = text.lower()
    if not _UUID4.fullmatch(lower):
        raise ValueError(f"{text} is no uuid of version 4")
    return lower


def urn(identity: str) -> str:
    """Return an instance id as the URI of a subjectAltName."""
    return f"{URN}{identity.lower()}"


def is_type(text: str) -> bool:
    """Tell whether a text may be a type: 1 to 32 visible ASCII characters."""
    return _TYPE.fullmatch(text) is not None


def in_order(types: Iterable[str]) -> tuple[str, ...]:
    """Return types as the extension has them: each once, in ASCII order."""
    return tuple(sorted(set(types)))


def encode(types: Iterable[str]) -> bytes:
    """Return the value of the extension, DER.

    >>> encode(["SMF", "AMF"]).hex()
    '300a1603414d461603534d46'

    Raises:
        ValueError: There is no type, or one that cannot be.
    """
    ordered = in_order(types)
    if not ordered or not all(is_type(t) for t in ordered):
        raise ValueError(f"{', '.join(ordered) or 'nothing'}: cannot be nf types")
    body = b"".join(der.element(der.IA5_STRING, t.encode("ascii")) for t in ordered)
    return der.element(der.SEQUENCE, body)


def decode(extension: bytes) -> tuple[str, ...]:
    """Return the types of an extension in the order that they have there.

    Raises:
        ValueError: It is not what RFC 9310 section 3 defines, or not DER.
    """
    tag, body, rest = der.first(extension)
    if tag != der.SEQUENCE or rest:
        raise ValueError("it is no sequence")
    found: list[str] = []
    while body:
        tag, value, body = der.first(body)
        text = value.decode("ascii", "replace")
        if tag != der.IA5_STRING or not is_type(text):
            raise ValueError("it holds something other than nf types")
        found.append(text)
        if len(found) > MAX_TYPES:
            raise ValueError("it holds too many types")
    if not found:
        raise ValueError("it holds no type")
    return tuple(found)
