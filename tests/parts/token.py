"""A token seen from outside: what pkcs11-tool does and says.

It shares no code with `agent.keys`: what that does is checked with it. Tokens are made
by `tests.integration.tokens`.
"""

import contextlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.parts.process import Identity, PartError, Setting, missing, run

LABEL: Final = "nf"
TRIES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTool:
    """A token, as its owner or as a client of its exporter sees it.

    Attributes:
        module: PKCS#11 module.
        environment: What the module needs.
        pin: The user PIN.
    """

    module: str
    environment: Mapping[str, str]
    pin: str

    def generate(self, label: str, number: int) -> None:
        """Make an EC P-256 key pair whose CKA_ID is one octet."""
        pair = ("--keypairgen", "--key-type", "EC:prime256v1")
        self.tool(*pair, "--label", label, "--id", f"{number:02x}")

    def destroy(self, number: int) -> None:
        """Destroy the private key with a CKA_ID."""
        self.tool("--delete-object", "--type", "privkey", "--id", f"{number:02x}")

    def public_key(self, number: int) -> bytes:
        """Return the SubjectPublicKeyInfo, DER, of the key pair with a CKA_ID."""
        read = ("--read-object", "--type", "pubkey", "--id", f"{number:02x}")
        with tempfile.NamedTemporaryFile() as file:
            self.tool(*read, "--output-file", file.name)
            return Path(file.name).read_bytes()

    def private_keys(self) -> str:
        """Return what pkcs11-tool says of the private keys.

        SoftHSM2 writes its token's file at each login: a login that meets another
        process's can fail, and is tried again.
        """
        for _ in range(TRIES - 1):
            with contextlib.suppress(PartError):
                return self._private_keys()
        return self._private_keys()

    def _private_keys(self) -> str:
        return self.tool("--list-objects", "--type", "privkey")

    def tool(self, *arguments: str) -> str:
        """Run pkcs11-tool, logged in, and return what it says."""
        login = ("--login", "--pin", self.pin, "--token-label", LABEL)
        argv = ["pkcs11-tool", "--module", self.module, *login, *arguments]
        return run(argv, Setting(environment=self.environment)).stdout


def tool_missing() -> str:
    """Say that pkcs11-tool is not installed, or nothing."""
    return missing("pkcs11-tool")


def give(directory: Path, owner: Identity) -> None:
    """Give a directory with everything below it to a user, and to nobody else."""
    for path in (directory, *directory.rglob("*")):
        os.chown(path, owner.uid, owner.gid)
        path.chmod(0o700 if path.is_dir() else 0o600)
