"""What a solver is asked to present, with an account and a key of its own."""

from agent.acme.identifiers import identifier
from agent.ports import KeySigner, Presentation

ACCOUNT_URL = "https://example.com/acme/acct/ExampleAccount"
"""The account of the example in draft-ietf-acme-dns-account-label."""
THUMBPRINT = "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"


async def _sign(data: bytes) -> bytes:
    return data[::-1]


def presented(
    name: str,
    token: str = "",
    authorization: str = "",
    *,
    wildcard: bool = False,
    issuers: tuple[str, ...] = (),
) -> Presentation:
    """Return a presentation for a name or an address."""
    return Presentation(
        identifier=identifier(name),
        wildcard=wildcard,
        token=token,
        key_authorization=authorization,
        issuers=issuers,
        account_url=ACCOUNT_URL,
        thumbprint=THUMBPRINT,
        certificate_key=KeySigner(b"public", _sign),
    )
