"""Properties of the configuration: durations add up, only one kind of error comes."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from agent.config.errors import ConfigError
from agent.config.parse import Source, parse
from agent.config.units import duration

UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
PARTS = st.lists(
    st.tuples(st.integers(0, 500), st.sampled_from(list(UNITS))),
    min_size=1,
    max_size=8,
)
KEYS = ["token", "ca", "account", "certificate", "agent", "hsm", "key", "names", "pin"]


def outcome(data: bytes) -> tuple[str, ...]:
    """Return the problems of a file, none where it is taken."""
    try:
        parse([Source("a.toml", data)])
    except ConfigError as error:
        return error.problems
    return ()


@given(PARTS)
def test_the_parts_of_a_duration_add_up(parts: list[tuple[int, str]]) -> None:
    """In any order, with any unit more than once."""
    text = "".join(f"{number}{unit}" for number, unit in parts)
    assert duration(text) == sum((n * UNITS[u] for n, u in parts), start=timedelta())


@given(st.binary(max_size=200))
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    """Nothing but `ConfigError` leaves the parser."""
    assert all(outcome(data))


VALUES = st.recursive(
    st.one_of(st.integers(), st.booleans(), st.sampled_from(["file:/x", "a", "1h"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    ),
    max_leaves=12,
)


def toml(value: object) -> str:
    """Write a value as TOML writes it within a line."""
    match value:
        case dict():
            return f"{{ {', '.join(f'{k} = {toml(v)}' for k, v in value.items())} }}"
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case bool():
            return str(value).lower()
        case _:
            return repr(value)


@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4))
def test_any_tree_is_taken_or_refused(tree: dict[str, object]) -> None:
    """Known keys in wrong places and of wrong types make problems, not exceptions."""
    text = "\n".join(f"{key} = {toml(value)}" for key, value in tree.items())
    assert all(problem.isprintable() for problem in outcome(text.encode()))
