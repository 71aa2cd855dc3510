"""Names below a home network domain (TS 23.003 clause 28), made and read.

Digits of the MNC are padded to three on the left; an SNPN puts its NID before them.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

_MCC: Final = re.compile(r"[0-9]{3}")
_MNC: Final = re.compile(r"[0-9]{2,3}")
_NID: Final = re.compile(r"[0-9a-f]{11}")
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_ROOT: Final = "3gppnetwork.org"
_HOME: Final = re.compile(
    r"(?:(?P<part>.+)\.)?5gc\.(?:nid(?P<nid>[0-9a-f]{11})\.)?"
    r"mnc(?P<mnc>[0-9]{3})\.mcc(?P<mcc>[0-9]{3})\.3gppnetwork\.org"
)


class Home(NamedTuple):
    """A home network domain (clause 28.2).

    Attributes:
        mcc: Three digits.
        mnc: Three digits, padded.
        nid: Eleven lower-case hexadecimal digits of an SNPN; empty for a PLMN.
    """

    mcc: str
    mnc: str
    nid: str = ""

    def __str__(self) -> str:
        """Return the domain, as it stands in names and in a subject's organisation."""
        snpn = f"nid{self.nid}." if self.nid else ""
        return f"5gc.{snpn}mnc{self.mnc}.mcc{self.mcc}.{_ROOT}"


class Named(NamedTuple):
    """What a name says of itself.

    Attributes:
        form: A key of `FORMS`; empty for a name of the operator's own form.
        home: The domain that it ends in.
    """

    form: str
    home: Home


FORMS: Final[Mapping[str, re.Pattern[str]]] = {
    "nrf": re.compile(r"nrf"),
    "nssf": re.compile(r"nssf"),
    "sepp": re.compile(rf"(?:{_LABEL}\.)?sepp"),
    "amf": re.compile(rf"{_LABEL}\.amf"),
    "amf-set": re.compile(r"set[0-9a-f]{1,3}\.region[0-9a-f]{1,2}\.amfset"),
    "amf-instance": re.compile(
        r"pt[0-9a-f]{1,2}\.set[0-9a-f]{1,3}\.region[0-9a-f]{1,2}\.amfi"
    ),
    "nf-set": re.compile(rf"set{_LABEL}\.[a-z0-9-]+set"),
}
"""What stands before the home domain, by form; the first that fits is meant."""


def home(mcc: str, mnc: str, nid: str = "") -> Home:
    """Return the home domain of a PLMN, or with a NID that of an SNPN.

    >>> str(home("345", "12"))
    '5gc.mnc012.mcc345.3gppnetwork.org'

    Raises:
        ValueError: A part has the wrong number of digits.
    """
    if not _MCC.fullmatch(mcc) or not _MNC.fullmatch(mnc):
        raise ValueError(f"{mcc}/{mnc} is no mcc of 3 and mnc of 2 or 3 digits")
    if nid and not _NID.fullmatch(nid.lower()):
        raise ValueError(f"{nid} is no nid of 11 hexadecimal digits")
    return Home(mcc, mnc.rjust(3, "0"), nid.lower())


def read(name: str) -> Named | None:
    """Return what a name below a home domain says; None for any other name.

    >>> read("set001.region48.amfset.5gc.mnc012.mcc345.3gppnetwork.org").form
    'amf-set'
    """
    match = _HOME.fullmatch(name.lower().removesuffix("."))
    if match is None:
        return None
    part = match["part"] or ""
    form = next((f for f, shape in FORMS.items() if shape.fullmatch(part)), "")
    return Named(form, Home(match["mcc"], match["mnc"], match["nid"] or ""))


def nrf(of: Home) -> str:
    """Return the name of the NRF (clause 28.3.2.3.2)."""
    return f"nrf.{of}"


def nssf(of: Home) -> str:
    """Return the name of the NSSF (clause 28.3.2.4)."""
    return f"nssf.{of}"


def sepp(of: Home) -> str:
    """Return the name of the SEPP."""
    return f"sepp.{of}"


def amf(of: Home, identity: str) -> str:
    """Return the name of an AMF (clause 28.3.2.5); the identity is one label."""
    return f"{_label(identity)}.amf.{of}"


def amf_set(of: Home, number: int, region: int) -> str:
    """Return the name of an AMF set (clause 28.3.2.7): 10 and 8 bits, hexadecimal.

    Raises:
        ValueError: A number is out of range.
    """
    _check((number, 10), (region, 8))
    return f"set{number:03x}.region{region:02x}.amfset.{of}"


def amf_instance(of: Home, pointer: int, number: int, region: int) -> str:
    """Return the name of an AMF of a set (clause 28.3.2.8); the pointer has 6 bits.

    Raises:
        ValueError: A number is out of range.
    """
    _check((pointer, 6), (number, 10), (region, 8))
    return f"pt{pointer:02x}.set{number:03x}.region{region:02x}.amfi.{of}"


def nf_set(of: Home, identity: str, nf_type: str) -> str:
    """Return the name of a set of NFs of one type, such as `set1.smfset...`."""
    kind = _label(nf_type.replace("_", "-"))
    return f"set{_label(identity)}.{kind}set.{of}"


def telescopic(label: str, below: str) -> str:
    """Return the name that stands for another one below a SEPP (clause 28.5.2).

    One label, so that a wildcard certificate of the SEPP covers it.
    """
    return f"{_label(label)}.{below}"


def _label(text: str) -> str:
    if not re.fullmatch(_LABEL, text.lower()):
        raise ValueError(f"{text} is no label of a name")
    return text.lower()


def _check(*fields: tuple[int, int]) -> None:
    for number, bits in fields:
        if not 0 <= number < 1 << bits:
            raise ValueError(f"{number} does not fit into {bits} bits")
