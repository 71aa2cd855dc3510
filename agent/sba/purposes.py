"""What a certificate of an NF is for, and the key usages that follow.

One purpose, one key (TR 33.876 key issue 7): a certificate has the extended key usages
of its purpose and no others (RFC 9509 section 4).
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

SERVER_AUTH: Final = "1.3.6.1.5.5.7.3.1"
CLIENT_AUTH: Final = "1.3.6.1.5.5.7.3.2"
JWT: Final = "1.3.6.1.5.5.7.3.37"
HTTP_CONTENT_ENCRYPT: Final = "1.3.6.1.5.5.7.3.38"
OAUTH_ACCESS_TOKEN_SIGNING: Final = "1.3.6.1.5.5.7.3.39"  # noqa: S105 -- an oid
ANY: Final = "2.5.29.37.0"

USAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "server-auth": SERVER_AUTH,
        "client-auth": CLIENT_AUTH,
        "jwt": JWT,
        "http-content-encrypt": HTTP_CONTENT_ENCRYPT,
        "oauth-access-token-signing": OAUTH_ACCESS_TOKEN_SIGNING,
    }
)
"""Extended key usages in the operator's words (RFC 5280, RFC 9509)."""


class KeyUsage(StrEnum):
    """The bits of keyUsage that a purpose of an NF can need (RFC 5280 4.2.1.3)."""

    DIGITAL_SIGNATURE = "digital-signature"
    KEY_ENCIPHERMENT = "key-encipherment"
    KEY_AGREEMENT = "key-agreement"


class Purpose(StrEnum):
    """What a certificate is for."""

    TLS = "tls"
    """Client and server of the SBA, which most NFs are both."""
    TLS_CLIENT = "tls-client"
    TLS_SERVER = "tls-server"
    SEPP_N32 = "sepp-n32"
    """Both roles between SEPPs (TS 33.501 clause 13.1)."""
    TOKEN_SIGNING = "token-signing"  # noqa: S105 -- a purpose, not a secret
    """Access tokens of an NRF (TS 33.501 clause 13.4)."""
    JWT_SIGNING = "jwt-signing"
    """Client credentials assertions (TS 33.501 clause 13.3.8)."""
    HTTP_CONTENT_ENCRYPT = "http-content-encrypt"
    """JSON of N32-f between SEPPs, by JWE."""


class Use(NamedTuple):
    """What follows from a purpose.

    Attributes:
        usages: Extended key usages, dotted.
        serves: It stands behind a name that peers connect to.
        nf_type: The type that has this purpose; empty where all may.
        encrypts: The key enciphers or agrees on keys instead of signing.
    """

    usages: tuple[str, ...]
    serves: bool = False
    nf_type: str = ""
    encrypts: bool = False


USES: Final[Mapping[Purpose, Use]] = MappingProxyType(
    {
        Purpose.TLS: Use((SERVER_AUTH, CLIENT_AUTH), serves=True),
        Purpose.TLS_CLIENT: Use((CLIENT_AUTH,)),
        Purpose.TLS_SERVER: Use((SERVER_AUTH,), serves=True),
        Purpose.SEPP_N32: Use((SERVER_AUTH, CLIENT_AUTH), serves=True, nf_type="SEPP"),
        Purpose.TOKEN_SIGNING: Use((OAUTH_ACCESS_TOKEN_SIGNING,), nf_type="NRF"),
        Purpose.JWT_SIGNING: Use((JWT,)),
        Purpose.HTTP_CONTENT_ENCRYPT: Use(
            (HTTP_CONTENT_ENCRYPT,), nf_type="SEPP", encrypts=True
        ),
    }
)


def key_usage(purpose: Purpose, key_type: str) -> tuple[KeyUsage, ...]:
    """Return the bits of keyUsage for a purpose and a type of key.

    A key that encrypts enciphers keys where it is RSA (RSA-OAEP) and agrees on them
    where it is elliptic (ECDH-ES).
    """
    if not USES[purpose].encrypts:
        return (KeyUsage.DIGITAL_SIGNATURE,)
    if key_type.startswith("rsa-"):
        return (KeyUsage.KEY_ENCIPHERMENT,)
    return (KeyUsage.KEY_AGREEMENT,)
