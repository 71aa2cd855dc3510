"""The real parts do what the other tests take for granted.

It proves the arrangement that production uses: a token that one process owns, nginx
whose workers are another user, new certificates by SIGHUP without a lost connection.
"""

import os
import pwd
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.integration.tokens import PIN, softhsm
from tests.parts.authority import Authority, make_server, pem
from tests.parts.load import Target, connect, load
from tests.parts.nginx import Nginx, Site, nginx, nginx_missing
from tests.parts.p11kit import Export, exported, p11kit_missing
from tests.parts.pebble import PebbleOptions, pebble, pebble_missing
from tests.parts.process import Identity, PartError, Setting, free_port, run
from tests.parts.token import TokenTool, give, tool_missing

OWNER = Identity(uid=64122, gid=64122)
WORKERS = "www-data"
TOKEN_URI = "pkcs11:token=nf"
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be several users"),
]
needs_pebble = pytest.mark.skipif(bool(pebble_missing()), reason=pebble_missing())
needs_nginx = pytest.mark.skipif(bool(nginx_missing()), reason=nginx_missing())
TOKEN_MISSING = nginx_missing(engine_too=True) or tool_missing() or p11kit_missing()
needs_token = pytest.mark.skipif(bool(TOKEN_MISSING), reason=TOKEN_MISSING)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Give a directory that other users can pass through."""
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o711)
    return tmp_path


@pytest.fixture
def shared(scratch: Path) -> Iterator[TokenTool]:
    """Give a token of its own user that the members of nginx's group can use."""
    setup = softhsm(scratch)
    give(scratch / "tokens", OWNER)
    export = Export(
        module=setup.module,
        uri=setup.uri,
        environment=setup.env,
        group=_group(),
        owner=OWNER,
    )
    with exported(scratch, export) as there:
        yield TokenTool(module=there.module, environment=there.environment, pin=PIN)


@needs_pebble
def test_pebble_is_reached_through_its_own_root(scratch: Path) -> None:
    """Pebble starts on free ports, and its issuing root is not its transport root."""
    with pebble(scratch, PebbleOptions(nonce_reject=50)) as server:
        assert "newNonce" in server.get(server.directory_url)
        roots = server.issuing_roots()
        assert x509.load_pem_x509_certificate(roots.encode()).subject
        assert roots != server.ca_pem.read_text()
        with pytest.raises(OSError, match="certificate verify failed"):
            urllib.request.urlopen(
                server.directory_url, timeout=5, context=ssl.create_default_context()
            )
    assert not server.part.alive


@needs_nginx
def test_nginx_serves_a_software_key_on_several_ports(scratch: Path) -> None:
    """Each port answers a verified request, and nothing listens afterwards."""
    files = make_server(scratch, ("localhost",))
    snippet = _snippet(scratch, files.certificate, str(files.key))
    ports = (free_port(), free_port())
    with nginx(scratch, Site(snippet=snippet, ports=ports)):
        for port in ports:
            assert connect(Target(port=port, roots=files.root))
    with pytest.raises(OSError, match="refused"):
        connect(Target(port=ports[0], roots=files.root))


@needs_nginx
def test_nginx_that_cannot_start_says_why(scratch: Path) -> None:
    """The error of a start holds nginx's own words."""
    snippet = _snippet(scratch, scratch / "absent.pem", str(scratch / "absent.key"))
    site = Site(snippet=snippet, ports=(free_port(),))
    with pytest.raises(PartError, match=r"absent\.pem"), nginx(scratch, site):
        pass


@needs_nginx
def test_load_counts_what_fails(scratch: Path) -> None:
    """A certificate that does not verify makes every connection a failed one."""
    files = make_server(scratch, ("localhost",))
    snippet = _snippet(scratch, files.certificate, str(files.key))
    foreign = scratch / "foreign-root.pem"
    foreign.write_bytes(pem(Authority().root))
    with nginx(scratch, Site(snippet=snippet, ports=(free_port(),))) as server:
        target = Target(port=server.ports[0], roots=foreign, limit=20)
        with load(target) as generator:
            result = generator.wait()
    assert (result.ok, result.failed) == (0, 20)
    assert all("certificate verify failed" in error for error in result.errors)


