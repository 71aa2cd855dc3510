"""A chain is published only if every check holds; each refusal says which did not."""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from agent.acme.identifiers import identifiers
from agent.pki.chain import (
    MAX_CHAIN,
    SKEW,
    ChainError,
    CheckedChain,
    check_chain,
    fingerprint,
    parse_anchors,
    parse_chain,
)
from tests.vectors.chains import (
    DAY,
    LEAF,
    MIDDLE,
    NAME,
    NOW,
    ROOT,
    Spec,
    but,
    ca_extensions,
    chain,
    issue,
    limits,
    names,
    pem,
    private,
    spki,
    strong_rsa,
    weak_rsa,
    with_sha1,
)

SECOND = timedelta(seconds=1)
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")
GOOD_LEAF, GOOD_MIDDLE, GOOD_ROOT = chain()


def check(
    data: bytes,
    *anchors: x509.Certificate,
    ordered: tuple[str, ...] = (NAME,),
    now: datetime = NOW,
    public: bytes | None = None,
) -> CheckedChain:
    """Hold a chain against the order of the tests."""
    return check_chain(
        data,
        public=public or spki(LEAF.key),
        identifiers=identifiers(ordered),
        anchors=anchors or (GOOD_ROOT,),
        now=now,
    )


def test_a_good_chain_is_leaf_and_intermediates() -> None:
    """Order does not matter, the root is left out, the earliest end counts."""
    for body in (
        pem(GOOD_LEAF, GOOD_MIDDLE),
        pem(GOOD_LEAF, GOOD_MIDDLE, GOOD_ROOT),
        pem(GOOD_LEAF, GOOD_ROOT, GOOD_MIDDLE),
        pem(GOOD_LEAF, issue(but(MIDDLE, subject="Other"), ROOT), GOOD_MIDDLE),
        pem(GOOD_LEAF, GOOD_MIDDLE).replace(b"\n", b"\r\n"),
        b"\n" + pem(GOOD_LEAF) + b"\n \n" + pem(GOOD_MIDDLE),
    ):
        assert check(body) == CheckedChain(
            names=(NAME,),
            pem=pem(GOOD_LEAF, GOOD_MIDDLE).decode(),
            fingerprint=fingerprint(GOOD_LEAF),
            serial="7",
            not_before=LEAF.begins,
            not_after=LEAF.ends,
            anchor=fingerprint(GOOD_ROOT),
            anchor_subject="CN=Root",
        )


@pytest.mark.parametrize("short", ["leaf", "middle", "root"])
def test_the_end_is_the_earliest_of_the_chain(short: str) -> None:
    """Anchor included: behind its end the rest is worth nothing."""
    specs = {"leaf": LEAF, "middle": MIDDLE, "root": ROOT}
    specs[short] = but(specs[short], ends=NOW + DAY)
    *path, root = chain(**specs)
    assert check(pem(*path), root).not_after == NOW + DAY


@dataclass(frozen=True)
class Case:
    """A chain that is almost good, and the words that refuse it, if any do."""

    refusal: str
    leaf: Spec = LEAF
    middle: Spec = MIDDLE
    root: Spec = ROOT


