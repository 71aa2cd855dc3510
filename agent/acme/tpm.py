"""The attestation statement `tpm`: a TPM certifies a key that it made and keeps.

WebAuthn section 8.3, as draft-ietf-acme-device-attest section 5 uses it; the structures
are those of TPM 2.0 Part 2. What they say is judged by the CA; looked at here is only
what makes a statement useless whoever reads it.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from agent.acme import cbor
from agent.acme.jws import b64

_RSASSA: Final = bytes.fromhex("0014000b")
_ECDSA: Final = bytes.fromhex("0018000b")
"""How a TPMT_SIGNATURE begins: TPM_ALG_ID of the scheme, and of SHA-256."""
_ALGORITHMS: Final = {_RSASSA: -257, _ECDSA: -7}
"""COSE algorithms (RFC 8812, RFC 9053): RS256 and ES256."""


class Certified(NamedTuple):
    """What TPM2_Certify gives, and the key that it is about.

    Attributes:
        info: TPMS_ATTEST, without a length before it.
        signature: TPMT_SIGNATURE over it, by the attestation key.
        public: TPMT_PUBLIC of the certified key, without a length before it.
    """

    info: bytes
    signature: bytes
    public: bytes


def qualifying_data(key_authorization: str) -> bytes:
    """Return what the statement is about, `extraData`: a digest as `alg` has it."""
    return sha256(key_authorization.encode("ascii")).digest()


def tpm_object(certified: Certified, signer: bytes, chain: Sequence[bytes]) -> str:
    """Return the attestation object of the format `tpm`, CBOR in base64url.

    Args:
        certified: What the TPM said.
        signer: The key of the attestation key's certificate, SPKI, DER.
        chain: DER of that certificate and of what it is issued by.

    Raises:
        ValueError: Another key than the signer has signed it, or by another algorithm
            than RS256 and ES256.
    """
    statement: dict[str, cbor.Value] = {
        "ver": "2.0",
        "alg": _verified(certified, signer),
        "x5c": list(chain),
        "sig": certified.signature,
        "certInfo": certified.info,
        "pubArea": certified.public,
    }
    return b64(cbor.encode({"fmt": "tpm", "attStmt": statement}))


def _verified(certified: Certified, signer: bytes) -> int:
    """Return the algorithm of the signature, once it is that of the signer."""
    scheme, rest = certified.signature[:4], certified.signature[4:]
    if scheme not in _ALGORITHMS:
        raise ValueError(
            "the attestation key signs neither by RSASSA nor by ECDSA, with SHA-256"
        )
    first, rest = _sized(rest)
    key, info = load_der_public_key(signer), certified.info
    try:
        if scheme == _RSASSA and isinstance(key, rsa.RSAPublicKey):
            key.verify(first, info, padding.PKCS1v15(), SHA256())
            return _ALGORITHMS[scheme]
        if scheme == _ECDSA and isinstance(key, ec.EllipticCurvePublicKey):
            r, s = (int.from_bytes(part, "big") for part in (first, _sized(rest)[0]))
            key.verify(encode_dss_signature(r, s), info, ec.ECDSA(SHA256()))
            return _ALGORITHMS[scheme]
    except InvalidSignature:
        pass
    raise ValueError("the certificate is of another key than the attestation key")


def _sized(data: bytes) -> tuple[bytes, bytes]:
    """Return what stands behind its length, and the rest (TPM2B)."""
    end = 2 + int.from_bytes(data[:2], "big")
    return data[2:end], data[end:]
