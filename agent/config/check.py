"""What a well-typed tree must still satisfy: references, exclusions, combinations."""

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence

from agent.config.dns import dns_problems
from agent.config.model import (
    Account,
    Ca,
    Certificate,
    Config,
    Endpoint,
    Key,
    Reload,
    Token,
    Verify,
)
from agent.config.units import LONGEST, duration
from agent.pki.uri import UriError, object_uri, token_uri
from agent.records.keys import FILE_STORE

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
MAX_NAME = 253


def problems(config: Config) -> list[str]:
    """Return one clause for every rule that the tree breaks, in its order."""
    return list(_problems(config))


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


def _problems(config: Config) -> Iterator[str]:
    yield from _agent(config)
    if FILE_STORE in config.token:
        yield f"token.{FILE_STORE}: this name is taken by software keys"
    if config.dns01 is not None:
        yield from dns_problems(config.dns01)
    for name, token in config.token.items():
        yield from _token(f"token.{name}", token)
    for name, ca in config.ca.items():
        yield from _authority(f"ca.{name}", ca)
    for name, account in config.account.items():
        yield from _account(config, f"account.{name}", account)
    for name, certificate in config.certificate.items():
        yield from _certificate(config, f"certificate.{name}", certificate)
    yield from _adopted_twice(config)


def _agent(config: Config) -> Iterator[str]:
    if config.agent.health and not _is_address(config.agent.health):
        yield "agent.health: not an address with a port"
    for address in config.http01.listen:
        if address != "systemd" and not _is_address(address):
            yield f"http-01.listen: {address} is not an address with a port"
    if not config.http01.listen and config.http01.webroot is None:
        yield "http-01: give an address to listen on, or a webroot"
    for field in ("state", "runtime"):
        if not getattr(config.agent, field).startswith("/"):
            yield f"agent.{field}: not an absolute path"


def _authority(path: str, ca: Ca) -> Iterator[str]:
    yield from _positive(f"{path}.timeout", ca.timeout)
    if not re.match(r"https://[^\s/?#@]+", ca.directory):
        yield f"{path}.directory: names no host"


def _account(config: Config, path: str, account: Account) -> Iterator[str]:
    yield from _known(f"{path}.ca", account.ca, config.ca)
    yield from _key(config, f"{path}.key", account.key)
    for contact in account.contact:
        if not re.fullmatch(r"[a-z][a-z0-9+.-]*:[^\s?]+", contact):
            yield f"{path}.contact: {contact} is not a url such as mailto:ops@example"


def _key(config: Config, path: str, key: Key) -> Iterator[str]:
    if (key.token is None) == (not key.file):
        yield f'{path}: say either token = "NAME" or file = true'
    if key.token is not None:
        yield from _known(f"{path}.token", key.token, config.token)
    if key.adopt is not None:
        yield from _adopt(f"{path}.adopt", key)


def _adopt(path: str, key: Key) -> Iterator[str]:
    if key.token is None:
        yield f"{path}: only a key in a token can be adopted"
    try:
        if key.adopt is not None and object_uri(key.adopt).id is None:
            yield f"{path}: name the key by its id, such as pkcs11:id=%01%AB"
    except UriError as error:
        yield f"{path}: {error}"


def _token(path: str, token: Token) -> Iterator[str]:
    yield from _positive(f"{path}.deadline", token.deadline)
    yield from _bounded(f"{path}.hung_limit", token.hung_limit)
    try:
        token_uri(token.token)
    except UriError as error:
        yield f"{path}.token: {error}"


def _certificate(config: Config, path: str, certificate: Certificate) -> Iterator[str]:
    yield from _names(path, certificate.names, certificate.challenge)
    yield from _dns01(config, path, certificate)
    yield from _key(config, f"{path}.key", certificate.key)
    yield from _ca(config, path, certificate)
    yield from _bounded(f"{path}.grace", certificate.grace)
    if certificate.key.adopt is not None and certificate.key.rotate != "never":
        yield f'{path}.key.adopt: an adopted key needs rotate = "never"'
    names = [endpoint.name for endpoint in certificate.endpoint]
    if len(set(names)) != len(names):
        yield f"{path}.endpoint: give each endpoint a name of its own"
    for index, endpoint in enumerate(certificate.endpoint):
        yield from _endpoint(f"{path}.endpoint[{index}]", certificate, endpoint)


def _adopted_twice(config: Config) -> Iterator[str]:
    """An account's key belongs to it alone (RFC 8555 section 11.1)."""
    users: dict[tuple[str | None, str], str] = {}
    for name, account in config.account.items():
        if (adopt := account.key.adopt) is not None:
            path = f"account.{name}.key.adopt"
            other = users.setdefault((account.key.token, adopt), path)
            if other != path:
                yield f"{path}: is the key of {other}"
    for name, certificate in config.certificate.items():
        key = certificate.key
        if key.adopt is not None and (key.token, key.adopt) in users:
            path = f"certificate.{name}.key.adopt"
            yield f"{path}: is the key of {users[key.token, key.adopt]}"


