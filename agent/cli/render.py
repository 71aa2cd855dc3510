"""Draws status, plan and keys as text for a person. Pure: shapes in, lines out."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from agent.cli import lists, render_bootstrap, render_hooks, render_nfs, render_star
from agent.cli.shapes import (
    AccountShape,
    AlarmShape,
    CaShape,
    CertificateShape,
    EndpointShape,
    FindingShape,
    JobShape,
    KeyShape,
    KeysShape,
    StatusShape,
    TokenShape,
)
from agent.cli.text import Cell, Screen, day, relative, span

_QUIET: Final = frozenset({"deployed", "unmanaged", "ending", "ended"})

_STYLES: Final = {
    "deployed": "good",
    "deploying": "busy",
    "held": "busy",
    "waiting": "busy",
    "unmanaged": "faint",
    "ending": "busy",
    "ended": "faint",
}
_GRAVE: Final = frozenset({"major", "critical"})
_HEAD: Final = "head"


def is_well(view: StatusShape) -> bool:
    """Tell whether `status` ends with 0: everything deployed, nothing alarming."""
    return (
        view.config.reload_ok
        and all(_needs_nobody(one) for one in view.certificates)
        and all(token.up for token in view.tokens)
        and not any(alarm.severity in _GRAVE for alarm in view.alarms)
    )


def _needs_nobody(one: CertificateShape) -> bool:
    # What an operator holds is well as long as the endpoints have a certificate.
    return one.state in _QUIET or (one.state == "held" and one.deployed)


def status(view: StatusShape, screen: Screen) -> list[str]:
    """Return the lines of `nfcertd status`."""
    lines = [*screen.paragraph(_title(view), "", "  ")]
    lines += _configuration(view, screen)
    lines += ["", *_certificates(view, screen)] if view.certificates else []
    others = [
        *render_bootstrap.rows(view.bootstrap, view.now),
        *_tokens(view.tokens),
        *_cas(view.cas, view.now),
        *_accounts(view.accounts),
        *lists.rows(view.trust, view.now),
        *render_hooks.rows(view.hooks, view.now),
        *render_nfs.rows(view.nfs, view.now),
    ]
    lines += ["", *screen.table(others)] if others else []
    lines += ["", *_alarms(view, screen)] if view.alarms else []
    return lines


def _title(view: StatusShape) -> str:
    count = len(view.certificates)
    what = "1 certificate" if count == 1 else f"{count or 'no'} certificates"
    return f"nfcertd {view.version}, up {span(view.now - view.started)}, {what}"


def _configuration(view: StatusShape, screen: Screen) -> Iterator[str]:
    config = view.config
    if config.reload_ok:
        return
    since = relative(config.loaded_at, view.now)
    text = (
        f"configuration refused {relative(config.reload_at, view.now)}, "
        f"that of {since} is in force:"
    )
    for line in screen.paragraph(text, "", "  "):
        yield screen.paint(line, "bad")
    for problem in config.problems:
        yield from screen.paragraph(problem, "  ", "    ")


def _certificates(view: StatusShape, screen: Screen) -> list[str]:
    head = [Cell(t, _HEAD) for t in ("CERTIFICATE", "STATE", "ENDS", "NEXT")]
    rows = [head, *(_certificate(one, view.now) for one in view.certificates)]
    heading, *drawn = screen.table(rows)
    lines = [heading]
    for line, one in zip(drawn, view.certificates, strict=True):
        lines.append(line)
        lines += _explained(one, screen)
        lines += [
            x
            for t in render_star.told(one, view.now)
            for x in screen.paragraph(t, "  ", "    ")
        ]
        for endpoint in () if one.state == "ended" else one.endpoints:
            lines += _endpoint(endpoint, one, view.now, screen)
        for finding in one.findings:
            lines += _finding(finding, screen)
        for job in one.jobs:
            lines += _failed(job, view.now, screen)
            lines += _replacement(job, screen)
    return lines


def _finding(finding: FindingShape, screen: Screen) -> list[str]:
    text = f"breaks its profile: {finding.rule}: {finding.text} ({finding.level})"
    return [screen.paint(line, "busy") for line in screen.paragraph(text, "  ", "    ")]


def _certificate(one: CertificateShape, now: datetime) -> list[Cell]:
    ends = relative(one.not_after, now)
    plan = one.plan
    when = "" if plan.at is None else f" {relative(plan.at, now)}"
    rule = f" ({plan.rule})" if plan.rule else ""
    return [
        Cell(one.name),
        Cell(one.state, _STYLES.get(one.state, "bad")),
        Cell(ends),
        Cell(f"{plan.next}{when}{rule}"),
    ]


def _explained(one: CertificateShape, screen: Screen) -> list[str]:
    """Return why the CA suggests what it suggests, where it says so (RFC 9773 4.2)."""
    told = one.suggestion
    if told is None or not told.explanation:
        return []
    text = (
        f"the ca suggests a renewal between {day(told.start)} and {day(told.end)}, "
        f"and explains that at {told.explanation}"
    )
    return screen.paragraph(text, "  ", "    ")


def _endpoint(
    endpoint: EndpointShape, one: CertificateShape, now: datetime, screen: Screen
) -> list[str]:
    name = f"endpoint {endpoint.name}".rstrip()
    sights = ", ".join(
        f"{where} {sight}" for where, sight in endpoint.addresses.items()
    )
    text = f"{name}: {_progress(endpoint, one, now)}{f'; {sights}' if sights else ''}"
    lines = screen.paragraph(text, "  ", "    ")
    style = "" if endpoint.deployed else "busy"
    return [screen.paint(line, style) for line in lines]


def _progress(endpoint: EndpointShape, one: CertificateShape, now: datetime) -> str:
    if endpoint.deployed:
        seen = relative(endpoint.proven_at, now)
        return f"publication {endpoint.proven} deployed, proven {seen} ({endpoint.by})"
    if not one.publication:
        return "waits for a certificate"
    before = f"publication {endpoint.proven}" if endpoint.proven else "nothing"
    return f"publication {one.publication} not deployed yet, {before} is proven"


def _replacement(job: JobShape, screen: Screen) -> list[str]:
    if job.slot != "replace":
        return []
    text = f"the compromised key is being replaced, {job.phase}: {job.next}"
    return [screen.paint(line, "busy") for line in screen.paragraph(text, "  ", "    ")]


def _failed(job: JobShape, now: datetime, screen: Screen) -> list[str]:
    if job.failure is None:
        return []
    times = "once" if job.failures == 1 else f"{job.failures} times"
    again = "" if job.at is None else f"; again {relative(job.at, now)}"
    text = f"{job.slot} failed {times}: {job.failure.message}{again}"
    lines = screen.paragraph(text, "  ", "    ")
    if job.failure.hint:
        lines += screen.paragraph(job.failure.hint, "    ", "    ")
    return [screen.paint(line, "bad") for line in lines]


def _tokens(tokens: tuple[TokenShape, ...]) -> Iterator[list[Cell]]:
    for token in tokens:
        up = Cell("up", "good") if token.up else Cell("down", "bad")
        yield [Cell(f"token {token.name}"), up, Cell(token.reason)]


def _cas(cas: tuple[CaShape, ...], now: datetime) -> Iterator[list[Cell]]:
    """Yield the CAs that have something to say; one that works needs no line."""
    for ca in cas:
        if not ca.up or ca.not_before is not None:
            when = f"asked again {relative(ca.not_before, now)}, {ca.reason}"
            word = Cell("waits", "busy") if ca.up else Cell("down", "bad")
            yield [Cell(f"ca {ca.name}"), word, Cell(when)]
        for limit in ca.limits:
            when = f"orders again {relative(limit.until, now)}, {limit.message}"
            yield [
                Cell(f"account {limit.account}"),
                Cell("limited", "busy"),
                Cell(when),
            ]


def _accounts(accounts: tuple[AccountShape, ...]) -> Iterator[list[Cell]]:
    for account in accounts:
        valid = Cell("valid", "good") if account.valid else Cell("unknown", "busy")
        why = account.failure.message if account.failure else f"at {account.ca}"
        yield [Cell(f"account {account.name}"), valid, Cell(why)]


def _alarms(view: StatusShape, screen: Screen) -> Iterator[str]:
    yield screen.paint("ALARMS", _HEAD)
    for alarm in sorted(view.alarms, key=_gravest_first):
        since = span(view.now - alarm.raised)
        text = f"{alarm.severity}: {alarm.subject}: {alarm.cause} (since {since})"
        style = "bad" if alarm.severity in _GRAVE else "busy"
        for line in screen.paragraph(text, "  ", "    "):
            yield screen.paint(line, style)
        if alarm.action:
            yield from screen.paragraph(alarm.action, "    ", "    ")


def _gravest_first(alarm: AlarmShape) -> tuple[int, datetime]:
    order = ("critical", "major", "warning")
    rank = order.index(alarm.severity) if alarm.severity in order else len(order)
    return rank, alarm.raised


def plan(view: StatusShape, screen: Screen) -> list[str]:
    """Return the lines of `nfcertd plan`, what is due first at the top."""
    head = [Cell(text, _HEAD) for text in ("WHEN", "", "CERTIFICATE", "WHAT")]
    soonest = sorted(
        view.certificates,
        key=lambda one: (one.plan.at is None, one.plan.at or view.now, one.name),
    )
    rows = [
        [
            Cell(relative(one.plan.at, view.now)),
            Cell(day(one.plan.at), "faint"),
            Cell(one.name),
            Cell(f"{one.plan.next} ({one.plan.rule})"),
        ]
        for one in soonest
    ]
    rows += lists.plan(view.trust, view.now)
    return screen.table([head, *rows]) if rows else ["no certificate is configured"]


def keys(view: KeysShape, screen: Screen) -> list[str]:
    """Return the lines of `nfcertd keys`; orphans and what could not be listed last."""
    titles = ("SUBJECT", "STORE", "TYPE", "STATE", "MADE", "USE", "CKA_ID")
    lines = _listed(titles, map(_key, view.keys), screen) or ["there is no key"]
    if view.orphans:
        text = "with a label of ours and in no record, never destroyed by us:"
        lines += ["", *screen.paragraph(text, "", "  ")]
        lines += _listed(("TOKEN", "TYPE", "LABEL", "CKA_ID"), _orphans(view), screen)
    for problem in view.problems:
        found = screen.paragraph(problem, "", "  ")
        lines += ["", *(screen.paint(line, "bad") for line in found)]
    return lines


def _key(key: KeyShape) -> list[Cell]:
    return [
        Cell(key.subject),
        Cell(key.store),
        Cell(key.type),
        Cell(key.state),
        Cell(day(key.created)),
        Cell(key.use if key.referenced else f"{key.use} (no longer needed)"),
        Cell(key.id, "faint"),
    ]


def _orphans(view: KeysShape) -> Iterator[list[Cell]]:
    for one in view.orphans:
        yield [Cell(one.token), Cell(one.type), Cell(one.label), Cell(one.id, "faint")]


def _listed(
    titles: Sequence[str], rows: Iterable[list[Cell]], screen: Screen
) -> list[str]:
    found = list(rows)
    return screen.table([[Cell(t, _HEAD) for t in titles], *found]) if found else []
