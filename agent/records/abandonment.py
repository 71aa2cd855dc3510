"""What is left of orders that were given up."""

from agent.records.job import Job
from agent.records.phases import Phase


class Abandoned(Phase, frozen=True, kw_only=True, tag="abandoned"):
    """Authorizations that nobody needs any more; deactivated one after the other.

    Attributes:
        ca: Name of their CA.
        directory: URL of its directory.
        account: URL of the account that they belong to.
        authorizations: Their URLs, oldest first.
    """

    ca: str
    directory: str
    account: str
    authorizations: tuple[str, ...] = ()


AbandonJob = Job[Abandoned]
