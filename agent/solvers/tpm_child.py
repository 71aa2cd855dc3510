"""The process that imports tpm2-pytss: one key is certified by its TPM, then it ends.

It is run as a program of its own and imports nothing of ours. It reads one request on
its standard input and writes one answer, both JSON; what the libraries print or log
goes nowhere. `agent.solvers.tpm` is its other side and bounds its time.

tpm2-pkcs11 (1.x, its backend esysdb) keeps a key as the two halves that its TPM gave
it, in an SQLite database. The key's password is encrypted there by a key that is sealed
in the TPM, under a password that follows from the user PIN. TPM2_Certify is no
mechanism of PKCS#11, so that the same halves are loaded here once more, and flushed
again.
"""

import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO, TypedDict, cast

if TYPE_CHECKING:
    from types import TracebackType

MAX_TEXT = 1000
"""Characters of an exception that are handed on; the answer fits what is read of us."""
DATABASE = "tpm2_pkcs11.sqlite3"
SYSTEM_STORE = "/etc/tpm2_pkcs11"
CKA_ID, AUTH, PUBLIC, PRIVATE = 0x102, 0x8F000001, 0x8F000002, 0x8F000003
"""Attributes of an object; all but the first are tpm2-pkcs11's own."""
LASTING = (0x8B, 0x8E, 0xA2)
"""TPM_RC_HANDLE; TPM_RC_AUTH_FAIL, which a TPM counts; TPM_RC_BAD_AUTH (Part 2)."""


class Request(TypedDict):
    """What is asked.

    Attributes:
        path: Where modules are searched, as our daemon does.
        id: CKA_ID of the key, hexadecimal.
        public: The key, SPKI, DER in hexadecimal.
        pin: The user PIN of its token, hexadecimal; empty where it has none.
        data: What the statement is about, hexadecimal.
        signer: Persistent handle of the attestation key.
        signer_auth: Its password, hexadecimal; most often empty.
    """

    path: list[str]
    id: str
    public: str
    pin: str
    data: str
    signer: int
    signer_auth: str


class RefusedError(Exception):
    """What is asked cannot be done, now or later; somebody has to change something."""


class Found(NamedTuple):
    """A key as tpm2-pkcs11 keeps it.

    Attributes:
        auth: Its password, encrypted: initialisation vector, tag, text.
        public: TPM2B_PUBLIC.
        private: TPM2B_PRIVATE, which only its parent can read.
        token: Row of its token.
    """

    auth: str
    public: bytes
    private: bytes
    token: dict[str, Any]


class Parent(NamedTuple):
    """A handle of the key above all others of a token."""

    handle: Any
    session: Any


def main() -> None:
    """Certify what standard input asks for."""
    answers = os.fdopen(os.dup(1), "w")
    request = cast("Request", json.load(sys.stdin))
    _silence()
    # The libraries raise what they like; whatever ends us is what we answer.
    sys.excepthook = partial(_failed, answers)
    sys.path[:] = request["path"]
    found = _find(request)
    with _connected(found) as tpm:
        certified = _certified(tpm, request, found)
    _say(answers, **{name: octets.hex() for name, octets in certified.items()})


def _silence() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nowhere, descriptor)


def _stores() -> Iterator[Path]:
    """Yield where tpm2-pkcs11 looks for its database, if one is there."""
    named = os.environ.get("TPM2_PKCS11_STORE")
    home = os.environ.get("HOME")
    places = [named] if named else [SYSTEM_STORE]
    if home and not named:
        places.append(f"{home}/.tpm2_pkcs11")
    for place in places:
        path = Path(place) / DATABASE
        if path.exists():
            yield path


def _find(request: Request) -> Found:
    """Return the key that has the identifier and the public half."""
    stores = list(_stores())
    if not stores:
        raise RefusedError(
            "no database of tpm2-pkcs11 is found; TPM2_PKCS11_STORE names its directory"
        )
    for path in stores:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            for found in _keys(database, request["id"]):
                if _spki(found.public) == bytes.fromhex(request["public"]):
                    return found
    raise RefusedError("the database of tpm2-pkcs11 does not have the key")


def _keys(database: sqlite3.Connection, key: str) -> Iterator[Found]:
    import yaml  # noqa: PLC0415 -- only now on the path

    tokens = (
        "SELECT o.attrs, t.config, s.userpub, s.userpriv, s.userauthsalt, "
        "p.config AS parent, p.objauth FROM tobjects o JOIN tokens t ON t.id = o.tokid "
        "JOIN sealobjects s ON s.tokid = t.id JOIN pobjects p ON p.id = t.pid"
    )
    for row in database.execute(tokens):
        attributes = yaml.safe_load(row["attrs"])
        if attributes.get(CKA_ID, "").lower() == key and PRIVATE in attributes:
            private, public = (
                bytes.fromhex(attributes[name]) for name in (PRIVATE, PUBLIC)
            )
            token = dict(row)
            for name in ("config", "parent"):
                token[name] = yaml.safe_load(row[name]) or {}
            auth = bytes.fromhex(attributes.get(AUTH, "")).decode()
            yield Found(auth, public, private, token)


def _spki(public: bytes) -> bytes:
    from tpm2_pytss import TPM2B_PUBLIC  # noqa: PLC0415

    return cast("bytes", TPM2B_PUBLIC.unmarshal(public)[0].to_der())


