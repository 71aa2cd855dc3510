"""Anti-replay nonces (RFC 8555 6.5): issued here, each good for one request."""

import secrets
from collections import OrderedDict
from typing import Final

_KEPT: Final = 10_000


class Nonces:
    """The nonces that are out and not yet used."""

    def __init__(self) -> None:
        """Begin with none out."""
        self._out: OrderedDict[str, None] = OrderedDict()

    def issue(self) -> str:
        """Return a fresh nonce of 128 random bits."""
        nonce = secrets.token_urlsafe(16)
        self._out[nonce] = None
        while len(self._out) > _KEPT:
            self._out.popitem(last=False)
        return nonce

    def redeem(self, nonce: object) -> bool:
        """Use up a nonce; false when it was never issued, or was used before."""
        if not isinstance(nonce, str) or nonce not in self._out:
            return False
        del self._out[nonce]
        return True

    def forget(self) -> None:
        """Make every nonce that is out worthless, as a restarted CA does."""
        self._out.clear()
