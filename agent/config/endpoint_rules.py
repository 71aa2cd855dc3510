"""What the tables of endpoints must satisfy."""

from collections.abc import Iterator

from agent.config.endpoints import Endpoint, Reload, Verify
from agent.config.model import Certificate
from agent.config.rules import is_dns, is_target, positive


def endpoint_problems(
    path: str, certificate: Certificate, endpoint: Endpoint
) -> Iterator[str]:
    """Yield one clause for every rule that an endpoint's table breaks."""
    if endpoint.reload is not None:
        yield from _reload(f"{path}.reload", endpoint.reload)
    if endpoint.verify is not None:
        yield from _verify(f"{path}.verify", endpoint.verify)
    if endpoint.key_reference == "fixed-uri" and certificate.key.rotate != "never":
        yield f'{path}.key_reference: fixed-uri needs key.rotate = "never"'
    if endpoint.template != "nginx" and certificate.key.file:
        yield f"{path}.template: {endpoint.template} is for keys in a token"


def _verify(path: str, verify: Verify) -> Iterator[str]:
    yield from positive(f"{path}.within", verify.within)
    if verify.server_name is not None and not is_dns(verify.server_name.lower()):
        yield f"{path}.server_name: {verify.server_name} is not a dns name"
    if not verify.addresses:
        yield f"{path}.connect: name at least one address"
    for address in verify.addresses:
        if not is_target(address):
            yield f"{path}.connect: {address} has no host and port"


def _reload(path: str, reload: Reload) -> Iterator[str]:
    if (reload.unit is None) == (reload.pidfile is None):
        yield f'{path}: say either unit = "NAME.service" or pidfile = "/PATH"'
    if reload.pidfile is not None and reload.verb == "reload":
        yield f"{path}.verb: a process known by its pidfile can only be signalled"
