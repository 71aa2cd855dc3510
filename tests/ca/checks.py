"""What every resource asks before it answers: is it there, and whose is it."""

from collections.abc import Mapping
from typing import TypeVar

from tests.ca.gate import Request
from tests.ca.problems import refusal

T = TypeVar("T")


def known(book: Mapping[str, T], ident: str) -> T:
    """Return what has this identifier, or refuse with 404."""
    if ident not in book:
        raise refusal("malformed", "there is no such resource", 404)
    return book[ident]


def check_owner(account: str, owner: str) -> None:
    """Refuse whoever is not the owner."""
    if account != owner:
        raise refusal("unauthorized", "the resource belongs to another account")


def read_only(request: Request) -> None:
    """Refuse what is not POST-as-GET."""
    if request.payload is not None:
        raise refusal("malformed", "this resource takes POST-as-GET only")
