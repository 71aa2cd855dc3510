"""Resources as RFC 8555 shows them, and as a hostile CA would send them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from agent.acme.errors import ProtocolError
from agent.acme.messages import (
    AccountObject,
    Authorization,
    Challenge,
    Directory,
    Order,
    OrderList,
    decode,
    is_token,
)

DIRECTORY = b"""{
  "newNonce": "https://example.com/acme/new-nonce",
  "newAccount": "https://example.com/acme/new-account",
  "newOrder": "https://example.com/acme/new-order",
  "newAuthz": "https://example.com/acme/new-authz",
  "revokeCert": "https://example.com/acme/revoke-cert",
  "keyChange": "https://example.com/acme/key-change",
  "meta": {
    "termsOfService": "https://example.com/acme/terms/2017-5-30",
    "website": "https://www.example.com/",
    "caaIdentities": ["example.com"],
    "externalAccountRequired": false
  }
}"""
ACCOUNT = b"""{
  "status": "valid",
  "contact": ["mailto:cert-admin@example.org", "mailto:admin@example.org"],
  "termsOfServiceAgreed": true,
  "orders": "https://example.com/acme/orders/rzGoeA"
}"""
ORDERS = b"""{
  "orders": [
    "https://example.com/acme/order/TOlocE8rfgo",
    "https://example.com/acme/order/4E16bbL5iSw"
  ]
}"""
ORDER = b"""{
  "status": "valid",
  "expires": "2016-01-20T14:09:07.99Z",
  "identifiers": [
    { "type": "dns", "value": "www.example.org" },
    { "type": "dns", "value": "example.org" }
  ],
  "notBefore": "2016-01-01T00:00:00Z",
  "notAfter": "2016-01-08T00:00:00Z",
  "authorizations": [
    "https://example.com/acme/authz/PAniVnsZcis",
    "https://example.com/acme/authz/r4HqLzrSrpI"
  ],
  "finalize": "https://example.com/acme/order/TOlocE8rfgo/finalize",
  "certificate": "https://example.com/acme/cert/mAt3xBGaobw"
}"""
AUTHORIZATION = b"""{
  "status": "valid",
  "expires": "2015-03-01T14:09:07.99Z",
  "identifier": { "type": "dns", "value": "www.example.org" },
  "challenges": [
    {
      "url": "https://example.com/acme/chall/prV_B7yEyA4",
      "type": "http-01",
      "status": "valid",
      "token": "DGyRejmCefe7v4NfDGDKfA",
      "validated": "2014-12-01T12:05:58.16Z"
    }
  ],
  "wildcard": false
}"""


def test_the_directory_of_the_standard() -> None:
    """Section 7.1.1; what is not there is None."""
    directory = decode(DIRECTORY, Directory, "directory")
    assert directory.new_order == "https://example.com/acme/new-order"
    assert directory.renewal_info is None
    assert directory.meta.terms_of_service == "https://example.com/acme/terms/2017-5-30"


def test_the_account_of_the_standard() -> None:
    """Section 7.1.2, and the list of its orders."""
    account = decode(ACCOUNT, AccountObject, "account")
    assert account.orders == "https://example.com/acme/orders/rzGoeA"
    assert len(decode(ORDERS, OrderList, "list of orders").orders) == 2
    assert decode(b"{}", AccountObject, "account").status == "valid"


def test_the_order_of_the_standard() -> None:
    """Section 7.1.3."""
    order = decode(ORDER, Order, "order")
    assert [i.value for i in order.identifiers] == ["www.example.org", "example.org"]
    assert order.expires == datetime(2016, 1, 20, 14, 9, 7, 990000, tzinfo=UTC)
    assert order.certificate == "https://example.com/acme/cert/mAt3xBGaobw"


def test_the_authorization_of_the_standard() -> None:
    """Section 7.1.4; a newer challenge without a token is one as well."""
    authorization = decode(AUTHORIZATION, Authorization, "authorization")
    assert authorization.challenges[0].token == "DGyRejmCefe7v4NfDGDKfA"
    newer = b'{"type": "dns-persist-01", "url": "https://x/c"}'
    assert decode(newer, Challenge, "challenge").token is None


MINIMAL = b'{"status": "pending", "finalize": "https://x/f"'


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "truncated"),
        (b"null", "expected `object`"),
        (b"[]", "expected `object`"),
        (b"<html>", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b'{"status": "\xff"}', "utf-8"),
        (b"{}", "missing required field"),
        (b'{"status": 5}', "expected `str`"),
        (b'{"status": "' + b"x" * 65 + b'"}', "length <= 64"),
        (b'{"status": "pending"}', "missing required field `finalize`"),
        (b'{"status": "x", "finalize": "http://x/f"}', "https"),
        (b'{"status": "x", "finalize": "https://x/\\n"}', "https"),
        (b'{"status": "x", "finalize": "https://x/ y"}', "https"),
        (b'{"status": "x", "finalize": "https://' + b"x" * 4096 + b'"}', "4096"),
        (MINIMAL + b', "authorizations": ["http://x"]}', "https"),
        (
            MINIMAL
            + b', "authorizations": ['
            + b'"https://x",' * 100
            + b'"https://x"]}',
            "100",
        ),
        (MINIMAL + b', "expires": "2026-01-01T00:00:00"}', "timezone"),
        (MINIMAL + b', "expires": "tomorrow"}', "rfc3339"),
        (MINIMAL + b', "expires": 5}', "expected `datetime | null`"),
        (MINIMAL + b', "x": ' + b"[" * 100_000 + b"}", "too deep"),
        (MINIMAL + b', "x": ' + b'{"a":' * 100_000 + b"}", "too deep"),
    ],
)
def test_a_hostile_body_is_a_protocol_error(body: bytes, reason: str) -> None:
    """Nothing else is raised, and the message is short and printable."""
    with pytest.raises(ProtocolError) as caught:
        decode(body, Order, "order")
    message = str(caught.value)
    assert message.startswith("the ca sent an unusable order: ")
    assert reason in message.lower()
    assert len(message) < 300
    assert message.isprintable()


@pytest.mark.parametrize(
    ("text", "usable"),
    [
        ("DGyRejmCefe7v4NfDGDKfA", True),
        ("a-b_C9", True),
        ("x" * 512, True),
        ("x" * 513, False),
        ("", False),
        (None, False),
        ("../../etc/passwd", False),
        ("a/b", False),
        ("a.b", False),
        ("a=", False),
        ("a\n", False),
        ("ä", False),
        ("a%2fb", False),
    ],
)
def test_a_token_has_only_characters_of_a_file_name(text: Any, usable: bool) -> None:
    """Section 8.3: base64url; anything else would become a path or a header."""
    assert is_token(text) is usable
