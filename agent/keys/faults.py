"""What the exceptions of python-pkcs11 mean to us; the only translator.

It knows which return values can mean that our sessions are gone. It does not act on
that: `agent.keys.token` does.
"""

from typing import Final

import pkcs11

from agent.errors import AgentError
from agent.keys.errors import (
    KeyMissingError,
    MechanismError,
    ModuleError,
    TokenAbsentError,
)

GONE: Final = (
    pkcs11.exceptions.DeviceError,
    pkcs11.exceptions.DeviceRemoved,
    pkcs11.exceptions.SessionClosed,
    pkcs11.exceptions.SessionHandleInvalid,
    pkcs11.exceptions.SlotIDInvalid,
    pkcs11.exceptions.TokenNotPresent,
    pkcs11.exceptions.TokenNotRecognised,
)
"""The token or our session with it is gone; a PIN was not compared."""

_INCAPABLE: Final = (
    pkcs11.exceptions.FunctionNotSupported,
    pkcs11.exceptions.KeySizeRange,
    pkcs11.exceptions.KeyTypeInconsistent,
    pkcs11.exceptions.MechanismInvalid,
    pkcs11.exceptions.MechanismParamInvalid,
    pkcs11.exceptions.TokenWriteProtected,
)

_PLAIN: Final = (
    *_INCAPABLE,
    pkcs11.exceptions.AttributeReadOnly,
    pkcs11.exceptions.AttributeSensitive,
    pkcs11.exceptions.AttributeTypeInvalid,
    pkcs11.exceptions.AttributeValueInvalid,
    pkcs11.exceptions.DomainParamsInvalid,
    pkcs11.exceptions.TemplateIncomplete,
    pkcs11.exceptions.TemplateInconsistent,
)


def may_be_stale(error: pkcs11.PKCS11Error) -> bool:
    """Say whether fresh sessions could cure this return value.

    Modules word a lost session in many ways: SoftHSM2 says CKR_OBJECT_HANDLE_INVALID
    and CKR_GENERAL_ERROR when its directory goes, tpm2-pkcs11 CKR_GENERAL_ERROR when
    its resource manager restarts or has no slots left. So everything counts that is
    not plainly about the request itself.
    """
    return not isinstance(error, _PLAIN)


def translate(error: pkcs11.PKCS11Error, doing: str) -> AgentError:
    """Return our error for theirs; `doing` says what was attempted and where."""
    value = describe(error)
    if isinstance(error, GONE):
        return TokenAbsentError(f"{doing}: token is gone ({value})")
    if isinstance(
        error,
        (
            pkcs11.exceptions.KeyHandleInvalid,
            pkcs11.exceptions.ObjectHandleInvalid,
        ),
    ):
        return KeyMissingError(f"{doing}: key is gone ({value})")
    if isinstance(error, _INCAPABLE):
        return MechanismError(f"{doing}: token cannot do that ({value})")
    return ModuleError(f"{doing}: module answered {value}")


def describe(error: pkcs11.PKCS11Error) -> str:
    """Name a return value as python-pkcs11 does; unnamed ones by their text."""
    if type(error) is pkcs11.PKCS11Error:
        return str(error).lower().rstrip(".")
    return type(error).__name__