NOT_CA = [(x509.BasicConstraints(ca=False, path_length=None), True)]
HELD = ca_extensions()
CASES = {
    "foreign key": Case("another key", leaf=but(LEAF, key=private(9))),
    "wrong name": Case(
        "names other.example instead of amf1.example",
        leaf=but(LEAF, extensions=[names("other.example")]),
    ),
    "extra name": Case(
        f"names {NAME}, extra.example instead of",
        leaf=but(LEAF, extensions=[names(NAME, "extra.example")]),
    ),
    "no name": Case("names nothing instead of", leaf=but(LEAF, extensions=[])),
    "control characters": Case(
        r"names  \[31mx instead of",
        leaf=but(LEAF, extensions=[names("\x1b[31mx")]),
    ),
    "upper case": Case("", leaf=but(LEAF, extensions=[names(NAME.upper())])),
    "leaf ended": Case("the certificate has ended", leaf=but(LEAF, ends=NOW - SECOND)),
    "leaf ends now": Case("", leaf=but(LEAF, ends=NOW)),
    "middle ended": Case("CN=Middle has ended", middle=but(MIDDLE, ends=NOW - SECOND)),
    "root ended": Case("CN=Root has ended", root=but(ROOT, ends=NOW - SECOND)),
    "leaf not yet": Case(
        "the certificate begins at", leaf=but(LEAF, begins=NOW + SKEW + SECOND)
    ),
    "leaf in a moment": Case("", leaf=but(LEAF, begins=NOW + SKEW)),
    "middle not yet": Case(
        "CN=Middle begins at", middle=but(MIDDLE, begins=NOW + SKEW + SECOND)
    ),
    "root not yet": Case("", root=but(ROOT, begins=NOW + DAY)),
    "middle no ca": Case("CN=Middle is no ca", middle=but(MIDDLE, extensions=NOT_CA)),
    "middle unmarked": Case("CN=Middle is no ca", middle=but(MIDDLE, extensions=[])),
    "root no ca": Case("CN=Root is no ca", root=but(ROOT, extensions=NOT_CA)),
    "root of version 1": Case("", root=but(ROOT, extensions=[])),
    "middle may not sign": Case(
        "CN=Middle may not sign",
        middle=but(MIDDLE, extensions=ca_extensions(cert_sign=False)),
    ),
    "root may not sign": Case(
        "CN=Root may not sign",
        root=but(ROOT, extensions=ca_extensions(cert_sign=False)),
    ),
    "path too long": Case(
        "longer than its issuer CN=Root allows",
        root=but(ROOT, extensions=ca_extensions(path_length=0)),
    ),
    "path just fits": Case(
        "",
        root=but(ROOT, extensions=ca_extensions(path_length=1)),
        middle=but(MIDDLE, extensions=ca_extensions(path_length=0)),
    ),
    "outside what is permitted": Case(
        "CN=Middle may not issue",
        middle=but(MIDDLE, extensions=[*HELD, limits(permitted=["other.example"])]),
    ),
    "inside what is permitted": Case(
        "",
        middle=but(MIDDLE, extensions=[*HELD, limits(permitted=["x.y", "example"])]),
    ),
    "excluded": Case(
        "CN=Root may not issue",
        root=but(ROOT, extensions=[*HELD, limits(excluded=["amf1.example"])]),
    ),
    "unknown critical": Case(
        r"unknown critical extension 1\.2\.3\.4\.5",
        leaf=but(LEAF, extensions=[names(NAME), (UNKNOWN, True)]),
    ),
    "unknown harmless": Case(
        "", leaf=but(LEAF, extensions=[names(NAME), (UNKNOWN, False)])
    ),
    "weak middle": Case(
        "CN=Middle has an rsa key of 1024 bits", middle=but(MIDDLE, key=weak_rsa())
    ),
    "weak curve": Case(
        "CN=Middle has a key on a curve of 192 bits",
        middle=but(MIDDLE, key=ec.derive_private_key(5, ec.SECP192R1())),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_one_thing_is_wrong_or_tolerated(case: Case) -> None:
    """Each check alone refuses what is otherwise good."""
    *path, root = chain(case.leaf, case.middle, case.root)
    if not case.refusal:
        assert check(pem(*path), root).names == (NAME,)
        return
    with pytest.raises(ChainError, match=case.refusal) as caught:
        check(pem(*path), root)
    assert str(caught.value).isprintable()


def test_a_weak_hash_is_refused() -> None:
    """SHA-1 made the leaf; the anchor's own signature does not matter."""
    spec = but(ROOT, key=strong_rsa())
    leaf, root = issue(LEAF, spec), issue(spec, spec)
    assert check(pem(leaf), with_sha1(root))
    with pytest.raises(ChainError, match="a hash that is no longer safe"):
        check(pem(with_sha1(leaf)), root)


def test_a_stranger_is_named() -> None:
    """The first issuer that nobody has is in the message."""
    for body in (pem(GOOD_LEAF), pem(GOOD_LEAF, issue(MIDDLE, MIDDLE))):
        with pytest.raises(ChainError, match="nobody issued CN=Middle"):
            check(body)
    with pytest.raises(ChainError, match="nobody issued a certificate"):
        check(pem(issue(LEAF, LEAF)))


def test_a_forged_signature_is_no_issuer() -> None:
    """The right name with the wrong key issues nothing."""
    forged = issue(LEAF, but(MIDDLE, key=private(8)))
    with pytest.raises(ChainError, match="nobody issued CN=Middle"):
        check(pem(forged, GOOD_MIDDLE))


def test_an_outdated_twin_does_not_hide_its_successor() -> None:
    """A root or intermediate renewed with its key is found beside the old one."""
    old_root = issue(but(ROOT, ends=NOW - DAY, serial=1), ROOT)
    old_middle = issue(but(MIDDLE, ends=NOW - DAY, serial=1), ROOT)
    new_middle = issue(but(MIDDLE, begins=NOW + DAY, serial=2), ROOT)
    found = check(
        pem(GOOD_LEAF, old_middle, new_middle, GOOD_MIDDLE), old_root, GOOD_ROOT
    )
    assert found.pem == pem(GOOD_LEAF, GOOD_MIDDLE).decode()


def test_a_cross_signed_intermediate_does_not_lead_astray() -> None:
    """Of two issuers with one key, the one that leads to our anchor is taken."""
    stranger = but(ROOT, subject="Stranger", key=private(6))
    astray = issue(but(MIDDLE, serial=1), stranger)
    for body in (
        pem(GOOD_LEAF, astray, GOOD_MIDDLE),
        pem(GOOD_LEAF, GOOD_MIDDLE, astray),
    ):
        assert check(body).pem == pem(GOOD_LEAF, GOOD_MIDDLE).decode()


def test_loops_end() -> None:
    """Intermediates that sign each other in a circle are no way to an anchor."""
    other = but(MIDDLE, subject="Other", key=private(5))
    circle = [issue(MIDDLE, other), issue(other, MIDDLE)] * 4
    with pytest.raises(ChainError, match="does not end in a configured trust anchor"):
        check(pem(GOOD_LEAF, *circle))
    assert check(pem(GOOD_LEAF, *circle, GOOD_MIDDLE))


def test_a_self_issued_certificate_does_not_lengthen_the_path() -> None:
    """A key roll-over of a CA is not counted (RFC 5280 section 4.2.1.9)."""
    rolled = but(MIDDLE, key=private(5))
    root = issue(but(ROOT, extensions=ca_extensions(path_length=1)), ROOT)
    path = [issue(LEAF, rolled), issue(rolled, MIDDLE), issue(MIDDLE, ROOT)]
    assert check(pem(*path), root).pem == pem(*path).decode()


SECRET = private(3).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
REST = pem(GOOD_MIDDLE)
GARBLED = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (b"", "holds no certificate"),
        (b"\xff\x00" * 50, "text beside"),
        (b"hello\n" + pem(GOOD_LEAF), "text beside"),
        (pem(GOOD_LEAF) + b"comment\n" + REST, "text beside"),
        (pem(GOOD_LEAF) + SECRET, "something other than certificates"),
        (SECRET, "something other than certificates"),
        (pem(GOOD_LEAF) + b"-----BEGIN CERTIFICATE-----\n", "text beside"),
        (pem(GOOD_LEAF).replace(b"END CERT", b"END FERT"), "text beside"),
        (GARBLED, "cannot be read"),
        (pem(GOOD_LEAF) * (MAX_CHAIN + 1), "holds 11 blocks"),
        (b"-----BEGIN A-----" * 100_000, "holds 100000 blocks"),
    ],
)
def test_a_file_of_anything_else_is_refused(body: bytes, refusal: str) -> None:
    """RFC 8555 section 11.4: nothing but certificates, and not too many of them."""
    with pytest.raises(ChainError, match=refusal):
        parse_chain(body)


