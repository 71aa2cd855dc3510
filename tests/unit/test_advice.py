"""What a valid configuration is told it would do better."""

import pytest

from agent.config.advice import advice
from agent.config.parse import Source, parse

BASE = """
[token.hsm]
module = "/hsm.so"
token = "pkcs11:token=nf"
[ca.operator]
directory = "https://ca.example/directory"
roots = "/root.pem"
[account.operator]
ca = "operator"
key = {account}
[certificate.amf]
names = ["amf.example"]
ca = "operator"
key = {{ token = "hsm" }}
"""
ENDPOINT = """
[[certificate.amf.endpoint]]
reload = { unit = "nginx.service" }
verify = { connect = "192.0.2.1:443" }
"""


def advised(text: str) -> list[str]:
    """Return the advice for a configuration."""
    return advice(parse([Source("nfcertd.toml", text.encode())]))


def test_keys_apart_and_a_watched_endpoint_need_no_advice() -> None:
    """An account key in a file and an endpoint that can be asked are fine."""
    assert advised(BASE.format(account="{ file = true }") + ENDPOINT) == []


def test_one_token_for_account_and_certificates_is_advised_against() -> None:
    """Who serves with the token could order with it as well."""
    (line,) = advised(BASE.format(account='{ token = "hsm" }') + ENDPOINT)
    assert line.startswith("token.hsm: holds account keys and certificate keys")


def test_an_endpoint_that_nobody_sees_is_pointed_out() -> None:
    """Without verify, without cgroup and without a PIN source there is a line each."""
    text = BASE.format(account="{ file = true }") + (
        "[[certificate.amf.endpoint]]\n"
        'template = "nginx-engine"\n'
        'reload = { pidfile = "/run/nginx.pid" }\n'
    )
    paths = [line.partition(":")[0] for line in advised(text)]
    assert paths == [
        "certificate.amf.endpoint[0]",
        "certificate.amf.endpoint[0].reload",
        "certificate.amf.endpoint[0].pin_source",
    ]


STAND_IN = """
[ca.standby]
directory = "https://standby.example/directory"
roots = "{roots}"
{more}
[account.standby]
ca = "standby"
key = {{ file = true }}
"""


@pytest.mark.parametrize(
    ("roots", "more", "advice_given"),
    [
        ("/other.pem", "", True),
        ("/other.pem", "trusted_by_peers = true", False),
        ("/root.pem", "", False),
        ("/other.pem", 'chain_roots = "/root.pem"', False),
    ],
)
def test_a_ca_that_can_never_stand_in_is_pointed_out(
    roots: str, more: str, *, advice_given: bool
) -> None:
    """Peers must trust it: its table says so, or its anchors are those of the first."""
    text = BASE.format(account="{ file = true }").replace(
        'ca = "operator"\nkey = { token', 'ca = ["operator", "standby"]\nkey = { token'
    )
    lines = advised(text + ENDPOINT + STAND_IN.format(roots=roots, more=more))
    given = ["standby never stands in" in line for line in lines]
    assert given == [True] * advice_given
