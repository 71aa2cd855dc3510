"""The tables of tokens and keys."""

from typing import Annotated, Literal

import msgspec

from agent.config.section import Section
from agent.config.units import Duration, Name, SecretReference
from agent.records.keys import KeyType


class Token(Section, frozen=True, kw_only=True):
    """`[token.NAME]`: a PKCS#11 token.

    Attributes:
        module: Path of the PKCS#11 module, a shared object.
        token: RFC 7512 URI that names the token by `token=` or `serial=`.
        pin: Where the user PIN is; None where the token needs no login.
        deadline: Longest time that one call into the module may take.
        hung_limit: How long a hung module may hold due work before the process ends.
        destroy: `never` leaves old keys to the HSM's own administration.
        relax: Attribute checks that this token cannot satisfy, by name.
    """

    module: Annotated[str, msgspec.Meta(pattern="^/")]
    token: Annotated[str, msgspec.Meta(pattern="^pkcs11:")]
    pin: SecretReference | None = None
    deadline: Duration = "30s"
    hung_limit: Duration = "10m"
    destroy: Literal["when-unused", "never"] = "when-unused"
    relax: tuple[
        Literal["sensitive", "always-sensitive", "never-extractable", "local"], ...
    ] = ()


class Key(Section, frozen=True, kw_only=True):
    """`key = { ... }`: where a key is made and how often it is replaced.

    Attributes:
        token: Name of a `[token.NAME]`; absent for software keys.
        file: True asks for a software key, in a file of mode 0600 or 0640.
        type: What kind of key.
        adopt: RFC 7512 URI of an existing key to use instead of making one.
        rotate: When a renewal makes a new key.
    """

    token: Name | None = None
    file: bool = False
    type: KeyType = "ec-p256"
    adopt: Annotated[str, msgspec.Meta(pattern="^pkcs11:")] | None = None
    rotate: Annotated[
        str, msgspec.Meta(pattern=r"^(every-renewal|never|(\d+(h|d|w))+)$")
    ] = "every-renewal"


class AccountKey(Key, frozen=True, kw_only=True):
    """`key = { ... }` of an account: where its key is made and how often it is rolled.

    Attributes:
        rotate: Age at which a roll-over (RFC 8555 section 7.3.5) replaces it.
    """

    rotate: Annotated[str, msgspec.Meta(pattern=r"^(never|(\d+(h|d|w))+)$")] = "never"
