"""What a bundle amounts to. It loads little: every daemon has these types in memory."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

from agent.config.overlay import Overlay

SCHEME: Final = "bootstrap:"
"""How a reference to a secret of the bundle in force begins."""


class Use(Enum):
    """What a secret is for, and so what it must be."""

    MAC = "base64url"
    KEY = "the private key of its certificate, pem without a passphrase"
    BEARER = "one line of printable ascii"


class Secret(NamedTuple):
    """A secret of a bundle, still encrypted.

    Attributes:
        sealed: The JWE.
        use: What it is for.
        public: The key that a private one must belong to, SubjectPublicKeyInfo, DER.
    """

    sealed: str
    use: Use
    public: bytes = b""


@dataclass(frozen=True, slots=True)
class Made:
    """What a bundle amounts to.

    Attributes:
        overlay: Its tables.
        files: Public texts by their file name, PEM.
        secrets: Secrets by their path in the bundle.
    """

    overlay: Overlay
    files: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, Secret] = field(default_factory=dict)