@needs_token
def test_a_key_in_a_token_of_another_user_is_served_and_renewed_under_load(
    scratch: Path, shared: TokenTool
) -> None:
    """Ten reloads, each onto a new key in the token, lose no new connection.

    On a machine that has no time for p11-kit-server a handshake can outlast its limit.
    One in a hundred is forgiven for that; the demo, with one renewal, forgives none.
    """
    site = TokenSite(scratch, shared)
    with site.served() as server, load(site.target(server)) as generator:
        for number in range(2, 12):
            leaf = site.certify(number)
            server.reload()
            server.part.wait_until(partial(site.serves, server, leaf))
        result = generator.stop()
    assert result.failed * 100 <= result.ok, result.errors
    assert len(result.leaves) >= 10
    assert result.ok > 100


@needs_token
def test_destroying_the_key_that_is_served_breaks_every_handshake(
    scratch: Path, shared: TokenTool
) -> None:
    """It is why a key is destroyed only after the new one is proven."""
    site = TokenSite(scratch, shared)
    with site.served() as server:
        assert connect(site.target(server))
        shared.destroy(1)
        for _ in range(4):
            with pytest.raises(OSError, match=r"(?i)alert|eof|reset"):
                connect(site.target(server))
        assert server.part.alive


@needs_token
def test_a_token_shows_itself_only_to_the_group(shared: TokenTool) -> None:
    """A user outside the group cannot reach the exported token."""
    socket = shared.environment["P11_KIT_SERVER_ADDRESS"].removeprefix("unix:path=")
    assert Path(socket).stat().st_mode & 0o777 == 0o660
    argv = ["pkcs11-tool", "--module", shared.module, "--list-slots"]
    member = Identity(uid=64125, gid=64125, groups=(_group(),))
    stranger = Identity(uid=64125, gid=64125)
    found = run(argv, Setting(environment=shared.environment, identity=member)).stdout
    assert ": nf\n" in found
    with pytest.raises(PartError, match="No slots"):
        run(argv, Setting(environment=shared.environment, identity=stranger))


class TokenSite:
    """nginx with its key in a shared token, certified by an authority of this test."""

    def __init__(self, scratch: Path, token: TokenTool) -> None:
        """Make the authority, the first key and its certificate."""
        self._scratch = scratch
        self._token = token
        self._authority = Authority()
        self._roots = scratch / "roots.pem"
        self._roots.write_bytes(pem(self._authority.root))
        self._pin = scratch / "nginx.pin"
        self._pin.write_text(token.pin)
        self.certify(1)

    def certify(self, number: int) -> str:
        """Make a key pair and its certificate, point nginx at it; the fingerprint."""
        self._token.generate(f"key{number}", number)
        public = load_der_public_key(self._token.public_key(number))
        assert isinstance(public, ec.EllipticCurvePublicKey)
        certificate = self._authority.issue(("localhost",), public)
        path = self._scratch / f"certificate{number}.pem"
        path.write_bytes(pem(certificate))
        where = f"id=%{number:02x};type=private;pin-source=file:{self._pin}"
        _snippet(self._scratch, path, f"engine:pkcs11:{TOKEN_URI};{where}")
        return certificate.fingerprint(hashes.SHA256()).hex()

    def served(self) -> AbstractContextManager[Nginx]:
        """Run nginx with workers of another user than the token's."""
        site = Site(
            snippet=self._scratch / "snippet.conf",
            ports=(free_port(),),
            module=self._token.module,
            environment=self._token.environment,
            worker=WORKERS,
        )
        return nginx(self._scratch, site)

    def target(self, server: Nginx) -> Target:
        """Return where load goes; certificates are verified."""
        return Target(port=server.ports[0], roots=self._roots, threads=2)

    def serves(self, server: Nginx, leaf: str) -> bool:
        """Tell whether a new connection is shown a certificate.

        What fails meanwhile is the load's to count: it makes the same connections.
        """
        try:
            return connect(self.target(server)) == leaf
        except OSError:
            return False


def _snippet(scratch: Path, certificate: Path, key: str) -> Path:
    """Write what nginx includes; the whole file changes at once."""
    path = scratch / "snippet.conf"
    temporary = path.with_suffix(".new")
    temporary.write_text(
        f'ssl_certificate "{certificate}";\nssl_certificate_key "{key}";\n'
    )
    temporary.replace(path)
    return path


def _group() -> int:
    return pwd.getpwnam(WORKERS).pw_gid
