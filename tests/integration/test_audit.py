"""The audit trail of a real daemon: in CMP's words, whole, signed, without secrets."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent.audit import lines_of, trail_files
from agent.trail.entry import Entry, read_line
from tests.integration.scene import ROOT, Scene, certificate_table, scene, token_table
from tests.integration.tokens import PIN, TokenSetup, softhsm

pytestmark = pytest.mark.integration
IN_TOKEN = 'token = "hsm"'
AUDIT = f'\n[audit]\nkey = {{ {IN_TOKEN} }}\ncheckpoint = "1h"\n'


@pytest.fixture
def token(tmp_path: Path) -> TokenSetup:
    """Return a SoftHSM2 token."""
    return softhsm(tmp_path)


def entries(place: Scene) -> list[Entry]:
    """Return every entry of the trail."""
    files = trail_files(place.state / "audit")
    return [read_line(line) for path in files for line in lines_of(path)]


def verify(place: Scene, *more: str) -> subprocess.CompletedProcess[str]:
    """Run `nfcertd audit --verify`."""
    command = [sys.executable, "-m", "agent", "audit", "--verify"]
    directory = str(place.state / "audit")
    return subprocess.run(
        [*command, "--directory", directory, *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def in_order(words: list[str], *wanted: str) -> bool:
    """Tell whether some words stand in a list in this order, others between."""
    rest = iter(words)
    return all(word in rest for word in wanted)


def test_a_life_reads_in_the_words_of_cmp_and_verifies(
    tmp_path: Path, token: TokenSetup
) -> None:
    """Account, enrolment, a kill, a renewal: one chain, and no secret in it."""
    with scene(tmp_path, token=token, speed=20) as place:
        web = certificate_table("web", IN_TOKEN)
        place.configure(token_table(token), web, AUDIT, account=IN_TOKEN)
        with place.daemon() as daemon:
            daemon.settle_deployed("web")
            daemon.kill()
        with place.daemon() as daemon:
            daemon.ask("renew", "web")
            daemon.settle_deployed("web", 2)
        found = entries(place)
        words = [entry.event for entry in found]
        assert in_order(
            words, "genm", "genp", "ir", "ip", "cr", "cp", "certconf", "pkiconf"
        )
        assert in_order(words, "pkiconf", "operator", "kur", "kup", "certconf")
        first = next(entry for entry in found if entry.event == "ir")
        assert first.recip_nonce == "0"
        orders = {e.transaction for e in found if e.event == "kup" and e.transaction}
        assert len(orders) == 1
        done = verify(place)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "verdict      whole" in done.stdout
        text = "".join(map(repr, found))
        # A key authorization is a token, a dot and a thumbprint (RFC 8555 8.1).
        assert not re.search(r"[\w-]{22,}\.[\w-]{43}", text)
        assert PIN not in re.findall(r"\w+", text)


def test_checkpoints_are_signed_in_the_token_and_a_forgery_is_told(
    tmp_path: Path, token: TokenSetup
) -> None:
    """The key of the checkpoints is listed by `keys`, and never leaves the token."""
    with scene(tmp_path, token=token, speed=200) as place:
        web = certificate_table("web", IN_TOKEN)
        place.configure(token_table(token), web, AUDIT, account=IN_TOKEN)
        with place.daemon() as daemon:
            daemon.settle_deployed("web")
            daemon.wait(
                lambda status: status.view["audit"]["checkpoint_at"] is not None
            )
            uses = {key["use"] for key in daemon.ask("keys")["keys"]}
            assert "checkpoints of the audit trail" in uses
        done = verify(place)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "checkpoints  0" not in done.stdout
        path = place.state / "audit" / "audit.jsonl"
        path.write_bytes(path.read_bytes().replace(b'"cr"', b'"cp"', 1))
        forged = verify(place)
        assert forged.returncode == 1
        assert "does not follow" in forged.stderr
