"""The table of token authorities."""

from typing import Annotated

import msgspec

from agent.config.authorities import ClientIdentity
from agent.config.section import Section
from agent.config.units import Duration, SecretReference

Https = Annotated[str, msgspec.Meta(pattern=r"^https://[^\s?#@]+$", max_length=2048)]


class Obeyed(Section, frozen=True, kw_only=True):
    """`obey = [{ ... }]`: an authority that a challenge may name.

    Attributes:
        authority: As the challenge's `token-authority` has it, octet for octet.
        url: Where a token is asked for then.
    """

    authority: Https
    url: Https


class TokenAuthority(Section, frozen=True, kw_only=True):
    """`[token-authority.NAME]`: who attests identifiers (RFC 9447; OAM in TS 33.310).

    Attributes:
        url: Where a token is asked for; https only, the account at the authority in it.
        roots: PEM file of the anchors for its TLS.
        client: Our certificate toward it; this or `bearer`.
        bearer: Where the bearer credential is.
        wrap_atc: Post `{"atc": {...}}` as RFC 9447 describes, in place of the bare
            object of RFC 9448's example.
        reuse: Present a token again, until it ends, for the same identifier and key.
        obey: Authorities that a challenge's `token-authority` may name; any other is
            passed over.
        timeout: Longest time that one request may take.
    """

    url: Https
    roots: Annotated[str, msgspec.Meta(pattern="^/")]
    client: ClientIdentity | None = None
    bearer: SecretReference | None = None
    wrap_atc: bool = False
    reuse: bool = True
    obey: Annotated[tuple[Obeyed, ...], msgspec.Meta(max_length=32)] = ()
    timeout: Duration = "30s"

    def url_for(self, hint: str) -> str:
        """Return where a token is asked for, a challenge's hint obeyed if listed."""
        listed = (each.url for each in self.obey if each.authority == hint)
        return next(listed, self.url)


def authority_of(authorities: dict[str, TokenAuthority], named: str | None) -> str:
    """Return the name of the authority that is asked, empty where none is meant.

    Args:
        authorities: The tables.
        named: What the certificate names; None takes the only one there is.
    """
    if named is not None:
        return named
    return next(iter(authorities)) if len(authorities) == 1 else ""
