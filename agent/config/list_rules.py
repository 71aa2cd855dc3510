"""Lists of trusted roots and who follows them: what is refused."""

from collections.abc import Iterator

from agent.config.model import Certificate, Config
from agent.config.rules import known
from agent.config.trust import list_of, trust_problems


def list_problems(config: Config) -> Iterator[str]:
    """Yield a clause for every rule that a list or a follower breaks."""
    for name, trust in config.trust.items():
        yield from trust_problems(f"trust.{name}", trust)
        if f"trust-{name}" in config.certificate:
            yield f"certificate.trust-{name}: this name is taken by trust.{name}"
    for name, ca in config.ca.items():
        for field in ("roots", "chain_roots"):
            followed = list_of(getattr(ca, field))
            if followed is not None:
                yield from known(f"ca.{name}.{field}", followed, config.trust)
    for name, certificate in config.certificate.items():
        yield from _certificate(config, f"certificate.{name}", certificate)


def _certificate(config: Config, path: str, certificate: Certificate) -> Iterator[str]:
    if len(set(certificate.trust)) != len(certificate.trust):
        yield f"{path}.trust: a list stands twice"
    for name in certificate.trust:
        yield from known(f"{path}.trust", name, config.trust)
    for index, endpoint in enumerate(certificate.endpoint):
        where = f"{path}.endpoint[{index}].verify_peers"
        if endpoint.verify_peers and not certificate.trust:
            yield f"{where}: name the lists of their roots in {path}.trust"
        if endpoint.verify_peers and endpoint.key_reference != "snippet":
            yield f'{where}: stands in the snippet, needs key_reference = "snippet"'
