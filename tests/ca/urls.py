"""The paths of this CA: which URL names which resource, both ways."""

import re
from typing import Final

_ID: Final = r"([A-Za-z0-9_-]+)"
_ROUTES: Final = tuple(
    (resource, re.compile(pattern))
    for resource, pattern in (
        ("directory", "/directory"),
        ("newNonce", "/new-nonce"),
        ("newAccount", "/new-account"),
        ("newOrder", "/new-order"),
        ("revokeCert", "/revoke-cert"),
        ("keyChange", "/key-change"),
        ("account", f"/account/{_ID}"),
        ("orders", f"/account/{_ID}/orders"),
        ("order", f"/order/{_ID}"),
        ("finalize", f"/order/{_ID}/finalize"),
        ("authz", f"/authz/{_ID}"),
        ("challenge", f"/challenge/{_ID}"),
        ("renewalInfo", r"/renewal-info/([^/]*)"),
        ("starCertificate", f"/star/{_ID}"),
        ("certificate", f"/certificate/{_ID}(?:/([0-9]+))?"),
    )
)
RESOURCES: Final = frozenset(resource for resource, _ in _ROUTES)
UNKNOWN: Final = "unknown"


def route(path: str) -> tuple[str, tuple[str, ...]]:
    """Return the resource that a path names, and the identifiers in it."""
    for resource, pattern in _ROUTES:
        if match := pattern.fullmatch(path):
            return resource, tuple(part or "" for part in match.groups())
    return UNKNOWN, ()


class Urls:
    """The URLs that this CA hands out, below `base` (no slash at its end)."""

    def __init__(self, base: str) -> None:
        """Keep scheme and authority."""
        self.rebase(base)

    def rebase(self, base: str) -> None:
        """Move all URLs below another scheme and authority."""
        self.base = base
        self.directory = f"{base}/directory"
        self.new_nonce = f"{base}/new-nonce"
        self.new_account = f"{base}/new-account"
        self.new_order = f"{base}/new-order"
        self.revoke_cert = f"{base}/revoke-cert"
        self.key_change = f"{base}/key-change"
        self.renewal_info = f"{base}/renewal-info"

    def account(self, ident: str) -> str:
        """Return the URL that is also the `kid`."""
        return f"{self.base}/account/{ident}"

    def orders(self, ident: str) -> str:
        """Return the URL of an account's list of orders."""
        return f"{self.base}/account/{ident}/orders"

    def order(self, ident: str) -> str:
        """Return the URL of an order."""
        return f"{self.base}/order/{ident}"

    def finalize(self, ident: str) -> str:
        """Return the URL that takes the CSR of an order."""
        return f"{self.base}/order/{ident}/finalize"

    def authz(self, ident: str) -> str:
        """Return the URL of an authorization."""
        return f"{self.base}/authz/{ident}"

    def challenge(self, ident: str) -> str:
        """Return the URL of a challenge."""
        return f"{self.base}/challenge/{ident}"

    def star(self, ident: str) -> str:
        """Return the URL on which the certificates of a series follow each other."""
        return f"{self.base}/star/{ident}"

    def certificate(self, ident: str, chain: int = 0) -> str:
        """Return the URL of a chain; zero is the default one."""
        tail = f"/{chain}" if chain else ""
        return f"{self.base}/certificate/{ident}{tail}"
