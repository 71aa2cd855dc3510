"""What a checked configuration refers to: names resolved to tables."""

from agent.config.model import Certificate, Config


def cas_of(certificate: Certificate) -> tuple[str, ...]:
    """Return the names of a certificate's CAs: the first one, then its stand-ins."""
    return (certificate.ca,) if isinstance(certificate.ca, str) else certificate.ca


def named_accounts(certificate: Certificate) -> tuple[str, ...]:
    """Return the names of the accounts that a certificate's table names."""
    first = () if certificate.account is None else (certificate.account,)
    return (*first, *certificate.accounts)


def accounts_at(config: Config, certificate: Certificate, ca: str) -> tuple[str, ...]:
    """Return the accounts that could order a certificate from a CA: those named."""
    at_ca = [name for name, account in config.account.items() if account.ca == ca]
    named = [name for name in named_accounts(certificate) if name in at_ca]
    return tuple(named or at_ca)


def account_of(config: Config, certificate: Certificate, ca: str = "") -> str:
    """Return the name of the account that orders a certificate.

    Args:
        config: The whole tree.
        certificate: Its table.
        ca: One of its CAs; empty for the first.

    Raises:
        LookupError: None is named and the CA has not exactly one account.
    """
    asked = ca or cas_of(certificate)[0]
    names = accounts_at(config, certificate, asked)
    if len(names) != 1:
        raise LookupError(asked)
    return names[0]


def trusted_by_peers(config: Config, certificate: Certificate, ca: str) -> bool:
    """Tell whether the peers trust what a CA issues.

    The first CA is what the operator has chosen. Another one is trusted where its table
    says so, or where its chains end in the very anchors of the first.
    """
    first, table = config.ca[cas_of(certificate)[0]], config.ca[ca]
    same = (table.chain_roots or table.roots) == (first.chain_roots or first.roots)
    return table is first or table.trusted_by_peers or same


def server_name(certificate: Certificate) -> str | None:
    """Return the name that endpoints are asked for; None where all are wildcards."""
    return next((n for n in certificate.names if not n.startswith("*.")), None)
