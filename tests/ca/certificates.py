"""The register of what was issued and revoked (RFC 8555 7.4, 7.6).

Knows which certificate belongs to which order and account, and which are revoked and
why. Does not know how a request was authenticated.
"""

import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from cryptography.hazmat.primitives.serialization import Encoding

from tests.ca.config import Config
from tests.ca.csr import check_csr, fingerprint
from tests.ca.issuing import (
    Authority,
    Issued,
    Profile,
    PublicKey,
    Validity,
    validity_of,
)
from tests.ca.jose import Jwk, b64decode
from tests.ca.orders import Order
from tests.ca.problems import refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """When and why a certificate was revoked; `reason` is of RFC 5280 5.3.1."""

    at: datetime
    reason: int


class Certificates:
    """All certificates of this CA, oldest first."""

    def __init__(self, config: Config, authority: Authority) -> None:
        """Begin with nothing issued."""
        self.by_id: dict[str, Issued] = {}
        self.revoked: dict[int, Revocation] = {}
        self.named_in: Callable[[Profile], Profile] = lambda profile: profile
        self._config = config
        self._authority = authority

    def issue(self, order: Order, der: bytes, account_keys: Collection[str]) -> Issued:
        """Check a CSR against its order and issue; a bad one is badCSR."""
        names = tuple(item.general_name() for item in order.identifiers)
        profile = self.named_in(
            self._config.profiles.get(order.profile, self._config.profile)
        )
        csr = check_csr(der, names, profile, account_keys)
        leaf = self._authority.sign(
            cast("PublicKey", csr.public_key()),
            names,
            profile,
            self._validity(order, profile),
            csr,
        )
        issued = Issued(
            id=secrets.token_urlsafe(9),
            order=order.id,
            account=order.account.id,
            leaf=leaf,
            names=names,
            profile=profile,
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
