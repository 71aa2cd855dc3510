"""What a valid configuration is told it would do better."""

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
