"""The process that imports dns-lexicon: one change, then it ends.

It is run as a program of its own and imports nothing of ours. It reads one request on
its standard input and writes one answer, both JSON; whatever the library prints or logs
goes nowhere. `agent.solvers.dns01.lexicon` is its other side, bounds its time, and
decides what of its answer may be shown.
"""

import importlib
import json
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Protocol, TextIO, TypedDict, cast

if TYPE_CHECKING:
    from types import TracebackType

MAX_TEXT = 1000
"""Characters of an exception that are handed on; the answer fits what is read of us."""


class Request(TypedDict):
    """What is asked; the names are dns-lexicon's where it has one.

    Attributes:
        path: Where modules are searched, as our daemon does.
        provider: Name of the provider.
        options: Its options, secrets as well.
        action: `create` or `delete`.
        zone: The zone of the record.
        record: The name of the TXT record, without a final dot.
        value: The value of it.
        ttl: Seconds.
    """

    path: list[str]
    provider: str
    options: dict[str, str]
    action: str
    zone: str
    record: str
    value: str
    ttl: int


class Provider(Protocol):
    """What we use of `lexicon.interfaces.Provider`."""

    def authenticate(self) -> None:
        """Find the zone at the provider."""

    def cleanup(self) -> None:
        """Close what was opened."""

    def create_record(self, rtype: str, name: str, content: str) -> bool | None:
        """Add a value; keep others."""

    def delete_record(
        self, identifier: str | None, rtype: str, name: str, content: str
    ) -> bool | None:
        """Remove one value."""


def main() -> None:
    """Do what standard input asks for."""
    answers = os.fdopen(os.dup(1), "w")
    request = cast("Request", json.load(sys.stdin))
    _silence()
    # The library raises what it likes; whatever ends us is what we answer.
    sys.excepthook = partial(_failed, answers)
    sys.path[:] = request["path"]
    # A provider that returns nothing has not refused.
    _say(answers, done=_change(_provider(request), request) is not False)


def _silence() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nowhere, descriptor)


def _provider(request: Request) -> Provider:
    """Return the library's provider for the zone that we have found.

    Not by its `Client`: that would look for the zone in a list of public suffixes that
    it fetches from the Internet, or ask other resolvers than the configured ones.
    """
    from lexicon.config import ConfigResolver  # noqa: PLC0415 -- only now on the path

    name = request["provider"]
    module = importlib.import_module(f"lexicon._private.providers.{name}")
    # Some providers look among their own options for what is everybody's; on its
    # command line the two are one.
    shared = {"domain": request["zone"], "ttl": request["ttl"]}
    tree = {"provider_name": name, **shared, name: shared | request["options"]}
    config = ConfigResolver().with_dict(tree)
    return cast("Provider", module.Provider(config))


def _change(provider: Provider, request: Request) -> bool | None:
    record, value = request["record"], request["value"]
    provider.authenticate()
    try:
        if request["action"] == "create":
            return provider.create_record("TXT", record, value)
        return provider.delete_record(None, "TXT", record, value)
    finally:
        provider.cleanup()


def _failed(
    answers: TextIO,
    kind: type[BaseException],
    error: BaseException,
    _trace: "TracebackType | None",
) -> None:
    _say(answers, done=False, kind=kind.__name__[:MAX_TEXT], text=str(error)[:MAX_TEXT])


def _say(answers: TextIO, **answer: object) -> None:
    answers.write(f"\n{json.dumps(answer)}\n")
    answers.flush()


if __name__ == "__main__":
    main()
