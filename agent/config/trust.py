"""The tables of lists of trusted roots, and what is refused in them."""

import re
from collections.abc import Iterator
from typing import Annotated

import msgspec

from agent.config.rules import bounded, positive
from agent.config.section import Section
from agent.config.units import Duration
from agent.records.trust import Source

Url = Annotated[str, msgspec.Meta(pattern=r"^https://[^\s/?#@]+/[^\s#]*$")]
Path = Annotated[str, msgspec.Meta(pattern="^/")]


class Trust(Section, frozen=True, kw_only=True):
    """`[trust.NAME]`: a list of trusted roots that is followed; it has one source.

    Attributes:
        est: URL of an EST server's `cacerts` (RFC 7030 section 4.1); https only.
        signed: URL of a signed list; https only.
        file: PEM file of roots.
        roots: PEM file of the anchors for the TLS of the source, or `system`; never
            taken from a list.
        signer: PEM file with the certificate or the public key that signs the list.
        list: What the signed list calls itself; default the table's name.
        interval: How often the source is asked, less or more a tenth.
        timeout: Longest time that one request may take.
        overlap: How long a root that left the list is still trusted.
        delay: How long the list must lack a root before it leaves; not for signed ones.
        max_step: How far the number of a signed list may go ahead at once.
    """

    est: Url | None = None
    signed: Url | None = None
    file: Path | None = None
    roots: Annotated[str, msgspec.Meta(pattern="^(/.+|system)$")] | None = None
    signer: Path | None = None
    list: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    interval: Duration = "6h"
    timeout: Duration = "30s"
    overlap: Duration = "30d"
    delay: Duration = "24h"
    max_step: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 100

    @property
    def source(self) -> Source:
        """Return which of the three sources it has."""
        if self.signed is not None:
            return "signed"
        return "est" if self.est is not None else "file"


def trust_problems(path: str, trust: Trust) -> Iterator[str]:
    """Yield a clause for every rule that a table breaks."""
    sources = [s for s in (trust.est, trust.signed, trust.file) if s is not None]
    if len(sources) != 1:
        yield f"{path}: say one of est, signed and file"
        return
    remote = trust.file is None
    if remote and trust.roots is None:
        yield f"{path}.roots: name the anchors for the tls of its source"
    if not remote and trust.roots is not None:
        yield f"{path}.roots: a file needs none"
    if (trust.signed is None) != (trust.signer is None):
        yield f"{path}.signer: belongs to a signed list, and a signed list needs it"
    if trust.list is not None and trust.signed is None:
        yield f"{path}.list: belongs to a signed list"
    yield from positive(f"{path}.interval", trust.interval)
    yield from positive(f"{path}.timeout", trust.timeout)
    yield from bounded(f"{path}.overlap", trust.overlap)
    yield from bounded(f"{path}.delay", trust.delay)


_LIST: re.Pattern[str] = re.compile(r"trust:(.+)")


def list_of(roots: str | None) -> str | None:
    """Return the list that `roots` of a CA follows; None where it is a file."""
    match = _LIST.fullmatch(roots or "")
    return match.group(1) if match else None
