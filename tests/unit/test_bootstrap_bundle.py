"""Bootstrap bundles: who may sign them, what they may say, and what is never taken."""

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from agent.bootstrap import bundle
from agent.bootstrap.bundle import MAX_BUNDLE, Bundle, Known
from agent.bootstrap.errors import (
    BootstrapError,
    EarlyError,
    ExpiredError,
    FormatError,
    InstanceError,
    RollbackError,
    SignatureError,
)
from agent.bootstrap.overlay import made_of
from agent.bootstrap.strict import MAX_CLAUSE
from agent.config.tokens import AccountKey
from agent.pki import jws
from tests.oam import bundle as oam
from tests.vectors.bootstrap import (
    DIRECTORY,
    INSTANCE,
    NOW,
    SIGNER,
    Tables,
    headed,
    public_pem,
    remade,
    secret,
    signed,
    spki,
    tables,
    vector,
)
from tests.vectors.trust import key, root

ACCOUNT_KEY = AccountKey(token="hsm")


def read(text: str, *signers: Any) -> Bundle:
    """Read a bundle that one of these keys may sign."""
    return bundle.read(text, [spki(each) for each in signers or (SIGNER,)])


def changed(edit: Callable[[Tables], object]) -> str:
    """Return a bundle that is well signed, with something in it changed."""
    made = tables()
    edit(made)
    return signed(made)


def raw(payload: bytes) -> str:
    """Return octets, well signed."""
    return oam.sign(payload, SIGNER)


def test_a_bundle_becomes_tables_files_and_secrets() -> None:
    """Text becomes a file named by its content, a secret a reference to its place."""
    read_one = read(signed())
    made = made_of(read_one.payload, DIRECTORY, ACCOUNT_KEY)
    shown = made.overlay.tables()
    assert list(shown) == [
        "ca.operator",
        "account.operator",
        "nf.amf1",
        "token-authority.oam",
        "trust.peers",
    ]
    digest = hashlib.sha256(root(1).pem.encode()).hexdigest()
    assert made.overlay.ca["operator"].roots == f"{DIRECTORY}/{digest}.pem"
    assert made.files[f"{digest}.pem"] == root(1).pem
    eab = made.overlay.account["operator"].eab
    assert eab is not None
    assert eab.key == "bootstrap:account.operator.eab.key"
    assert made.overlay.account["operator"].key == ACCOUNT_KEY
    assert set(made.secrets) == {
        "account.operator.eab.key",
        "token-authority.oam.bearer",
    }
    assert set(made.files.values()) == {
        root(1).pem,
        root(2).pem,
        root(3).pem,
        public_pem(),
    }


def test_the_published_vector_is_read_and_made() -> None:
    """What docs/bootstrap.md gives to vendors is what both sides do."""
    known = vector()
    signer = jws.public_key(known["signer_public_key"].encode())
    found = bundle.read(known["bundle"], [signer])
    assert found.payload.instance == INSTANCE
    assert found.signer == jws.key_id(signer)
    assert found.digest == hashlib.sha256(known["payload"].encode()).hexdigest()
    assert found.payload.account["operator"].eab is not None
    assert found.payload.account["operator"].eab.key == known["sealed_secret"]
    assert remade(known) == (known["sealed_secret"], known["bundle"])


