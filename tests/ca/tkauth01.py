"""Validation of tkauth-01 for real: the authority token of RFC 9447 and RFC 9448 6.

Knows JWT as far as a token has it, who signed it, and what it must attest. Nothing is
fetched: the signer's certificates come with the token (`x5c`).
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.ca.identifiers import Identifier
from tests.ca.jose import b64decode, parse_object
from tests.ca.problems import Problem, ProblemError, refusal
from tests.ca.validation import Entropy, Proof, new_token

TYPES: Final = frozenset({"NfInstanceId", "TNAuthList", "dns"})
"""Identifier types that the authority may attest here."""
_SKEW: Final = timedelta(seconds=60)
_LONGEST: Final = timedelta(days=31)
_HALF: Final = 32


class TkAuth01:
    """Takes a token and believes the authorities that the test named."""

    def __init__(
        self,
        roots: tuple[x509.Certificate, ...],
        hint: str | None,
        randomness: Entropy,
        now: Callable[[], datetime],
    ) -> None:
        """Keep whom to believe, and what challenges hint at."""
        self._roots = roots
        self._hint = hint
        self._randomness = randomness
        self._now = now
        self._seen: dict[str, str] = {}

    def offer(self, identifier: Identifier) -> Mapping[str, object] | None:
        """Offer the subtype `atc`, with a hint where there is one."""
        if identifier.type not in TYPES or identifier.wildcard:
            return None
        members = {"tkauth-type": "atc", "token": new_token(self._randomness(24))}
        return members | ({"token-authority": self._hint} if self._hint else {})

    def check(self, payload: Mapping[str, object]) -> None:
        """Refuse what is not `{"tkauth": "<compact JWT>"}` (RFC 9447 3)."""
        token = payload.get("tkauth")
        if set(payload) != {"tkauth"} or not isinstance(token, str):
            raise refusal("malformed", "the response to tkauth-01 is a token")
        if token.count(".") != 2:
            raise refusal("malformed", "the token is not in compact form")

    async def validate(self, proof: Proof) -> Problem | None:
        """Judge the token; the first thing that is wrong ends it."""
        try:
            self._judge(str(proof.payload["tkauth"]), proof)
        except ProblemError as error:
            return Problem(
                type="unauthorized",
                detail=f"tkauth: {error.problem.detail}",
                status=403,
            )
        return None

    def _judge(self, token: str, proof: Proof) -> None:
        head, body, signature = token.split(".")
        header = parse_object(b64decode(head, "header"), "header")
        claims = parse_object(b64decode(body, "claims"), "claims")
        if header.get("alg") != "ES256" or header.get("typ", "JWT") != "JWT":
            raise refusal("malformed", "not an ES256 JWT")
        key = self._signer(header.get("x5c"))
        raw = b64decode(signature, "signature")
        if len(raw) != 2 * _HALF:
            raise refusal("malformed", "signature of a wrong size")
        r, s = (int.from_bytes(half, "big") for half in (raw[:_HALF], raw[_HALF:]))
        try:
            signed = f"{head}.{body}".encode()
            key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise refusal("malformed", "the signature is wrong") from error
        self._claims(claims, proof)

    def _signer(self, chain: object) -> ec.EllipticCurvePublicKey:
        if not isinstance(chain, list) or not chain:
            raise refusal("malformed", "no x5c")
        try:
            first = x509.load_der_x509_certificate(base64.b64decode(str(chain[0])))
        except ValueError as error:
            raise refusal("malformed", "x5c holds no certificate") from error
        for root in self._roots:
            try:
                first.verify_directly_issued_by(root)
            except (ValueError, TypeError, InvalidSignature):
                continue
            key = first.public_key()
            if isinstance(key, ec.EllipticCurvePublicKey):
                return key
        raise refusal("malformed", "the signer is no authority of this CA")

    def _claims(self, claims: Mapping[str, object], proof: Proof) -> None:
        end, name = claims.get("exp"), claims.get("jti")
        if not isinstance(end, int) or isinstance(end, bool):
            raise refusal("malformed", "exp is missing")
        until, now = datetime.fromtimestamp(end, UTC), self._now()
        if until <= now - _SKEW or until > now + _LONGEST:
            raise refusal("malformed", f"exp {until:%FT%TZ} is not acceptable")
        if not isinstance(name, str) or not name:
            raise refusal("malformed", "jti is missing")
        # One token may answer several challenges of one account, until it ends.
        if self._seen.setdefault(name, proof.thumbprint) != proof.thumbprint:
            raise refusal("malformed", "the token was used by another account")
        _attested(claims.get("atc"), proof)


def _attested(atc: object, proof: Proof) -> None:
    if not isinstance(atc, dict) or not set(atc) <= _MEMBERS:
        raise refusal("malformed", "atc is not what RFC 9447 defines")
    identifier = proof.identifier
    if atc.get("tktype") != identifier.type:
        raise refusal("malformed", "tktype is not the identifier's")
    value = atc.get("tkvalue")
    same = isinstance(value, str) and (
        value.lower() == identifier.value.lower()
        if identifier.type == "NfInstanceId"
        else value == identifier.value
    )
    if not same:
        raise refusal("malformed", "tkvalue is not the identifier's")
    if atc.get("fingerprint") not in _fingerprints(proof.thumbprint):
        raise refusal("malformed", "fingerprint is not the account key's")
    if atc.get("ca", False) is not False:
        raise refusal("malformed", "a token for a CA cannot certify an end entity")


_MEMBERS: Final = frozenset({"tktype", "tkvalue", "fingerprint", "ca"})


def _fingerprints(thumbprint: str) -> set[str]:
    """Return both forms that are met: colons in hexadecimal, and base64url."""
    octets = b64decode(thumbprint, "thumbprint")
    assert len(octets) == hashlib.sha256().digest_size
    return {f"SHA256 {octets.hex(':').upper()}", thumbprint}
