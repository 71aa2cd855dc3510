"""The script of faults: which request is struck, and by what.

Knows how to count. Does not know what an action does: see `tests.ca.actions`.
"""

from dataclasses import dataclass
from typing import ClassVar

from tests.ca.exchange import Answer, Exchange
from tests.ca.urls import RESOURCES


class Action:
    """What goes wrong. The rooms of the CA ask for some actions by their class."""

    __slots__ = ()

    burns_nonce: ClassVar[bool] = False

    async def before(self, exchange: Exchange) -> Answer | None:
        """Answer instead of the CA, or return None to let the CA work."""
        del exchange
        return None

    async def after(self, exchange: Exchange, answer: Answer) -> Answer:
        """Return what leaves instead of `answer`."""
        del exchange
        return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One line of the script.

    Requests that match are counted from the moment the fault is added, from 1 on. The
    fault strikes number `nth`, then every `every`-th after it, at most `times` times.
    So the defaults strike the next request once; `nth=3` the third; `every=2,
    times=None` every other one for ever.

    Attributes:
        resource: Name of the resource, such as `newOrder`; None for all.
        action: What goes wrong.
        method: The HTTP method; None for all.
        nth: The first that is struck.
        every: The distance between those that are struck.
        times: How many are struck; None for no end.
    """

    resource: str | None
    action: Action
    method: str | None = None
    nth: int = 1
    every: int = 1
    times: int | None = 1

    def __post_init__(self) -> None:
        """Refuse a line that could never strike."""
        if self.resource is not None and self.resource not in RESOURCES:
            raise ValueError(f"no resource is called {self.resource!r}")
        if (
            self.nth < 1
            or self.every < 1
            or (self.times is not None and self.times < 1)
        ):
            raise ValueError("nth, every and times count from 1")


class Armed:
    """A fault in the script, with what it has seen.

    Attributes:
        fault: The line.
        seen: How many requests matched.
        struck: How many were struck.
    """

    def __init__(self, fault: Fault) -> None:
        """Begin with nothing seen."""
        self.fault = fault
        self.seen = 0
        self.struck = 0

    def meets(self, resource: str, method: str) -> bool:
        """Count a request, and tell whether it is struck."""
        fault = self.fault
        if fault.resource not in {None, resource} or fault.method not in {None, method}:
            return False
        self.seen += 1
        due = self.seen >= fault.nth and (self.seen - fault.nth) % fault.every == 0
        if not due or (fault.times is not None and self.struck >= fault.times):
            return False
        self.struck += 1
        return True


class Faults:
    """The script; lines act in the order in which they were added."""

    def __init__(self) -> None:
        """Begin with no fault."""
        self._armed: list[Armed] = []

    def add(self, fault: Fault) -> Armed:
        """Add a line, and return it with its counters."""
        armed = Armed(fault)
        self._armed.append(armed)
        return armed

    def remove(self, armed: Armed) -> None:
        """Take one line out."""
        self._armed.remove(armed)

    def clear(self) -> None:
        """Take all lines out."""
        self._armed.clear()

    def strike(self, resource: str, method: str) -> tuple[Action, ...]:
        """Count a request, and return what strikes it."""
        # Every line counts every request: a list, not a generator that may stop early.
        struck = [armed for armed in self._armed if armed.meets(resource, method)]
        return tuple(armed.fault.action for armed in struck)
