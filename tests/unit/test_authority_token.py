"""Authority tokens: what is asked for, and every token that is not presented."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.acme.authority import (
    MAX_TOKEN,
    AuthorityTokenError,
    check,
    fingerprint,
    read_answer,
    request_body,
    wanted,
)
from agent.acme.identifiers import Identifier

NOW = datetime(2026, 1, 1, tzinfo=UTC)
THUMBPRINT = "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"
"""Of the P-256 key of RFC 7515 A.3."""
PRINTED = (
    "SHA256 A0:A2:32:C2:F1:94:A5:35:53:CB:13:10:DD:BC:08:21:"
    "E4:14:B9:D7:EB:FC:29:0B:32:30:84:D7:D1:02:0F:E5"
)
UUID = "4ace9d34-2c69-4f99-92d5-a73a3fe8e23b"
NF = Identifier(type="NfInstanceId", value=UUID)
ASKED = wanted(NF, THUMBPRINT)


def part(members: object) -> str:
    """Return a part of a compact JWS."""
    data = json.dumps(members).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(
    *, header: dict[str, Any] | None = None, atc: object = None, **claims: object
) -> str:
    """Return a token that would do, with some of it changed; the signature is none."""
    head = {"alg": "ES256", "typ": "JWT", "x5c": ["AAAA"]} | (header or {})
    good_atc = {
        "tktype": "NfInstanceId",
        "tkvalue": UUID,
        "fingerprint": PRINTED,
        "ca": False,
    }
    body: dict[str, object] = {
        "iss": "https://oam.example",
        "exp": int((NOW + timedelta(hours=1)).timestamp()),
        "jti": "1",
        "atc": good_atc | atc if isinstance(atc, dict) else (atc or good_atc),
    }
    full = {k: v for k, v in (body | claims).items() if v is not None}
    return f"{part({k: v for k, v in head.items() if v is not None})}.{part(full)}.c2ln"


def test_the_fingerprint_is_printed_as_rfc_9448_prints_it() -> None:
    """The vector's key."""
    assert fingerprint(THUMBPRINT) == PRINTED


@pytest.mark.parametrize("wrapped", [False, True])
def test_both_forms_of_the_request_can_be_posted(wrapped: bool) -> None:
    """RFC 9447 wraps the object, RFC 9448's example does not."""
    body = json.loads(request_body(ASKED, wrapped=wrapped))
    atc = body["atc"] if wrapped else body
    assert atc == {
        "tktype": "NfInstanceId",
        "tkvalue": UUID,
        "fingerprint": PRINTED,
        "ca": False,
    }


def test_what_is_asked_for_is_our_identifier_in_its_one_form() -> None:
    """A UUID in lower case, whoever wrote it how."""
    upper = Identifier(type="NfInstanceId", value=UUID.upper())
    assert wanted(upper, THUMBPRINT) == ASKED


@pytest.mark.parametrize(
    "good",
    [
        token(),
        token(atc={"tkvalue": UUID.upper()}),
        token(atc={"fingerprint": PRINTED.lower().replace(":", "")}),
        token(header={"x5c": None, "x5u": "https://oam.example/c.pem"}),
        token(header={"x5c": None}),
        token(nbf=int(NOW.timestamp()) + 30, extra={"a": 1}),
    ],
)
def test_a_token_that_says_what_was_asked_for_is_taken(good: str) -> None:
    """Its end is what it is kept until."""
    assert check(good, ASKED, NOW) == NOW + timedelta(hours=1)


BAD = {
    "another type of identifier": token(atc={"tktype": "nfinstanceid"}),
    "another identifier": token(atc={"tkvalue": UUID.replace("4", "5", 1)}),
    "another account": token(atc={"fingerprint": PRINTED.replace("A0", "A1", 1)}),
    "ca flag": token(atc={"ca": True}),
    "claims cannot be read": token(atc="x"),
    "it ends": token(exp=int(NOW.timestamp()) + 30),
    "it begins": token(nbf=int(NOW.timestamp()) + 3600),
    "is no time": token(exp=10**30),
    "signed by none": token(header={"alg": "none"}),
    "signed by HS256": token(header={"alg": "HS256"}),
    "names no signer": token(header={"x5c": None}, iss=None),
    "header cannot be read": f"e30.{part({})}.c2ln",
}


@pytest.mark.parametrize("why", BAD)
def test_a_token_that_a_ca_would_refuse_is_not_presented(why: str) -> None:
    """The error says what is wrong, and never the token."""
    with pytest.raises(AuthorityTokenError, match=why) as caught:
        check(BAD[why], ASKED, NOW)
    assert BAD[why].split(".")[1] not in str(caught.value)


@pytest.mark.parametrize("claim", ["exp", "jti", "atc"])
def test_a_claim_that_rfc_9447_demands_must_be_there(claim: str) -> None:
    """Each of the three."""
    head, body, tail = token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    del claims[claim]
    with pytest.raises(AuthorityTokenError, match="claims cannot be read"):
        check(f"{head}.{part(claims)}.{tail}", ASKED, NOW)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b'{"token": 1}',
        b'{"token": "a.b"}',
        b'{"token": "a.b.c d"}',
        json.dumps({"token": "a.b." + "c" * MAX_TOKEN}).encode(),
    ],
)
def test_an_answer_without_a_compact_token_is_an_error(answer: bytes) -> None:
    """Whatever the authority says."""
    with pytest.raises(AuthorityTokenError):
        read_answer(answer)


def test_an_answer_with_a_token_gives_it() -> None:
    """As it came."""
    assert read_answer(b'{"token": "e30.e30.c2ln", "more": 1}') == "e30.e30.c2ln"
