"""TXT records by dynamic update (RFC 2136), signed with TSIG (RFC 8945).

It knows updates and what servers say to them. It does not know what the values mean.
The key is read at each update, so that a new one counts at once, and never shown.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from agent.config.challenges import Dns, Tsig
from agent.config.dns import dns_server
from agent.solvers.dns01.records import Change
from agent.solvers.dns01.wire import NoAnswerError, ask_tcp, ask_udp
from agent.solvers.errors import DnsUpdateError

if TYPE_CHECKING:
    from dns.message import Message
    from dns.tsig import Key
    from dns.update import UpdateMessage

MAX_STRING: Final = 255
"""Octets of one string of a TXT record (RFC 1035 section 3.3)."""

_HINTS: Final = {
    "REFUSED": "let the key change TXT records of this name at the server",
    "NOTAUTH": "is the server the primary of the zone, and does it know the key",
    "NOTZONE": "set zone in [dns-01] to the zone that the record is in",
    "SERVFAIL": "look at the server's log; is its zone file writable",
    "NOTIMP": "the server takes no dynamic updates",
}
_SIGNATURES: Final = {
    "PeerBadKey": ("badkey", "the server does not know the key by this name"),
    "PeerBadSignature": ("badsig", "key or algorithm differ from the server's"),
    "PeerBadTime": ("badtime", "set the clocks of this host and of the server"),
    "PeerBadTruncation": ("badtrunc", "the server wants a longer signature"),
}


class Rfc2136:
    """The provider that updates a server itself."""

    def __init__(
        self, settings: Dns, tsig: Tsig, read_secret: Callable[[str], bytes]
    ) -> None:
        """Take the table `[dns-01]`, its key, and what resolves a reference."""
        self._settings = settings
        self._tsig = tsig
        self._read_secret = read_secret

    async def present(self, change: Change) -> None:
        """Add one value, whatever else the record holds.

        Raises:
            DnsUpdateError: No server answered, or the one that did refused.
            FileError: The key cannot be read.
        """
        update = self._update(change)
        update.add(_absolute(change), self._settings.ttl, "TXT", _quoted(change.value))
        await self._send(update, change)

    async def remove(self, change: Change) -> None:
        """Remove one value; no error where it is not there.

        Raises:
            DnsUpdateError: No server answered, or the one that did refused.
            FileError: The key cannot be read.
        """
        update = self._update(change)
        update.delete(_absolute(change), "TXT", _quoted(change.value))
        await self._send(update, change)

    def _update(self, change: Change) -> "UpdateMessage":
        from dns.update import UpdateMessage  # noqa: PLC0415 -- memory

        update = UpdateMessage(f"{change.zone}.")
        update.use_tsig(self._key())
        return update

    def _key(self) -> "Key":
        from dns.tsig import Key  # noqa: PLC0415 -- memory

        secret = self._read_secret(self._tsig.key)
        try:
            octets = base64.b64decode(secret, validate=True)
        except binascii.Error as error:
            raise DnsUpdateError(
                f"{self._tsig.key} does not hold a tsig key in base64"
            ) from error
        return Key(self._tsig.name, octets, self._tsig.algorithm)

    async def _send(self, update: "UpdateMessage", change: Change) -> None:
        """Send to the first server that answers."""
        ask = ask_tcp if self._settings.transport == "tcp" else ask_udp
        silent: list[str] = []
        for server in map(dns_server, self._settings.servers):
            try:
                answer = await self._ask(ask(server, update), str(server))
            except NoAnswerError as error:
                silent.append(str(error))
                continue
            return _judge(answer, str(server), change)
        raise DnsUpdateError(f"no server took the update: {'; '.join(silent)}")

    async def _ask(self, answering: Awaitable["Message"], server: str) -> "Message":
        from dns.exception import DNSException  # noqa: PLC0415 -- memory

        try:
            return await answering
        except DNSException as error:
            word, hint = _SIGNATURES.get(
                type(error).__name__,
                (type(error).__name__.lower(), "is the key the same at the server"),
            )
            raise DnsUpdateError(
                f"{server} and we do not agree about key {self._tsig.name}: {word}",
                hint=hint,
            ) from error


def _judge(answer: "Message", server: str, change: Change) -> None:
    """Return only where the server did what it was asked to."""
    from dns.rcode import to_text  # noqa: PLC0415 -- memory

    said = to_text(answer.rcode())
    if said != "NOERROR":
        raise DnsUpdateError(
            f"{server} says {said.lower()} to an update of {change.record} in the zone "
            f"{change.zone}",
            hint=_HINTS.get(said, ""),
        )
    if not answer.had_tsig:
        raise DnsUpdateError(f"{server} did not sign its answer to an update")


def _quoted(value: str) -> str:
    """Return a value as a zone file has it: quoted strings of up to 255 octets."""
    parts = [value[at : at + MAX_STRING] for at in range(0, len(value), MAX_STRING)]
    escaped = (p.replace("\\", r"\\").replace('"', r"\"") for p in parts)
    return " ".join(f'"{part}"' for part in escaped)


def _absolute(change: Change) -> str:
    return f"{change.record}."
