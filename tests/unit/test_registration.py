"""Registration of an account at a CA that speaks real HTTP over TLS."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from agent.acme.eab import MacKeyError, binding, decode_key
from agent.acme.errors import ProblemError
from agent.client import AcmeClient
from agent.clock import SystemClock
from agent.config.authorities import Account, Eab
from agent.config.tokens import AccountKey
from agent.jobs.register import Register, Registered
from agent.keys.software import FileKeys
from agent.procedures.account import AccountProcedure
from agent.records.keys import FILE_STORE, KeyRecord, KeyState
from agent.records.others import AccountRecord
from agent.transport import HttpsTransport, Peer
from tests.ca import Config, TestCA
from tests.fakes.acme import Ears
from tests.fakes.clock import START
from tests.unit.vectors import RFC7515_A3_SPKI

MAC_KEY = b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"


def test_the_binding_is_that_of_the_vector() -> None:
    """Protected header and MAC agree with the computed vector, member for member."""
    made = binding(
        RFC7515_A3_SPKI,
        kid="nf-eab-0001",
        key=decode_key(MAC_KEY),
        algorithm="HS256",
        url="https://ca.example/acme/new-acct",
    )
    assert made["protected"] == (
        "eyJhbGciOiJIUzI1NiIsImtpZCI6Im5mLWVhYi0wMDAxIiwidXJsIjoi"
        "aHR0cHM6Ly9jYS5leGFtcGxlL2FjbWUvbmV3LWFjY3QifQ"
    )
    assert made["signature"] == "ynJfrW911sYdRvxRURD2dOyDlVcz3wLCjLGG0oiayzg"


@pytest.mark.parametrize("padding", [b"", b"=", b"=\n", b"  ", b"\r\n"])
def test_a_mac_key_may_be_padded(padding: bytes) -> None:
    """CAs hand it out with padding and line ends, or without."""
    assert decode_key(MAC_KEY + padding) == bytes(range(32))


NOT_BASE64URL = {
    "foreign octets": b"\xff\xfe",
    "one character": b"a",
    "base64 that is not for urls": b"-_+/",
    "a character that is passed over": MAC_KEY[:20] + b"!" + MAC_KEY[20:],
    "a blank within": MAC_KEY[:20] + b" " + MAC_KEY[20:],
    "a line end within": MAC_KEY[:20] + b"\n" + MAC_KEY[20:],
    "a quoted key": b'"' + MAC_KEY + b'"',
    "a key behind its name": b"key=" + MAC_KEY,
    "padding within": MAC_KEY[:20] + b"=" + MAC_KEY[20:],
    "too much padding": MAC_KEY + b"==",
    "padding of a key that needs none": b"AAAA=",
    "bits that no octet has": MAC_KEY[:-1] + b"9",
    "a null behind it": MAC_KEY + b"\0",
}


@pytest.mark.parametrize("text", NOT_BASE64URL.values(), ids=NOT_BASE64URL)
def test_a_mac_key_that_is_none_is_refused_unquoted(text: bytes) -> None:
    """The error names the form and never the key, nor does what caused it."""
    with pytest.raises(MacKeyError, match=r"^the eab key is not base64url") as caught:
        decode_key(text)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("text", [b"", b" \n"])
def test_no_mac_key_at_all_is_told_apart(text: bytes) -> None:
    """A file that is empty is another mistake than one with something else."""
    with pytest.raises(MacKeyError, match=r"^the eab key is empty"):
        decode_key(text)


@asynccontextmanager
async def registering(
    ca: TestCA, tmp_path: Path
) -> AsyncIterator[tuple[AccountProcedure, AccountRecord]]:
    """Give a procedure toward a CA, and an account whose key is made."""
    keys = FileKeys(tmp_path / "keys")
    key = KeyRecord(
        id="0a" * 16,
        store=FILE_STORE,
        type="ec-p256",
        label="nfcertd/test/account/1",
        number=1,
        state=KeyState.MADE,
        created=START,
    )
    made = await keys.make(key)
    known = KeyRecord(
        **{f: getattr(key, f) for f in key.__struct_fields__} | {"public": made.public}
    )
    transport = HttpsTransport(
        Peer(
            hosts=frozenset({urlsplit(ca.directory_url).netloc}),
            roots=ca.transport_root_pem.decode(),
            timeout=timedelta(seconds=10),
        )
    )
    client = AcmeClient(
        name="test",
        directory_url=ca.directory_url,
        transport=transport,
        clock=SystemClock(),
        observer=Ears(),
    )
    record = AccountRecord(name="test", directory=ca.directory_url, key=known)
    try:
        yield AccountProcedure(client, keys, lambda _: MAC_KEY), record
    finally:
        await transport.aclose()


def table(eab: Eab | None) -> Account:
    """Return the table of an account."""
    return Account(ca="test", key=AccountKey(file=True), eab=eab)


async def register(
    procedure: AccountProcedure, record: AccountRecord, config: Account
) -> Registered:
    """Register, and return what came of it."""
    assert record.key is not None
    outcome = await procedure.perform(Register(record.key), record, config)
    assert isinstance(outcome, Registered)
    return outcome


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_an_account_is_bound_to_one_that_the_ca_knows(
    algorithm: str, tmp_path: Path
) -> None:
    """A CA that wants a binding registers with it; asked again it is the same one."""
    config = Config(eab_keys={"nf-17": bytes(range(32))}, eab_required=True)
    async with TestCA(config) as ca, registering(ca, tmp_path) as (procedure, record):
        eab = Eab(kid="nf-17", key="file:/unread", algorithm=algorithm)  # type: ignore[arg-type]  # a table of texts
        first = await register(procedure, record, table(eab))
        again = await register(procedure, record, table(eab))
    assert first.url.startswith("https://")
    assert again == first


async def test_a_ca_that_wants_a_binding_says_so(tmp_path: Path) -> None:
    """Without one the refusal reaches the operator with its type."""
    config = Config(eab_keys={"nf-17": bytes(range(32))}, eab_required=True)
    async with TestCA(config) as ca, registering(ca, tmp_path) as (procedure, record):
        with pytest.raises(ProblemError, match="externalAccountRequired"):
            await register(procedure, record, table(None))


async def test_terms_are_never_agreed_to_silently(tmp_path: Path) -> None:
    """A CA with terms refuses, and the hint names the switch; agreed, it registers."""
    async with (
        TestCA(Config(terms="https://ca.example/terms")) as ca,
        registering(ca, tmp_path) as (procedure, record),
    ):
        with pytest.raises(ProblemError) as caught:
            await register(procedure, record, table(None))
        assert "account.test.terms_agreed = true" in caught.value.hint
        agreed = Account(ca="test", key=AccountKey(file=True), terms_agreed=True)
        assert (await register(procedure, record, agreed)).url
