"""Configuration that endpoints include: fixed templates, strictly quoted.

A snippet is read by a server that starts as root, so nothing in it comes from outside
unchecked: paths and URIs are refused where they hold what the syntax gives a meaning.
"""

import re
from pathlib import Path
from typing import Final, Literal

from agent.errors import AgentError

Template = Literal["nginx", "nginx-engine", "nginx-store"]
_SAFE_PATH: Final = re.compile(r"/[A-Za-z0-9._@/-]+")
_SAFE_URI: Final = re.compile(r"(pkcs11:[A-Za-z0-9._~%:\[\]@!'()*+,=&;/?|-]+)?")


class SnippetError(AgentError):
    """A path or URI cannot be written into a configuration safely."""

    kind = "publication"


def snippet(
    template: Template, directory: Path, uri: str, *, verify_peers: bool = False
) -> bytes:
    """Return what an endpoint includes: absolute paths and the key's own id.

    One file is read by one open: certificate and key of one publication cannot be
    mixed up, which two opens through a `live` link can.

    Args:
        template: For which server, and how it reaches the key.
        directory: The publication's directory, not its link.
        uri: RFC 7512 URI of the key; empty for a software key.
        verify_peers: Whether peers need a certificate from the publication's trust.

    Raises:
        SnippetError: The path or the URI has characters that need quoting.
    """
    if not _SAFE_PATH.fullmatch(str(directory)):
        raise SnippetError(f"{directory} cannot be written into a configuration")
    if not _SAFE_URI.fullmatch(uri):
        raise SnippetError("the key's uri cannot be written into a configuration")
    key = {
        "nginx": f"{directory}/key.pem",
        "nginx-engine": f"engine:pkcs11:{uri}",
        "nginx-store": f"store:{uri}",
    }[template]
    text = (
        f"# Written by nfcertd; include it in a server block of nginx.\n"
        f"ssl_certificate {directory}/fullchain.pem;\n"
        f'ssl_certificate_key "{key}";\n'
    )
    if verify_peers:
        text += (
            f"ssl_client_certificate {directory}/trust.pem;\nssl_verify_client on;\n"
        )
    return text.encode("ascii")


def rejecting() -> bytes:
    """Return what an endpoint includes whose network function is decommissioned.

    Every handshake is refused with the alert `unrecognized_name`, and no key is named
    (nginx 1.19.4 or later).
    """
    return (
        b"# Written by nfcertd: the network function is decommissioned.\n"
        b"ssl_reject_handshake on;\n"
    )
