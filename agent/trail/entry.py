"""One entry of the audit trail, as the line that stands in its file.

Each entry names the SHA-256 of the line before it, so that no line can be changed,
removed or put in without every later one telling. What the chain alone cannot tell, a
tail that was cut off or a whole trail written anew, the signed checkpoints do.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from agent.errors import AgentError

GENESIS: Final = "0" * 64
"""What the very first entry names as the line before it."""
MAX_LINE: Final = 1 << 16
"""Octets of a line; a longer one is no entry of ours."""
MAX_TEXT: Final = 500
"""Characters of each text in an entry; what is longer is cut."""
CHECKPOINT: Final = "checkpoint"
_CONTEXT: Final = "nfcertd audit checkpoint 1"


class EntryError(AgentError):
    """A line of an audit file is no entry."""

    kind = "audit.entry"


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened, once.

    Attributes:
        seq: Counts entries from 1 and never begins again.
        at: Wall time.
        event: A word of `agent.trail.vocabulary`.
        subject: Certificate, account, token or list that it is about.
        text: One clause.
        ca: CA that was talked to, empty for what happened here.
        transaction: What CMP calls transactionID: the account's URL while an account is
            made, the order's afterwards.
        sender_nonce: Mark of the nonce that the request carried.
        recip_nonce: Mark of the nonce that the CA handed out; `0` before the first.
        status: HTTP status of the answer, 0 for none.
        data: Further facts; short, and never a secret.
        prev: SHA-256 of the line before, hexadecimal.
    """

    seq: int
    at: datetime
    event: str
    subject: str
    text: str = ""
    ca: str = ""
    transaction: str = ""
    sender_nonce: str = ""
    recip_nonce: str = ""
    status: int = 0
    data: Mapping[str, str] = msgspec.field(default_factory=dict)
    prev: str


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """An entry before it has its place in the chain; attributes as in `Entry`."""

    event: str
    subject: str
    text: str = ""
    ca: str = ""
    transaction: str = ""
    sender_nonce: str = ""
    recip_nonce: str = ""
    status: int = 0
    data: Mapping[str, str] = msgspec.field(default_factory=dict)


def placed(fact: Fact, seq: int, at: datetime, prev: str) -> Entry:
    """Return a fact as the entry that follows the line with the digest `prev`."""
    return Entry(
        seq=seq,
        at=at,
        event=fact.event,
        subject=fact.subject[:MAX_TEXT],
        text=fact.text[:MAX_TEXT],
        ca=fact.ca,
        transaction=fact.transaction[:MAX_TEXT],
        sender_nonce=fact.sender_nonce,
        recip_nonce=fact.recip_nonce,
        status=fact.status,
        data={name: value[:MAX_TEXT] for name, value in fact.data.items()},
        prev=prev,
    )


def line_of(entry: Entry) -> bytes:
    """Return the line of an entry, without its end."""
    return msgspec.json.encode(entry)


def read_line(line: bytes) -> Entry:
    """Return the entry of a line, without its end.

    Raises:
        EntryError: It is none.
    """
    if len(line) > MAX_LINE:
        raise EntryError(f"longer than {MAX_LINE} octets")
    try:
        return msgspec.json.decode(line, type=Entry)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EntryError(str(error)[:MAX_TEXT]) from error


def digest(line: bytes) -> str:
    """Return the SHA-256 of a line without its end, hexadecimal."""
    return hashlib.sha256(line).hexdigest()


def nonce_mark(nonce: str) -> str:
    """Return how a nonce is written down: its beginning, and a digest's.

    Enough to find it in a CA's log, too little to use it.
    """
    if not nonce:
        return ""
    return f"{nonce[:8]}~{hashlib.sha256(nonce.encode()).hexdigest()[:16]}"


def checkpoint_input(seq: int, prev: str) -> bytes:
    """Return what a checkpoint signs: that the trail up to `prev` is as it stands."""
    return f"{_CONTEXT}\n{seq}\n{prev}\n".encode()
