"""How each key type is made and used: candidates that are tried in an order.

Tokens disagree about templates and mechanisms: what one demands another refuses. So
nothing branches on a vendor's name; the first candidate that works is remembered.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag
from pkcs11.constants import DEFAULT

from agent.records.keys import KeyType as OurKeyType

AttributeValues = Mapping[Attribute, object]

_SIGNING: Final = MechanismFlag.SIGN | MechanismFlag.VERIFY
_LEFT_OUT_PUBLIC: Final[AttributeValues] = {
    Attribute.ENCRYPT: DEFAULT,
    Attribute.WRAP: DEFAULT,
}
_LEFT_OUT_PRIVATE: Final[AttributeValues] = {
    Attribute.DECRYPT: DEFAULT,
    Attribute.UNWRAP: DEFAULT,
    Attribute.DERIVE: DEFAULT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One way to word what a key may do.

    Attributes:
        capabilities: What python-pkcs11 sets to true; the others it sets to false.
        public: Overrides in the public template; DEFAULT leaves an attribute out.
        private: Overrides in the private template.
    """

    capabilities: MechanismFlag
    public: AttributeValues = field(default_factory=dict)
    private: AttributeValues = field(default_factory=dict)


TEMPLATES: Final = (
    # The least right first: most HSMs, SoftHSM2.
    Template(capabilities=_SIGNING),
    # Modules that refuse an explicit CKA_DERIVE or CKA_UNWRAP of a signing key.
    Template(capabilities=_SIGNING, public=_LEFT_OUT_PUBLIC, private=_LEFT_OUT_PRIVATE),
    # tpm2-pkcs11: its keys sign and decrypt, and the template has to say so.
    Template(
        capabilities=_SIGNING | MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT,
    ),
    Template(
        capabilities=_SIGNING | MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT,
        public={Attribute.WRAP: DEFAULT},
        private={Attribute.UNWRAP: DEFAULT, Attribute.DERIVE: DEFAULT},
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What PKCS#11 calls one of our key types.

    Attributes:
        kind: CKA_KEY_TYPE.
        generator: The mechanism that makes it.
        bits: Key length for the generator and for its limits.
        parameters: Wordings of the public template's parameters, tried in order.
    """

    kind: KeyType
    generator: Mechanism
    bits: int
    parameters: tuple[AttributeValues, ...] = ({},)


def _ec(oid: str, bits: int) -> Family:
    return Family(
        kind=KeyType.EC,
        generator=Mechanism.EC_KEY_PAIR_GEN,
        bits=bits,
        parameters=({Attribute.EC_PARAMS: bytes.fromhex(oid)},),
    )


def _rsa(bits: int) -> Family:
    return Family(
        kind=KeyType.RSA, generator=Mechanism.RSA_PKCS_KEY_PAIR_GEN, bits=bits
    )


FAMILIES: Final[Mapping[OurKeyType, Family]] = {
    "ec-p256": _ec("06082a8648ce3d030107", 256),
    "ec-p384": _ec("06052b81040022", 384),
    "rsa-2048": _rsa(2048),
    "rsa-3072": _rsa(3072),
    "rsa-4096": _rsa(4096),
    "ed25519": Family(
        kind=KeyType.EC_EDWARDS,
        generator=Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
        bits=255,
        # PKCS#11 3.0 section 2.3.10: the curve by OID (RFC 8410) or by its name.
        parameters=(
            {Attribute.EC_PARAMS: bytes.fromhex("06032b6570")},
            {Attribute.EC_PARAMS: b"\x13\x0cedwards25519"},
        ),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One complete wording of C_GenerateKeyPair."""

    family: Family
    template: Template
    parameters: AttributeValues


def candidates(key_type: OurKeyType) -> tuple[Candidate, ...]:
    """Return the wordings for a key type, the best first."""
    family = FAMILIES[key_type]
    return tuple(
        Candidate(family=family, template=template, parameters=parameters)
        for parameters in family.parameters
        for template in TEMPLATES
    )
