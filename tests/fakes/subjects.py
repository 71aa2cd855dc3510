"""Records and tables of small subjects, for tests that need some to work on."""

from datetime import timedelta

from agent.config.authorities import Account, Ca
from agent.config.endpoints import Endpoint
from agent.config.model import Certificate, Config
from agent.config.tokens import AccountKey, Key, Token
from agent.jobs.context import Context
from agent.records.certificate import CertificateRecord, Issuance, Publication
from agent.records.keys import FILE_STORE, KeyRecord, KeyState
from agent.records.others import AccountRecord
from tests.fakes.clock import START

DIRECTORY = "https://ca.example/directory"
LIFE = timedelta(days=90)
LEAF = "-----BEGIN CERTIFICATE-----\nbGVhZg==\n-----END CERTIFICATE-----\n"
ISSUER = "-----BEGIN CERTIFICATE-----\naXNzdWVy\n-----END CERTIFICATE-----\n"


def key(number: int = 1, store: str = FILE_STORE, public: bytes = b"spki") -> KeyRecord:
    """Return a key that is made."""
    return KeyRecord(
        id=f"{number:032x}",
        store=store,
        type="ec-p256",
        label=f"nfcertd/{'0' * 16}/web/{number}",
        number=number,
        state=KeyState.MADE,
        created=START,
        public=public,
    )


def publication(
    number: int = 1,
    *,
    store: str = FILE_STORE,
    life: timedelta = LIFE,
    of: KeyRecord | None = None,
) -> Publication:
    """Return a publication whose certificate begins at the start of fake time."""
    used = of or key(number, store)
    issuance = Issuance(
        fingerprint=f"{number:064x}",
        serial=f"{number:02x}",
        names=("web.example",),
        ca="test",
        directory=DIRECTORY,
        key=used.id,
        order="https://ca.example/order/1",
        not_before=START,
        not_after=START + life,
        issued_at=START,
        draw=0.5,
        chain=LEAF + ISSUER,
    )
    return Publication(number=number, issuance=issuance, key=used)


def table(
    name: str = "web",
    *endpoints: Endpoint,
    ca: str = "test",
    token: str | None = None,
    **more: object,
) -> Certificate:
    """Return a `[certificate.NAME]` table."""
    return Certificate(
        names=(f"{name}.example",),
        ca=ca,
        key=Key(token=token, file=token is None),
        endpoint=endpoints,
        **more,  # type: ignore[arg-type]  # a test's own keywords
    )


def config(*names: str, cas: tuple[str, ...] = ("test",), **more: object) -> Config:
    """Return a configuration; certificates are dealt out to the CAs in turn."""
    return Config(
        ca={
            ca: Ca(directory=f"https://{ca}.example/directory", roots="system")
            for ca in cas
        },
        account={ca: Account(ca=ca, key=AccountKey(file=True)) for ca in cas},
        certificate={
            name: table(name, ca=cas[index % len(cas)])
            for index, name in enumerate(names)
        },
        **more,  # type: ignore[arg-type]  # a test's own keywords
    )


def token_table(**more: str) -> Token:
    """Return a `[token.NAME]` table whose module is never loaded."""
    return Token(module="/nonexistent.so", token="pkcs11:token=hsm", **more)  # type: ignore[arg-type]  # a test's own keywords


def context(of: Certificate | None = None) -> Context:
    """Return the context of a certificate without an account."""
    return Context(
        config=of or table(),
        ca="test",
        directory=DIRECTORY,
        install="0" * 16,
        account=None,
    )


def account(url: str = "https://ca.example/account/1") -> AccountRecord:
    """Return an account with a key; registered, unless the URL is empty."""
    return AccountRecord(name="test", directory=DIRECTORY, key=key(9), url=url)


def deployed(
    name: str = "web", number: int = 1, life: timedelta = LIFE
) -> CertificateRecord:
    """Return a certificate with one publication that is not deployed yet."""
    published = publication(number, life=life)
    return CertificateRecord(
        name=name,
        keys=(published.key,),
        key_count=number,
        publications=(published,),
        publication_count=number,
    )
