"""One bad input for every rule of the configuration, and the words that refuse it.

A change is made to a configuration that is good; what comes back is the whole list of
problems, so that no input breaks more rules than it means to.
"""

import tomllib
import traceback
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from agent.config.errors import ConfigError
from agent.config.lookup import account_of
from agent.config.model import Config
from agent.config.parse import Source, parse, schema

GOOD = """
[agent]
[http-01]
listen = ["0.0.0.0:80", "[::]:80", "systemd"]
[token.hsm]
module = "/hsm.so"
token = "pkcs11:token=nf"
pin = "credential:hsm-pin"
[ca.operator]
directory = "https://ca.example/directory"
roots = "/root.pem"
[ca.other]
directory = "https://other.example:14000/dir"
roots = "system"
[account.operator]
ca = "operator"
key = { token = "hsm" }
contact = ["mailto:ops@example.org"]
[account.other]
ca = "other"
key = { file = true }
[certificate.amf]
names = ["amf.example"]
ca = "operator"
key = { token = "hsm" }
[[certificate.amf.endpoint]]
reload = { unit = "nginx.service" }
verify = { connect = "192.0.2.4:443" }
"""
AMF, ENDPOINT = "certificate.amf", "certificate.amf.endpoint[0]"


def changed(path: str, value: object) -> dict[str, Any]:
    """Return the good tree with one value replaced; None removes it."""
    tree = tomllib.loads(GOOD)
    at: Any = tree
    *steps, last = path.split("/")
    for step in steps:
        at = at[int(step)] if step.isdigit() else at.setdefault(step, {})
    if value is None:
        del at[last]
    else:
        at[last] = value
    return tree


def toml(value: object) -> str:
    """Write a value as TOML writes it within a line."""
    match value:
        case dict():
            pairs = (f"{toml(key)} = {toml(child)}" for key, child in value.items())
            return f"{{ {', '.join(pairs)} }}"
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case _:
            return msgspec.json.encode(value).decode()


def source(tree: dict[str, Any]) -> Source:
    """Return a tree as a file, one table a line."""
    lines = (f"{toml(key)} = {toml(value)}" for key, value in tree.items())
    return Source("nfcertd.toml", "\n".join(lines).encode())


def problems(tree: dict[str, Any]) -> list[str]:
    """Return the problems of a tree, none if it is good."""
    try:
        parse([source(tree)])
    except ConfigError as error:
        return list(error.problems)
    return []


def test_the_good_configuration_is_good() -> None:
    """What the table changes has no problem of its own."""
    config = parse([Source("nfcertd.toml", GOOD.encode())])
    assert problems(tomllib.loads(GOOD)) == []
    assert account_of(config, config.certificate["amf"]) == "operator"


RULES: list[tuple[str, object, str]] = msgspec.json.decode(
    (Path(__file__).parents[1] / "vectors" / "config_rules.json").read_bytes(),
    type=list[tuple[str, object, str]],
)
"""Path into the tree (slashes), the value put there, the problem that it makes."""


def test_there_are_rules() -> None:
    """An empty file would make the table pass."""
    assert len(RULES) > 90


@pytest.mark.parametrize(("path", "value", "message"), RULES)
def test_a_broken_rule_is_named(path: str, value: object, message: str) -> None:
    """The one problem names the path, what is wrong, and what is known."""
    assert problems(changed(path, value)) == [message]


@pytest.mark.parametrize("field", ["group", "grace"])
def test_a_control_character_is_refused_everywhere(field: str) -> None:
    """Also where a pattern would let a line end through."""
    tree = changed(f"certificate/amf/{field}", "24h\n")
    assert problems(tree) == [f"{AMF}.{field}: holds a control character"]


@pytest.mark.parametrize(
    ("path", "where"), [("agent", "agent"), ("", "the top")], ids=["table", "top"]
)
def test_a_key_with_a_control_character_is_refused(path: str, where: str) -> None:
    """It is not repeated: it could move the cursor of who reads the message."""
    tree: dict[str, Any] = tomllib.loads(GOOD)
    (tree[path] if path else tree)["\x1b[2J"] = 1
    assert problems(tree) == [f"{where}: a key holds a control character"]


def test_an_engine_template_is_for_tokens() -> None:
    """A snippet with a URI cannot refer to a file."""
    tree = changed("certificate/amf/key", {"file": True})
    tree["certificate"]["amf"]["endpoint"][0]["template"] = "nginx-engine"
    message = f"{ENDPOINT}.template: nginx-engine is for keys in a token"
    assert problems(tree) == [message]


def test_an_account_key_is_its_alone() -> None:
    """RFC 8555 section 11.1: neither another account nor a certificate adopts it."""
    adopted = {"token": "hsm", "rotate": "never", "adopt": "pkcs11:id=%01"}
    tree = changed("account/operator/key", adopted)
    tree["account"]["other"]["key"] = adopted
    tree["certificate"]["amf"]["key"] = adopted
    assert problems(tree) == [
        "account.other.key.adopt: is the key of account.operator.key.adopt",
        "certificate.amf.key.adopt: is the key of account.operator.key.adopt",
    ]


def test_every_problem_of_a_stage_is_shown_at_once() -> None:
    """Two wrong values and two broken rules come together."""
    tree = changed("certificate/amf/names", ["*.example", "A.example"])
    tree["agent"]["health"] = "x"
    assert len(problems(tree)) == 3
    assert str(ConfigError(["a", "b"])) == "a; b"


def test_an_account_must_be_told_apart() -> None:
    """Asked of an unchecked tree, the look-up fails rather than guesses."""
    config = parse([Source("nfcertd.toml", GOOD.encode())])
    both = ("operator", "other")
    named = structs.replace(config.certificate["amf"], ca=both, account="other")
    assert [account_of(config, named, ca) for ca in both] == ["operator", "other"]
    bare = Config(certificate=config.certificate)
    with pytest.raises(LookupError, match="operator"):
        account_of(bare, config.certificate["amf"])


@pytest.mark.parametrize("secret", ["1234", "hunter2\x00", "file:pin", "pkcs11:x"])
@pytest.mark.parametrize("path", ["token/hsm/pin", "account/operator/eab"])
def test_a_secret_is_never_echoed(path: str, secret: str) -> None:
    """Neither the message nor its causes repeat what stands in a secret's place."""
    value: object = {"kid": "k", "key": secret} if path.endswith("eab") else secret
    tree = changed(path, value)
    with pytest.raises(ConfigError) as caught:
        parse([source(tree)])
    shown = "".join(traceback.format_exception(caught.value))
    assert secret not in shown
    assert secret not in repr(caught.value)


@pytest.mark.parametrize("secret", ["1234", "hunter2"])
def test_a_pin_in_a_uri_is_never_echoed(secret: str) -> None:
    """A pin-value is refused without being repeated."""
    tree = changed("token/hsm/token", f"pkcs11:token=a?pin-value={secret}")
    assert secret not in "".join(problems(tree))


def test_the_schema_is_json() -> None:
    """Editors get a schema whose first type is the whole tree."""
    assert schema()["$ref"] == "#/$defs/Config"
