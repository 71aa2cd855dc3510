"""A bundle's tables as those of the configuration: text becomes files, secrets names.

Each text is a file named by its content, so that a table changes with it. A secret
stays as it came; the table names its place, `bootstrap:account.NAME.eab.key`, a scheme
that no file of the configuration may use.
"""

import hashlib
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from agent.acme.eab import MacKeyError, decode_key
from agent.bootstrap.errors import BootstrapError, FormatError, SecretError
from agent.bootstrap.made import SCHEME, Made, Secret, Use
from agent.bootstrap.tables import (
    AccountTable,
    AuthorityTable,
    CaTable,
    IdentityTable,
    Payload,
    Pem,
    TrustTable,
)
from agent.config.authorities import Account, Ca, ClientIdentity, Eab
from agent.config.nf import Nf
from agent.config.overlay import Overlay
from agent.config.section import Section
from agent.config.token_authority import TokenAuthority
from agent.config.tokens import AccountKey
from agent.config.trust import Trust
from agent.pki import jws
from agent.pki.chain import ChainError, parse_anchors

_FIRST: Final = ord("!")
_LAST: Final = ord("~")


class _Maker:
    """Collects files and secrets on the way through the tables."""

    def __init__(self, directory: str) -> None:
        self.files: dict[str, str] = {}
        self.secrets: dict[str, Secret] = {}
        self._directory = directory

    def anchors(self, pem: Pem | None, where: str) -> str | None:
        """Return the path of a file of certificates."""
        if pem is None:
            return None
        try:
            parse_anchors(pem.encode())
        except ChainError as error:
            raise FormatError(
                f"in the bundle, {where} holds no certificates"
            ) from error
        return self._file(pem)

    def signer(self, pem: Pem | None, where: str) -> str | None:
        """Return the path of a file with a signer's key."""
        if pem is None:
            return None
        _public(pem, where)
        return self._file(pem)

    def secret(self, secret: Secret, where: str) -> str:
        """Return the reference to a secret."""
        self.secrets[where] = secret
        return f"{SCHEME}{where}"

    def identity(
        self, table: IdentityTable | None, where: str
    ) -> ClientIdentity | None:
        """Return who we are toward a peer."""
        if table is None:
            return None
        path = self.anchors(table.certificate, f"{where}.certificate")
        public = _public(table.certificate, f"{where}.certificate")
        key = self.secret(Secret(table.key, Use.KEY, public), f"{where}.key")
        return ClientIdentity(certificate=path or "", key=key)

    def _file(self, pem: Pem) -> str:
        name = f"{hashlib.sha256(pem.encode()).hexdigest()}.pem"
        self.files[name] = pem
        return f"{self._directory}/{name}"


def _public(pem: Pem, where: str) -> bytes:
    """Return the key of a PEM text, SubjectPublicKeyInfo, DER."""
    try:
        return jws.public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise FormatError(
            f"in the bundle, {where} holds neither certificate nor public key"
        ) from error


def made_of(payload: Payload, directory: str, account_key: AccountKey | None) -> Made:
    """Return the tables, files and secrets of a bundle.

    Args:
        payload: What the bundle says.
        directory: Where its files are, absolute.
        account_key: Where the host makes keys of accounts that a bundle brings.

    Raises:
        FormatError: A text is no certificate, or not all of it.
        BootstrapError: It brings accounts, and the host says nothing of their keys.
    """
    if payload.account and account_key is None:
        raise BootstrapError(
            "the bundle brings accounts, and bootstrap.account_key does not say where "
            "their keys are made",
            hint='such as account_key = { token = "hsm", type = "ec-p256" }',
        )
    maker = _Maker(directory)
    overlay = Overlay(
        sequence=payload.sequence,
        ca={n: _ca(maker, f"ca.{n}", t) for n, t in payload.ca.items()},
        account={
            n: _account(maker, f"account.{n}", t, account_key)
            for n, t in payload.account.items()
            if account_key is not None
        },
        nf={n: Nf(**_same(t)) for n, t in payload.nf.items()},
        token_authority={
            n: _authority(maker, f"token-authority.{n}", t)
            for n, t in payload.token_authority.items()
        },
        trust={n: _trust(maker, f"trust.{n}", t) for n, t in payload.trust.items()},
    )
    return Made(overlay, maker.files, maker.secrets)


def check_secret(secret: bytes, use: Use, where: str, public: bytes = b"") -> None:
    """Return where an opened secret is what it should be.

    Args:
        secret: The secret.
        use: What it is for.
        where: Its path in the bundle.
        public: The key that a private one must belong to.

    Raises:
        SecretError: It is not; nothing of it is quoted.
    """
    try:
        match use:
            case Use.MAC:
                _check_mac(secret)
            case Use.KEY:
                _check_key(secret, public)
            case Use.BEARER:
                _check_line(secret)
    except (ValueError, TypeError, UnsupportedAlgorithm, MacKeyError):
        raise SecretError(
            f"{where} is encrypted well, and is not {use.value}"
        ) from None


def _check_key(secret: bytes, public: bytes) -> None:
    key = load_pem_private_key(secret, None).public_key()
    if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != public:
        raise ValueError


def _check_mac(secret: bytes) -> None:
    # White space around it is for files; what is encrypted is the key and no more.
    if secret != secret.strip():
        raise ValueError
    decode_key(secret)


def _check_line(secret: bytes) -> None:
    if not all(_FIRST <= octet <= _LAST for octet in secret):
        raise ValueError


def _same(table: Section, **changes: object) -> dict[str, Any]:
    """Return the members of a table, some of them changed."""
    return {f: getattr(table, f) for f in table.__struct_fields__} | changes


def _ca(maker: _Maker, path: str, table: CaTable) -> Ca:
    anchors = {
        name: maker.anchors(getattr(table, name), f"{path}.{name}")
        for name in ("roots", "chain_roots", "issuers")
    }
    client = maker.identity(table.client, f"{path}.client")
    return Ca(**_same(table, client=client, **anchors))


def _account(maker: _Maker, path: str, table: AccountTable, key: AccountKey) -> Account:
    eab = None
    if table.eab is not None:
        reference = maker.secret(Secret(table.eab.key, Use.MAC), f"{path}.eab.key")
        eab = Eab(**_same(table.eab, key=reference))
    return Account(**_same(table, eab=eab, key=key))


def _authority(maker: _Maker, path: str, table: AuthorityTable) -> TokenAuthority:
    bearer = None
    if table.bearer is not None:
        bearer = maker.secret(Secret(table.bearer, Use.BEARER), f"{path}.bearer")
    client = maker.identity(table.client, f"{path}.client")
    roots = maker.anchors(table.roots, f"{path}.roots")
    return TokenAuthority(**_same(table, bearer=bearer, client=client, roots=roots))


def _trust(maker: _Maker, path: str, table: TrustTable) -> Trust:
    roots = maker.anchors(table.roots, f"{path}.roots")
    signer = maker.signer(table.signer, f"{path}.signer")
    return Trust(**_same(table, roots=roots, signer=signer))
