"""What the tables of token authorities, and the certificates that ask them, satisfy."""

from collections.abc import Iterator

from agent.config.model import Certificate, Config
from agent.config.rules import known, positive
from agent.config.token_authority import TokenAuthority, authority_of


def authority_problems(path: str, table: TokenAuthority) -> Iterator[str]:
    """Yield one clause for every rule that an authority's table breaks."""
    yield from positive(f"{path}.timeout", table.timeout)
    if (table.client is None) == (table.bearer is None):
        yield f'{path}: say either client = {{ ... }} or bearer = "credential:NAME"'
    if table.client is not None and table.client.key.startswith("pkcs11:"):
        yield (
            f"{path}.client.key: a key in a token needs OpenSSL's PKCS#11 provider, "
            "which this python cannot use; name a file by credential: or file:"
        )


def attested_problems(
    config: Config, path: str, certificate: Certificate
) -> Iterator[str]:
    """Yield one clause for every rule of tkauth-01 that a certificate breaks."""
    tables, named = config.token_authority, certificate.token_authority
    if named is not None:
        yield from known(f"{path}.token_authority", named, tables)
    if certificate.challenge != "tkauth-01":
        return
    if not tables:
        yield f"{path}.challenge: tkauth-01 needs a table [token-authority.NAME]"
    elif not authority_of(tables, named):
        several = ", ".join(tables)
        yield f"{path}.token_authority: name one, there are several: {several}"
