"""The tables of hooks: programs that hear what happens, and what is refused in them."""

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from agent.config.rules import positive, program
from agent.config.section import Section
from agent.config.units import Duration, Name, Program

Happening = Literal["deployed", "revoked", "decommissioned", "alarm"]


class Hook(Section, frozen=True, kw_only=True):
    """`[hook.NAME]`: a program that is run for what happens.

    Attributes:
        on: What it hears of; `alarm` for those that are raised as for those that are
            over.
        command: Absolute path and further arguments; no shell reads them.
        within: Longest time that one run may take; then its process group is killed.
        certificates: Names of `[certificate.NAME]` that it hears of; with no name here
            and in `nfs` it hears of everything.
        nfs: Names of `[nf.NAME]` that it hears of, with all their certificates.
        keep: How long an event that it does not take is tried again.
    """

    on: Annotated[tuple[Happening, ...], msgspec.Meta(min_length=1, max_length=4)]
    command: Program
    within: Duration = "30s"
    certificates: Annotated[tuple[Name, ...], msgspec.Meta(max_length=1000)] = ()
    nfs: Annotated[tuple[Name, ...], msgspec.Meta(max_length=1000)] = ()
    keep: Duration = "7d"


def hook_problems(path: str, hook: Hook) -> Iterator[str]:
    """Yield a clause for every rule that a table breaks by itself."""
    for field in ("on", "certificates", "nfs"):
        given = getattr(hook, field)
        if len(set(given)) != len(given):
            yield f"{path}.{field}: an entry stands twice"
    yield from program(f"{path}.command", hook.command)
    yield from positive(f"{path}.within", hook.within)
    yield from positive(f"{path}.keep", hook.keep)
