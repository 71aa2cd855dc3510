"""What can go wrong when an endpoint is told."""

from agent.errors import AgentError


class EndpointError(AgentError):
    """Base of what telling an endpoint can run into."""

    kind = "endpoint"


class EndpointDownError(EndpointError):
    """The endpoint is not running: it is awaited, not failed."""

    kind = "endpoint.down"


class EndpointDeafError(EndpointError):
    """The process does not handle the signal and would die of it: not sent."""

    kind = "endpoint.deaf"


class EndpointDeniedError(EndpointError):
    """We may not tell it: polkit, missing drop-in, or an identity that does not fit."""

    kind = "endpoint.denied"


class EndpointFailedError(EndpointError):
    """It was told and answered with a failure, such as a failed reload job."""

    kind = "endpoint.failed"


class EndpointAddressError(EndpointError):
    """An address or server name of `verify` cannot be asked: configuration is wrong."""

    kind = "endpoint.address"
