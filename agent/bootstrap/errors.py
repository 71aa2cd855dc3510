"""Why a bootstrap bundle is not taken; what is in force stays in force."""

from agent.errors import AgentError


class BootstrapError(AgentError):
    """Base of everything that a bundle can be refused for."""

    kind = "bootstrap"


class UnwantedError(BootstrapError):
    """The configuration has no table `[bootstrap]`: nobody may hand us a bundle."""

    kind = "bootstrap.unwanted"


class FormatError(BootstrapError):
    """What was handed over is no bundle of the documented form."""

    kind = "bootstrap.format"


class SignatureError(BootstrapError):
    """The bundle is not signed by a signer that is known beforehand."""

    kind = "bootstrap.signature"


class InstanceError(BootstrapError):
    """The bundle is for another host."""

    kind = "bootstrap.instance"


class ExpiredError(BootstrapError):
    """The bundle has expired."""

    kind = "bootstrap.expired"


class EarlyError(BootstrapError):
    """The bundle is not valid yet; more likely the clock is wrong."""

    kind = "bootstrap.early"


class ClockError(BootstrapError):
    """The clock may not be believed, so nobody can say whether a bundle is valid."""

    kind = "bootstrap.clock"


class RollbackError(BootstrapError):
    """The bundle is older than the one in force, or another one of its number."""

    kind = "bootstrap.rollback"


class SecretError(BootstrapError):
    """A secret in the bundle is not for this host, or not what it should be."""

    kind = "bootstrap.secret"
