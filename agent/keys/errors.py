"""What can go wrong with keys and tokens."""

from agent.errors import AgentError


class TokenError(AgentError):
    """Base of what a token or its module can do to us."""

    kind = "token"


class TokenAbsentError(TokenError):
    """No token matches, or it was removed: comes back by itself."""

    kind = "token.absent"


class TokenHungError(TokenError):
    """A call into the module did not return within its deadline."""

    kind = "token.hung"


class PinRefusedError(TokenError):
    """The PIN is wrong; it is not tried again until it changes."""

    kind = "token.pin-refused"


class PinLockedError(TokenError):
    """The token has locked the PIN; only its security officer can unlock it."""

    kind = "token.pin-locked"


class PinMissingError(TokenError):
    """The secret that the configuration refers to cannot be read."""

    kind = "token.pin-missing"


class PinUnprovenError(TokenError):
    """A PIN is needed beside the token's module, and no login has shown it right."""

    kind = "token.pin-unproven"


class MechanismError(TokenError):
    """The token cannot do what was asked: key type, template or mechanism."""

    kind = "token.mechanism"


class KeyPolicyError(TokenError):
    """A generated key is not what was demanded (extractable, not local ...)."""

    kind = "token.key-policy"


class KeyMissingError(TokenError):
    """The token is there, the key is not."""

    kind = "token.key-missing"


class AmbiguousError(TokenError):
    """More than one token or key matches: the configuration must say which."""

    kind = "token.ambiguous"


class ModuleError(TokenError):
    """The module answered with a return value that we have no better name for."""

    kind = "token.module"
