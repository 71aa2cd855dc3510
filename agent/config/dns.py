"""What `[dns-01]` must still satisfy once its types are right."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from agent.config.challenges import Dns, DnsPersist, Lexicon
from agent.config.rules import program
from agent.config.units import duration

PORT: Final = 53
_SERVER: Final = re.compile(
    r"(\[(?P<bracketed>[^\[\]]+)\]|(?P<plain>[0-9.]+))(:(?P<port>[0-9]{1,5}))?"
    r"|[0-9A-Fa-f:.]+(%\S+)?"
)
_ZONE: Final = re.compile(r"([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?")

_SECRET: Final = re.compile(r"(token|password|secret|key|signature)$")
"""Names of options of dns-lexicon that nobody gives a value for all to read."""


class DnsServer(NamedTuple):
    """Where a DNS server listens: an IP address without brackets, and a port."""

    host: str
    port: int = PORT

    def __str__(self) -> str:
        """Return the address for people; the port where it is not 53."""
        if self.port == PORT:
            return self.host
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def dns_server(text: str) -> DnsServer:
    """Return the server that a text names: an address, maybe with a port.

    >>> dns_server("[2001:db8::53]:5353")
    DnsServer(host='2001:db8::53', port=5353)

    Raises:
        ValueError: It names none.
    """
    match = _SERVER.fullmatch(text)
    if match is None:
        raise ValueError(text)
    host = str(ipaddress.ip_address(match["bracketed"] or match["plain"] or text))
    port = int(match["port"] or PORT)
    if not 0 < port < 1 << 16:
        raise ValueError(text)
    return DnsServer(host, port)


def persist_problems(config: DnsPersist, dns: Dns | None) -> Iterator[str]:
    """Yield a clause for every rule that `[dns-persist-01]` breaks."""
    if config.write and dns is None:
        yield "dns-persist-01.write: needs a table [dns-01]"
    if config.write and dns is not None and dns.provider == "lexicon":
        yield (
            "dns-persist-01.write: needs another provider, those of lexicon do not "
            "agree about values with blanks"
        )
    if config.persist_until is not None and not config.write:
        yield "dns-persist-01.persist_until: needs write = true"
    for text in config.resolvers:
        if not _is_server(text):
            yield (
                f"dns-persist-01.resolvers: {text} is not an ip address, maybe with "
                "a port"
            )


def dns_problems(dns: Dns) -> Iterator[str]:
    """Yield a clause for every rule that `[dns-01]` breaks."""
    yield from _foreign(dns)
    match dns.provider:
        case "rfc2136":
            yield from _rfc2136(dns)
        case "exec":
            yield from _exec(dns)
        case "lexicon":
            yield from _lexicon(dns.lexicon)
    if dns.zone is not None and not _ZONE.fullmatch(dns.zone):
        yield f"dns-01.zone: {dns.zone} is not a lower-case dns name"
    for field, texts in (("server", dns.servers), ("resolvers", dns.resolvers)):
        for text in texts:
            if not _is_server(text):
                yield f"dns-01.{field}: {text} is not an ip address, maybe with a port"


def _foreign(dns: Dns) -> Iterator[str]:
    """Yield a clause for what belongs to another provider."""
    if dns.provider != "rfc2136" and (dns.servers or dns.tsig is not None):
        yield 'dns-01: server and tsig need provider = "rfc2136"'
    if dns.provider != "exec" and dns.exec is not None:
        yield 'dns-01.exec: needs provider = "exec"'
    if dns.provider != "lexicon" and dns.lexicon is not None:
        yield 'dns-01.lexicon: needs provider = "lexicon"'


def _rfc2136(dns: Dns) -> Iterator[str]:
    if not dns.servers:
        yield "dns-01.server: name the server that takes updates"
    if dns.tsig is None:
        yield "dns-01.tsig: rfc2136 needs a key, unsigned updates are not sent"


def _exec(dns: Dns) -> Iterator[str]:
    if dns.exec is None:
        yield "dns-01.exec: say which command is run"
        return
    yield from program("dns-01.exec.command", dns.exec.command)
    if not duration(dns.exec.timeout):
        yield "dns-01.exec.timeout: must be longer than nothing"


def _lexicon(table: Lexicon | None) -> Iterator[str]:
    if table is None:
        yield "dns-01.lexicon: say which provider of dns-lexicon is used"
        return
    for option in table.options:
        if option in table.secrets:
            yield f"dns-01.lexicon.secrets.{option}: stands in options as well"
        elif _SECRET.search(option):
            yield (
                f"dns-01.lexicon.options.{option}: give it by reference, in "
                "dns-01.lexicon.secrets"
            )
    if not duration(table.timeout):
        yield "dns-01.lexicon.timeout: must be longer than nothing"


def _is_server(text: str) -> bool:
    try:
        dns_server(text)
    except ValueError:
        return False
    return True
