"""What a CA did, written down durably: its errors, its limits, the orders it got."""

from collections.abc import Callable
from datetime import datetime

from agent.cells import Cell
from agent.jobs.step import Moment
from agent.records.authority import CaRecord
from agent.records.job import Failure
from agent.renewal import breaker


class CaNotes:
    """Writes into the record of one CA; unchanged, nothing is written."""

    def __init__(
        self, cell: Cell[CaRecord], directory: str, per_hour: int | None
    ) -> None:
        """Take the record, the directory in force and the configured rate of orders."""
        self._cell = cell
        self._directory = directory
        self._per_hour = per_hour

    def ordering(self, now: datetime) -> None:
        """Count an order that is about to be asked for; a crash does not forget it."""
        rate = self._per_hour
        if rate is not None:
            self._edit(lambda record: breaker.order_taken(record, rate, now))

    def ended(
        self, account: str, failure: Failure | None, moment: Moment, *, order: bool
    ) -> None:
        """Note how an effect at the CA ended.

        Args:
            account: Name of the account that asked.
            failure: What went wrong; None where it was done.
            moment: Time, and the draw that spreads the next attempts.
            order: It asked for an order.
        """
        if failure is None or breaker.is_answer(failure):
            self._edit(lambda record: breaker.answered(record, moment.now))
        elif breaker.is_outage(failure):
            self._edit(lambda record: breaker.failed(record, failure, moment.draw))
        elif order and self._per_hour is not None:
            # Trouble of ours, before anything was sent.
            rate = self._per_hour
            self._edit(lambda record: breaker.order_spared(record, rate))
        if failure is None and order:
            self._edit(lambda record: breaker.ordered(record, account))
        if failure is not None and order and breaker.is_limit(failure):
            self._edit(
                lambda record: breaker.limited(record, account, failure, moment.draw)
            )

    def _edit(self, edit: Callable[[CaRecord], CaRecord]) -> None:
        def change(record: CaRecord) -> CaRecord:
            return edit(breaker.of_directory(record, self._directory))

        self._cell.change(change)
