"""An audit trail in memory, which can be made to refuse."""

from datetime import datetime

from agent.trail.entry import GENESIS, Entry, Fact, digest, line_of, placed
from agent.trail.vocabulary import Word
from tests.fakes.clock import START, FakeClock


class MemoryTrail:
    """Keeps entries; while `full`, it loses them as a full disk would."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        """Begin empty."""
        self._clock = clock
        self.entries: list[Entry] = []
        self.head: tuple[int, str, datetime | None] = (0, GENESIS, None)
        self.broken_since: datetime | None = None
        self.failure = ""
        self.full = False
        self.limits: dict[str, int] = {}

    def append(self, fact: Fact, *, durable: bool = True) -> bool:
        """Keep it, unless full."""
        del durable
        now = START if self._clock is None else self._clock.now()
        if self.full:
            self.broken_since = self.broken_since or now
            self.failure = "the audit trail cannot be written"
            return False
        seq, prev, checkpoint = self.head
        entry = placed(fact, seq + 1, now, prev)
        self.entries.append(entry)
        vouched = now if fact.event == Word.CHECKPOINT else checkpoint
        self.head = (seq + 1, digest(line_of(entry)), vouched)
        return True

    def limit(self, *, size: int, keep: int) -> None:
        """Remember the limits."""
        self.limits = {"size": size, "keep": keep}

    def mend(self) -> bool:
        """Be well again, unless still full."""
        if not self.full:
            self.broken_since, self.failure = None, ""
        return not self.full
