"""nginx that has a port and hands `acme-tls/1` on, as docs/tls-alpn-01.md has it.

It knows nginx's stream module and one server of its own behind it.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.parts.authority import make_server
from tests.parts.process import Part, missing, run, running

MODULE: Final = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
PUBLIC_PORT: Final = 9443
OWN_PORT: Final = 9444
CONFIG: Final = """\
load_module {module};
daemon off;
user root;
worker_processes 1;
pid {home}/nginx.pid;
error_log {home}/error.log notice;
events {{ worker_connections 64; }}
stream {{
    map $ssl_preread_alpn_protocols $backend {{
        ~^acme-tls/1$  {challenges};
        default        {address}:{own};
    }}
    server {{
        listen {address}:{public};
        ssl_preread on;
        proxy_pass $backend;
        proxy_connect_timeout 5s;
        proxy_timeout 10s;
    }}
}}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    server {{
        listen {address}:{own} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        location / {{ return 200 "served\\n"; }}
    }}
}}
"""


def router_missing() -> str:
    """Say what the router needs and does not have, or nothing."""
    return missing("nginx", str(MODULE))


@contextmanager
def router(scratch: Path, address: str, challenges: str) -> Iterator[Part]:
    """Run nginx on `address`; its files are in `scratch`/router.

    Args:
        scratch: An existing directory.
        address: Loopback address of `PUBLIC_PORT`, and of nginx's own server.
        challenges: Address with port that gets those who offer `acme-tls/1`.
    """
    home = scratch / "router"
    home.mkdir()
    files = make_server(home, ("served.example",))
    config = home / "nginx.conf"
    text = CONFIG.format(
        module=MODULE,
        home=home,
        address=address,
        challenges=challenges,
        own=OWN_PORT,
        public=PUBLIC_PORT,
        certificate=files.certificate,
        key=files.key,
    )
    config.write_text(text)
    argv = ["nginx", "-e", str(home / "start.log"), "-p", str(home), "-c", str(config)]
    run([*argv, "-t"])
    with running("nginx", argv, home / "nginx.log") as part:
        part.wait_until(lambda: _listens(address))
        yield part


def _listens(address: str) -> bool:
    try:
        with socket.create_connection((address, PUBLIC_PORT), timeout=1):
            return True
    except OSError:
        return False
