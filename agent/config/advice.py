"""What a valid configuration would do better: advice, never a refusal."""

from collections.abc import Iterator

from agent.config.endpoints import Endpoint
from agent.config.lookup import cas_of, trusted_by_peers
from agent.config.model import Certificate, Config
from agent.config.nf_advice import nf_advice


def advice(config: Config) -> list[str]:
    """Return one clause for everything that is allowed and not recommended."""
    return [*_tokens(config), *_certificates(config), *nf_advice(config)]


def _tokens(config: Config) -> Iterator[str]:
    """Account keys and certificate keys are better apart.

    Whoever can use a certificate's key in a token can use the account's key as well,
    and with it order certificates for every name of the account.
    """
    accounts = {a.key.token for a in config.account.values() if a.key.token}
    served = {c.key.token for c in config.certificate.values() if c.key.token}
    for token in sorted(accounts & served):
        yield (
            f"token.{token}: holds account keys and certificate keys; "
            "whoever serves with it can also order, a second token keeps them apart"
        )


def _certificates(config: Config) -> Iterator[str]:
    for name, certificate in config.certificate.items():
        for ca in cas_of(certificate):
            if not trusted_by_peers(config, certificate, ca):
                yield (
                    f"certificate.{name}.ca: {ca} never stands in, since nothing says "
                    f"that peers trust its anchors; see ca.{ca}.trusted_by_peers"
                )
        if certificate.tn_auth_list and certificate.challenge != "tkauth-01":
            yield (
                f"certificate.{name}.challenge: {certificate.challenge} does not prove "
                "a TNAuthList, the ca must have it authorized beforehand"
            )
        for index, endpoint in enumerate(certificate.endpoint):
            path = f"certificate.{name}.endpoint[{index}]"
            yield from _endpoint(path, certificate, endpoint)


def _endpoint(path: str, certificate: Certificate, endpoint: Endpoint) -> Iterator[str]:
    if endpoint.verify is None:
        yield (
            f"{path}: without verify nobody sees what is served, and old keys are kept "
            "until their certificate ends"
        )
    reload = endpoint.reload
    if reload is not None and reload.pidfile is not None and reload.cgroup is None:
        yield (
            f"{path}.reload: without cgroup only the pidfile says which process is "
            "meant"
        )
    if certificate.key.token is not None and endpoint.pin_source is None:
        uses_uri = endpoint.template in {"nginx-engine", "nginx-store"}
        if uses_uri:
            yield f"{path}.pin_source: the endpoint is not told where its pin is"
