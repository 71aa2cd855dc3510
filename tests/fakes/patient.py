"""Vitals over records in memory, with a manager that never runs."""

from agent.auditing import Auditor
from agent.cells import Cells
from agent.config.model import Config
from agent.config.trail import Audit
from agent.counters import Counters
from agent.keys.ports import TokenStatus
from agent.loading import Loaded
from agent.manager import Draws, Manager
from agent.records.codec import Record
from agent.vitals import Instruments, Loading, Vitals
from tests.fakes.clock import START, FakeClock
from tests.fakes.parts import House, MemoryStore, ScriptedPerformer
from tests.fakes.subjects import config
from tests.fakes.trail import MemoryTrail


class Patient:
    """Vitals with what they look at.

    Attributes:
        clock: The time.
        cells: The records.
        manager: Never run.
        loading: The configuration and how it was loaded.
        tokens: What the last contact with each token showed.
    """

    def __init__(self, *records: Record, table: Config | None = None) -> None:
        """Look at records under a configuration."""
        self.clock = FakeClock()
        self.cells = Cells(MemoryStore(*records), lambda _: None)
        self.cells.load()
        self.manager = Manager(
            self.cells,
            ScriptedPerformer(self.clock),
            House(self.clock),
            clock=self.clock,
            draws=Draws(fraction=lambda: 0.0, token=lambda: "0" * 32),
        )
        self.loading = Loading(loaded=Loaded(table or config("web")), loaded_at=START)
        self.manager.configure(self.loading.config, "0" * 16)
        self.tokens: dict[str, TokenStatus] = {}
        self.vitals = Vitals(
            self.cells,
            self.manager,
            self.loading,
            clock=self.clock,
            install="0" * 16,
            instruments=Instruments(
                tokens=lambda: self.tokens,
                auditor=Auditor(MemoryTrail(), Audit(), lambda _: None),
                counters=Counters(),
                audit_key=lambda: None,
            ),
        )

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return why the daemon is not ready."""
        verdict = self.vitals.readyz()
        assert verdict.ok is (not verdict.lines)
        return verdict.lines
