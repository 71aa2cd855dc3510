"""What a well-typed tree must still satisfy: references, exclusions, combinations."""

import re
from collections.abc import Collection, Iterator, Sequence

from agent.config.authorities import Account, Ca
from agent.config.authority_rules import attested_problems, authority_problems
from agent.config.challenges import PROVES
from agent.config.dns import dns_problems, persist_problems
from agent.config.endpoint_rules import endpoint_problems
from agent.config.hook import hook_problems
from agent.config.list_rules import list_problems
from agent.config.lookup import accounts_at, cas_of, named_accounts, server_name
from agent.config.model import Certificate, Config
from agent.config.names import name_problems
from agent.config.nf_rules import nf_problems
from agent.config.rules import (
    bounded,
    is_address,
    known,
    networks,
    positive,
)
from agent.config.star import star_problems
from agent.config.tokens import Key, Token
from agent.pki.uri import UriError, object_uri, token_uri
from agent.records.keys import FILE_STORE


def problems(config: Config) -> list[str]:
    """Return one clause for every rule that the tree breaks, in its order."""
    return list(_problems(config))


def _problems(config: Config) -> Iterator[str]:
    yield from _agent(config)
    yield from positive("audit.checkpoint", config.audit.checkpoint)
    if config.audit.key is not None:
        yield from _key(config, "audit.key", config.audit.key)
    yield from _bootstrap(config)
    if FILE_STORE in config.token:
        yield f"token.{FILE_STORE}: this name is taken by software keys"
    if config.dns01 is not None:
        yield from dns_problems(config.dns01)
    yield from persist_problems(config.dnspersist01, config.dns01)
    for name, token in config.token.items():
        yield from _token(f"token.{name}", token)
    for name, ca in config.ca.items():
        yield from _authority(f"ca.{name}", ca)
    yield from _authorities(config)
    for name, account in config.account.items():
        yield from _account(config, f"account.{name}", account)
    yield from list_problems(config)
    for name, certificate in config.certificate.items():
        yield from _certificate(config, f"certificate.{name}", certificate)
    yield from _adopted_twice(config)
    yield from nf_problems(config)
    yield from _hooks(config)


def _bootstrap(config: Config) -> Iterator[str]:
    table = config.bootstrap
    if table is not None and table.account_key is not None:
        yield from _key(config, "bootstrap.account_key", table.account_key)


def _authorities(config: Config) -> Iterator[str]:
    for name, table in config.token_authority.items():
        yield from authority_problems(f"token-authority.{name}", table)


def _hooks(config: Config) -> Iterator[str]:
    for name, hook in config.hook.items():
        yield from hook_problems(f"hook.{name}", hook)
        if config.bootstrap is not None:
            # What it names may come with the bundle, or wait for it.
            continue
        for certificate in hook.certificates:
            yield from known(
                f"hook.{name}.certificates", certificate, config.certificate
            )
        for nf in hook.nfs:
            yield from known(f"hook.{name}.nfs", nf, config.nf)


def _agent(config: Config) -> Iterator[str]:
    if config.agent.health and not is_address(config.agent.health):
        yield "agent.health: not an address with a port"
    yield from _listen("http-01", config.http01.listen)
    yield from _listen("tls-alpn-01", config.tlsalpn01.listen)
    if not config.tlsalpn01.listen:
        yield "tls-alpn-01: give an address to listen on"
    if not config.http01.listen and config.http01.webroot is None:
        yield "http-01: give an address to listen on, or a webroot"
    for field in ("state", "runtime"):
        if not getattr(config.agent, field).startswith("/"):
            yield f"agent.{field}: not an absolute path"


def _listen(table: str, addresses: Sequence[str]) -> Iterator[str]:
    for address in addresses:
        if address != "systemd" and not is_address(address):
            yield f"{table}.listen: {address} is not an address with a port"


def _authority(path: str, ca: Ca) -> Iterator[str]:
    yield from positive(f"{path}.timeout", ca.timeout)
    if not re.match(r"https://[^\s/?#@]+", ca.directory):
        yield f"{path}.directory: names no host"
    if ca.client is not None and ca.client.key.startswith("pkcs11:"):
        yield (
            f"{path}.client.key: this python cannot use a key in a token for tls; "
            "give it as credential:NAME or file:/path"
        )


