"""Key objects in a session: found, made, checked, listed, destroyed.

It knows attributes and the order of calls. It does not know logins nor lost sessions:
exceptions of python-pkcs11 pass through it. Everything here blocks and runs on the
module's worker thread.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import pkcs11
from pkcs11 import Attribute, ObjectClass

from agent.keys import attributes, jws, public
from agent.keys.errors import (
    AmbiguousError,
    KeyMissingError,
    KeyPolicyError,
    MechanismError,
)
from agent.keys.faults import may_be_stale
from agent.keys.ports import TokenKey
from agent.keys.public import PublicKey
from agent.keys.signing import Choices, Signer
from agent.keys.templates import Candidate, Family
from agent.records.keys import KeyRecord

_CHECKS: Final = {
    "sensitive": (Attribute.SENSITIVE, True),
    "always-sensitive": (Attribute.ALWAYS_SENSITIVE, True),
    "never-extractable": (Attribute.NEVER_EXTRACTABLE, True),
    "local": (Attribute.LOCAL, True),
    "extractable": (Attribute.EXTRACTABLE, False),
}
"""What a key must be, by the names that `relax` uses; the last cannot be relaxed."""

_PROBE: Final = b"nfcertd probes this key"

# `store=True` names a key of the token; pkcs11-provider leaves session copies about.
_HALVES: Final = (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a key is made on one token.

    Attributes:
        family: What PKCS#11 calls the key type.
        candidates: Wordings to try, the best first.
        relax: Names of the checks that this token cannot satisfy.
    """

    family: Family
    candidates: tuple[Candidate, ...]
    relax: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A key that exists, and which wording made it (None: it existed)."""

    public: PublicKey
    candidate: Candidate | None


def find(
    session: pkcs11.Session, kind: ObjectClass, **names: bytes | str
) -> list[pkcs11.types.Object]:
    """Return the token's objects of a class, by `id` and `label` where given."""
    wanted: dict[Attribute, object] = {
        Attribute[name.upper()]: value for name, value in names.items()
    }
    wanted |= {Attribute.CLASS: kind, Attribute.TOKEN: True}
    # The generator holds the session's lock until it is exhausted.
    return list(session.get_objects(wanted))


def private_key(session: pkcs11.Session, key_id: bytes) -> pkcs11.PrivateKey:
    """Return the one private key with a CKA_ID.

    Raises:
        KeyMissingError: There is none.
        AmbiguousError: There are several.
    """
    found = find(session, ObjectClass.PRIVATE_KEY, id=key_id)
    if not found:
        raise KeyMissingError(f"token has no private key {key_id.hex()}")
    if len(found) > 1:
        raise AmbiguousError(f"token has {len(found)} private keys {key_id.hex()}")
    return found[0]  # type: ignore[return-value]  # the class was in the template


def public_key(
    session: pkcs11.Session, key_id: bytes, private: pkcs11.PrivateKey
) -> PublicKey:
    """Return the public half, from wherever the token has it.

    Raises:
        KeyMissingError: No object of the token tells it.
    """
    certificates = find(session, ObjectClass.CERTIFICATE, id=key_id)
    halves = find(session, ObjectClass.PUBLIC_KEY, id=key_id)
    for item in (*halves, private, *certificates):
        try:
            return attributes.of_object(item)
        except MechanismError:
            continue
    raise KeyMissingError(f"token has no public key {key_id.hex()}")


def signer(session: pkcs11.Session, key: KeyRecord, choices: Choices) -> Signer:
    """Return what signs with a key that exists.

    Raises:
        KeyMissingError: The token does not have it.
    """
    key_id = bytes.fromhex(key.id)
    item = private_key(session, key_id)
    known = public.load(key.public) if key.public else None
    return Signer(item, known or public_key(session, key_id, item), choices)


def make(
    session: pkcs11.Session, key: KeyRecord, recipe: Recipe, choices: Choices
) -> Made:
    """Make a key, or return the one with this CKA_ID that a crash left behind.

    Raises:
        KeyMissingError: The key was made or adopted before, and is gone.
        KeyPolicyError: The token made a key that is not what is demanded.
        MechanismError: The token cannot make or use such a key.
    """
    key_id = bytes.fromhex(key.id)
    privates, publics = (find(session, kind, id=key_id) for kind in _HALVES)
    if key.public or key.adopted:
        # It has been in use: whatever is missing now, it must not be replaced.
        return Made(public=signer(session, key, choices).public, candidate=None)
    if len(privates) == len(publics) == 1:
        half = attributes.of_object(publics[0])
        _accept(session, key, half, recipe, choices)
        return Made(public=half, candidate=None)
    _destroy_all((*privates, *publics))
    return _generate(session, key, recipe, choices)


def _generate(
    session: pkcs11.Session, key: KeyRecord, recipe: Recipe, choices: Choices
) -> Made:
    _require(session, recipe.family, key)
    refusal: Exception | None = None
    for candidate in recipe.candidates:
        try:
            half = _attempt(session, key, candidate)
            _accept(session, key, half, recipe, choices)
        except (pkcs11.PKCS11Error, MechanismError) as error:
            refusal = error
            destroy(session, key.id)
            continue
        return Made(public=half, candidate=candidate)
    if isinstance(refusal, pkcs11.PKCS11Error) and may_be_stale(refusal):
        # Perhaps not the template is at fault but the session: let it be renewed.
        raise refusal
    raise MechanismError(f"token refuses every template for {key.type}") from refusal


