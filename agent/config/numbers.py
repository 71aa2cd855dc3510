"""The table of the telephone numbers that a certificate is for (RFC 8226, RFC 9448)."""

from collections.abc import Iterator
from typing import Annotated

import msgspec

from agent.acme import tnauthlist
from agent.acme.identifiers import Identifier
from agent.config.section import Section

MAX_VALUE = 4096
"""Characters of an identifier's value."""


class Range(Section, frozen=True, kw_only=True):
    """`ranges = [{ start, count }]`: numbers that follow each other.

    Attributes:
        start: The first number.
        count: How many there are, it included.
    """

    start: str
    count: Annotated[int, msgspec.Meta(ge=2, lt=10**15)]


class TnAuthList(Section, frozen=True, kw_only=True):
    """`tn_auth_list = { ... }`: the list of a certificate, in this order.

    Attributes:
        spc: Service provider codes.
        ranges: Ranges of numbers.
        numbers: Single numbers.
    """

    spc: Annotated[tuple[str, ...], msgspec.Meta(max_length=100)] = ()
    ranges: Annotated[tuple[Range, ...], msgspec.Meta(max_length=100)] = ()
    numbers: Annotated[tuple[str, ...], msgspec.Meta(max_length=100)] = ()

    @property
    def identifier(self) -> Identifier:
        """Return what is ordered for it."""
        ranges = ((r.start, r.count) for r in self.ranges)
        der = tnauthlist.encode(self.spc, ranges, self.numbers)
        return tnauthlist.identifier_of(der)


def number_problems(path: str, table: TnAuthList) -> Iterator[str]:
    """Yield one clause for every rule that a list breaks."""
    if not (table.spc or table.ranges or table.numbers):
        yield f"{path}: name at least one of spc, ranges and numbers"
    bad = [code for code in table.spc if not tnauthlist.is_spc(code)]
    for code in bad:
        yield f"{path}.spc: {code} is not 1 to 64 visible ascii characters"
    starts = (("ranges", r.start) for r in table.ranges)
    for where, number in (*starts, *(("numbers", n) for n in table.numbers)):
        if not tnauthlist.is_number(number):
            yield f"{path}.{where}: {number} is not 1 to 15 digits, without a plus sign"
            bad.append(number)
    if not bad and len(table.identifier.value) > MAX_VALUE:
        yield f"{path}: is longer than an identifier may be, use ranges"
