"""One token: the operations on its keys.

It knows how a key is made, used and destroyed in a session. It does not know who asks,
what a key is for, nor how sessions are kept.
"""

from collections.abc import Callable
from typing import Final

import pkcs11
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
)

from agent.config import tokens as tables
from agent.keys import jws, objects, public
from agent.keys.errors import KeyPolicyError
from agent.keys.module import serial
from agent.keys.objects import Recipe
from agent.keys.ports import AdoptedKey, TokenKey, TokenStatus
from agent.keys.session import Access
from agent.keys.signing import Choices, as_private_key
from agent.keys.templates import FAMILIES, Candidate, candidates
from agent.pki.uri import object_uri
from agent.ports import MadeKey
from agent.records.keys import KeyRecord, KeyType

_GENERATION_PATIENCE: Final = 4
"""Deadlines that making a key may take: it is several calls, one of them long."""


class Token:
    """The keys of one configured token.

    Every method raises the errors of `agent.keys.errors` and nothing else, returns
    within a few deadlines of the configuration, and may be cancelled; a call that the
    module has begun goes on.
    """

    def __init__(self, access: Access, settings: tables.Token) -> None:
        """Take the way in, and what the operator demands of keys."""
        self._access = access
        self._settings = settings
        self._choices = Choices()
        self._wordings: dict[KeyType, Candidate] = {}

    async def make(self, key: KeyRecord) -> MadeKey:
        """Make the key, or find what a crash left of it (see `agent.ports.Keys`).

        The key has CKA_ID `key.id` on both halves, cannot be extracted, and its first
        signature has been verified.

        Raises:
            KeyPolicyError: The token made something weaker; it is destroyed.
            MechanismError: The token cannot make such a key.
        """
        recipe = Recipe(
            family=FAMILIES[key.type],
            candidates=self._candidates(key.type),
            relax=self._settings.relax,
        )
        made = await self._access.perform(
            lambda session: objects.make(session, key, recipe, self._choices),
            f"make key {key.id}",
            patience=_GENERATION_PATIENCE,
        )
        if made.candidate is not None:
            self._wordings[key.type] = made.candidate
        return MadeKey(public.encode(made.public), self._access.serial)

    async def sign(self, key: KeyRecord, data: bytes) -> bytes:
        """Return a JWS signature over unhashed data (RFC 7518, RFC 8037).

        ES256 and ES384: raw r||s of fixed width; RS256: PKCS#1 v1.5; EdDSA: RFC 8032.
        """

        def work(session: pkcs11.Session) -> bytes:
            signer = objects.signer(session, key, self._choices)
            return signer.sign(data, jws.hash_for(signer.public))

        return await self._access.perform(work, f"sign with key {key.id}")

    async def use(
        self, key: KeyRecord, work: Callable[[CertificateIssuerPrivateKeyTypes], bytes]
    ) -> bytes:
        """Run `work` on the module's thread with the private key.

        `work` runs again if the session was lost under it; the key dies with the call.
        """

        def run(session: pkcs11.Session) -> bytes:
            signer = objects.signer(session, key, self._choices)
            try:
                return work(as_private_key(signer))
            finally:
                signer.close()

        return await self._access.perform(run, f"use key {key.id}")

    async def destroy(self, key: KeyRecord) -> None:
        """Destroy both halves; succeeds where neither exists.

        Raises:
            KeyPolicyError: The key was adopted, or the token is `destroy = "never"`.
        """
        if key.adopted or self._settings.destroy == "never":
            raise KeyPolicyError(
                f"key {key.id} is not ours to destroy",
                hint="it was adopted, or its token is configured destroy = never",
            )

        def work(session: pkcs11.Session) -> None:
            if not objects.destroy(session, key.id):
                # An empty answer is only believed from a token that is there.
                session.token.slot.get_token()

        await self._access.perform(work, f"destroy key {key.id}")

    async def adopt(self, uri: str) -> AdoptedKey:
        """Return the one existing key that an RFC 7512 URI names by id or object.

        Raises:
            KeyMissingError: None matches.
            AmbiguousError: Several match.
            agent.pki.uri.UriError: It is not the URI of a key.
        """
        wanted = object_uri(uri)

        def work(session: pkcs11.Session) -> AdoptedKey:
            signer = objects.adopt(session, wanted.id, wanted.text("object"))
            return AdoptedKey(
                objects.identify(signer).hex(),
                public.encode(signer.public),
                serial(session.token),
            )

        return await self._access.perform(work, "adopt a key")

    async def list_keys(self) -> tuple[TokenKey, ...]:
        """Return every key pair on the token, also those that are not ours."""

        def work(session: pkcs11.Session) -> tuple[TokenKey, ...]:
            session.token.slot.get_token()
            return objects.listing(session)

        return await self._access.perform(work, "list keys")

    async def check(self) -> TokenStatus:
        """Contact the token cheaply and return what that showed.

        Raises:
            AgentError: It is down; `status` says so from now on.
        """

        def work(session: pkcs11.Session) -> None:
            seen = session.token.slot.get_token()
            if seen.serial != session.token.serial:
                # Another token is in the slot: as if ours had been pulled.
                raise pkcs11.exceptions.DeviceRemoved

        await self._access.perform(work, "reach the token")
        return self.status()

    def status(self) -> TokenStatus:
        """Return what the last contact showed; makes none."""
        return self._access.status()

    async def forget_pin(self) -> None:
        """Let a refused PIN be tried once more, as the operator asks."""
        await self._access.forget_pin()

    def _candidates(self, key_type: KeyType) -> tuple[Candidate, ...]:
        known = self._wordings.get(key_type)
        rest = (c for c in candidates(key_type) if c != known)
        return (known, *rest) if known is not None else tuple(rest)
