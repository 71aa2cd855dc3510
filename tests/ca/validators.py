"""All challenge types of this CA, by what its configuration offers."""

import os

from tests.ca.config import Config
from tests.ca.deviceattest01 import DeviceAttest01
from tests.ca.dns01 import Dns01, DnsAccount01, Txt
from tests.ca.dnspersist01 import DnsPersist01
from tests.ca.tkauth01 import TkAuth01
from tests.ca.tlsalpn01 import TlsAlpn01
from tests.ca.validation import Http01, Validator


def make_validators(config: Config) -> dict[str, Validator]:
    """Return a validator for each type that is offered; http-01 always is."""
    within = config.validation_timeout
    found: dict[str, Validator] = {
        "http-01": Http01(config.resolve, within, os.urandom)
    }
    if config.tls_alpn is not None:
        found["tls-alpn-01"] = TlsAlpn01(config.tls_alpn, within, os.urandom)
    if config.token_authorities:
        found["tkauth-01"] = TkAuth01(
            config.token_authorities, config.authority_hint, os.urandom, config.now
        )
    if config.device_makers:
        found["device-attest-01"] = DeviceAttest01(
            config.device_makers, os.urandom, config.now
        )
    if config.dns is not None:
        found |= _by_dns(config, Txt(config.dns, within))
    return found


def _by_dns(config: Config, txt: Txt) -> dict[str, Validator]:
    known: dict[str, Validator] = {
        "dns-01": Dns01(txt, os.urandom),
        "dns-account-01": DnsAccount01(txt, os.urandom),
        "dns-persist-01": DnsPersist01(txt, config.issuer_names, config.now),
    }
    return {kind: known[kind] for kind in config.dns_types}
