"""A TPM certifies a key of its token: what is asked of it, and what it answers.

The libraries for that are an extra; they are imported by `tpm_child`, in a process for
each statement. Only that process hears the secrets.
"""

import importlib.util
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from agent.acme.problem import printable
from agent.acme.tpm import Certified
from agent.config.attestation import Attestation
from agent.config.units import duration
from agent.ports import KeySigner
from agent.programs import ProgramError, run
from agent.solvers.errors import AttestationDeniedError, AttestationError

CHILD: Final = Path(__file__).with_name("tpm_child.py")
LIBRARIES: Final = ("tpm2_pytss", "yaml")
HANDED_ON: Final = ("TPM2_PKCS11_", "TSS2_")
"""How the variables begin that say where tpm2-pkcs11 and the TPM are."""
ALSO: Final = frozenset({"HOME", "DBUS_SESSION_BUS_ADDRESS"})
MAX_ANSWER: Final = 1 << 14
"""Octets: an RSA key of 4096 bits and its certifier's signature take about 3,000."""
MAX_SHOWN: Final = 200
"""Characters that an error shows of what a library says."""


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the child says, in one line.

    Attributes:
        info: TPMS_ATTEST, hexadecimal; empty where something failed.
        signature: TPMT_SIGNATURE, hexadecimal.
        public: TPMT_PUBLIC, hexadecimal.
        kind: The class of the exception; empty where there was none.
        error: What it says.
        refused: It would fail again.
    """

    info: str = ""
    signature: str = ""
    public: str = ""
    kind: str = ""
    error: str = ""
    refused: bool = False


class Tpm:
    """Has keys of tpm2-pkcs11 certified by the TPM that they live in."""

    def __init__(
        self,
        accepted_pin: Callable[[str], Awaitable[bytes]],
        read_secret: Callable[[str], bytes],
        environ: Mapping[str, str],
    ) -> None:
        """Take the parts.

        Args:
            accepted_pin: Returns the PIN that a token has accepted, no other one: the
                TPM counts wrong ones.
            read_secret: Resolves a reference of the configuration to a secret.
            environ: Our environment.
        """
        self._accepted_pin = accepted_pin
        self._read_secret = read_secret
        self._environ = environ

    async def certify(
        self, table: Attestation, key: KeySigner, data: bytes
    ) -> Certified:
        """Return what the TPM says of a key of its token.

        Args:
            table: Names the attestation key.
            key: The key that is certified.
            data: What the statement is about.

        Raises:
            AttestationError: It failed, and may not fail again.
            AttestationDeniedError: It would fail again.
            AgentError: A secret cannot be read, or the PIN is not a proven one.
        """
        require_installed()
        pin, password = await self._accepted_pin(key.store), b""
        if table.attestation_key_auth is not None:
            password = self._read_secret(table.attestation_key_auth)
        request = msgspec.json.encode(
            {
                "path": [place for place in sys.path if place],
                "id": key.id,
                "public": key.public.hex(),
                "pin": pin.hex(),
                "data": data.hex(),
                "signer": int(table.attestation_key or "0", 16),
                "signer_auth": password.hex(),
            }
        )
        # Isolated: nothing beside the program, or of an environment, is imported.
        argv = (sys.executable, "-I", str(CHILD))
        within = duration(table.timeout)
        try:
            _, output = await run(
                argv, self._environment(), within, request, MAX_ANSWER
            )
        except ProgramError as error:
            raise AttestationError(f"the tpm: {error}") from error
        return _certified(output)

    def _environment(self) -> dict[str, str]:
        return {
            name: value
            for name, value in self._environ.items()
            if name.startswith(HANDED_ON) or name in ALSO
        }


def require_installed() -> None:
    """Return where the libraries could be imported; they are not.

    Raises:
        AttestationDeniedError: One is not installed.
    """
    for name in LIBRARIES:
        if importlib.util.find_spec(name) is None:
            raise AttestationDeniedError(
                f'format = "tpm" needs {name}, which is not installed here',
                hint="install nfcertd with its extra tpm",
            )


def _certified(output: bytes) -> Certified:
    try:
        answer = msgspec.json.decode(output.rstrip().rpartition(b"\n")[2], type=Answer)
        parts = (answer.info, answer.signature, answer.public)
        certified = Certified(*map(bytes.fromhex, parts))
    except (ValueError, msgspec.DecodeError) as error:
        raise AttestationError("the tpm gave no answer") from error
    if not answer.kind:
        return certified
    said = printable(answer.error, MAX_SHOWN) or answer.kind
    if answer.refused:
        raise AttestationDeniedError(
            f"the tpm does not certify the key: {said}",
            hint="look at the attestation key, the pin, and where tpm2-pkcs11 is",
        )
    raise AttestationError(
        f"the tpm did not certify the key: {said}", hint="look at the tpm"
    )
