"""A revocation and a replacement survive a kill at each of their durable writes.

The writes of the enrolment before them are not killed at: that is shown elsewhere.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from agent.records.certificate import CertificateRecord
from tests.integration.killing import FILE, Journey, Run, all_wrong, perform
from tests.integration.scene import Daemon, Status
from tests.parts.token import tool_missing

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(tool_missing()), reason=tool_missing()),
]
KEY_COMPROMISE, SUPERSEDED = 1, 4


class Retraction(Journey):
    """An enrolment, and then what takes the certificate out of the world."""

    orders: ClassVar[int] = 2
    verb: ClassVar[str]
    reason: ClassVar[int]
    arguments: ClassVar[Mapping[str, str | bool]]

    def step(self, daemon: Daemon, status: Status) -> bool:
        """Ask once, and see the new certificate served and the old key gone."""
        shown = status.certificate("web")
        if status.deployed("web", 2):
            return len(daemon.ask("keys")["keys"]) == 2
        asked = any(
            job["slot"].startswith(("replace", "revoke"))
            for job in shown.get("jobs", [])
        )
        first = shown.get("publication") == 1
        if first and status.deployed("web") and not asked and not self.scene.ca.revoked:
            daemon.ask(self.verb, "web", confirm="web", **self.arguments)
        return False

    def wrong(self, record: CertificateRecord) -> Iterator[str]:
        """Yield where the first certificate, and only that, is not revoked."""
        first = self.scene.ca.certificates[0]
        revoked = {n: r.reason for n, r in self.scene.ca.revoked.items()}
        if revoked != {first.serial: self.reason}:
            yield f"revoked are {revoked}, not {first.serial}"
        known = {i.serial: i.revocation for i in record.issued}
        revocation = known.get(f"{first.serial:x}")
        if revocation is None or not revocation.ours:
            yield f"it remembers {known}"


class Revocation(Retraction):
    """It is revoked and ordered again."""

    verb: ClassVar[str] = "revoke"
    reason: ClassVar[int] = SUPERSEDED
    arguments: ClassVar[Mapping[str, str | bool]] = {"reason": "superseded"}


class Replacement(Retraction):
    """Its key is compromised: it is replaced, revoked, and the key destroyed."""

    verb: ClassVar[str] = "replace"
    reason: ClassVar[int] = KEY_COMPROMISE
    arguments: ClassVar[Mapping[str, str | bool]] = {"compromised": True}


@pytest.mark.parametrize("option", ["--kill-after", "--kill-before"])
@pytest.mark.parametrize("journey", [Revocation, Replacement])
def test_a_kill_at_every_durable_write_leaves_nothing_half_done(
    tmp_path: Path, journey: type[Retraction], option: str
) -> None:
    """Killed anywhere: one revoked, one served throughout, its key the only one."""
    whole = perform(tmp_path / "whole", Run(journey=journey, arm=FILE))
    assert not whole.wrong
    enrolled = next(n for n, line in enumerate(whole.writes, 1) if "prune" in line)
    numbers = range(enrolled + 1, len(whole.writes) + 1)
    runs = [
        Run(journey=journey, arm=FILE, options=(option, str(number)))
        for number in numbers
    ]
    assert not all_wrong(tmp_path, runs)
