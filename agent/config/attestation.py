"""The table of what a certificate's device is, and of who vouches for its keys."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal

import msgspec

from agent.acme import device
from agent.acme.identifiers import HARDWARE_MODULE, PERMANENT_IDENTIFIER, Identifier
from agent.config.rules import positive
from agent.config.section import Section
from agent.config.tokens import Key
from agent.config.units import Duration, SecretReference

CHALLENGE: Final = "device-attest-01"
"""The only challenge type that proves a device, whatever proves the names."""

_UNKNOWN: Final = {"step": ("ec-p384",), "tpm": ("ed25519",)}
"""Types of keys that a format, or what it is made by, does not know."""


class Attestation(Section, frozen=True, kw_only=True):
    """`[certificate.NAME.attestation]`: the device, proven by device-attest-01.

    Attributes:
        permanent_identifier: What its maker calls it, with the assigner's OID behind a
            slash where there is one.
        hardware_module: Serial number and, behind a slash, the OID of the hardware.
        in_request: Name the device in the request; else only in the order.
        format: `step` proves it by certificates of the key; `tpm` by the TPM that the
            key lives in; `object` takes the whole attestation object from the command.
        certificate: PEM file with the attestation certificate of the key, or for `tpm`
            that of the attestation key; and what it was issued by.
        command: Executable that gives it for a key: absolute path and arguments.
        attestation_key: Persistent handle of the key by which the TPM certifies others.
        attestation_key_auth: Its password; None where it has none.
        timeout: Longest time that one run, or the TPM, may take.
    """

    permanent_identifier: str | None = None
    hardware_module: str | None = None
    in_request: bool = False
    format: Literal["step", "tpm", "object"] = "step"
    certificate: Annotated[str, msgspec.Meta(pattern="^/")] | None = None
    command: Annotated[tuple[str, ...], msgspec.Meta(max_length=100)] = ()
    attestation_key: (
        Annotated[str, msgspec.Meta(pattern="^0x81[0-9a-fA-F]{6}$")] | None
    ) = None
    attestation_key_auth: SecretReference | None = None
    timeout: Duration = "60s"

    @property
    def identifiers(self) -> tuple[Identifier, ...]:
        """Return what is ordered for the device."""
        return tuple(Identifier(type=t, value=v) for t, v in self._values.items())

    @property
    def _values(self) -> Mapping[str, str]:
        values = {
            PERMANENT_IDENTIFIER: self.permanent_identifier,
            HARDWARE_MODULE: self.hardware_module,
        }
        return {kind: value for kind, value in values.items() if value is not None}


def attestation_problems(path: str, table: Attestation, key: Key) -> Iterator[str]:
    """Yield one clause for every rule that the table breaks, with its key."""
    if not table.identifiers:
        yield f"{path}: say permanent_identifier or hardware_module"
    for one in table.identifiers:
        if not device.is_value(one.type, one.value):
            field = one.type.replace("-", "_")
            yield f"{path}.{field}: {one.value} is not such as ABCD/1.2.3.4"
    yield from _source(path, table)
    yield from positive(f"{path}.timeout", table.timeout)
    yield from _key(path, table, key)


def _source(path: str, table: Attestation) -> Iterator[str]:
    """Yield what is wrong with where the attestation comes from."""
    if table.format == "tpm":
        if table.certificate is None or table.command:
            yield f"{path}.format: tpm needs certificate, and no command"
        if table.attestation_key is None:
            yield f"{path}.format: tpm needs attestation_key"
        return
    if (table.certificate is None) == (not table.command):
        yield f"{path}: say either certificate or command"
    if table.command and not table.command[0].startswith("/"):
        yield f"{path}.command: {table.command[0]} is not an absolute path"
    if table.format == "object" and not table.command:
        yield f"{path}.format: object needs a command"
    if table.attestation_key is not None or table.attestation_key_auth is not None:
        yield f'{path}.attestation_key: needs format = "tpm"'


def _key(path: str, table: Attestation, key: Key) -> Iterator[str]:
    if key.token is None:
        yield f"{path}: only a key in a token can be attested"
    if key.type in _UNKNOWN.get(table.format, ()):
        yield f"{path}.format: {table.format} attests no {key.type} key"
    if table.format == "step" and table.certificate and key.rotate != "never":
        yield (
            f"{path}.certificate: is of one key, which needs rotate = "
            '"never"; a command can attest new ones'
        )
