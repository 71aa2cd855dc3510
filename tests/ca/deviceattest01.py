"""Validation of device-attest-01 for real: `step` and `tpm`, checked as step-ca does.

draft-ietf-acme-device-attest: the certificates chain to makers that the test named,
they are of the device of the order, and the certified key has signed the key
authorization, or a TPM has certified it (`tests.ca.tpm`). Which key that was is
remembered until the CSR comes.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from tests.ca import cbor, tpm
from tests.ca.csr import fingerprint
from tests.ca.devices import DEVICES
from tests.ca.identifiers import Identifier
from tests.ca.jose import b64decode
from tests.ca.problems import Problem, ProblemError, refusal
from tests.ca.validation import Entropy, Proof, new_token

SERIAL: Final = x509.ObjectIdentifier("1.3.6.1.4.1.41482.3.7")
"""Where a YubiKey's attestation certificate has the serial number, an INTEGER."""
_INTEGER: Final = 0x02


class DeviceAttest01:
    """Takes an attestation object and believes the makers that the test named."""

    def __init__(
        self,
        roots: tuple[x509.Certificate, ...],
        randomness: Entropy,
        now: Callable[[], datetime],
    ) -> None:
        """Keep whom to believe."""
        self._roots = roots
        self._randomness = randomness
        self._now = now
        self.attested: dict[object, str] = {}

    def offer(self, identifier: Identifier) -> Mapping[str, object] | None:
        """Offer a fresh token for devices."""
        if identifier.type not in DEVICES:
            return None
        return {"token": new_token(self._randomness(24))}

    def check(self, payload: Mapping[str, object]) -> None:
        """Refuse what has no attestation object; other members are ignored."""
        b64decode(payload.get("attObj"), "attObj")

    async def validate(self, proof: Proof) -> Problem | None:
        """Judge the statement; the first thing that is wrong ends it."""
        try:
            self._judge(b64decode(proof.payload["attObj"], "attObj"), proof)
        except (ProblemError, ValueError) as error:
            detail = error.problem.detail if isinstance(error, ProblemError) else error
            return Problem(type="badAttestationStatement", detail=f"{detail}")
        return None

    def _judge(self, data: bytes, proof: Proof) -> None:
        found = cbor.decode(data)
        if not isinstance(found, dict) or not {"fmt", "attStmt"} <= set(found):
            raise refusal("malformed", "the object is no map of fmt and attStmt")
        statement = found["attStmt"]
        form = found["fmt"]
        if form not in {"step", "tpm"} or not isinstance(statement, dict):
            raise refusal("malformed", "the format is neither step nor tpm")
        leaf = self._chain(statement.get("x5c"))
        data = proof.key_authorization.encode()
        if form == "tpm":
            tpm.require_attestation_key(leaf, proof.identifier)
            key = tpm.certified_key(statement, leaf, data)
            self.attested[proof.extra["token"]] = fingerprint(key)
            return
        _require_step(statement, leaf, proof)
        self.attested[proof.extra["token"]] = fingerprint(leaf.public_key())

    def _chain(self, chain: object) -> x509.Certificate:
        """Return the first certificate, once each is issued by the next one."""
        if not isinstance(chain, list) or not chain:
            raise refusal("malformed", "no x5c")
        found = [x509.load_der_x509_certificate(each) for each in chain]
        now = self._now()
        for number, each in enumerate(found):
            if not each.not_valid_before_utc <= now <= each.not_valid_after_utc:
                raise refusal("malformed", "a certificate of x5c is not valid now")
            if number and not _is_ca(each):
                raise refusal("malformed", "an issuer in x5c is no ca")
        for below, above in pairwise(found):
            if not _issued_by(below, above):
                raise refusal("malformed", "x5c is not in order")
        if not any(_issued_by(found[-1], root) for root in self._roots):
            raise refusal("malformed", "the maker is none that this CA believes")
        return found[0]


def _require_step(
    statement: Mapping[object, object], leaf: x509.Certificate, proof: Proof
) -> None:
    """Refuse another device, and what the key of the leaf has not signed."""
    if _serial(leaf) != proof.identifier.value.partition("/")[0]:
        raise refusal("malformed", "another device is attested")
    signature = statement.get("sig")
    plain = cbor.decode(signature) if isinstance(signature, bytes) else None
    if not isinstance(plain, bytes):
        raise refusal("malformed", "sig is no byte string in a byte string")
    _verify(leaf, plain, statement.get("alg"), proof.key_authorization.encode())


def _issued_by(below: x509.Certificate, above: x509.Certificate) -> bool:
    try:
        below.verify_directly_issued_by(above)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return False
    return basic.value.ca


def _serial(leaf: x509.Certificate) -> str:
    try:
        der = leaf.extensions.get_extension_for_oid(SERIAL).value.public_bytes()
    except x509.ExtensionNotFound as error:
        raise refusal("malformed", "no serial number is attested") from error
    if len(der) < 3 or der[0] != _INTEGER or der[1] != len(der) - 2:
        raise refusal("malformed", "the serial number is no INTEGER")
    return str(int.from_bytes(der[2:], "big", signed=True))


def _verify(
    leaf: x509.Certificate, signature: bytes, algorithm: object, data: bytes
) -> None:
    key = leaf.public_key()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey) and algorithm == -7:
            if not isinstance(key.curve, ec.SECP256R1):
                raise refusal("malformed", "the curve is not P-256")
            key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, rsa.RSAPublicKey) and algorithm == -257:
            key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(key, ed25519.Ed25519PublicKey) and algorithm == -8:
            key.verify(signature, data)
        else:
            raise refusal("malformed", "alg is not that of the attested key")
    except InvalidSignature as error:
        raise refusal("malformed", "the key authorization is not signed") from error
