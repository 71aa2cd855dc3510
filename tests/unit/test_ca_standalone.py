"""The test CA as a program, and its manners when it ends."""

import ast
import asyncio
import signal
import sys
from pathlib import Path

from tests.ca.harness import Responder, prove, responding
from tests.ca.raw_client import RawClient, b64, binding, csr_for, jwk_of, new_key

ROOT = Path(__file__).parents[2]


async def test_the_program_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    """It prints the directory URL, writes its roots, and ends with status 0."""
    async with responding() as responder:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-m", "tests.ca"),
            *("--port", "0", "--dir", str(tmp_path / "ca")),
            *("--http01", f"127.0.0.1:{responder.port}"),
            *("--eab", f"nf-1:{b64(bytes(32))}", "--lifetime", "3600"),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(30):
                assert process.stdout is not None
                url = (await process.stdout.readline()).decode().strip()
                root = (tmp_path / "ca" / "transport-root.pem").read_bytes()
                async with RawClient(url, root) as client:
                    await _run(client, responder)
        finally:
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(20):
                _, errors = await process.communicate()
    # On a busy machine asyncio's debug mode says that a step was slow.
    said = errors.decode().splitlines()
    assert [line for line in said if not line.startswith("Executing <")] == []
    assert process.returncode == 0
    issuing = (tmp_path / "ca" / "issuing-root.pem").read_bytes()
    assert issuing.startswith(b"-----BEGIN CERTIFICATE-----")


def test_the_ca_shares_no_code_with_the_agent() -> None:
    """Nor the JOSE library of the agent; the raw client shares none with the CA."""
    files = sorted((ROOT / "tests" / "ca").glob("*.py"))
    assert len(files) > 10
    for path in files:
        roots = {name.split(".")[0] for name in imports(path)}
        assert not roots & {"agent", "josepy", "acme"}, path.name
    client = imports(ROOT / "tests" / "ca" / "raw_client.py")
    assert not [name for name in client if name.startswith("tests")]


def imports(path: Path) -> list[str]:
    """Return the names of all modules that a file imports."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names]
    return plain + [n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)]


async def _run(client: RawClient, responder: Responder) -> None:
    url = client.directory["newAccount"]
    bound = binding(bytes(32), "nf-1", url, jwk_of(client.key))
    assert (await client.register(externalAccountBinding=bound)).status == 201
    order = await client.order("a.example")
    await prove(client, responder, order.json)
    done = await client.finalize(order.json, csr_for(new_key(), "a.example"))
    chain = await client.post(done.json["certificate"])
    assert chain.body.count(b"BEGIN CERTIFICATE") == 2
