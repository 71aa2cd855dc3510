"""How the effects of a series' job are performed (RFC 8739)."""

from collections.abc import Callable
from dataclasses import replace

from agent.acme.device import is_device
from agent.acme.identifiers import identifiers, same
from agent.acme.messages import Order
from agent.client import AcmeClient
from agent.jobs import series
from agent.jobs.step import Performed
from agent.ports import Keys
from agent.procedures.download import star_source
from agent.procedures.issue import IssueProcedure, Ordering
from agent.procedures.signer import account_signer
from agent.records.certificate import Issuance
from agent.records.others import AccountRecord
from agent.records.series import Series
from agent.sba.lint import levels


def as_ordered(ordering: Ordering, series: Series, last: Issuance | None) -> Ordering:
    """Return what a series' certificates are held against: what was ordered then.

    Where the configuration wants something else by now, they say what the last one
    said, until another order brings what is wanted; no rule of today is theirs.
    """
    ordering = replace(ordering, must_staple=series.must_staple)
    if last is None or last.content == ordering.wish.profile.digest:
        same_names = same(identifiers(series.names), ordering.identifiers)
        if last is None or same_names:
            return ordering
    ordered = identifiers(series.names)
    wish = replace(
        ordering.wish,
        identifiers=ordered,
        allowed=identifiers(last.names),
        optional=tuple(i for i in ordered if is_device(i)),
        levels=levels({}, of_nf=False),
    )
    return replace(ordering, wish=wish)


class SeriesProcedure:
    """Performs effects of the jobs of series, at one CA."""

    def __init__(self, client: AcmeClient, keys: Keys, issue: IssueProcedure) -> None:
        """Take the collaborators; chains are fetched and checked as for an order."""
        self._client = client
        self._keys = keys
        self._issue = issue

    async def perform(
        self,
        effect: series.Effect,
        account: AccountRecord,
        ordering: Callable[[], Ordering],
    ) -> series.Outcome:
        """Perform one effect; what is ordered, with its key, is read for a fetch only.

        A series may outlive its key: one that is cancelled needs none.

        Raises:
            AgentError: It failed; the caller folds the failure into the job.
        """
        signer = account_signer(self._keys, account)
        match effect:
            case series.Fetch(url, public):
                source = star_source(url, public=public)
                return await self._issue.download(source, ordering())
            case series.LookAtOrder(url):
                reply = await self._client.post(url, None, signer, "order")
                return series.OrderState(reply.read(Order, "order").status)
            case series.Cancel(url):
                # One "l": the name of the status is the standard's.
                payload: dict[str, object] = {"status": "canceled"}
                await self._client.post(url, payload, signer, "star-cancel")
                return Performed()
