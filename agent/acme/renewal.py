"""The renewalInfo resource (RFC 9773 section 4.2) as it comes over the wire."""

from typing import Final

import msgspec

from agent.acme.messages import Instant

MAX_EXPLANATION: Final = 2048
"""Characters of an explanation's URL; a longer one is left out."""


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The suggested window; both ends belong to it."""

    start: Instant
    end: Instant


class RenewalInfo(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the CA suggests.

    Attributes:
        suggested_window: When it would like the certificate to be renewed.
        explanation: The explanation's URL as it came; not worth refusing a window for.
    """

    suggested_window: Window
    explanation: object = msgspec.field(name="explanationURL", default=None)

    @property
    def explanation_url(self) -> str:
        """Return the URL for the operator; empty where there is no usable one."""
        url = self.explanation
        if not isinstance(url, str) or not url.startswith(("https://", "http://")):
            return ""
        usable = len(url) <= MAX_EXPLANATION and url.isascii() and url.isprintable()
        return url if usable and " " not in url else ""


def renewal_url(base: str, certid: str) -> str:
    """Return where renewal information is asked for (section 4.1).

    A slash at the end of the base would make an empty path segment.
    """
    return f"{base.rstrip('/')}/{certid}"
