"""What can go wrong when a challenge is presented."""

from agent.errors import AgentError


class SolverError(AgentError):
    """Base of what presenting a challenge can run into."""

    kind = "solver"


class BindError(SolverError):
    """An address cannot be listened on: in use, denied, or not ours."""

    kind = "solver.bind"


class PublishError(SolverError):
    """The challenge cannot be written where another server serves it."""

    kind = "solver.publish"


class DnsLookupError(SolverError):
    """DNS does not say where the record of an identifier is to be written."""

    kind = "solver.dns-lookup"


class DnsUpdateError(SolverError):
    """A TXT record was not written: refused, not answered, or the executable failed."""

    kind = "solver.dns-update"


class DnsPropagationError(SolverError):
    """Not all servers of the zone have answered with a TXT record in time."""

    kind = "solver.dns-propagation"


class IssuerNamesError(SolverError):
    """The CA's challenge names no issuers, too many, or none of the right form."""

    kind = "solver.issuer-names"


class PersistentRecordError(SolverError):
    """The standing record of dns-persist-01 is missing, and others provision it."""

    kind = "solver.persistent-record"


class BusyError(SolverError):
    """The identifier is presented for another challenge; it is free again soon."""

    kind = "solver.busy"


class TokenSyntaxError(SolverError):
    """The CA's token has characters that RFC 8555 section 8.3 does not allow."""

    kind = "solver.token-syntax"


class SelfCheckError(SolverError):
    """We do not get from ourselves what the CA is to get from us."""

    kind = "solver.self-check"


class AttestationError(SolverError):
    """What attests a key cannot be read, or failed."""

    kind = "solver.attestation"


class AttestationDeniedError(SolverError):
    """What would attest a key is not there, or refuses for a reason that stays."""

    kind = "solver.attestation-denied"


class AttestationMismatchError(SolverError):
    """What attests a key is of another key, or not valid any more."""

    kind = "solver.attestation-mismatch"


class AuthorityError(SolverError):
    """The token authority did not give a token, for a reason that may pass."""

    kind = "solver.authority"


class AuthorityDeniedError(SolverError):
    """The token authority will not give this token, or the challenge wants another."""

    kind = "solver.authority-denied"