@contextmanager
def _connected(found: Found) -> Iterator[Any]:
    """Yield the TPM, reached as the token's module reaches it."""
    from tpm2_pytss import ESAPI  # noqa: PLC0415

    way = found.token["config"].get("tcti") or os.environ.get("TPM2_PKCS11_TCTI")
    with ESAPI(way) as tpm:
        yield tpm


def _certified(tpm: Any, request: Request, found: Found) -> dict[str, bytes]:  # noqa: ANN401 -- the library has no types
    from tpm2_pytss import (  # noqa: PLC0415
        TPM2_ALG,
        TPM2_HANDLE,
        TPM2B_PUBLIC,
        TPMT_SIG_SCHEME,
    )

    parent = _parent(tpm, found)
    with (
        _session(tpm, parent, hiding=True) as session,
        _session(tpm, parent, hiding=False) as other,
        _loaded(tpm, Parent(parent, session), found.private, found.public) as key,
    ):
        auth = _auth(tpm, Parent(parent, session), found, request["pin"])
        tpm.tr_set_auth(key, auth)
        signer = tpm.tr_from_tpmpublic(TPM2_HANDLE(request["signer"]))
        tpm.tr_set_auth(signer, bytes.fromhex(request["signer_auth"]))
        attest, signature = tpm.certify(
            key,
            signer,
            bytes.fromhex(request["data"]),
            TPMT_SIG_SCHEME(scheme=TPM2_ALG.NULL),
            session1=session,
            session2=other,
        )
    return {
        "info": bytes(attest),
        "signature": signature.marshal(),
        "public": TPM2B_PUBLIC.unmarshal(found.public)[0].publicArea.marshal(),
    }


def _parent(tpm: Any, found: Found) -> Any:  # noqa: ANN401
    kept = found.token["parent"]
    if "esys-tr" not in kept:
        raise RefusedError(
            "the token's primary object is made anew at each use; only one with a "
            "persistent handle is known here"
        )
    parent = tpm.tr_deserialize(bytes.fromhex(kept["esys-tr"]))
    tpm.tr_set_auth(parent, found.token["objauth"])
    return parent


@contextmanager
def _session(tpm: Any, parent: Any, *, hiding: bool) -> Iterator[Any]:  # noqa: ANN401
    """Yield a session in which no password crosses the bus.

    A hiding one, of which a command takes one, also encrypts what is unsealed.
    """
    from tpm2_pytss import (  # noqa: PLC0415
        ESYS_TR,
        TPM2_ALG,
        TPM2_SE,
        TPMA_SESSION,
        TPMT_SYM_DEF,
        TPMU_SYM_KEY_BITS,
        TPMU_SYM_MODE,
    )

    cipher = TPMT_SYM_DEF(
        algorithm=TPM2_ALG.AES,
        keyBits=TPMU_SYM_KEY_BITS(aes=128),
        mode=TPMU_SYM_MODE(aes=TPM2_ALG.CFB),
    )
    session = tpm.start_auth_session(
        parent, ESYS_TR.NONE, TPM2_SE.HMAC, cipher, TPM2_ALG.SHA256
    )
    try:
        wanted = TPMA_SESSION.CONTINUESESSION
        if hiding:
            wanted |= TPMA_SESSION.DECRYPT | TPMA_SESSION.ENCRYPT
        tpm.trsess_set_attributes(session, wanted)
        yield session
    finally:
        tpm.flush_context(session)


@contextmanager
def _loaded(tpm: Any, parent: Parent, private: bytes, public: bytes) -> Iterator[Any]:  # noqa: ANN401
    from tpm2_pytss import TPM2B_PRIVATE, TPM2B_PUBLIC  # noqa: PLC0415

    handle = tpm.load(
        parent.handle,
        TPM2B_PRIVATE.unmarshal(private)[0],
        TPM2B_PUBLIC.unmarshal(public)[0],
        session1=parent.session,
    )
    try:
        yield handle
    finally:
        tpm.flush_context(handle)


def _auth(tpm: Any, parent: Parent, found: Found, pin: str) -> bytes:  # noqa: ANN401
    """Return the key's password: decrypted by the key that the PIN unseals."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    if not found.auth:
        return b""
    seal = found.token
    # Text or octets: the library writes the one, its tool the other.
    salt = seal["userauthsalt"]
    salted = bytes.fromhex(pin) + (salt.encode() if isinstance(salt, str) else salt)
    with _loaded(tpm, parent, seal["userpriv"], seal["userpub"]) as sealed:
        # Half of the digest, in hexadecimal: as much as a TPM takes of a password.
        tpm.tr_set_auth(sealed, sha256(salted).hexdigest()[:32])
        wrapping = bytes(tpm.unseal(sealed, session1=parent.session))
    vector, tag, text = (bytes.fromhex(part) for part in found.auth.split(":"))
    key = AESGCM(bytes.fromhex(wrapping.decode()))
    return key.decrypt(vector, text + tag, None)


def _failed(
    answers: TextIO,
    kind: type[BaseException],
    error: BaseException,
    _trace: "TracebackType | None",
) -> None:
    refused = isinstance(error, RefusedError) or getattr(error, "error", 0) in LASTING
    _say(answers, error=f"{error}"[:MAX_TEXT], refused=refused, kind=kind.__name__)


def _say(answers: TextIO, **answer: object) -> None:
    answers.write(f"\n{json.dumps(answer)}\n")
    answers.flush()


if __name__ == "__main__":
    main()
