"""What the procedures need from the world; each adapter satisfies one of these.

Contracts are in MUST and SHOULD. Every failure that is expected MUST be an
`AgentError`; every method MUST be cancellable and bounded in time.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, Protocol

from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
)

from agent.acme.identifiers import Identifier
from agent.config.attestation import Attestation
from agent.config.endpoints import Reload
from agent.config.model import Certificate
from agent.records.certificate import Publication
from agent.records.deployment import Sighting
from agent.records.keys import KeyRecord


class MadeKey(NamedTuple):
    """A key that exists: its public half (SPKI, DER) and its token's serial."""

    public: bytes
    token_serial: str


class Keys(Protocol):
    """Keys by their record, wherever they are held."""

    async def make(self, key: KeyRecord) -> MadeKey:
        """Make the key, or find it where a crash hid that it was made already.

        MUST be idempotent by `key.id`. MUST refuse a key that does not have the
        attributes demanded (non-extractable, sensitive, local) and destroy it.
        """
        ...

    async def sign(self, key: KeyRecord, data: bytes) -> bytes:
        """Return a JWS signature (RFC 7518: raw r||s for EC) over unhashed data."""
        ...

    async def use(
        self, key: KeyRecord, work: Callable[[CertificateIssuerPrivateKeyTypes], bytes]
    ) -> bytes:
        """Run `work` where blocking signatures are allowed, with the private key.

        The key object MUST be accepted by `CertificateSigningRequestBuilder.sign`.
        """
        ...

    async def destroy(self, key: KeyRecord) -> None:
        """Destroy private and public object; MUST succeed where neither exists."""
        ...


class KeySigner(NamedTuple):
    """A key that signs where it is held.

    Attributes:
        public: SubjectPublicKeyInfo, DER.
        sign: Returns a JWS signature (RFC 7518: raw r||s for EC) over unhashed data.
        store: Name of its token in the configuration, or `FILE_STORE`.
        id: CKA_ID, hexadecimal.
    """

    public: bytes
    sign: Callable[[bytes], Awaitable[bytes]]
    store: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Presentation:
    """What a solver needs to answer one challenge.

    Attributes:
        identifier: Of the authorization, canonical; a wildcard without its `*.`.
        wildcard: The authorization is for all names below the identifier.
        token: The challenge's token, base64url characters only (checked before); empty
            where its type has none.
        key_authorization: The secret of RFC 8555 section 8.1, empty without a token;
            never logged.
        issuers: `issuer-domain-names` of dns-persist-01, as the CA wrote them.
        token_type: `tkauth-type` of tkauth-01, as the CA wrote it.
        authority_hint: `token-authority` of tkauth-01, as the CA wrote it.
        authority: Name of the `[token-authority.NAME]` that is to be asked.
        attestation: Who vouches for the certificate's key, for device-attest-01.
        account_url: The account's URL, octet for octet as the CA gave it.
        thumbprint: Of the account key (RFC 7638), base64url.
        certificate_key: The key that is to be certified; it exists before the order.
    """

    identifier: Identifier
    wildcard: bool = False
    token: str = ""
    key_authorization: str = ""
    issuers: tuple[str, ...] = ()
    token_type: str = ""
    authority_hint: str = ""
    authority: str = ""
    attestation: Attestation | None = None
    account_url: str
    thumbprint: str
    certificate_key: KeySigner

    @property
    def name(self) -> str:
        """Return the identifier's value: what is proven, for people."""
        return self.identifier.value

    def __repr__(self) -> str:
        """Show the identifier; token and key authorization never print."""
        return f"Presentation({self.name})"


