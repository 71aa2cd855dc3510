"""RFC 7512 URIs: the parser's rules, what is written, and the provider's PEM."""

import base64

import pytest

from agent.pki import uri
from agent.pki.uri import UriError

VECTOR_URI = "pkcs11:token=nf;object=amf-tls;type=private"
VECTOR_PEM = b"""-----BEGIN PKCS#11 PROVIDER URI-----
MEgaGVBLQ1MjMTEgUHJvdmlkZXIgVVJJIHYxLjAMK3BrY3MxMTp0b2tlbj1uZjtv
YmplY3Q9YW1mLXRsczt0eXBlPXByaXZhdGU=
-----END PKCS#11 PROVIDER URI-----
"""


@pytest.mark.parametrize(
    ("text", "path", "query"),
    [
        ("pkcs11:", {}, {}),
        ("PKCS11:token=nf", {"token": b"nf"}, {}),
        ("pkcs11:token=My%20Token;id=%05%2f%A1", None, {}),
        ("pkcs11:token=a&b=c", {"token": b"a&b=c"}, {}),
        ("pkcs11:?pin-source=file:/run/pin", {}, {"pin-source": b"file:/run/pin"}),
        (
            "pkcs11:?x-vendor=a?b&pin-value=1",
            {},
            {"x-vendor": b"a?b", "pin-value": b"1"},
        ),
        ("pkcs11:x_vendor=1;slot-id=7", {"x_vendor": b"1", "slot-id": b"7"}, {}),
        ("pkcs11:library-version=2.40", {"library-version": b"2.40"}, {}),
        ("pkcs11:object=%C3%A9", {"object": "é".encode()}, {}),
    ],
)
def test_uris_that_the_grammar_allows(
    text: str, path: dict[str, bytes] | None, query: dict[str, bytes]
) -> None:
    """Attributes are decoded, in both parts, vendor attributes as well."""
    parsed = uri.parse(text)
    wanted = {"token": b"My Token", "id": b"\x05/\xa1"} if path is None else path
    assert (dict(parsed.path), dict(parsed.query)) == (wanted, query)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "token=nf",
        "http://token=nf",
        "pkcs11:token",
        "pkcs11:=nf",
        "pkcs11:;",
        "pkcs11:token=nf;",
        "pkcs11:to%6ben=nf",
        "pkcs11:token=a;token=b",
        "pkcs11:token=a;object=x;token=a",
        "pkcs11:?pin-source=/a&pin-source=/a",
        "pkcs11:?pin-source=/a&pin-value=1",
        "pkcs11:token=a b",
        "pkcs11:token=a/b",
        "pkcs11:token=a#b",
        "pkcs11:token=é",
        "pkcs11:token=%",
        "pkcs11:token=%4",
        "pkcs11:token=%zz",
        "pkcs11:token=%ff",
        "pkcs11:?pin-value=a;b",
        "pkcs11:type=key",
        "pkcs11:slot-id=0x1",
        "pkcs11:library-version=2.",
        "pkcs11:token=" + "a" * uri.MAX_LENGTH,
    ],
)
def test_uris_that_break_a_rule_are_refused(text: str) -> None:
    """Each rule of section 2.3 has its refusal."""
    with pytest.raises(UriError):
        uri.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "pkcs11:?pin-value=%ff1234",
        "pkcs11:?pin-value=12 34",
        "pkcs11:?pin-value=1234&a",
    ],
)
def test_a_refusal_never_quotes_a_pin(text: str) -> None:
    """A PIN that is wrongly in a URI reaches no message."""
    with pytest.raises(UriError) as caught:
        uri.parse(text)
    assert "34" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_uri_prints_without_its_pin() -> None:
    """`str` and `repr` leave pin-value out; `render` writes everything."""
    parsed = uri.parse("pkcs11:token=nf?pin-value=1234")
    assert str(parsed) == "pkcs11:token=nf"
    assert "1234" not in repr(parsed)
    assert uri.render(parsed) == "pkcs11:token=nf?pin-value=1234"


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("pkcs11:", True),
        ("pkcs11:token=nf", True),
        ("pkcs11:serial=01;token=nf;model=M", True),
        ("pkcs11:token=NF", False),
        ("pkcs11:token=nf;serial=02", False),
        ("pkcs11:token=nf;x-unknown=1", False),
        ("pkcs11:token=nf?x-unknown=1", True),
        ("pkcs11:token=nf;object=key;id=%01;type=private", True),
    ],
)
def test_matching_is_exact_and_unknown_attributes_match_nothing(
    text: str, *, matches: bool
) -> None:
    """Values are case-sensitive; key attributes say nothing about the token."""
    facts = {"token": "nf", "serial": "01", "model": "M"}
    assert uri.parse(text).matches_token(facts) is matches


@pytest.mark.parametrize(
    "text",
    [
        "pkcs11:",
        "pkcs11:model=M",
        "pkcs11:token=nf;slot-id=1",
        "pkcs11:token=nf;object=key",
        "pkcs11:token=nf;x-unknown=1",
        "pkcs11:token=nf?pin-value=1234",
    ],
)
def test_a_token_uri_names_a_token_for_good(text: str) -> None:
    """Slots, keys, PINs and attributes that match nothing do not name a token."""
    with pytest.raises(UriError):
        uri.token_uri(text)


@pytest.mark.parametrize(
    "text",
    ["pkcs11:token=nf", "pkcs11:id=%01;type=public", "pkcs11:id=%01;slot-id=1"],
)
def test_an_object_uri_names_a_private_key(text: str) -> None:
    """An adopted key is named by id or object, and is not something else."""
    with pytest.raises(UriError):
        uri.object_uri(text)


def test_a_key_uri_encodes_its_id_entirely() -> None:
    """Every octet of the id is a triplet; the token's query stays behind."""
    written = uri.key_uri(
        "pkcs11:token=My%20Token?module-path=/x",
        b"a\x01\xab",
        label="nfcertd/x/web/1",
        pin_source="file:/etc/nginx/hsm.pin",
    )
    assert written == (
        "pkcs11:token=My%20Token;object=nfcertd%2Fx%2Fweb%2F1;id=%61%01%AB;type=private"
        "?pin-source=file:/etc/nginx/hsm.pin"
    )
    assert uri.key_uri("pkcs11:serial=1", b"\x00") == (
        "pkcs11:serial=1;id=%00;type=private"
    )


@pytest.mark.parametrize("source", ["|cat /pin", "pin", "file:pin", "env:PIN"])
def test_a_pin_source_is_a_path(source: str) -> None:
    """What an OpenSSL provider would run, or resolve elsewhere, is refused."""
    with pytest.raises(UriError):
        uri.key_uri("pkcs11:token=nf", b"\x01", pin_source=source)


def test_the_provider_pem_is_the_one_that_the_provider_writes() -> None:
    """The vector of pkcs11-provider's own encoder."""
    assert uri.provider_pem(VECTOR_URI) == VECTOR_PEM


def test_a_long_uri_has_a_long_length() -> None:
    """Beyond 127 octets DER counts in the long form."""
    text = "pkcs11:token=" + "a" * 300
    lines = uri.provider_pem(text).decode().splitlines()
    der = base64.b64decode("".join(lines[1:-1]))
    assert der[:4] == b"\x30\x82" + (len(der) - 4).to_bytes(2, "big")
    assert der.endswith(text.encode())
    assert all(len(line) <= 64 for line in lines)


def test_a_pem_holds_no_pin() -> None:
    """A URI with a PIN is not put into a file."""
    with pytest.raises(UriError):
        uri.provider_pem("pkcs11:token=nf?pin-value=1234")
