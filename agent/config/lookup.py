"""What a checked configuration refers to: names resolved to tables."""

from agent.config.model import Certificate, Config


def ca_of(certificate: Certificate) -> str:
    """Return the name of the CA that a certificate is ordered from."""
    return certificate.ca if isinstance(certificate.ca, str) else certificate.ca[0]


def account_of(config: Config, certificate: Certificate) -> str:
    """Return the name of the account that orders a certificate.

    Raises:
        LookupError: None is named and the CA has not exactly one account.
    """
    if certificate.account is not None:
        return certificate.account
    ca = ca_of(certificate)
    names = [name for name, account in config.account.items() if account.ca == ca]
    if len(names) != 1:
        raise LookupError(ca)
    return names[0]


def server_name(certificate: Certificate) -> str | None:
    """Return the name that endpoints are asked for; None where all are wildcards."""
    return next((n for n in certificate.names if not n.startswith("*.")), None)
