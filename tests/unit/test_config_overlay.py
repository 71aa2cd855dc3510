"""What waits for a bundle, what does not, and what a bundle may not bring twice."""

import pytest

from agent.config.authorities import Ca
from agent.config.errors import ConfigError
from agent.config.overlay import Overlay
from agent.config.parse import Source, settle, typed

BOOTSTRAP = """
[bootstrap]
signer = ["/s.pem"]
instance = "nf-host-17"
decrypt = "file:/k"
"""
FILES = """
[trust.peers]
file = "/peers.pem"
[ca.operator]
directory = "https://ca.example/directory"
roots = "/root.pem"
[account.operator]
ca = "operator"
key = { file = true }
[nf.amf1]
instance_id = "4ace9d34-2c69-4f99-92d5-a73a3fe8e23b"
types = ["AMF"]
fqdn = "amf1.5gc.mnc012.mcc345.3gppnetwork.org"
[token-authority.oam]
url = "https://oam.example/token"
roots = "/oam.pem"
bearer = "file:/b"
[certificate.amf1]
nf = "amf1"
ca = "operator"
account = "operator"
challenge = "tkauth-01"
token_authority = "oam"
trust = ["peers"]
key = { file = true }
[certificate.web]
names = ["web.example"]
ca = "operator"
key = { file = true }
"""


def without(table: str, *changes: tuple[str, str]) -> str:
    """Return the files without a table, and with texts replaced."""
    head, _, rest = FILES.partition(f"[{table}]\n")
    text = head + "[" + rest.partition("\n[")[2]
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def waiting(files: str) -> dict[str, str]:
    """Return what waits where files want a bundle and there is none."""
    found = settle(typed([Source("f", (BOOTSTRAP + files).encode())]))
    assert not found.config.certificate.keys() & found.waiting.keys()
    return dict(found.waiting)


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (FILES, {}),
        (without("ca.operator"), {"amf1": "ca.operator", "web": "ca.operator"}),
        (without("nf.amf1"), {"amf1": "nf.amf1"}),
        (without("trust.peers"), {"amf1": "trust.peers"}),
        (without("token-authority.oam"), {"amf1": "token-authority.oam"}),
        (
            without("token-authority.oam", ('token_authority = "oam"\n', "")),
            {"amf1": "token-authority"},
        ),
        (
            without("account.operator"),
            {"amf1": "account.operator", "web": "account of ca.operator"},
        ),
        (
            without("trust.peers", ('"/root.pem"', '"trust:peers"')),
            {"amf1": "ca.operator", "web": "ca.operator"},
        ),
    ],
)
def test_what_names_a_missing_table_waits_and_nothing_else(
    files: str, found: dict[str, str]
) -> None:
    """Whatever is missing, and however far away it is; the reason is the first."""
    assert waiting(files) == found


def test_without_the_table_a_missing_name_is_a_mistake() -> None:
    """Only who expects a bundle may leave something out."""
    with pytest.raises(ConfigError, match="there is no amf1"):
        settle(typed([Source("f", without("nf.amf1").encode())]))


def test_with_a_bundle_a_missing_name_is_a_mistake() -> None:
    """Nothing waits for the next one."""
    files = typed([Source("f", (BOOTSTRAP + without("nf.amf1")).encode())])
    with pytest.raises(ConfigError, match="there is no amf1"):
        settle(files, Overlay(sequence=1))


def test_two_tables_of_one_name_are_refused_however_equal() -> None:
    """Which of them counts is not for us to say."""
    files = typed([Source("f", (BOOTSTRAP + FILES).encode())])
    same = Ca(directory="https://ca.example/directory", roots="/root.pem")
    with pytest.raises(ConfigError, match=r"ca\.operator: stands in .* bundle 7"):
        settle(files, Overlay(sequence=7, ca={"operator": same}))
