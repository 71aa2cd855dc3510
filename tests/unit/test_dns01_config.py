"""What the configuration of dns-01 allows, and how it words what it refuses."""

import pytest

from agent.config.errors import ConfigError
from agent.config.lookup import server_name
from agent.config.model import Config
from agent.config.parse import Source, parse

BASE = """\
[ca.c]
directory = "https://ca.example/dir"
roots = "system"
[account.a]
ca = "c"
key = {{ file = true }}
[certificate.web]
names = {names}
ca = "c"
key = {{ file = true }}
challenge = "{challenge}"
[[certificate.web.endpoint]]
verify = {{ connect = "192.0.2.4:443" {more} }}
"""
BOTH = '["*.web.example", "web.example"]'
KEY = 'tsig = { name = "k", key = "credential:k" }'
RFC2136 = f'[dns-01]\nprovider = "rfc2136"\nserver = "192.0.2.53"\n{KEY}\n'
EXEC = '[dns-01]\nprovider = "exec"\nexec.command = ["/usr/local/sbin/x"]\n'
LEXICON = '[dns-01]\nprovider = "lexicon"\nlexicon.name = "some"\n'


def config(
    dns: str = RFC2136, names: str = BOTH, challenge: str = "dns-01", more: str = ""
) -> Config:
    """Return a configuration with one certificate."""
    text = dns + BASE.format(names=names, challenge=challenge, more=more)
    return parse([Source("test", text.encode())])


@pytest.mark.parametrize("dns", [RFC2136, EXEC, LEXICON])
def test_base_and_wildcard_are_allowed_with_dns_01(dns: str) -> None:
    """The endpoint is asked for the name that is no wildcard."""
    certificate = config(dns).certificate["web"]
    assert certificate.names == ("*.web.example", "web.example")
    assert server_name(certificate) == "web.example"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"challenge": "http-01"}, "is a wildcard, which http-01 cannot prove"),
        ({"dns": ""}, r"challenge: dns-01 needs a table \[dns-01\]"),
        ({"names": '["*.web.example"]'}, "server_name: name one"),
        ({"names": '["*.*.example"]', "more": ', server_name = "a"'}, "lower-case"),
        ({"names": '["web.*.example"]'}, "lower-case dns name"),
        ({"names": '["*."]', "more": ', server_name = "a"'}, "lower-case dns name"),
        ({"names": '["192.0.2.1"]'}, "is an address"),
        ({"names": f'["{"a" * 60}.{"b" * 60}.{"c" * 60}.{"d" * 58}"]'}, "too long"),
        ({"dns": RFC2136.replace("192.0.2.53", "ns.example")}, "not an ip address"),
        ({"dns": RFC2136 + 'resolvers = ["dns"]\n'}, r"resolvers: dns is not an ip"),
        ({"dns": RFC2136.replace(KEY, "")}, "tsig: rfc2136 needs a key"),
        ({"dns": f'[dns-01]\nprovider = "rfc2136"\n{KEY}\n'}, "server: name the"),
        ({"dns": RFC2136 + 'zone = "a b"\n'}, "zone: a b is not"),
        ({"dns": RFC2136.replace('"credential:k"', '"c2VjcmV0"')}, "tsig.key: does"),
        ({"dns": RFC2136 + 'exec.command = ["/x"]\n'}, 'exec: needs provider = "exec"'),
        ({"dns": '[dns-01]\nprovider = "exec"\n'}, "exec: say which command"),
        ({"dns": EXEC.replace("/usr", "usr")}, "begin with an absolute path"),
        ({"dns": EXEC.replace("/usr", "/\\u0000")}, "holds a (NUL|control)"),
        ({"dns": EXEC + 'exec.timeout = "0s"\n'}, "longer than nothing"),
        ({"dns": EXEC + KEY + "\n"}, 'need provider = "rfc2136"'),
        ({"dns": LEXICON + KEY + "\n"}, 'need provider = "rfc2136"'),
        ({"dns": RFC2136 + 'lexicon.name = "x"\n'}, 'needs provider = "lexicon"'),
        ({"dns": LEXICON + 'exec.command = ["/x"]\n'}, 'needs provider = "exec"'),
        ({"dns": '[dns-01]\nprovider = "lexicon"\n'}, "lexicon: say which provider"),
        ({"dns": LEXICON.replace("some", "os.path")}, r"lexicon\.name: does not"),
        ({"dns": LEXICON + 'lexicon.timeout = "0s"\n'}, "longer than nothing"),
        (
            {"dns": LEXICON + 'lexicon.options.auth_token = "x"\n'},
            "options.auth_token: give it by reference",
        ),
        ({"dns": LEXICON + 'lexicon.secrets.a = "x"\n'}, r"secrets.*: does not"),
        (
            {
                "dns": LEXICON
                + 'lexicon.options.a = "x"\nlexicon.secrets.a = "credential:a"\n'
            },
            r"secrets\.a: stands in options as well",
        ),
        (
            {"dns": f"{LEXICON}[dns-persist-01]\nwrite = true\n"},
            "write: needs another provider",
        ),
    ],
)
def test_what_cannot_work_is_refused(change: dict[str, str], problem: str) -> None:
    """One clause says where and what."""
    with pytest.raises(ConfigError, match=problem):
        config(**change)
