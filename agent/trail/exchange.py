"""One request to a CA with its answer, as the two entries that it becomes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from agent.trail.entry import Fact, nonce_mark
from agent.trail.vocabulary import FAILURE_INFO, Word, words_of

_FIRST_NONCE: Final = "0"
"""What TR 33.876 wants as recipient nonce of the very first message; on paper only."""
_REFUSED: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a request is for, as far as its sender knows.

    Attributes:
        subject: Certificate or account.
        update: The certificate has one of this CA already.
        transaction: URL of the order or, without one, of the account; may be empty.
    """

    subject: str = ""
    update: bool = False
    transaction: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request and its answer.

    Attributes:
        ca: Name of the CA.
        resource: What was asked for, such as `newOrder`.
        about: What it was for.
        status: HTTP status; 0 where no answer came.
        sent: The nonce that the request carried; empty where it was not signed.
        received: The nonce that came with the answer, or empty.
        known: The nonce that came with the answer before, or empty for the first.
        location: `Location` of the answer, or empty.
        problem: Type of the problem document, without its prefix, or empty.
    """

    ca: str
    resource: str
    about: About
    status: int
    sent: str
    received: str
    known: str
    location: str = ""
    problem: str = ""


def facts(exchange: Exchange) -> Iterator[Fact]:
    """Yield what was asked and what was answered, in the words of CMP."""
    words = words_of(exchange.resource, update=exchange.about.update)
    about = exchange.about
    sent = nonce_mark(exchange.sent)
    yield Fact(
        event=words.request,
        subject=about.subject,
        text=f"{exchange.resource} asked",
        ca=exchange.ca,
        transaction=about.transaction,
        sender_nonce=sent,
        recip_nonce=(nonce_mark(exchange.known) or _FIRST_NONCE) if sent else "",
    )
    if not exchange.status:
        return
    refused = exchange.status >= _REFUSED
    data = {"problem": exchange.problem} if exchange.problem else {}
    if exchange.problem in FAILURE_INFO:
        data["fail_info"] = FAILURE_INFO[exchange.problem]
    created = exchange.resource in {"newOrder", "newAccount"}
    yield Fact(
        event=Word.ERROR if refused else words.answer,
        subject=about.subject,
        text=f"{exchange.resource} {'refused' if refused else 'answered'}",
        ca=exchange.ca,
        transaction=(exchange.location if created else "") or about.transaction,
        sender_nonce=sent,
        recip_nonce=nonce_mark(exchange.received),
        status=exchange.status,
        data=data,
    )
