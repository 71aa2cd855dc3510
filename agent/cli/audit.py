"""`nfcertd audit`: read the audit trail, and verify that it is whole.

It reads the files themselves and needs no daemon; they are the service user's own, so
root or that user runs it.
"""

import argparse
import sys
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from agent.audit import AuditError, lines_of, trail_files
from agent.cli.configured import add_config, configuration
from agent.cli.exits import Exit
from agent.cli.text import printable
from agent.files import describe, read_bounded
from agent.trail.check import Check, Report
from agent.trail.entry import Entry, EntryError, read_line


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare options."""
    add_config(parser)
    parser.add_argument(
        "--directory",
        type=Path,
        help="the files, in place of those of the configuration",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="verify chain, numbers and checkpoints, and show no entry",
    )
    parser.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        help="with --verify: the only key of checkpoints, SubjectPublicKeyInfo in DER",
    )
    parser.add_argument("--subject", help="only entries about this subject")
    parser.add_argument("--event", help="only entries with this word, such as kur")
    parser.add_argument(
        "--since",
        type=datetime.fromisoformat,
        metavar="TIME",
        help="only entries from then on, such as 2026-11-26T00:00:00+00:00",
    )
    parser.add_argument(
        "--last", type=int, default=0, metavar="N", help="only the last N of them"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the lines as they are"
    )


def run(options: argparse.Namespace) -> int:
    """Show entries, or verify; a trail that is not whole ends with 1."""
    directory = options.directory
    if directory is None:
        directory = Path(configuration(options).agent.state) / "audit"
    try:
        files = trail_files(directory)
        if options.verify:
            return _verify(files, options.key)
        _show(files, options)
    except OSError as error:
        raise AuditError(
            f"cannot read {directory}: {describe(error)}",
            hint="run it as root, or as the user of the service",
        ) from error
    return Exit.OK


def _verify(files: list[Path], key: Path | None) -> int:
    check = Check(None if key is None else read_bounded(key))
    for path in files:
        check.read(path.name, lines_of(path))
    for line in _words(check.report):
        print(line)
    for problem in check.report.problems:
        print(f"nfcertd: {printable(problem)}", file=sys.stderr)
    if check.report.more:
        print(f"nfcertd: and {check.report.more} more", file=sys.stderr)
    return Exit.NOT_WELL if check.report.problems else Exit.OK


def _words(report: Report) -> Iterator[str]:
    yield f"entries      {report.entries} ({report.first} to {report.last})"
    yield f"checkpoints  {report.checkpoints}"
    if report.covered_at is not None:
        left = report.last - report.covered
        yield f"vouched for  up to {report.covered}, {report.covered_at:%FT%TZ}"
        yield f"not yet      {left} after it"
    for key in report.keys:
        yield f"signed by    {key}"
    yield f"verdict      {'not whole' if report.problems else 'whole'}"


def _show(files: list[Path], options: argparse.Namespace) -> None:
    chosen = _chosen(files, options)
    shown = deque(chosen, maxlen=options.last) if options.last > 0 else chosen
    for line, entry in shown:
        print(line.decode() if options.json else _sentence(entry))


def _chosen(
    files: list[Path], options: argparse.Namespace
) -> Iterator[tuple[bytes, Entry]]:
    for path in files:
        for number, line in enumerate(lines_of(path), 1):
            try:
                entry = read_line(line)
            except EntryError as error:
                # Said, and passed over: what can be read is shown; --verify judges.
                text = f"nfcertd: {path.name}:{number}: no entry: {error}"
                print(printable(text), file=sys.stderr)
                continue
            if _is_wanted(entry, options):
                yield line, entry


def _is_wanted(entry: Entry, options: argparse.Namespace) -> bool:
    return (
        options.subject in {None, entry.subject}
        and options.event in {None, entry.event}
        and (options.since is None or _utc(options.since) <= entry.at)
    )


def _utc(instant: datetime) -> datetime:
    return instant.astimezone() if instant.tzinfo is None else instant


def _sentence(entry: Entry) -> str:
    parts = [
        f"{entry.seq:>6} {entry.at:%FT%TZ} {entry.event:<10} {entry.subject}",
        entry.text,
        f"at {entry.ca}" if entry.ca else "",
        f"status {entry.status}" if entry.status else "",
        f"transaction {entry.transaction}" if entry.transaction else "",
        f"sent {entry.sender_nonce}" if entry.sender_nonce else "",
        f"received {entry.recip_nonce}" if entry.recip_nonce else "",
    ]
    parts += [f"{name} {value}" for name, value in entry.data.items()]
    return printable("  ".join(part for part in parts if part))
