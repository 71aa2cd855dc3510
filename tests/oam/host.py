"""A host as OAM knows it: what its image has of OAM, and bundles that are for it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.oam import bundle
from tests.oam.authority import Oam

LIFE: Final = timedelta(days=7)
BOOTSTRAP: Final = """\
[bootstrap]
signer = ["{home}/oam-signer.pem"]
instance = "file:{home}/instance"
decrypt = "file:{home}/bootstrap-key"
account_key = {{ token = "hsm" }}
"""
"""How the configuration of an image names those files; `hsm` is one of its tokens."""
Tables = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host, and OAM's key for it.

    Attributes:
        instance: As whom OAM knows it.
        signer: The key of OAM that signs bundles.
        key: The host's own key.
    """

    instance: str
    signer: ed25519.Ed25519PrivateKey = field(repr=False)
    key: x25519.X25519PrivateKey = field(repr=False)

    @classmethod
    def made(cls, instance: str) -> Self:
        """Return a host whose keys have just been made."""
        return cls(
            instance=instance,
            signer=ed25519.Ed25519PrivateKey.generate(),
            key=x25519.X25519PrivateKey.generate(),
        )

    def install(self, home: Path, uid: int) -> None:
        """Write what an image has: nothing of a CA, of tokens of OAM, or of an NF."""
        public = self.signer.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        (home / "oam-signer.pem").write_bytes(public)
        (home / "instance").write_text(f"{self.instance}\n")
        private = home / "bootstrap-key"
        private.touch(mode=0o600)
        private.write_bytes(
            self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        os.chown(private, uid, -1)

    def message(
        self, tables: Mapping[str, object], sequence: int, now: datetime
    ) -> Tables:
        """Return a payload that may be taken from now on."""
        return {
            "version": 1,
            "instance": self.instance,
            "sequence": sequence,
            "issued": now.isoformat(),
            "expires": (now + LIFE).isoformat(),
            **tables,
        }

    def sealed(self, message: Tables) -> str:
        """Return a payload as a bundle: its secrets encrypted, all of it signed."""
        return bundle.bundle(message, self.signer, self.key.public_key())


def binding(kid: str, key: bytes) -> Tables:
    """Return a binding, its MAC key as a secret that is still to be encrypted."""
    return {"kid": kid, "key": {"secret": bundle.b64(key)}}


def token_endpoint(oam: Oam, account: str, client: tuple[Path, Path]) -> Tables:
    """Return OAM as a token authority of an account, asked with a certificate."""
    certificate, key = client
    return {
        "url": oam.url(account),
        "roots": oam.roots.read_text(),
        "client": {
            "certificate": certificate.read_text(),
            "key": {"secret": key.read_text()},
        },
    }
