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


class TokenSyntaxError(SolverError):
    """The CA's token has characters that RFC 8555 section 8.3 does not allow."""

    kind = "solver.token-syntax"


class SelfCheckError(SolverError):
    """We do not get from ourselves what the CA is to get from us."""

    kind = "solver.self-check"
