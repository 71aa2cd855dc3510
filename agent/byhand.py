"""Certificates without ACME: a request that a person takes to a CA, and the answer.

The request is made by a durable job, because its key must be remembered before it
exists. A chain that is brought is held against it exactly as one that ACME brought.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from agent.cells import Cell
from agent.clock import Clock
from agent.control.verbs import Request
from agent.demands import CommandError
from agent.jobs import issuing
from agent.jobs import request as requests
from agent.jobs.context import Context
from agent.jobs.issue.effects import Downloaded
from agent.manager import Manager
from agent.pemfiles import Anchors
from agent.procedures.request import Inspection
from agent.records.certificate import CertificateRecord
from agent.records.keys import KeyRecord
from agent.records.request import RequestSigned
from agent.sba.findings import errors, told

Answer = dict[str, object]
CheckImport = Callable[[bytes, KeyRecord, Context], Awaitable[Downloaded]]
"""Holds a chain against a key and a certificate's context; raises `AgentError`."""
PAUSE: Final = timedelta(milliseconds=100)
LOOKS: Final = 200
"""Looks for a signed request: longer than this nobody is kept waiting."""


class ByHand:
    """Answers the verbs `csr` and `import`."""

    def __init__(self, manager: Manager, clock: Clock, check: CheckImport) -> None:
        """Take the parts that the verbs act on."""
        self._manager = manager
        self._clock = clock
        self._check = check

    async def handle(self, request: Request, cell: Cell[CertificateRecord]) -> Answer:
        """Answer one verb about one certificate.

        Raises:
            AgentError: It cannot be done; says why.
        """
        context = self._manager.contexts()[cell.record.name]
        if request.verb == "csr":
            return await self._request(cell, context)
        pem = str(request.arguments.get("chain", "")).encode("ascii", "replace")
        return await self._import(cell, context, pem)

    async def _request(self, cell: Cell[CertificateRecord], context: Context) -> Answer:
        """Return a request for the next key, once its job has signed it."""
        moment, name = self._manager.moment(), cell.record.name
        cell.change(lambda record: requests.begin(record, context, moment))
        asked = cell.record.requesting
        self._manager.touch()
        for _ in range(LOOKS):
            job = cell.record.requesting
            if job is None or asked is None or job.id != asked.id:
                raise CommandError(f"the request of {name} was given up")
            if isinstance(job.phase, RequestSigned):
                return {"name": name, "csr": job.phase.pem}
            if job.failure is not None and job.failure.at >= moment.now:
                raise CommandError(job.failure.message, hint=job.failure.hint)
            await self._clock.sleep(PAUSE)
        raise CommandError("the request is not signed yet", hint="ask again")

    async def _import(
        self, cell: Cell[CertificateRecord], context: Context, pem: bytes
    ) -> Answer:
        """Take a chain for the request; what follows is as after every issuance."""
        name, job = cell.record.name, cell.record.requesting
        if job is None or not isinstance(job.phase, RequestSigned):
            raise CommandError(
                f"{name} has no request that a chain could be for",
                hint=f"nfcertd csr {name}",
            )
        brought = await self._check(pem, cell.record.key(job.phase.key), context)
        broken = errors(brought.findings)
        if broken:
            raise CommandError(
                f"it breaks its profile: {told(broken)}",
                hint=f"the levels of the rules are those of ca.{context.ca}.lint",
            )
        moment = self._manager.moment()

        def edit(record: CertificateRecord) -> CertificateRecord:
            if record.requesting != job:
                raise CommandError("the request was given up meanwhile")
            return issuing.imported(record, brought, context, moment)

        cell.change(edit)
        self._manager.touch()
        return {"name": name, "done": "import", "serial": brought.chain.serial}


def by_hand(manager: Manager, clock: Clock, trusted: Callable[[str], str]) -> ByHand:
    """Return the answers to both verbs, with chains checked by the anchors of CAs.

    Args:
        manager: Who has the jobs.
        clock: Where time comes from.
        trusted: Returns the roots of a list, PEM; empty where it has none yet.
    """
    return ByHand(manager, clock, Inspection(Anchors(trusted), clock).check)