@pytest.mark.parametrize(
    "signer",
    [
        key(1),
        ec.derive_private_key(7, ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["ES256", "ES384", "EdDSA", "PS256"],
)
def test_every_documented_algorithm_signs(signer: Any) -> None:
    """The key decides the algorithm; another signer may be known beside it."""
    found = read(signed(by=signer), key(5), signer)
    assert found.signer == oam.key_id(signer.public_key())


def hs256(header: dict[str, Any]) -> str:
    """Return a bundle "signed" by a MAC whose key is the signer's public key."""
    protected = oam.part({"alg": "HS256", "typ": oam.TYPE} | header)
    covered = f"{protected}.{oam.part(tables())}"
    made = hmac.digest(spki(), covered.encode(), "sha256")
    return f"{covered}.{oam.b64(made)}"


def tampered() -> str:
    """Return a bundle whose payload was changed after it was signed."""
    header, _, signature = signed().split(".")
    other = oam.part(tables(lambda made: made.update(sequence=9)))
    return f"{header}.{other}.{signature}"


def unsigned() -> str:
    """Return a bundle that says that it needs no signature."""
    header = oam.part({"alg": "none", "typ": oam.TYPE})
    return f"{header}.{oam.part(tables())}."


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (signed(by=key(901)), SignatureError),
        (tampered(), SignatureError),
        (signed() + "AAAA", SignatureError),
        (signed(alg="ES384"), SignatureError),
        (signed(alg="EdDSA"), SignatureError),
        (unsigned(), FormatError),
        (hs256({}), FormatError),
        (signed(alg="RS256"), FormatError),
        (signed(typ="nfcertd-trust-list"), FormatError),
        (signed(typ="JWT"), FormatError),
        (signed(crit=["exp"]), FormatError),
        (signed(jwk=oam.jwk(key(902).public_key())), FormatError),
        (signed(jku="https://evil.example/keys"), FormatError),
        (signed(x5c=["AAAA"]), FormatError),
        (signed(b64=False), FormatError),
        (signed(alg="\ud800"), FormatError),
        (signed(alg="ES256\n"), FormatError),
        (headed({"\ud800": 1}), FormatError),
        (headed({"x" * 2000: 1}), FormatError),
        ("", FormatError),
        ("a.b", FormatError),
        ("a.b.c.d", FormatError),
        ("ä.b.c", FormatError),
        ("{}.{}.{}", FormatError),
        (json.dumps({"payload": "e30", "signatures": []}), FormatError),
        ("x" * (MAX_BUNDLE + 1), FormatError),
    ],
)
def test_what_nobody_known_has_signed_is_refused(
    text: str, error: type[BootstrapError]
) -> None:
    """The key is never taken from the message, nor is the algorithm trusted."""
    with pytest.raises(error) as caught:
        read(text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= MAX_CLAUSE


DUPLICATE = b'{"version":1,"version":1}'
DEEP = b'{"ca":' + b"[" * 5000 + b"]" * 5000 + b"}"
HEADER_TWICE = oam.b64(b'{"alg":"ES256","alg":"ES256"}') + ".e30.AAAA"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (raw(DUPLICATE), "version stands twice"),
        (raw(b'{"ca":{"a":{},"a":{}}}'), "a stands twice"),
        (HEADER_TWICE, "alg stands twice"),
        (raw(DEEP), "is not json|nested too deeply"),
        (raw(b'{"ca":[[[[[[[[[[]]]]]]]]]]}'), "nested too deeply"),
        (raw(b"[]"), "no json object"),
        (raw(b"\xff"), "not json"),
        (raw(b'{"version": NaN}'), "not json"),
        (raw(b'{"version": ' + b"9" * 5000 + b"}"), "not json"),
        (changed(lambda t: t.update(version=2)), "another version than 1"),
        (changed(lambda t: t.update(version="1")), "version"),
        (changed(lambda t: t.pop("instance")), "instance"),
        (changed(lambda t: t.update(sequence=0)), "sequence"),
        (changed(lambda t: t.update(sequence=1 << 53)), "sequence"),
        (changed(lambda t: t.update(sequence=1.5)), "sequence"),
        (changed(lambda t: t.update(issued="2026-03-01T12:00:00")), "issued"),
        (changed(lambda t: t.update(expires=5)), "expires"),
        (changed(lambda t: t.update(strange=1)), "strange: unknown key"),
        (changed(lambda t: t.update({"x" * 5000: 1})), "^.{290,310}$"),
        (changed(lambda t: t.update(instance="\ud800")), "instance holds a control"),
        (changed(lambda t: t.update(instance="a\nb")), "instance holds a control"),
        (changed(lambda t: t["nf"].update({"A\x1b": {}})), "holds a control"),
        (changed(lambda t: t["nf"].update({"../x": t["nf"]["amf1"]})), "has the form"),
        (changed(lambda t: t["ca"]["operator"].pop("roots")), "ca.operator.*roots"),
        (changed(lambda t: t["ca"]["operator"].update(roots="system")), "ca.operator"),
        (changed(lambda t: t["ca"]["operator"].update(roots="")), "ca.operator.roots"),
        (
            changed(
                lambda t: t["ca"]["operator"].update(directory="http://ca.example")
            ),
            "ca.operator.directory",
        ),
        (
            changed(
                lambda t: t["account"]["operator"]["eab"].update(key="file:/etc/x")
            ),
            "account.operator.eab.key",
        ),
        (changed(lambda t: t["trust"]["peers"].update(roots="system")), "trust.peers"),
        (changed(lambda t: t["trust"]["peers"].update(signer="x")), "trust.peers"),
    ],
)
def test_what_is_not_of_the_documented_form_is_refused(text: str, words: str) -> None:
    """A good signature does not help; the error says where it is wrong."""
    with pytest.raises(FormatError, match=words):
        made_of(read(text).payload, DIRECTORY, ACCOUNT_KEY)


