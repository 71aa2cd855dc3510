"""Runs the CA by itself: `python -m tests.ca --port N --dir DIR`.

Prints the directory URL once it listens, writes `transport-root.pem` and
`issuing-root.pem` below DIR, and ends on SIGTERM or SIGINT.
"""

import argparse
import asyncio
import signal
from datetime import timedelta
from pathlib import Path

from tests.ca.config import Address, Authorizations, Config, Resolver
from tests.ca.issuing import Profile
from tests.ca.jose import b64decode
from tests.ca.server import TestCA


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.ca", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="zero for a free one")
    parser.add_argument("--dir", type=Path, required=True, help="where the roots go")
    parser.add_argument("--host", default="127.0.0.1", help="name in the URLs")
    parser.add_argument(
        "--http01",
        type=_address,
        metavar="HOST:PORT",
        help="where http-01 connects for every name",
    )
    parser.add_argument(
        "--resolve",
        type=_mapping,
        action="append",
        default=[],
        metavar="NAME=HOST:PORT",
        help="where http-01 connects for one name; may repeat",
    )
    parser.add_argument(
        "--eab",
        type=_eab,
        action="append",
        default=[],
        metavar="KID:KEY",
        help="require external account binding with this key in base64url",
    )
    parser.add_argument("--lifetime", type=float, default=90 * 86400.0, help="seconds")
    parser.add_argument("--backdate", type=float, default=60.0, help="seconds")
    parser.add_argument("--order-polls", type=int, default=0)
    parser.add_argument(
        "--no-authorizations", action="store_true", help="orders are born ready"
    )
    return parser.parse_args()


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host, int(port)


def _mapping(text: str) -> tuple[str, Address]:
    name, _, address = text.partition("=")
    return name, _address(address)


def _eab(text: str) -> tuple[str, bytes]:
    kid, _, key = text.rpartition(":")
    return kid, b64decode(key, "the key of --eab")


def _resolver(names: dict[str, Address], default: Address | None) -> Resolver:
    def resolve(name: str) -> Address:
        found = names.get(name, default)
        if found is None:
            raise LookupError(name)
        return found

    return resolve


def _config(arguments: argparse.Namespace) -> Config:
    return Config(
        host=arguments.host,
        port=arguments.port,
        resolve=_resolver(dict(arguments.resolve), arguments.http01),
        eab_keys=dict(arguments.eab),
        eab_required=bool(arguments.eab),
        order_polls=arguments.order_polls,
        authorizations=(
            Authorizations.NONE
            if arguments.no_authorizations
            else Authorizations.REQUIRED
        ),
        profile=Profile(
            lifetime=timedelta(seconds=arguments.lifetime),
            backdate=timedelta(seconds=arguments.backdate),
        ),
    )


async def _run(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with TestCA(_config(arguments)) as ca:
        folder: Path = arguments.dir
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "transport-root.pem").write_bytes(ca.transport_root_pem)
        (folder / "issuing-root.pem").write_bytes(ca.issuing_root_pem)
        print(ca.directory_url, flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(_run(_arguments()))