def patched(old: bytes, new: bytes) -> bytes:
    """Return the good leaf with some of its DER replaced."""
    der = GOOD_LEAF.public_bytes(Encoding.DER)
    assert der.count(old) == 1
    text = base64.encodebytes(der.replace(old, new))
    return b"-----BEGIN CERTIFICATE-----\n" + text + b"-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x08"),
        (b"\x82\x0camf1.example", b"\xa3\x0camf1.example"),
        (b"\x82\x0camf1.example", b"\x82\x0camf1\xff\xffxampl"),
        (bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d030177")),
    ],
    ids=["version 9", "x400 name", "name not ascii", "unknown curve"],
)
def test_what_cryptography_cannot_read_is_refused(old: bytes, new: bytes) -> None:
    """Its various exceptions, early and late, are one error of ours."""
    with pytest.raises(ChainError, match="cannot be read"):
        check(patched(old, new) + pem(GOOD_MIDDLE))


def test_anchors_may_have_comments() -> None:
    """Bundles name their roots between the blocks; an empty one is refused."""
    bundle = "Würzel\n".encode() + pem(GOOD_ROOT) + b"# other\n" + pem(GOOD_MIDDLE)
    assert parse_anchors(bundle) == (GOOD_ROOT, GOOD_MIDDLE)
    for body in (b"", b"no certificates", GARBLED):
        with pytest.raises(ChainError, match="holds no certificates"):
            parse_anchors(body)


def test_an_anchor_of_an_unknown_kind_is_passed_over() -> None:
    """What cannot have signed the leaf does not keep another from having done so."""
    odd = but(ROOT, subject="Middle", key=ec.derive_private_key(5, ec.SECP192R1()))
    assert check(pem(GOOD_LEAF, GOOD_MIDDLE), issue(odd, odd), GOOD_ROOT)


def test_a_serial_number_that_is_not_positive_is_refused() -> None:
    """The library only warns of what RFC 5280 section 4.1.2.2 forbids."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "zero")])
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    der = certificate.public_bytes(Encoding.DER)
    version, serial = b"\xa0\x03\x02\x01\x02", b"\x02\x01\x01"
    damaged = der.replace(version + serial, version + b"\x02\x01\x00", 1)
    text = base64.encodebytes(damaged).decode()
    armoured = f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n"
    with pytest.raises(ChainError, match="cannot be read"):
        parse_chain(armoured.encode())