class Solver(Protocol):
    """A way to prove control of an identifier (RFC 8555 section 8).

    One for the process and for each challenge type. It MUST take many presentations at
    the same time, of one identifier as well, and MUST refuse with an `AgentError` a
    token, an identifier or anything else of a presentation that it cannot use, before
    anything is presented. It MUST NOT know orders or CAs.
    """

    def prepare(
        self, presentation: Presentation
    ) -> AbstractAsyncContextManager[dict[str, object]]:
        """Present the challenge; the value is the payload that says so to the CA.

        Entering MUST be idempotent (a resumed order presents again) and MUST return
        only when the challenge can be validated, self-checked where that is possible.
        Leaving MUST remove what was presented, within a bounded time, also when
        cancelled; it SHOULD NOT fail where nothing was presented.
        """
        ...


class Prober(Protocol):
    """Sees what an address serves."""

    async def look(self, address: str, server_name: str, within: timedelta) -> Sighting:
        """Do one TLS handshake with a fresh context and return what was served.

        MUST NOT raise for anything that the peer does: a sighting says it. MUST send
        no application data. MUST see the leaf also where the peer demands a client
        certificate (TLS 1.2 as well).
        """
        ...


class Signaller(Protocol):
    """Tells an endpoint to pick up what was published."""

    async def tell(self, reload: Reload) -> None:
        """Deliver the signal or the reload.

        MUST NOT send a signal to a process that does not handle it, nor to a pid that
        was recycled. Raises the errors of `agent.endpoints.errors`.
        """
        ...


class Preflight(Protocol):
    """Looks whether an order can be worked off, before a CA's quota is spent."""

    async def check(
        self, name: str, table: Certificate, key: KeyRecord, *, challenged: bool
    ) -> None:
        """Return where it can.

        MUST ask nothing of a CA, and MUST NOT raise for what an issuance would survive.
        `challenged` tells that this CA has asked for a challenge before.
        """
        ...


class Retriever(Protocol):
    """Fetches CRLs and OCSP responses."""

    async def fetch(self, url: str, body: bytes | None, allow: Sequence[str]) -> bytes:
        """Return the body of the answer to a GET, or to a POST of an OCSP request.

        MUST bound its size and time, MUST NOT follow redirects, and MUST NOT connect
        to an address of this host or its link that is in none of the networks allowed.
        """
        ...


class Programs(Protocol):
    """Runs programs that the configuration names."""

    async def __call__(
        self,
        argv: Sequence[str],
        environment: dict[str, str],
        within: timedelta,
        request: bytes,
        /,
    ) -> None:
        """Return once a program has ended with 0; it reads the request.

        MUST refuse what others than root can have written, MUST start it with no more
        than this environment and no other descriptors, and MUST end it and all that it
        started after `within`.
        """
        ...


class Publisher(Protocol):
    """Puts a publication where endpoints read it; every method MUST be idempotent."""

    async def publish(
        self, certificate: str, publication: Publication, config: Certificate
    ) -> None:
        """Write the publication's directory durably, whole or not at all."""
        ...

    async def swap(self, certificate: str, endpoint: str, number: int) -> None:
        """Point the endpoint's `live` link at a publication by one rename."""
        ...

    async def prune(self, certificate: str, keep: frozenset[int]) -> None:
        """Remove the directories of all publications but these."""
        ...

    async def withdraw(
        self, certificate: str, endpoint: str, config: Certificate
    ) -> None:
        """Point the endpoint's `live` link at what serves nothing, by one rename.

        What the endpoint includes MUST still be valid configuration, and MUST name
        neither key nor certificate.
        """
        ...

    async def clear(self, certificate: str) -> None:
        """Remove every publication; what an endpoint still includes MUST stay."""
        ...


class RootsPublisher(Protocol):
    """Puts lists of trusted roots where consumers read them; MUST be idempotent."""

    async def publish_roots(self, name: str, version: int, bundle: str) -> None:
        """Write a version's directory durably and point `live/trust-NAME` at it.

        `bundle` holds the roots, PEM; MUST NOT show a consumer half of a version.
        """
        ...

    async def prune_roots(self, name: str, version: int) -> None:
        """Remove what is older than a version and the one before it."""
        ...
