"""The register of what was issued and revoked (RFC 8555 7.4, 7.6).

Knows which certificate belongs to which order and account, and which are revoked and
why. Does not know how a request was authenticated.
"""

import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.ca.config import Config
from tests.ca.csr import check_csr, fingerprint, requested_names
from tests.ca.devices import DEVICES
from tests.ca.issuing import (
    Authority,
    Issued,
    Profile,
    PublicKey,
    Validity,
    validity_of,
)
from tests.ca.jose import Jwk, b64decode
from tests.ca.numbers import OID, of_request
from tests.ca.orders import Order
from tests.ca.problems import refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """When and why a certificate was revoked; `reason` is of RFC 5280 5.3.1."""

    at: datetime
    reason: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Everything of a certificate but its time: what a checked request asks for.

    Attributes:
        order: Identifier of the order.
        account: Identifier of the account.
        csr: The request.
        names: The names of the order.
        profile: What is put into it.
    """

    order: str
    account: str
    csr: x509.CertificateSigningRequest = field(repr=False)
    names: tuple[x509.GeneralName, ...] = field(repr=False)
    profile: Profile = field(repr=False)


class Certificates:
    """All certificates of this CA, oldest first."""

    def __init__(self, config: Config, authority: Authority) -> None:
        """Begin with nothing issued."""
        self.by_id: dict[str, Issued] = {}
        self.revoked: dict[int, Revocation] = {}
        self.named_in: Callable[[Profile], Profile] = lambda profile: profile
        self._config = config
        self._authority = authority

    def check(self, order: Order, der: bytes, account_keys: Collection[str]) -> Subject:
        """Check a CSR against its order; a bad one is badCSR."""
        lists = [d for i in order.identifiers if (d := i.list_der) is not None]
        named = [i for i in order.identifiers if i.list_der is None]
        names = tuple(i.general_name() for i in named if i.type not in DEVICES)
        devices = tuple(i.general_name() for i in named if i.type in DEVICES)
        profile = self.named_in(
            self._config.profiles.get(order.profile, self._config.profile)
        )
        csr = check_csr(der, names, profile, account_keys, devices)
        if of_request(csr) != (lists[0] if lists else None):
            # RFC 8555 7.4, RFC 9448 3: the very identifier that was ordered.
            raise refusal("badCSR", "the TNAuthList is not that of the order")
        if lists and self._config.certifies_numbers:
            copied = profile.copied_extensions | {OID.dotted_string}
            profile = replace(profile, copied_extensions=copied)
        return Subject(
            order=order.id,
            account=order.account.id,
            csr=csr,
            # A device is named where the request names it.
            names=(*names, *(d for d in devices if d in requested_names(csr))),
            profile=profile,
        )

    def issue(self, order: Order, subject: Subject) -> Issued:
        """Issue what was checked, for the time that the order has."""
        return self.make(subject, self._validity(order, subject.profile))

    def make(self, subject: Subject, validity: Validity) -> Issued:
        """Issue what was checked, for any time."""
        leaf = self._authority.sign(
            cast("PublicKey", subject.csr.public_key()),
            subject.names,
            subject.profile,
            validity,
            subject.csr,
        )
        issued = Issued(
            id=secrets.token_urlsafe(9),
            order=subject.order,
            account=subject.account,
            leaf=leaf,
            names=subject.names,
            profile=subject.profile,
        )
        self.by_id[issued.id] = issued
        return issued

    def _validity(self, order: Order, profile: Profile) -> Validity:
        usual = validity_of(profile, self._config.now())
        return Validity(
            start=order.not_before or usual.start, end=order.not_after or usual.end
        )

    def key_fingerprints(self) -> set[str]:
        """Return the fingerprints of all keys that were ever certified."""
        return {fingerprint(issued.leaf.public_key()) for issued in self.by_id.values()}

    def named(self, request: Mapping[str, object]) -> Issued:
        """Return the certificate that a revocation names."""
        der = b64decode(request.get("certificate"), "certificate")
        for issued in self.by_id.values():
            if issued.leaf.public_bytes(Encoding.DER) == der:
                return issued
        raise refusal("malformed", "the certificate is not one of this CA")

    def revoke(self, issued: Issued, request: Mapping[str, object]) -> None:
        """Revoke a certificate (RFC 8555 7.6)."""
        reason = request.get("reason", 0)
        if not isinstance(reason, int) or isinstance(reason, bool):
            raise refusal("malformed", "reason is not an integer")
        if reason not in self._config.revocation_reasons:
            raise refusal("badRevocationReason", f"reason {reason} is not allowed")
        if issued.serial in self.revoked:
            raise refusal("alreadyRevoked", "the certificate is revoked")
        self.revoked[issued.serial] = Revocation(at=self._config.now(), reason=reason)


def is_key_of(jwk: Jwk, issued: Issued) -> bool:
    """Tell whether a JWK is the public key of a certificate."""
    return fingerprint(jwk.key) == fingerprint(issued.leaf.public_key())
