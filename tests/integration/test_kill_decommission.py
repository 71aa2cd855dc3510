"""The end of a network function survives a kill at each of its durable writes.

Each end is that of another instance of the same function.
"""

import uuid
from pathlib import Path
from typing import Final

import pytest

from agent.control.verbs import ControlError
from tests.integration.scene import PATIENCE, Daemon, Scene, Status, scene, token_table
from tests.integration.served import table, tls_server
from tests.integration.striking import strike_everywhere
from tests.integration.test_decommission import (
    CA,
    CESSATION,
    files,
    is_gone,
    nf_of,
    nf_tables,
)
from tests.integration.tokens import PIN, TokenSetup, softhsm
from tests.parts.token import TokenTool, tool_missing

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(tool_missing()), reason=tool_missing()),
]
NAME: Final = "amf1"


class Mortal:
    """A host whose network function comes and goes, one instance after the other."""

    def __init__(self, place: Scene, token: TokenSetup) -> None:
        """Begin with no instance; the account's key is in the token."""
        self._place = place
        self._token = token
        self._armed = place.home / "armed"
        self._tool = TokenTool(module=token.module, environment=token.env, pin=PIN)
        self.instance = ""

    def begin(self) -> None:
        """Configure another instance."""
        self.instance = str(uuid.UUID(int=uuid.uuid4().int, version=4))
        endpoint = table(self._place.home / "endpoint", self._place.address)
        tables = nf_tables(NAME, endpoint, uuid=self.instance)
        token = token_table(self._token)
        self._place.configure(token, tables, account='token = "hsm"', health=False)

    def go_on(self, daemon: Daemon) -> bool:
        """Let the instance enrol, and end; False where the daemon died of it."""
        try:
            if nf_of(daemon.status(), NAME)["instance_id"] != self.instance:
                daemon.ask("reload")
            daemon.settle(lambda s: self._serves(s) or self._ends(s), PATIENCE)
            self._armed.touch()
            if not self._ends(daemon.status()):
                daemon.ask("decommission", NAME, confirm=NAME)
            daemon.settle(lambda s: is_gone(NAME, s), PATIENCE)
        except ControlError:
            daemon.ended()
            return False
        finally:
            self._armed.unlink(missing_ok=True)
        return True

    def _serves(self, status: Status) -> bool:
        shown = status.certificate(NAME)
        ours = shown and shown["deployed"] and shown["state"] == "deployed"
        return bool(ours) and not shown["jobs"]

    def _ends(self, status: Status) -> bool:
        return bool(nf_of(status, NAME)["state"] != "in-service")

    def wrong(self) -> list[str]:
        """Return what does not hold once an instance has ended, one clause each."""
        found = []
        place = self._place
        if left := files(place):
            found.append(f"{left} is left")
        if "ID:" in (keys := self._tool.private_keys()):
            found.append(f"keys are left: {keys}")
        issued = {entry.leaf.serial_number for entry in place.ca.certificates}
        if issued != set(place.ca.revoked):
            found.append(f"{issued} were issued, {set(place.ca.revoked)} are revoked")
        if {r.reason for r in place.ca.revoked.values()} != {CESSATION}:
            found.append("a revocation has another reason")
        if any(account.status != "deactivated" for account in place.ca.accounts):
            found.append("an account is open")
        return found


def test_a_kill_at_every_durable_write_leaves_nothing_half_ended(
    tmp_path: Path,
) -> None:
    """Killed anywhere: all revoked, every key and file gone, the account closed."""
    token = softhsm(tmp_path)
    with scene(tmp_path, CA, token=token, speed=20) as place:
        live = place.state / "live" / NAME
        with tls_server(tmp_path / "endpoint", live, place.address):
            strike_everywhere(place, Mortal(place, token))
