"""A token exported on a socket by p11-kit-server, so that several users share it.

One process owns the token; its clients load `p11-kit-client.so` and reach it through
the socket. It knows the socket's owner, group and mode. It makes no token and no key.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.parts.process import Identity, Part, Setting, missing, running

SERVER: Final = "/usr/libexec/p11-kit/p11-kit-server"
CLIENT_NAME: Final = "pkcs11/p11-kit-client.so"


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What is exported, by whom, to whom.

    Attributes:
        module: The token's own PKCS#11 module.
        uri: RFC 7512 URI of the token, `pkcs11:token=...`.
        environment: What that module needs.
        group: Group whose members may use the token.
        owner: As whom the server runs: it must be able to read the token.
    """

    module: str
    uri: str
    environment: Mapping[str, str]
    group: int
    owner: Identity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A token that others can use.

    Attributes:
        module: PKCS#11 module for the clients.
        environment: What the clients need in their environment.
        socket: The server's socket.
        part: Its process.
    """

    module: str
    environment: Mapping[str, str]
    socket: Path
    part: Part


def client_module() -> str:
    """Return the path of p11-kit-client.so, which has the architecture in it."""
    found = sorted(Path("/usr/lib").glob(f"*/{CLIENT_NAME}"))
    return str(found[0]) if found else f"/usr/lib/{CLIENT_NAME}"


def p11kit_missing() -> str:
    """Say which part of p11-kit is not installed, or nothing."""
    return missing(SERVER, client_module())


@contextmanager
def exported(scratch: Path, export: Export) -> Iterator[Exported]:
    """Run p11-kit-server; its socket and log are in `scratch`/p11-kit."""
    home = scratch / "p11-kit"
    home.mkdir()
    if export.owner is not None:
        os.chown(home, export.owner.uid, export.group)
    else:
        os.chown(home, -1, export.group)
    # The directory lends its group to the socket, and keeps everybody else out until
    # the socket's own mode is set.
    home.chmod(0o2750)
    socket = home / "socket"
    argv = [SERVER, "--foreground", "--provider", export.module]
    setting = Setting(environment=export.environment, identity=export.owner)
    log = scratch / "p11-kit.log"
    with running(
        "p11-kit-server", [*argv, "--name", str(socket), export.uri], log, setting
    ) as part:
        part.wait_until(socket.is_socket)
        os.chown(socket, -1, export.group)
        socket.chmod(0o660)
        yield Exported(
            module=client_module(),
            environment={"P11_KIT_SERVER_ADDRESS": f"unix:path={socket}"},
            socket=socket,
            part=part,
        )
