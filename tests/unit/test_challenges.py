"""Every challenge type that may be configured has its facts and its solver."""

import asyncio
from pathlib import Path
from typing import get_args

from agent.clock import SystemClock
from agent.config import attestation
from agent.config.challenges import PROVES, Challenge
from agent.config.model import Config
from agent.config.rules import MAX_NAME
from agent.equipment import Stock, make_tools
from agent.keys.software import FileKeys
from agent.keys.store import Keys, Surroundings
from tests.fakes.acme import Ears
from tests.integration.tokens import MemoryLedger


def test_every_type_has_its_facts() -> None:
    """A type is one adapter, one struct with its line, and one registry line."""
    assert set(PROVES) == set(get_args(Challenge))
    assert all(len(facts.before) < MAX_NAME for facts in PROVES.values())


def test_every_type_has_a_solver(tmp_path: Path) -> None:
    """Also those whose table is not configured: what is missing is said when asked.

    A device's type has its solver as well, though no table may name it as `challenge`.
    """

    async def types() -> set[str]:
        stock = Stock(
            state=tmp_path,
            environ={},
            clock=SystemClock(),
            config=Config,
            keys=_keys(tmp_path),
            read_secret=lambda _: b"",
            trusted=lambda _: "",
            observer=Ears(),
        )
        return set(make_tools(stock).solvers)

    every = {*get_args(Challenge), attestation.CHALLENGE}
    assert asyncio.run(types()) == every


def _keys(home: Path) -> Keys:
    surroundings = Surroundings(
        clock=SystemClock(),
        ledger=MemoryLedger(),
        read_secret=lambda _: b"",
        files=FileKeys(home / "keys"),
    )
    return Keys({}, surroundings)
