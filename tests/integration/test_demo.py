"""`make demo` keeps its promises, with either token, and with two functions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.demo.stage import lacking

PROJECT = Path(__file__).parents[2]
pytestmark = pytest.mark.integration


@pytest.mark.parametrize("token", ["softhsm", "tpm"])
def test_the_demo_ends_well(token: str, tmp_path: Path) -> None:
    """It enrols, serves, renews without a failed request, and leaves nothing behind."""
    absent = lacking(tpm=token == "tpm")
    if absent:
        pytest.skip(absent)
    tmp_path.chmod(0o711)
    done = subprocess.run(
        [sys.executable, "-m", "tests.demo"],
        check=False,
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env={**os.environ, "TOKEN": token, "KEEP": ""},
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed                 0\n" in done.stdout
    assert "destroyed " in done.stdout


def test_the_demo_of_two_functions_ends_well() -> None:
    """A bundle, annex J, mutual TLS, a renewal, a roll-over, an end; none fails."""
    if absent := lacking(tpm=False):
        pytest.skip(absent)
    done = subprocess.run(
        [sys.executable, "-m", "tests.demo"],
        check=False,
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env={**os.environ, "SCENARIO": "5g", "TOKEN": "", "KEEP": ""},
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = done.stdout.rpartition("Summary")[2]
    assert "2 bundles of OAM" in summary
    assert "2 functions, 4 tokens of OAM" in summary
    assert ", 0 failed" in summary
    assert "smf1: 2 revoked, no key left" in summary
    assert "amf1 -> smf1           refused: tlsv1 unrecognized name\n" in done.stdout
    assert "amf1 -> amf1           200 OK" in done.stdout
