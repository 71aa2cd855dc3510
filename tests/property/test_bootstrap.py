"""Bundles of octets, texts and trees of any kind: the answer is always a sentence."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.bootstrap import bundle
from agent.bootstrap.bundle import Bundle
from agent.bootstrap.errors import BootstrapError
from agent.bootstrap.overlay import made_of
from agent.config.tokens import AccountKey
from agent.pki import jws
from tests.oam import bundle as oam
from tests.vectors.bootstrap import DIRECTORY, SIGNER, headed, signed, spki, tables

ACCOUNT_KEY = AccountKey(token="hsm")


def read(text: str) -> Bundle:
    """Read a bundle that the usual key may sign."""
    return bundle.read(text, [spki()])


@given(st.binary(max_size=300))
def test_octets_of_any_kind_are_refused_cleanly(data: bytes) -> None:
    """Whatever is handed over, the answer is one of ours."""
    with pytest.raises(BootstrapError):
        read(data.decode("latin-1"))
    with pytest.raises(BootstrapError):
        read(oam.sign(data, SIGNER))


@given(st.data())
def test_a_bundle_with_one_octet_changed_is_refused(data: st.DataObject) -> None:
    """Every octet counts, also those of the header and of the signature."""
    text = signed()
    place = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from("ABCxyz019-_.="))
    mutated = text[:place] + letter + text[place + 1 :]
    decoded = [part.rstrip("=") for part in mutated.split(".")]
    same = decoded == text.split(".") or _octets(decoded) == _octets(text.split("."))
    if not same:
        with pytest.raises(BootstrapError):
            read(mutated)


def _octets(parts: list[str]) -> list[bytes] | None:
    try:
        return [jws.decode(part) for part in parts]
    except ValueError:
        return None


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "roots", "key", "ca"]), inner, max_size=3
        )
    ),
    max_leaves=10,
)


@given(st.sampled_from(sorted(tables())), trees)
def test_tables_of_any_kind_are_refused_cleanly(member: str, value: object) -> None:
    """A signer that makes a mistake gets a sentence, and the daemon goes on."""
    text = signed(tables(lambda made: made.update({member: value})))
    with contextlib.suppress(BootstrapError):
        made_of(read(text).payload, DIRECTORY, ACCOUNT_KEY)


wild = st.text(st.characters(exclude_categories=()), max_size=30)
headers = st.dictionaries(
    st.sampled_from(["alg", "typ", "kid", "crit"]) | wild, wild | trees, max_size=4
)


@given(headers, st.booleans())
def test_headers_of_any_kind_are_refused_cleanly(
    header: dict[str, object], usual: bool
) -> None:
    """Nobody has signed a header before it is read: every text is possible."""
    text = headed(header) if usual else _bare(header)
    try:
        read(text)
    except BootstrapError as error:
        _check_words(error)


def _bare(header: dict[str, object]) -> str:
    return f"{oam.part(header)}.e30.AAAA"


@given(st.dictionaries(wild, wild | trees, max_size=4))
def test_payloads_of_any_kind_are_refused_with_words_that_can_be_shown(
    more: dict[str, object],
) -> None:
    """They go to a terminal, a log, and a trail in JSON."""
    try:
        read(signed(tables(lambda made: made.update(more))))
    except BootstrapError as error:
        _check_words(error)


def _check_words(error: BootstrapError) -> None:
    assert str(error).encode().decode().isprintable()
    assert len(str(error)) < 400
