"""Draws hooks for a person. Pure: shapes in, cells out."""

from collections.abc import Iterator
from datetime import datetime

from agent.cli.shapes import HookShape
from agent.cli.text import Cell, relative, span


def rows(hooks: tuple[HookShape, ...], now: datetime) -> Iterator[list[Cell]]:
    """Yield a row of `nfcertd status` for each hook."""
    for hook in hooks:
        yield [Cell(f"hook {hook.name}"), _state(hook), Cell(_summary(hook, now))]


def _state(hook: HookShape) -> Cell:
    if hook.failure is not None:
        return Cell("failing", "bad")
    return Cell("busy", "busy") if hook.queued else Cell("idle", "good")


def _summary(hook: HookShape, now: datetime) -> str:
    parts = [f"{hook.delivered} delivered"]
    if hook.delivered_at is not None:
        parts.append(f"last {relative(hook.delivered_at, now)}")
    if hook.oldest is not None:
        parts.append(f"{hook.queued} waiting for {span(now - hook.oldest)}")
    if hook.dropped:
        parts.append(f"{hook.dropped} given up")
    if hook.failure is not None:
        again = "" if hook.at is None else f", again {relative(hook.at, now)}"
        parts.append(f"{hook.failure.message}{again}")
    return ", ".join(parts)