def _attempt(
    session: pkcs11.Session, key: KeyRecord, candidate: Candidate
) -> PublicKey:
    family, template = candidate.family, candidate.template
    half, _ = session.generate_keypair(
        family.kind,
        key_length=family.bits if family.kind is pkcs11.KeyType.RSA else None,
        id=bytes.fromhex(key.id),
        label=key.label,
        store=True,
        capabilities=template.capabilities,
        mechanism=family.generator,
        public_template={**candidate.parameters, **template.public},
        private_template={Attribute.EXTRACTABLE: False, **template.private},
    )
    return attributes.of_object(half)


def _require(session: pkcs11.Session, family: Family, key: KeyRecord) -> None:
    slot = session.token.slot
    if family.generator not in slot.get_mechanisms():
        raise MechanismError(f"token cannot make {key.type} keys")
    longest = slot.get_mechanism_info(family.generator).max_key_length
    # Modules that give no limit say 0; Edwards curves are counted as 255 or 256.
    if longest and family.bits > longest > 0 and family.kind is pkcs11.KeyType.RSA:
        raise MechanismError(
            f"token cannot make {key.type} keys: its longest have {longest} bits"
        )


def _accept(
    session: pkcs11.Session,
    key: KeyRecord,
    half: PublicKey,
    recipe: Recipe,
    choices: Choices,
) -> None:
    """Check attributes and a signature; destroy a key that has not what it must."""
    item = private_key(session, bytes.fromhex(key.id))
    broken = [
        name
        for name, (attribute, wanted) in _CHECKS.items()
        if name not in recipe.relax and _read(item, attribute) is not wanted
    ]
    if broken:
        destroy(session, key.id)
        raise KeyPolicyError(
            f"token made a key that fails {', '.join(broken)}: destroyed",
            hint="if the token cannot do better, name the checks in its `relax`",
        )
    Signer(item, half, choices).sign(_PROBE, jws.hash_for(half))


def destroy(session: pkcs11.Session, key_id: str) -> bool:
    """Destroy both halves; return whether there was anything to destroy."""
    found = [
        item
        for kind in _HALVES
        for item in find(session, kind, id=bytes.fromhex(key_id))
    ]
    _destroy_all(found)
    return bool(found)


def _destroy_all(items: Iterable[pkcs11.types.Object]) -> None:
    for item in items:
        try:
            item.destroy()
        except pkcs11.exceptions.ObjectHandleInvalid:
            # tpm2-pkcs11 removes the public half with the private one.
            continue


def adopt(session: pkcs11.Session, key_id: bytes | None, label: str | None) -> Signer:
    """Return the one existing key with this id and label, whichever are given.

    Raises:
        KeyMissingError: None matches, or it has no CKA_ID.
        AmbiguousError: Several match.
        KeyPolicyError: It wants the PIN for each signature, or cannot sign.
    """
    names: dict[str, bytes | str] = {}
    if key_id is not None:
        names["id"] = key_id
    if label is not None:
        names["label"] = label
    found = find(session, ObjectClass.PRIVATE_KEY, **names)
    if not found:
        raise KeyMissingError("no private key of the token matches the key's URI")
    if len(found) > 1:
        raise AmbiguousError(
            f"{len(found)} private keys match the key's URI",
            hint="name the key by id= in its URI",
        )
    if _read(found[0], Attribute.ALWAYS_AUTHENTICATE) is True:
        raise KeyPolicyError("key wants the PIN again for each signature")
    actual = _read(found[0], Attribute.ID)
    if not isinstance(actual, bytes) or not actual:
        raise KeyMissingError("key that matches the URI has no CKA_ID")
    item = private_key(session, actual)
    half = public_key(session, actual, item)
    probe = Signer(item, half, Choices())
    probe.sign(_PROBE, jws.hash_for(half))
    return probe


def identify(item: Signer) -> bytes:
    """Return the CKA_ID of a signer's private key."""
    value = _read(item.item, Attribute.ID)
    return value if isinstance(value, bytes) else b""


def listing(session: pkcs11.Session) -> tuple[TokenKey, ...]:
    """Return all key pairs of the token, halves merged by CKA_ID and label."""
    merged: dict[tuple[str, str], TokenKey] = {}
    for kind in _HALVES:
        for item in find(session, kind):
            seen = _describe(item, private=kind is ObjectClass.PRIVATE_KEY)
            other = merged.get((seen.id, seen.label))
            merged[seen.id, seen.label] = _merge(other, seen) if other else seen
    return tuple(merged.values())


def _describe(item: pkcs11.types.Object, *, private: bool) -> TokenKey:
    key_id, label = _read(item, Attribute.ID), _read(item, Attribute.LABEL)
    try:
        kind: str = public.type_of(attributes.of_object(item))
    except MechanismError:
        named = _read(item, Attribute.KEY_TYPE)
        kind = named.name.lower() if isinstance(named, pkcs11.KeyType) else "other"
    return TokenKey(
        id=key_id.hex() if isinstance(key_id, bytes) else "",
        label=label if isinstance(label, str) else "",
        type=kind,
        private=private,
        public=not private,
    )


def _merge(one: TokenKey, other: TokenKey) -> TokenKey:
    # The public half tells the curve where the private one does not.
    kind = other.type if other.public else one.type
    return replace(
        one,
        type=kind,
        private=one.private or other.private,
        public=one.public or other.public,
    )


def _read(item: pkcs11.types.Object, attribute: Attribute) -> object:
    """Return an attribute, None where the token does not tell or tells nonsense."""
    try:
        value: object = item[attribute]
    except (
        pkcs11.exceptions.AttributeTypeInvalid,
        pkcs11.exceptions.AttributeSensitive,
        pkcs11.exceptions.FunctionFailed,
        ValueError,
    ):
        return None
    return value
