"""device-attest-01: the certificate's key is shown to live in its hardware.

Nothing is presented anywhere: the attestation object is the response. Who vouches for a
key is the hardware's affair, so that a file or the operator's program says it; what the
CA would refuse is looked for here first, because a refused statement costs an order.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from agent.acme.attestation import signed_octets, step_object
from agent.acme.tpm import qualifying_data, tpm_object
from agent.clock import Clock
from agent.config.attestation import Attestation
from agent.config.tokens import Token
from agent.config.units import duration
from agent.files import read_bounded
from agent.pki.chain import MAX_CHAIN, ChainError, parse_anchors
from agent.pki.uri import key_uri
from agent.ports import KeySigner, Presentation
from agent.programs import answer
from agent.solvers.errors import AttestationError, AttestationMismatchError
from agent.solvers.tpm import Tpm

MAX_PRINTED: Final = 1 << 16
"""Octets of a chain, or of an attestation object in base64url."""
_BASE64URL: Final = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
)


class DeviceAttest01:
    """Answers with attestation objects; satisfies `agent.ports.Solver`."""

    def __init__(self, token: Callable[[str], Token], tpm: Tpm, clock: Clock) -> None:
        """Take the tables of tokens, what certifies by a TPM, and a clock."""
        self._token = token
        self._tpm = tpm
        self._clock = clock

    @asynccontextmanager
    async def prepare(
        self, presentation: Presentation
    ) -> AsyncIterator[dict[str, object]]:
        """Make the statement; the value is the response object (section 5)."""
        yield {"attObj": await self._object(presentation)}

    async def _object(self, presentation: Presentation) -> str:
        table = presentation.attestation
        if table is None or not presentation.key_authorization:
            raise AttestationMismatchError(
                "the ca wants a device attested that no certificate names, or gives no "
                "token",
                hint="say permanent_identifier or hardware_module in its table",
            )
        if table.format == "object":
            return _printed_object(await self._run(table, presentation))
        if table.format == "tpm":
            return await self._by_tpm(table, presentation)
        return await self._step(table, presentation)

    async def _step(self, table: Attestation, presentation: Presentation) -> str:
        if table.certificate is not None:
            pem = await _read(table.certificate)
        else:
            pem = await self._run(table, presentation)
        key = presentation.certificate_key
        certificates = self._valid(pem)
        if _spki(certificates[0]) != key.public:
            raise AttestationMismatchError(
                "the attestation certificate is of another key than the certificate's",
                hint="its first certificate is that of the key in the token",
            )
        signature = await key.sign(signed_octets(presentation.key_authorization))
        try:
            return step_object(key.public, _der(certificates), signature)
        except ValueError as error:
            raise AttestationMismatchError(
                str(error), hint="use another type of key, or format = object"
            ) from error

    async def _by_tpm(self, table: Attestation, presentation: Presentation) -> str:
        certificates = self._valid(await _read(table.certificate or ""))
        data = qualifying_data(presentation.key_authorization)
        key = presentation.certificate_key
        certified = await self._tpm.certify(table, key, data)
        try:
            return tpm_object(certified, _spki(certificates[0]), _der(certificates))
        except ValueError as error:
            raise AttestationMismatchError(
                str(error), hint="look at attestation_key and its certificate"
            ) from error

    async def _run(self, table: Attestation, presentation: Presentation) -> bytes:
        """Return what the operator's program prints for this key."""
        key = presentation.certificate_key
        environment = {
            "NFCERTD_IDENTIFIER_TYPE": presentation.identifier.type,
            "NFCERTD_IDENTIFIER": presentation.identifier.value,
            "NFCERTD_KEY_AUTHORIZATION": presentation.key_authorization,
            "NFCERTD_KEY_ID": key.id,
            "NFCERTD_KEY_URI": self._uri(key),
        }
        public = load_der_public_key(key.public).public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        within = duration(table.timeout)
        return await answer(table.command, environment, within, public, MAX_PRINTED)

    def _uri(self, key: KeySigner) -> str:
        try:
            token = self._token(key.store).token
        except KeyError as error:
            raise AttestationMismatchError(
                f"the key's token {key.store} is not in the configuration",
                hint=f"restore the table [token.{key.store}] while its keys are in use",
            ) from error
        return key_uri(token, bytes.fromhex(key.id))

    def _valid(self, pem: bytes) -> Sequence[x509.Certificate]:
        """Return a chain whose first certificate is valid now.

        Who is trusted to vouch is the CA's to judge.
        """
        try:
            certificates = parse_anchors(pem)
        except ChainError as error:
            raise _unreadable("the attestation holds no certificate") from error
        if len(certificates) > MAX_CHAIN:
            raise _unreadable(f"the attestation has {len(certificates)} certificates")
        leaf, now = certificates[0], self._clock.now()
        if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
            raise AttestationMismatchError(
                f"the attestation certificate is not valid at {now:%FT%TZ}",
                hint="have the key attested again",
            )
        return certificates


async def _read(path: str) -> bytes:
    return await asyncio.to_thread(read_bounded, Path(path))


def _spki(certificate: x509.Certificate) -> bytes:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _unreadable("the attestation holds a key of no known kind") from error
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _der(certificates: Sequence[x509.Certificate]) -> list[bytes]:
    return [each.public_bytes(Encoding.DER) for each in certificates]


def _printed_object(output: bytes) -> str:
    """Return the last line that a program printed: an object in base64url."""
    line = output.strip().rpartition(b"\n")[2]
    if not line or not _BASE64URL.issuperset(line):
        raise _unreadable("the program printed no attestation object in base64url")
    return line.decode("ascii")


def _unreadable(problem: str) -> AttestationError:
    return AttestationError(problem, hint="look at what attests the key")