def _account(config: Config, path: str, account: Account) -> Iterator[str]:
    yield from known(f"{path}.ca", account.ca, config.ca)
    yield from _key(config, f"{path}.key", account.key)
    yield from bounded(f"{path}.grace", account.grace)
    if account.key.rotate != "never":
        yield from positive(f"{path}.key.rotate", account.key.rotate)
        if account.key.adopt is not None:
            yield f'{path}.key.adopt: an adopted key needs rotate = "never"'
    for contact in account.contact:
        # Neither header fields nor a second address (RFC 8555 section 7.3).
        if not re.fullmatch(r"[a-z][a-z0-9+.-]*:[^\s?,]+", contact):
            yield f"{path}.contact: {contact} is not a url such as mailto:ops@example"


def _key(config: Config, path: str, key: Key) -> Iterator[str]:
    if (key.token is None) == (not key.file):
        yield f'{path}: say either token = "NAME" or file = true'
    if key.token is not None:
        yield from known(f"{path}.token", key.token, config.token)
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
    yield from positive(f"{path}.deadline", token.deadline)
    yield from bounded(f"{path}.hung_limit", token.hung_limit)
    try:
        token_uri(token.token)
    except UriError as error:
        yield f"{path}.token: {error}"


def waiting_problems(config: Config, names: Collection[str]) -> list[str]:
    """Return what is wrong with certificates whose other tables are still to come.

    Args:
        config: The tree of the files.
        names: Those certificates.
    """
    return [
        clause
        for name in names
        for clause in _own(config, f"certificate.{name}", config.certificate[name])
    ]


def _certificate(config: Config, path: str, certificate: Certificate) -> Iterator[str]:
    yield from attested_problems(config, path, certificate)
    yield from _ca(config, path, certificate)
    yield from _own(config, path, certificate)


def _own(config: Config, path: str, certificate: Certificate) -> Iterator[str]:
    """Yield a clause for every rule that a table breaks by what the host says."""
    yield from name_problems(f"{path}.names", certificate)
    yield from _dns01(config, path, certificate)
    yield from _server_names(path, certificate)
    yield from _key(config, f"{path}.key", certificate.key)
    yield from bounded(f"{path}.grace", certificate.grace)
    if certificate.star is not None:
        yield from star_problems(f"{path}.star", certificate.star)
        if certificate.deploy == "manual":
            yield f'{path}.star: nobody can release each of them, say deploy = "auto"'
    yield from networks(f"{path}.status.allow", certificate.status.allow)
    if certificate.key.adopt is not None and certificate.key.rotate != "never":
        yield f'{path}.key.adopt: an adopted key needs rotate = "never"'
    yield from _stapled(path, certificate)
    names = [endpoint.name for endpoint in certificate.endpoint]
    if len(set(names)) != len(names):
        yield f"{path}.endpoint: give each endpoint a name of its own"
    for index, endpoint in enumerate(certificate.endpoint):
        yield from endpoint_problems(f"{path}.endpoint[{index}]", certificate, endpoint)


def _stapled(path: str, certificate: Certificate) -> Iterator[str]:
    """A certificate that demands stapling breaks every endpoint that does not."""
    if not certificate.must_staple:
        return
    if not certificate.endpoint:
        yield f"{path}.must_staple: name the endpoints, each with staple = true"
    for index, endpoint in enumerate(certificate.endpoint):
        if not endpoint.staple:
            yield (
                f"{path}.must_staple: endpoint[{index}] is not declared to staple, "
                "clients would refuse it; say staple = true once it does"
            )


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
    cas = cas_of(certificate)
    if len(set(cas)) != len(cas):
        yield f"{path}.ca: a ca stands twice"
    for ca in cas:
        yield from known(f"{path}.ca", ca, config.ca)
    owners = {name: account.ca for name, account in config.account.items()}
    for account in named_accounts(certificate):
        yield from known(f"{path}.account", account, config.account)
        if account in owners and owners[account] not in cas:
            yield f"{path}.account: {account} is an account of {owners[account]}"
    for ca in cas:
        if ca in config.ca and len(accounts_at(config, certificate, ca)) != 1:
            yield f"{path}.account: name one, {ca} does not have exactly one account"


def _dns01(config: Config, path: str, certificate: Certificate) -> Iterator[str]:
    needs = certificate.challenge in {"dns-01", "dns-account-01"}
    if needs and config.dns01 is None:
        yield f"{path}.challenge: {certificate.challenge} needs a table [dns-01]"


def _server_names(path: str, certificate: Certificate) -> Iterator[str]:
    if not PROVES[certificate.challenge].wildcards:
        return
    for index, endpoint in enumerate(certificate.endpoint):
        verify = endpoint.verify
        nameless = certificate.names and server_name(certificate) is None
        if verify and not verify.server_name and nameless:
            where = f"{path}.endpoint[{index}].verify.server_name"
            yield f"{where}: name one, the certificate has only wildcards"
