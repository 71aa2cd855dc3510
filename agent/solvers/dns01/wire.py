"""One question to one DNS server, over UDP or TCP (RFC 1035 section 4.2, RFC 7766).

It knows sockets, time limits and truncation. It does not know what is asked. A
signature (TSIG) in the answer is verified where the question was signed.
"""

import asyncio
import struct
from typing import TYPE_CHECKING, Final

from agent.config.dns import DnsServer
from agent.files import describe
from agent.solvers.errors import SolverError

if TYPE_CHECKING:
    from dns.message import Message

TRY_WITHIN: Final = 2.0
"""Seconds for one datagram to be answered."""
TRIES: Final = 2
"""Datagrams that are sent before a server counts as silent."""
TCP_WITHIN: Final = 5.0
"""Seconds for one exchange over TCP."""


class NoAnswerError(SolverError):
    """A server did not answer, or with something that is no answer."""

    kind = "solver.dns-lookup"


async def ask_udp(server: DnsServer, question: "Message") -> "Message":
    """Return the answer over UDP, over TCP where it was truncated.

    Raises:
        NoAnswerError: The server is silent, or its answer cannot be read.
        dns.exception.DNSException: The answer's signature is wrong or says an error.
    """
    from dns.flags import TC  # noqa: PLC0415 -- memory

    for _ in range(TRIES):
        try:
            async with asyncio.timeout(TRY_WITHIN):
                answer = await _over_udp(server, question)
        except TimeoutError:
            continue
        except OSError as error:
            raise NoAnswerError(f"{server}: {describe(error)}") from error
        return await ask_tcp(server, question) if answer.flags & TC else answer
    raise NoAnswerError(f"{server} is silent over udp")


async def ask_tcp(server: DnsServer, question: "Message") -> "Message":
    """Return the answer over TCP.

    Raises:
        NoAnswerError: The server is silent, or its answer cannot be read.
        dns.exception.DNSException: The answer's signature is wrong or says an error.
    """
    try:
        async with asyncio.timeout(TCP_WITHIN):
            octets = await _over_tcp(server, question.to_wire())
    except TimeoutError as error:
        raise NoAnswerError(f"{server} is silent over tcp") from error
    except asyncio.IncompleteReadError as error:
        raise NoAnswerError(f"{server} closed the connection") from error
    except OSError as error:
        raise NoAnswerError(f"{server}: {describe(error)}") from error
    answer = _parse(octets, question)
    if answer is None:
        raise NoAnswerError(f"{server} sent something that is no answer")
    return answer


async def _over_tcp(server: DnsServer, octets: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        writer.write(struct.pack("!H", len(octets)) + octets)
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        return await reader.readexactly(length)
    finally:
        writer.transport.abort()


async def _over_udp(server: DnsServer, question: "Message") -> "Message":
    """Wait for the datagram that answers; others, forged ones as well, are dropped."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        _Datagrams, remote_addr=(server.host, server.port)
    )
    try:
        transport.sendto(question.to_wire())
        while True:
            answer = _parse(await protocol.receive(), question)
            if answer is not None:
                return answer
    finally:
        transport.abort()


def _parse(octets: bytes, question: "Message") -> "Message | None":
    """Return the answer to a question; None for what is none."""
    from dns.exception import DNSException, FormError  # noqa: PLC0415 -- memory
    from dns.message import from_wire  # noqa: PLC0415 -- memory

    try:
        answer = from_wire(octets, keyring=question.keyring, request_mac=question.mac)
    except FormError:
        # Unsigned although the question was signed: servers refuse so.
        try:
            answer = from_wire(octets)
        except (DNSException, ValueError):
            return None
    except ValueError:
        return None
    return answer if _answers(answer, question) else None


def _answers(answer: "Message", question: "Message") -> bool:
    """Tell whether a message answers; an error need not repeat the question."""
    from dns.flags import QR  # noqa: PLC0415 -- memory
    from dns.rcode import NOERROR  # noqa: PLC0415 -- memory

    if not answer.flags & QR or answer.id != question.id:
        return False
    if answer.opcode() != question.opcode():
        return False
    if not answer.question and answer.rcode() != NOERROR:
        return True
    return bool(answer.question == question.question)


class _Datagrams(asyncio.DatagramProtocol):
    """Queues what comes from the one peer of a connected socket, and its errors."""

    MAX_QUEUED: Final = 8

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes | Exception] = asyncio.Queue(self.MAX_QUEUED)

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 -- asyncio's signature
        """Keep a datagram; a flood is dropped."""
        self._put(data)

    def error_received(self, exc: Exception) -> None:
        """Keep what the kernel reports, such as a closed port."""
        self._put(exc)

    async def receive(self) -> bytes:
        """Return the next datagram.

        Raises:
            OSError: What the kernel reported.
        """
        received = await self._queue.get()
        if isinstance(received, Exception):
            raise received
        return received

    def _put(self, item: bytes | Exception) -> None:
        if not self._queue.full():
            self._queue.put_nowait(item)
