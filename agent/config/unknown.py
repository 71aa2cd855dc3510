"""Unknown keys: where each one stands, and which known key is nearest."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

RESERVED: Final = frozenset(
    {
        "probe",
        "certificate.*.renew",
    }
)
"""Names that later versions will use; refused with that reason until they do."""


def unknown_keys(
    tree: object, kind: msgspec.inspect.Type, path: str = "", shape: str = ""
) -> Iterator[str]:
    """Yield a clause for every key of a TOML tree that its type does not have.

    Args:
        tree: A value of the tree.
        kind: What it should be.
        path: Where it stands.
        shape: The same with the operator's own names replaced by a star.
    """
    match kind, tree:
        case msgspec.inspect.StructType(), Mapping():
            yield from _in_struct(tree, kind, path, shape)
        case msgspec.inspect.DictType(value_type=value), Mapping():
            for key, child in tree.items():
                here = _join(path, key)
                yield from unknown_keys(child, value, here, _join(shape, "*"))
        case msgspec.inspect.VarTupleType(item_type=item), list():
            for index, child in enumerate(tree):
                yield from unknown_keys(child, item, f"{path}[{index}]", shape)
        case msgspec.inspect.UnionType(types=types), _:
            for option in types:
                yield from unknown_keys(tree, option, path, shape)
        case _:
            return


def _in_struct(
    tree: Mapping[str, object],
    kind: msgspec.inspect.StructType,
    path: str,
    shape: str,
) -> Iterator[str]:
    fields = {field.encode_name: field.type for field in kind.fields}
    for key, child in tree.items():
        here = _join(path, key)
        if key in fields:
            yield from unknown_keys(child, fields[key], here, _join(shape, key))
        elif _join(shape, key) in RESERVED:
            yield f"{here}: reserved for a later version, this one cannot do it"
        else:
            yield f"{here}: unknown key{_nearest(key, list(fields))}"


def _nearest(key: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f", did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
