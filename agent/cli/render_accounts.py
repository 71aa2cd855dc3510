"""Draws accounts as text for a person. Pure: shapes in, lines out."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from agent.cli.shapes import AccountShape, StatusShape
from agent.cli.text import Cell, Screen, day, relative, span

_TITLES: Final = ("ACCOUNT", "CA", "STATE", "KEY AGE", "NEXT ROLL-OVER")


def accounts(view: StatusShape, screen: Screen) -> list[str]:
    """Return the lines of `nfcertd accounts`."""
    if not view.accounts:
        return ["no account is known"]
    rows = [[Cell(title, "head") for title in _TITLES]]
    rows += [_row(one, view.now) for one in view.accounts]
    heading, *drawn = screen.table(rows)
    lines = [heading]
    for line, one in zip(drawn, view.accounts, strict=True):
        lines.append(line)
        for detail in _details(one, view.now):
            lines += screen.paragraph(detail, "  ", "    ")
    return lines


def _row(one: AccountShape, now: datetime) -> list[Cell]:
    made = one.key_created
    age = "-" if made is None else span(now - made)
    when = "never by itself" if one.roll_at is None else relative(one.roll_at, now)
    word = "valid" if one.state in {"", "valid"} and one.valid else "waits"
    style = "good" if word == "valid" else "busy"
    return [Cell(one.name), Cell(one.ca), Cell(word, style), Cell(age), Cell(when)]


def _details(one: AccountShape, now: datetime) -> Iterator[str]:
    if one.state not in {"", "valid"}:
        yield one.state
    if one.url:
        yield f"url {one.url}"
    if one.key:
        yield f"key {one.key} in {one.key_store}, made {day(one.key_created)}"
    if one.contact:
        yield f"contacts {', '.join(one.contact)}"
    for job in one.jobs:
        again = "" if job.at is None else f" {relative(job.at, now)}"
        yield f"{job.slot} ({job.phase}): {job.next}{again}"
        if job.failure is not None:
            yield f"{job.slot} failed: {job.failure.message}"
            if job.failure.hint:
                yield job.failure.hint
