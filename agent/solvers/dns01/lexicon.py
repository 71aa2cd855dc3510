"""TXT records by dns-lexicon, an extra that knows many providers' interfaces.

It knows what is asked of the library and what is shown of its answers. The library
blocks, has no time limit and takes much memory, so it runs in `lexicon_child`, in a
process for each change. Secrets are read at each change, and only the child hears them.
"""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote

import msgspec

from agent.acme.problem import printable
from agent.config.challenges import Lexicon
from agent.config.units import duration
from agent.programs import ProgramError, run
from agent.solvers.dns01.records import Change
from agent.solvers.errors import DnsUpdateError

CHILD: Final = Path(__file__).with_name("lexicon_child.py")
MAX_REQUEST: Final = 1 << 16
"""Octets of a request, its secrets included."""
MAX_SHOWN: Final = 200
"""Characters that an error shows of what the library says."""
PART: Final = 6
"""Characters of a secret that, in a row, are not shown."""

Action = Literal["create", "delete"]


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the child says, in one line.

    Attributes:
        done: The provider says that it is done.
        kind: The class of the exception; empty where there was none.
        text: What the exception says; it may hold anything.
    """

    done: bool
    kind: str = ""
    text: str = ""


class Library:
    """The provider that lets dns-lexicon do it."""

    def __init__(
        self, settings: Lexicon, ttl: int, read_secret: Callable[[str], bytes]
    ) -> None:
        """Take the table, seconds that resolvers may keep a record, and a resolver.

        Args:
            settings: The table `lexicon` of `[dns-01]`.
            ttl: Seconds.
            read_secret: Resolves a reference to a secret.
        """
        self._settings = settings
        self._ttl = ttl
        self._read_secret = read_secret

    def ready(self) -> None:
        """Return where the library and all secrets are there; it is not imported.

        Raises:
            DnsUpdateError: The library is missing, or a secret is no text.
            FileError: A secret cannot be read.
        """
        require_installed()
        self._secrets()

    async def present(self, change: Change) -> None:
        """Let the provider add the value.

        Raises:
            DnsUpdateError: The library is missing, failed, or took too long.
            FileError: A secret cannot be read.
        """
        await self._run("create", change)

    async def remove(self, change: Change) -> None:
        """Let the provider remove the value.

        Raises:
            DnsUpdateError: The library is missing, failed, or took too long.
            FileError: A secret cannot be read.
        """
        await self._run("delete", change)

    async def _run(self, action: Action, change: Change) -> None:
        require_installed()
        secrets = self._secrets()
        request = self._request(action, change, secrets)
        # Isolated: nothing beside the program, or of an environment, is imported.
        argv = (sys.executable, "-I", str(CHILD))
        within = duration(self._settings.timeout)
        where = f"dns-lexicon {self._settings.name} {action} of {change.record}"
        try:
            status, output = await run(argv, {}, within, request)
        except ProgramError as error:
            raise DnsUpdateError(f"{where}: {error}") from error
        answer = _answer(output)
        if answer is None:
            raise DnsUpdateError(f"{where} ended with status {status} and no answer")
        if not answer.done:
            raise DnsUpdateError(f"{where} failed: {_shown(answer, secrets)}")

    def _request(
        self, action: Action, change: Change, secrets: dict[str, str]
    ) -> bytes:
        request = msgspec.json.encode(
            {
                "path": [place for place in sys.path if place],
                "provider": self._settings.name,
                "options": {**self._settings.options, **secrets},
                "action": action,
                "zone": change.zone,
                "record": change.record,
                "value": change.value,
                "ttl": self._ttl,
            }
        )
        if len(request) > MAX_REQUEST:
            raise DnsUpdateError(
                f"options and secrets of dns-01.lexicon exceed {MAX_REQUEST} octets"
            )
        return request

    def _secrets(self) -> dict[str, str]:
        references = self._settings.secrets.items()
        return {option: self._secret(reference) for option, reference in references}

    def _secret(self, reference: str) -> str:
        octets = self._read_secret(reference)
        # A decoding error would carry the secret along.
        text = octets.decode("utf-8", "replace")
        if not text or "\ufffd" in text:
            raise DnsUpdateError(f"{reference} does not hold a secret in UTF-8")
        return text


def require_installed() -> None:
    """Return where dns-lexicon could be imported.

    Raises:
        DnsUpdateError: It is not installed.
    """
    if importlib.util.find_spec("lexicon") is None:
        raise DnsUpdateError(
            'provider = "lexicon" needs dns-lexicon, which is not installed here',
            hint="install nfcertd with its extra lexicon, or dns-lexicon beside it",
        )


def _answer(output: bytes) -> Answer | None:
    """Return the answer that the last line holds, if it is one."""
    try:
        return msgspec.json.decode(output.rstrip().rpartition(b"\n")[2], type=Answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _shown(answer: Answer, secrets: dict[str, str]) -> str:
    """Return what a provider said, but not where a part of a secret is in it.

    Providers put whole requests into their exceptions.
    """
    if not answer.kind:
        return "the provider says that it did not do it"
    said = f"{answer.kind}: {answer.text}" if answer.text else answer.kind
    seen = f"{said}\n{unquote(said)}".casefold()
    for secret in secrets.values():
        if any(part in seen for part in _parts(secret.casefold())):
            return "what it says is not shown, there is a part of a secret in it"
    return printable(said, MAX_SHOWN)


def _parts(secret: str) -> Iterator[str]:
    for at in range(max(1, len(secret) - PART + 1)):
        yield secret[at : at + PART]