EXECUTION: list[tuple[str, Any]] = [
    ("token.hsm", {"module": "/tmp/evil.so", "token": "pkcs11:token=x"}),
    ("certificate.amf1", {"ca": "operator", "key": {"file": True}}),
    ("hook.x", {"command": ["/bin/sh"]}),
    ("dns-01", {"provider": "command", "command": ["/bin/sh"]}),
    ("agent", {"state": "/tmp"}),
    ("bootstrap", {"signer": ["/tmp/x.pem"]}),
    ("audit", {"enabled": False}),
    ("account.operator.key", {"token": "hsm"}),
    ("account.operator.grace", "1h"),
    ("ca.operator.proxy", "http://evil.example:3128"),
    ("ca.operator.lint", {"default": "off"}),
    ("ca.operator.on_lint_error", "revoke"),
    ("trust.peers.file", "/etc/shadow"),
    ("token-authority.oam.pin", "credential:hsm-pin"),
    ("nf.amf1.unit", "nginx.service"),
]


@pytest.mark.parametrize(("path", "value"), EXECUTION, ids=[p for p, _ in EXECUTION])
def test_a_bundle_never_says_what_runs_on_the_host(path: str, value: Any) -> None:
    """No program, module, unit, token, path, proxy or pin: not even well signed."""

    def edit(made: Tables) -> None:
        *parents, last = path.split(".")
        for each in parents:
            made = made.setdefault(each, {})
        made[last] = value

    first = path.split(".", maxsplit=1)[0]
    shown = path if first in tables() else first
    with pytest.raises(FormatError, match=rf"in the bundle, {shown}: ") as caught:
        read(signed(tables(edit)))
    assert "unknown key" in str(caught.value) or "reserved" in str(caught.value)
    assert "the host's files say" in caught.value.hint


@pytest.mark.parametrize(
    ("known", "taken"),
    [
        (None, False),
        (Known(2, "0" * 64), False),
        (Known(3, "digest"), True),
    ],
)
def test_a_number_must_rise_unless_all_is_the_same(
    known: Known | None, taken: bool
) -> None:
    """The same content again is no error: an image hands it over at every boot."""
    found = read(signed())
    if known is not None and known.digest == "digest":
        known = Known(known.sequence, found.digest)
    assert bundle.check_taken(found, INSTANCE, known) is taken


@pytest.mark.parametrize("number", [3, 4, 1 << 52])
def test_an_older_bundle_is_refused(number: int) -> None:
    """So is another one of the same number: one of the two is not what was meant."""
    with pytest.raises(RollbackError):
        bundle.check_taken(read(signed()), INSTANCE, Known(number, "0" * 64))


@pytest.mark.parametrize("instance", ["nf-host-1", "nf-host-170", "NF-HOST-17", ""])
def test_a_bundle_for_another_host_is_refused(instance: str) -> None:
    """Also where it was taken before: a state directory may have been copied."""
    found = read(signed())
    with pytest.raises(InstanceError):
        bundle.check_taken(found, instance, Known(3, found.digest))


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (NOW + timedelta(days=7), "expired at 2026-03-08 12:00:00Z"),
        (NOW + timedelta(days=400), "expired"),
        (NOW - timedelta(minutes=5, seconds=1), "still to come"),
        (datetime.fromisoformat("1970-01-01T00:00:00+00:00"), "still to come"),
    ],
)
def test_a_bundle_is_taken_between_its_dates_only(now: datetime, words: str) -> None:
    """A clock of five minutes behind is forgiven, and no more."""
    payload = read(signed()).payload
    bundle.check_dates(payload, NOW - timedelta(minutes=5))
    bundle.check_dates(payload, NOW + timedelta(days=7, seconds=-1))
    with pytest.raises((EarlyError, ExpiredError), match=words):
        bundle.check_dates(payload, now)


def test_accounts_need_a_place_for_their_keys() -> None:
    """Where keys are made the host says; without that nothing is taken."""
    payload = read(signed()).payload
    with pytest.raises(BootstrapError, match="account_key"):
        made_of(payload, DIRECTORY, None)
    bare = read(changed(lambda made: made.pop("account"))).payload
    assert made_of(bare, DIRECTORY, None).overlay.account == {}


def test_anchors_are_always_those_of_the_bundle() -> None:
    """No way of writing a bundle leads to the system's store."""
    for at, table in (
        ("ca", "operator"),
        ("token-authority", "oam"),
        ("trust", "peers"),
    ):
        for value in ("system", "trust:peers", "/etc/ssl/certs/ca-certificates.crt"):
            made = tables()
            made[at][table]["roots"] = value
            with pytest.raises(FormatError, match="holds no certificates"):
                made_of(read(signed(made)).payload, DIRECTORY, ACCOUNT_KEY)


def test_no_secret_is_shown_even_sealed() -> None:
    """Errors name a place; they do not quote what stands there."""
    sealed = secret(b"x" * 40)
    text = changed(
        lambda made: made["account"]["operator"]["eab"].update(key=sealed + "!")
    )
    with pytest.raises(FormatError) as caught:
        read(text)
    assert sealed not in str(caught.value)
