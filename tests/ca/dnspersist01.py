"""Validation of dns-persist-01 for real (draft-ietf-acme-dns-persist).

Knows what a standing record must say: who issues, for which account, for what, and
until when. Asks the same server as dns-01.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from tests.ca.dns01 import Txt
from tests.ca.identifiers import Identifier
from tests.ca.problems import Problem, refusal
from tests.ca.validation import Proof


class DnsPersist01:
    """Looks for a record that permits the account; it has no token."""

    def __init__(
        self, txt: Txt, issuers: tuple[str, ...], now: Callable[[], datetime]
    ) -> None:
        """Keep the way to records, our names, and the time."""
        self._txt = txt
        self._issuers = issuers
        self._now = now

    def offer(self, identifier: Identifier) -> Mapping[str, object] | None:
        """Offer our names, for names and wildcards."""
        if identifier.type != "dns":
            return None
        return {"issuer-domain-names": list(self._issuers)}

    def check(self, payload: Mapping[str, object]) -> None:
        """Refuse anything but the empty object."""
        if payload:
            raise refusal("malformed", "the response is an empty object")

    async def validate(self, proof: Proof) -> Problem | None:
        """Look for one value that is good."""
        name = f"_validation-persist.{proof.identifier.base.value}."
        found = await self._txt.values(name)
        if isinstance(found, str):
            return Problem(type="dns", detail=found, status=400)
        if any(self._is_good(value, proof) for value in found):
            return None
        detail = f"none of {len(found)} values at {name} permits the account"
        return Problem(type="unauthorized", detail=detail, status=403)

    def _is_good(self, value: str, proof: Proof) -> bool:
        issuer, *parameters = (part.strip() for part in value.split(";"))
        pairs = [part.partition("=") for part in parameters]
        tags = [tag.strip().lower() for tag, _, _ in pairs]
        said = dict(zip(tags, (v.strip() for _, _, v in pairs), strict=True))
        if issuer.lower() not in self._issuers or len(said) != len(pairs):
            return False
        wildcard = said.get("policy", "").lower() == "wildcard"
        ends = said.get("persistuntil", "")
        return (
            said.get("accounturi") == proof.account_url
            and (wildcard or not proof.identifier.wildcard)
            and (not ends or (ends.isdecimal() and self._now().timestamp() < int(ends)))
        )
