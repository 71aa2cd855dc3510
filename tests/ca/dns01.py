"""Validation of dns-01 for real: TXT records of one DNS server (RFC 8555 8.4).

Knows queries, aliases and the digest that a record must hold. Asks the configured
server and nobody else, so a test decides what the CA can see. dns-account-01 differs in
the name of the record only.
"""

import asyncio
import base64
import hashlib
from collections.abc import Iterator, Mapping
from datetime import timedelta

import dns.asyncquery
import dns.exception
import dns.message
import dns.rdatatype

from tests.ca.config import Address
from tests.ca.identifiers import Identifier
from tests.ca.jose import b64encode
from tests.ca.problems import Problem, refusal
from tests.ca.validation import Entropy, Proof, new_token

_MAX_ALIASES = 8


class Txt:
    """Asks one server for the TXT values of a name, through aliases."""

    def __init__(self, server: Address, timeout: timedelta) -> None:
        """Keep the server, and the bound of one look-up."""
        self._host, self._port = server
        self._timeout = timeout.total_seconds()

    async def values(self, name: str) -> list[str] | str:
        """Return the values, or why there is no answer."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._follow(name)
        except (OSError, dns.exception.DNSException, TimeoutError) as error:
            return f"no answer about {name}: {error!r}"

    async def _follow(self, name: str) -> list[str]:
        for _ in range(_MAX_ALIASES):
            question = dns.message.make_query(name, dns.rdatatype.TXT)
            answer, _over_tcp = await dns.asyncquery.udp_with_fallback(
                question, self._host, timeout=self._timeout, port=self._port
            )
            texts = list(_texts(answer))
            aliases = list(_aliases(answer))
            if texts or not aliases:
                return texts
            name = aliases[-1]
        return []


class Dns01:
    """Looks for the digest of the key authorization among a name's TXT values."""

    def __init__(self, txt: Txt, randomness: Entropy) -> None:
        """Keep the way to records."""
        self._txt = txt
        self._randomness = randomness

    def record(self, proof: Proof) -> str:
        """Return the name of the record, absolute."""
        return f"_acme-challenge.{proof.identifier.base.value}."

    def offer(self, identifier: Identifier) -> Mapping[str, object] | None:
        """Offer a fresh token for names and wildcards, never for addresses."""
        if identifier.type != "dns":
            return None
        return {"token": new_token(self._randomness(24))}

    def check(self, payload: Mapping[str, object]) -> None:
        """Refuse anything but the empty object (RFC 8555 8.4)."""
        if payload:
            raise refusal("malformed", "the response to dns-01 is an empty object")

    async def validate(self, proof: Proof) -> Problem | None:
        """Query the record, and compare all its values."""
        name = self.record(proof)
        digest = hashlib.sha256(proof.key_authorization.encode()).digest()
        found = await self._txt.values(name)
        if isinstance(found, str):
            return _failed("dns", found)
        if not found:
            return _failed("dns", f"no TXT record at {name}")
        if b64encode(digest) not in found:
            return _failed("incorrectResponse", f"{len(found)} other values at {name}")
        return None


class DnsAccount01(Dns01):
    """The same at a name of the account's (draft-ietf-acme-dns-account-label)."""

    def record(self, proof: Proof) -> str:
        """Put the first 10 octets of a digest of the account's URL before it."""
        digest = hashlib.sha256(proof.account_url.encode()).digest()[:10]
        label = base64.b32encode(digest).decode("ascii").lower()
        return f"_{label}.{super().record(proof)}"


def _texts(answer: dns.message.Message) -> Iterator[str]:
    for rrset in answer.answer:
        if rrset.rdtype == dns.rdatatype.TXT:
            for data in rrset:
                yield b"".join(data.strings).decode("ascii", "replace")


def _aliases(answer: dns.message.Message) -> Iterator[str]:
    for rrset in answer.answer:
        if rrset.rdtype == dns.rdatatype.CNAME:
            yield str(rrset[0].target)


def _failed(kind: str, detail: str) -> Problem:
    return Problem(type=kind, detail=detail, status=400)
