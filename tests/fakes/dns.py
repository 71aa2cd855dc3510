"""A DNS server in the test's own loop: UDP, TCP, signed updates, and moods.

It knows one flat set of records. It resolves and is authoritative at the same time.
"""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.update

KEY: Final = b"k" * 32
KEY_NAME: Final = "tester"


@dataclass(slots=True, kw_only=True)
class FakeDns:
    """What a server knows, how it behaves, and what it was asked.

    Attributes:
        host: Loopback address.
        port: UDP and TCP port.
        records: Texts by lower-case name and type; TXT values without quotes.
        silent: Whether datagrams are not answered.
        rcode: Answered to everything where it is not `NOERROR`.
        authoritative: Whether answers say so.
        truncated: Whether answers over UDP only say that TCP is needed.
        signed: Whether answers to updates are signed.
        lag: How many questions for TXT are answered with nothing.
        asked: Names and types of all questions.
        updates: How many updates were taken.
    """

    host: str = "127.0.0.1"
    port: int = 0
    records: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    silent: bool = False
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    authoritative: bool = True
    truncated: bool = False
    signed: bool = True
    lag: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)
    updates: int = 0

    @property
    def address(self) -> str:
        """Return address and port as the configuration has them."""
        return f"{self.host}:{self.port}"

    def answer(self, octets: bytes, *, over_udp: bool) -> bytes | None:
        """Return what is sent back; None for nothing."""
        if self.silent:
            return None
        keyring = {
            dns.name.from_text(KEY_NAME): dns.tsig.Key(KEY_NAME, KEY, "hmac-sha256")
        }
        message = dns.message.from_wire(octets, keyring=keyring)
        reply = dns.message.make_response(message)
        reply.set_rcode(self.rcode)
        if self.authoritative:
            reply.flags |= dns.flags.AA
        if over_udp and self.truncated:
            reply.flags |= dns.flags.TC
        elif isinstance(message, dns.update.UpdateMessage):
            self._update(message)
            if not self.signed:
                reply = dns.message.from_wire(_unsigned(reply))
        elif self.rcode == dns.rcode.NOERROR:
            self._fill(reply)
        return reply.to_wire()

    def _update(self, message: dns.update.UpdateMessage) -> None:
        if self.rcode != dns.rcode.NOERROR:
            return
        self.updates += 1
        for rrset in message.update:
            held = self.records.setdefault((str(rrset.name).rstrip("."), "TXT"), [])
            for text in [b"".join(data.strings).decode() for data in rrset]:
                if text in held:
                    held.remove(text)
                if rrset.deleting is None:
                    held.append(text)

    def _fill(self, reply: dns.message.Message) -> None:
        question = reply.question[0]
        name = str(question.name).lower().rstrip(".")
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        if kind == "TXT" and self.lag > 0:
            self.lag -= 1
            return
        if (name, kind) not in self.records and (name, "CNAME") in self.records:
            kind = "CNAME"
        texts = self.records.get((name, kind), [])
        if kind == "TXT":
            texts = [f'"{text}"' for text in texts]
        if texts:
            rrset = dns.rrset.from_text(f"{name}.", 60, "IN", kind, *texts)
            reply.answer.append(rrset)

    def values(self, name: str) -> list[str]:
        """Return the TXT values of a name."""
        return self.records.get((name, "TXT"), [])


def _unsigned(reply: dns.message.Message) -> bytes:
    reply.tsig = None
    reply.keyring = None
    return reply.to_wire()


@asynccontextmanager
async def serving(server: FakeDns) -> AsyncIterator[FakeDns]:
    """Run a server; a port of zero becomes a free one."""
    loop = asyncio.get_running_loop()

    async def stream(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            answer = server.answer(await reader.readexactly(length), over_udp=False)
            if answer is not None:
                writer.write(struct.pack("!H", len(answer)) + answer)
                await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    tcp = await asyncio.start_server(stream, server.host, server.port)
    server.port = tcp.sockets[0].getsockname()[1]
    udp, _ = await loop.create_datagram_endpoint(
        lambda: _Datagrams(server), local_addr=(server.host, server.port)
    )
    try:
        yield server
    finally:
        udp.abort()
        tcp.close()
        await tcp.wait_closed()


class _Datagrams(asyncio.DatagramProtocol):
    """Answers datagrams."""

    def __init__(self, server: FakeDns) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer, or not."""
        answer = self._server.answer(data, over_udp=True)
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)
