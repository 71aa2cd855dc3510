"""Strategies that follow a type: any value that a record could hold."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
INSTANTS = st.datetimes(
    datetime(1970, 1, 1),  # noqa: DTZ001 -- hypothesis adds the zone
    datetime(2999, 1, 1),  # noqa: DTZ001 -- hypothesis adds the zone
    timezones=st.just(UTC),
)


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for values of a type that msgspec knows."""
    return _of(msgspec.inspect.type_info(kind))


def _of(  # noqa: PLR0911 -- one arm a type
    kind: msgspec.inspect.Type,
) -> st.SearchStrategy[Any]:
    match kind:
        case msgspec.inspect.StructType(cls=cls, fields=fields):
            members = {field.name: _of(field.type) for field in fields}
            return st.builds(cls, **members)
        case msgspec.inspect.UnionType(types=types):
            return st.one_of(*map(_of, types))
        case msgspec.inspect.VarTupleType(item_type=item):
            return st.lists(_of(item), max_size=2).map(tuple)
        case msgspec.inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(_of(key), _of(value), max_size=2)
        case msgspec.inspect.EnumType(cls=cls):
            return st.sampled_from(list(cls))
        case msgspec.inspect.LiteralType(values=literals):
            return st.sampled_from(list(literals))
        case _:
            return _LEAVES[type(kind)]


_LEAVES: dict[type[msgspec.inspect.Type], st.SearchStrategy[Any]] = {
    msgspec.inspect.StrType: TEXT,
    msgspec.inspect.BytesType: st.binary(max_size=4),
    msgspec.inspect.IntType: st.integers(-(2**40), 2**40),
    msgspec.inspect.FloatType: st.floats(allow_nan=False, allow_infinity=False),
    msgspec.inspect.BoolType: st.booleans(),
    msgspec.inspect.NoneType: st.none(),
    msgspec.inspect.DateTimeType: INSTANTS,
}
