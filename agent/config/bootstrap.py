"""The table of who may hand this host a bootstrap bundle, and what is refused in it."""

from typing import Annotated

import msgspec

from agent.config.section import Section
from agent.config.tokens import AccountKey
from agent.config.units import SecretReference

Path = Annotated[str, msgspec.Meta(pattern="^/")]


class Bootstrap(Section, frozen=True, kw_only=True):
    """`[bootstrap]`: a bundle from OAM completes the configuration.

    Attributes:
        signer: PEM files, each with a certificate or public key that may sign bundles;
            several while one succeeds another.
        instance: What OAM calls this host; `file:` and `credential:` name where that
            stands, such as `file:/etc/machine-id`.
        decrypt: Where the host's private key is that secrets are encrypted to, PEM;
            P-256 or X25519.
        account_key: Where keys of accounts are made that a bundle brings.
    """

    signer: Annotated[tuple[Path, ...], msgspec.Meta(min_length=1, max_length=4)]
    instance: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    decrypt: SecretReference
    account_key: AccountKey | None = None


def is_reference(instance: str) -> bool:
    """Tell whether `instance` says where the name stands, in place of the name."""
    return instance.startswith(("file:/", "credential:"))
