"""One short-lived connection to the system bus.

It knows the D-Bus wire through jeepney, which it imports late, and that the connection
is closed after each use, so that an idle daemon is not woken by other people's signals.
It does not know what is asked.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from agent.endpoints.errors import EndpointDeniedError, EndpointFailedError
from agent.files import describe

if TYPE_CHECKING:
    from jeepney import Message

HINT: Final = "install the rule that `nfcertd polkit` prints, or use a pidfile"
"""What helps where the bus or polkit says no."""

SYSTEM_BUS: Final = "/run/dbus/system_bus_socket"
"""Where the system bus listens."""

MAX_MESSAGE: Final = 1 << 20
"""Octets of one incoming message; what systemd answers us has a few hundred."""

MAX_SIGNALS: Final = 1024
"""How many unread signals are kept; the oldest go first."""


class BusError(EndpointFailedError):
    """The bus, or systemd over the bus, answered with an error.

    Attributes:
        name: The D-Bus error name, such as `org.freedesktop.DBus.Error.AccessDenied`.
    """

    def __init__(self, name: str, text: str) -> None:
        """Keep the name, which decides what follows."""
        super().__init__(text or name)
        self.name = name


class Bus:
    """Calls methods and collects signals, in the task that uses it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Adopt an authenticated connection."""
        from jeepney import Parser  # noqa: PLC0415 -- only hosts with units need it

        self._reader = reader
        self._writer = writer
        self._parser = Parser()
        self._serial = 0
        self._signals: deque[Message] = deque(maxlen=MAX_SIGNALS)

    async def call(self, message: "Message") -> tuple[object, ...]:
        """Send a method call and return the body of its reply.

        Raises:
            BusError: The reply is an error.
            EndpointDeniedError: The bus went away.
        """
        from jeepney import HeaderFields, MessageType  # noqa: PLC0415 -- as above

        self._serial += 1
        serial = self._serial
        self._writer.write(message.serialise(serial))
        await self._writer.drain()
        while True:
            reply = await self._receive()
            fields = reply.header.fields
            if fields.get(HeaderFields.reply_serial) != serial:
                self._signals.append(reply)
            elif reply.header.message_type is MessageType.error:
                text = str(reply.body[0]) if reply.body else ""
                raise BusError(fields[HeaderFields.error_name], _printable(text))
            else:
                return tuple(reply.body)

    async def signal(self, interface: str, member: str) -> tuple[object, ...]:
        """Return the body of the next signal of that name.

        Raises:
            EndpointDeniedError: The bus went away.
        """
        from jeepney import HeaderFields  # noqa: PLC0415 -- as above

        while True:
            message = (
                self._signals.popleft() if self._signals else await self._receive()
            )
            fields = message.header.fields
            if (
                fields.get(HeaderFields.interface) == interface
                and fields.get(HeaderFields.member) == member
            ):
                return tuple(message.body)

    async def _receive(self) -> "Message":
        """Return the next message, whatever it is."""
        while (message := self._parser.get_next_message()) is None:
            wanted = self._parser.bytes_desired()
            if wanted is not None and wanted > MAX_MESSAGE:
                raise EndpointDeniedError("the system bus sent too large a message")
            data = await self._reader.read(4096)
            if not data:
                raise EndpointDeniedError("the system bus closed the connection")
            self._parser.add_data(data)
        return message


def _printable(text: str) -> str:
    """Return at most 300 characters of another process's words, made harmless."""
    return "".join(c if c.isprintable() else " " for c in text[:300]).rstrip(" .")


@asynccontextmanager
async def connect(address: str = SYSTEM_BUS) -> AsyncIterator[Bus]:
    """Open a connection, say Hello, and close it at the end.

    Raises:
        EndpointDeniedError: The bus cannot be reached or does not accept us.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(address)
    except OSError as error:
        raise EndpointDeniedError(
            f"cannot reach the system bus at {address}: {describe(error)}", hint=HINT
        ) from error
    try:
        await _authenticate(reader, writer)
        bus = Bus(reader, writer)
        await bus.call(_hello())
        yield bus
    except ConnectionError as error:
        raise EndpointDeniedError(
            f"lost the system bus at {address}: {describe(error)}", hint=HINT
        ) from error
    finally:
        writer.transport.abort()


async def _authenticate(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Do the SASL EXTERNAL exchange (D-Bus specification, authentication)."""
    from jeepney.auth import BEGIN, AuthenticationError, Authenticator  # noqa: PLC0415 -- as above

    exchange = Authenticator()
    try:
        for data in exchange:
            writer.write(data)
            await writer.drain()
            answer = await reader.read(1024)
            if not answer:
                raise EndpointDeniedError("the system bus does not accept us")
            exchange.feed(answer)
    except AuthenticationError as error:
        raise EndpointDeniedError("the system bus does not accept us") from error
    writer.write(BEGIN)


def _hello() -> "Message":
    """Return the message that must come first."""
    from jeepney.bus_messages import message_bus  # noqa: PLC0415 -- as above

    message: Message = message_bus.Hello()
    return message
