"""Questions to resolvers: aliases, the zone of a name, and the zone's servers.

It knows recursion and the shape of answers. Resolvers are those that are configured,
or the host's; no public one is ever assumed.
"""

import asyncio
import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from agent.config.dns import PORT, DnsServer, dns_server
from agent.files import FileError, read_bounded
from agent.solvers.dns01.wire import NoAnswerError, ask_udp
from agent.solvers.errors import DnsLookupError

if TYPE_CHECKING:
    from dns.message import Message
    from dns.name import Name
    from dns.rdatatype import RdataType

RESOLV_CONF: Final = Path("/etc/resolv.conf")
MAX_ALIASES: Final = 8
"""CNAME records that are followed."""
MAX_LABELS: Final = 32
"""Labels that are taken off a name while its zone is looked for."""
MAX_SERVERS: Final = 16
MAX_ADDRESSES: Final = 8
_PLAIN: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
"""Names that may go into a command's environment."""


class NameServer(NamedTuple):
    """An authoritative server of a zone and where it can be asked."""

    name: str
    addresses: tuple[DnsServer, ...]


class Lookups:
    """Asks resolvers, one after another until one knows."""

    def __init__(
        self, resolvers: Sequence[str], *, conf: Path = RESOLV_CONF, port: int = PORT
    ) -> None:
        """Use some resolvers, or those of the host where there are none.

        Args:
            resolvers: Addresses, with a port unless it is 53.
            conf: The host's resolv.conf(5).
            port: Where authoritative servers listen.
        """
        self._resolvers = tuple(dns_server(text) for text in resolvers)
        self._conf = conf
        self._port = port

    async def target(self, record: str) -> str:
        """Return the name that a record is an alias of in the end, or itself.

        Raises:
            DnsLookupError: No resolver knows, or aliases go on and on.
        """
        from dns.rdatatype import CNAME  # noqa: PLC0415 -- memory

        name = record
        for _ in range(MAX_ALIASES + 1):
            answer = await self._ask(name, CNAME)
            aliases = [str(data.target) for data in _records(answer, name, CNAME)]
            if not aliases:
                return name
            name = _text(aliases[0])
            if not _PLAIN.fullmatch(name):
                raise DnsLookupError(f"{record} is an alias of an unusable name")
        raise DnsLookupError(f"{record} is an alias of more than {MAX_ALIASES} names")

    async def zone(self, record: str) -> str:
        """Return the zone that a record is in: the owner of the nearest SOA.

        Raises:
            DnsLookupError: No resolver knows.
        """
        from dns.rdatatype import SOA  # noqa: PLC0415 -- memory

        name = record
        for _ in range(MAX_LABELS):
            answer = await self._ask(name, SOA)
            for owner in _owners(answer, SOA):
                if f".{name}".endswith(f".{owner}"):
                    return owner
            _, _, name = name.partition(".")
            if not name:
                break
        raise DnsLookupError(
            f"no zone is found for {record}", hint="set zone in [dns-01]"
        )

    async def servers(self, zone: str) -> tuple[NameServer, ...]:
        """Return the authoritative servers of a zone with all their addresses.

        Raises:
            DnsLookupError: No resolver knows them.
        """
        from dns.rdatatype import NS  # noqa: PLC0415 -- memory

        answer = await self._ask(zone, NS)
        names = sorted({_text(str(d.target)) for d in _records(answer, zone, NS)})
        if not names:
            raise DnsLookupError(f"no name server is found for the zone {zone}")
        async with asyncio.TaskGroup() as group:
            found = [
                group.create_task(self._server(name)) for name in names[:MAX_SERVERS]
            ]
        return tuple(task.result() for task in found)

    async def _server(self, name: str) -> NameServer:
        """Look for a server's addresses; one whose name nobody knows has none."""
        from dns.rdatatype import AAAA, A  # noqa: PLC0415 -- memory

        addresses: list[str] = []
        for kind in (A, AAAA):
            try:
                answer = await self._ask(name, kind)
            except DnsLookupError:
                continue
            addresses += [d.address for d in _records(answer, name, kind)]
        chosen = addresses[:MAX_ADDRESSES]
        return NameServer(name, tuple(DnsServer(a, self._port) for a in chosen))

    async def _ask(self, name: str, kind: "RdataType") -> "Message":
        from dns.exception import DNSException  # noqa: PLC0415 -- memory
        from dns.message import make_query  # noqa: PLC0415 -- memory
        from dns.rcode import NOERROR, NXDOMAIN  # noqa: PLC0415 -- memory
        from dns.rcode import to_text as word  # noqa: PLC0415 -- memory

        reasons: list[str] = []
        for resolver in self._resolvers or await asyncio.to_thread(self._of_host):
            try:
                answer = await ask_udp(resolver, make_query(_name(name), kind))
            except NoAnswerError as error:
                reasons.append(str(error))
                continue
            except DNSException as error:
                reasons.append(f"{resolver}: {type(error).__name__}")
                continue
            if answer.rcode() in {NOERROR, NXDOMAIN}:
                return answer
            reasons.append(f"{resolver} says {word(answer.rcode()).lower()}")
        raise DnsLookupError(
            f"no resolver answers for {name}: {'; '.join(reasons)}",
            hint="set resolvers in [dns-01] to servers that resolve public names",
        )

    def _of_host(self) -> tuple[DnsServer, ...]:
        try:
            text = read_bounded(self._conf).decode("ascii", "replace")
        except FileError as error:
            raise DnsLookupError(f"no resolver is known: {error}") from error
        found = tuple(_nameservers(text))
        if not found:
            raise DnsLookupError(
                f"{self._conf} names no resolver", hint="set resolvers in [dns-01]"
            )
        return found


def _nameservers(text: str) -> Iterator[DnsServer]:
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            # What resolv.conf(5) does not allow there is skipped, as libc does.
            with contextlib.suppress(ValueError):
                yield dns_server(words[1])


def _name(text: str) -> "Name":
    from dns.exception import DNSException  # noqa: PLC0415 -- memory
    from dns.name import from_text  # noqa: PLC0415 -- memory

    try:
        return from_text(text)
    except DNSException as error:
        raise DnsLookupError(f"{text[:300]} is no dns name") from error


def _text(name: str) -> str:
    return name.removesuffix(".").lower()


def _owners(answer: "Message", kind: "RdataType") -> Iterator[str]:
    for rrset in (*answer.answer, *answer.authority):
        if rrset.rdtype == kind:
            yield _text(str(rrset.name))


def _records(answer: "Message", name: str, kind: "RdataType") -> list[Any]:
    """Return the data of a type that an answer holds for exactly this name."""
    return [
        data
        for rrset in answer.answer
        if rrset.rdtype == kind and _text(str(rrset.name)) == name
        for data in rrset
    ]