def _ca(config: Config, path: str, certificate: Certificate) -> Iterator[str]:
    if not isinstance(certificate.ca, str) and len(certificate.ca) > 1:
        yield f"{path}.ca: several cas are reserved for a later version"
        return
    ca = ca_of(certificate)
    yield from _known(f"{path}.ca", ca, config.ca)
    if certificate.account is not None:
        yield from _known(f"{path}.account", certificate.account, config.account)
        account = config.account.get(certificate.account)
        if account is not None and account.ca != ca:
            yield f"{path}.account: {certificate.account} is an account of {account.ca}"
    elif sum(account.ca == ca for account in config.account.values()) != 1:
        yield f"{path}.account: name one, {ca} does not have exactly one account"


def _dns01(config: Config, path: str, certificate: Certificate) -> Iterator[str]:
    if certificate.challenge != "dns-01":
        return
    if config.dns01 is None:
        yield f"{path}.challenge: dns-01 needs a table [dns-01]"
    for name in certificate.names:
        if len(name.removeprefix("*.")) > MAX_NAME - len("_acme-challenge."):
            yield f"{path}.names: {name} is too long for a record of dns-01"
    for index, endpoint in enumerate(certificate.endpoint):
        verify = endpoint.verify
        if verify and not verify.server_name and server_name(certificate) is None:
            where = f"{path}.endpoint[{index}].verify.server_name"
            yield f"{where}: name one, the certificate has only wildcards"


def _names(path: str, names: Sequence[str], challenge: str) -> Iterator[str]:
    if len(set(names)) != len(names):
        yield f"{path}.names: a name stands twice"
    for given in names:
        name = given.removeprefix("*.") if challenge == "dns-01" else given
        if name.startswith("*."):
            yield f"{path}.names: {name} is a wildcard, which {challenge} cannot prove"
        elif _is_ip(name):
            yield f"{path}.names: {name} is an address; this version orders dns names"
        elif not _is_dns(name):
            yield f"{path}.names: {name} is not a lower-case dns name in a-labels"


def _endpoint(path: str, certificate: Certificate, endpoint: Endpoint) -> Iterator[str]:
    if endpoint.reload is not None:
        yield from _reload(f"{path}.reload", endpoint.reload)
    if endpoint.verify is not None:
        yield from _verify(f"{path}.verify", endpoint.verify)
    if endpoint.key_reference == "fixed-uri" and certificate.key.rotate != "never":
        yield f'{path}.key_reference: fixed-uri needs key.rotate = "never"'
    if endpoint.template != "nginx" and certificate.key.file:
        yield f"{path}.template: {endpoint.template} is for keys in a token"


def _verify(path: str, verify: Verify) -> Iterator[str]:
    yield from _positive(f"{path}.within", verify.within)
    if verify.server_name is not None and not _is_dns(verify.server_name.lower()):
        yield f"{path}.server_name: {verify.server_name} is not a dns name"
    if not verify.addresses:
        yield f"{path}.connect: name at least one address"
    for address in verify.addresses:
        if not _is_target(address):
            yield f"{path}.connect: {address} has no host and port"


def _reload(path: str, reload: Reload) -> Iterator[str]:
    if (reload.unit is None) == (reload.pidfile is None):
        yield f'{path}: say either unit = "NAME.service" or pidfile = "/PATH"'
    if reload.pidfile is not None and reload.verb == "reload":
        yield f"{path}.verb: a process known by its pidfile can only be signalled"


def _known(path: str, name: str, table: object) -> Iterator[str]:
    if isinstance(table, dict) and name not in table:
        known = ", ".join(table) or "none is configured"
        yield f"{path}: there is no {name}; known: {known}"


def _positive(path: str, text: str) -> Iterator[str]:
    if not duration(text):
        yield f"{path}: must be longer than nothing"
    yield from _bounded(path, text)


def _bounded(path: str, text: str) -> Iterator[str]:
    if duration(text) >= LONGEST:
        yield f"{path}: must be shorter than a century"


def _is_dns(name: str) -> bool:
    labels = name.split(".")
    return len(name) <= MAX_NAME and all(_LABEL.fullmatch(label) for label in labels)


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    bracketed = re.fullmatch(r"\[(.*:.*)\]", host)
    literal = bracketed.group(1) if bracketed else host
    return _is_ip(literal) and (":" in host) == bool(bracketed) and _is_port(port)


def _is_target(text: str) -> bool:
    host, _, port = text.rpartition(":")
    plain = not re.search(r"[\s\[\]:]", host) and host
    return bool(_is_address(text) or plain) and _is_port(port)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) < 1 << 16


def _is_ip(text: str) -> bool:
    return _parses(ipaddress.ip_address, text)


def _parses(parser: Callable[[str], object], text: str) -> bool:
    try:
        parser(text)
    except ValueError:
        return False
    return True
