"""How a request that is taken to a CA by hand is made, and its answer checked."""

from agent.clock import Clock
from agent.jobs import request
from agent.jobs.context import Context
from agent.jobs.issue.effects import Downloaded
from agent.pemfiles import Anchors
from agent.pki.request import pem_of
from agent.pki.request import request as make_request
from agent.ports import Keys
from agent.procedures.download import Checks
from agent.procedures.profile import findings
from agent.records.certificate import CertificateRecord
from agent.records.keys import KeyRecord


class RequestProcedure:
    """Performs effects of request jobs."""

    def __init__(self, keys: Keys) -> None:
        """Take the key stores."""
        self._keys = keys

    async def perform(
        self, effect: request.Effect, record: CertificateRecord, context: Context
    ) -> request.Outcome:
        """Perform one effect.

        Raises:
            AgentError: It failed; the caller folds the failure into the job.
        """
        key = record.key(effect.key)
        if isinstance(effect, request.MakeRequestKey):
            made = await self._keys.make(key)
            return request.RequestKeyExists(made.public, made.token_serial)
        asked = request.asked(context)
        content = make_request(context.wish.content, must_staple=asked.must_staple)
        der = await self._keys.use(key, content)
        return request.Signed(asked, pem_of(der))


class Inspection:
    """Holds chains that a person brought against everything that ACME's are held to."""

    def __init__(self, anchors: Anchors, clock: Clock) -> None:
        """Take what chains may end in, and where time comes from."""
        self._anchors = anchors
        self._clock = clock

    async def check(self, pem: bytes, key: KeyRecord, context: Context) -> Downloaded:
        """Return the chain with the rules of its profile that it breaks.

        Raises:
            AgentError: The first check that failed, or the anchors cannot be read.
        """
        table, wish = context.table, context.wish
        anchors = () if table is None else await self._anchors.of(table)
        issuers = () if table is None else await self._anchors.issuers(table)
        checks = Checks(
            public=key.public,
            identifiers=wish.identifiers,
            anchors=anchors,
            now=self._clock.now(),
            must_staple=context.config.must_staple,
            allowed=wish.allowed,
            optional=wish.optional,
        )
        chain = checks.hold(pem, anchors)
        return Downloaded(chain, findings=findings(chain, wish, anchors, issuers))
