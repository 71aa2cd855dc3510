"""From octets of TOML to one checked tree, or to one error that lists every problem."""

import atexit
import gc
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from agent.config.authorities import Account, Ca
from agent.config.check import problems, waiting_problems
from agent.config.errors import ConfigError
from agent.config.hook import Hook
from agent.config.model import Certificate, Config
from agent.config.nf import Nf
from agent.config.overlay import Overlay, clashes, set_aside, with_overlay
from agent.config.section import Section
from agent.config.token_authority import TokenAuthority
from agent.config.tokens import Token
from agent.config.trust import Trust
from agent.config.units import NAME_PATTERN
from agent.config.unknown import unknown_keys
from agent.config.wish import with_names

# Collecting what msgspec 0.22 says of types while the interpreter is taken down ends in
# a segmentation fault with CPython 3.11.2; what is frozen is not collected.
atexit.register(gc.freeze)

Tree = dict[str, object]
TABLES: Final[Mapping[str, type[Section]]] = {
    "token": Token,
    "ca": Ca,
    "account": Account,
    "token-authority": TokenAuthority,
    "trust": Trust,
    "nf": Nf,
    "certificate": Certificate,
    "hook": Hook,
}


MAX_DEPTH: Final = 20
"""Tables within tables; no setting stands half as deep."""


class Source(NamedTuple):
    """One file of the configuration."""

    name: str
    data: bytes


class Settled(NamedTuple):
    """A checked configuration.

    Attributes:
        config: What can run.
        waiting: Certificates that wait for a bootstrap bundle, with what they lack.
    """

    config: Config
    waiting: Mapping[str, str]


def parse(sources: Sequence[Source]) -> Config:
    """Return the configuration that the files make together, without a bundle.

    Tables of later files are added to those of earlier ones; the same key twice is
    refused rather than resolved.

    Raises:
        ConfigError: Every problem, each with its path in the tree.
    """
    return settle(typed(sources)).config


def settle(files: Config, overlay: Overlay | None = None) -> Settled:
    """Return the configuration that files and a bundle make together, checked.

    Where the files want a bundle and there is none yet, what names a table that is
    not there is set aside.

    Raises:
        ConfigError: Every problem, each with its path in the tree.
    """
    config, waiting = files, dict[str, str]()
    if overlay is not None:
        clashing = list(clashes(files, overlay))
        if clashing:
            raise ConfigError(clashing)
        config = with_overlay(files, overlay)
    elif files.bootstrap is not None:
        config, waiting = set_aside(files)
    config = with_names(config)
    found = problems(config) + waiting_problems(files, waiting)
    if found:
        raise ConfigError(found)
    return Settled(config, waiting)


def typed(sources: Sequence[Source]) -> Config:
    """Return what the files say, every value of its type; nothing else is checked.

    Raises:
        ConfigError: Every problem, each with its path in the tree.
    """
    tree = _merge(sources)
    strange = list(_strange_characters(tree, ""))
    if strange:
        raise ConfigError(strange)
    unknown = list(unknown_keys(tree, msgspec.inspect.type_info(Config)))
    if unknown:
        raise ConfigError(unknown)
    wrong = list(_wrong_values(tree))
    if wrong:
        raise ConfigError(wrong)
    return msgspec.convert(tree, type=Config)


def schema() -> dict[str, object]:
    """Return the JSON schema of the configuration, for editors."""
    return msgspec.json.schema(Config)


def _strange_characters(tree: object, path: str) -> Iterator[str]:
    """Yield a clause for every text that would not stay on its line.

    What is configured goes into snippets, labels, URLs and logs; none of it needs a
    control character.
    """
    match tree:
        case str() if not tree.isprintable():
            yield f"{path}: holds a control character"
        case dict():
            for key, value in tree.items():
                if not key.isprintable():
                    yield f"{path or 'the top'}: a key holds a control character"
                else:
                    here = f"{path}.{key}" if path else key
                    yield from _strange_characters(value, here)
        case list():
            for index, value in enumerate(tree):
                yield from _strange_characters(value, f"{path}[{index}]")
        case _:
            return


def _wrong_values(tree: Tree) -> Iterator[str]:
    """Yield a clause for the first wrong value of every table.

    Tables are converted one by one, because msgspec does not name the key of a
    dictionary in the path of its error.
    """
    for field in msgspec.structs.fields(Config):
        value = tree.get(field.encode_name)
        match msgspec.inspect.type_info(field.type):
            case msgspec.inspect.DictType() if isinstance(value, dict):
                table = field.encode_name
                yield from wrong_entries(table, value, TABLES[table])
            case _ if value is not None:
                yield from _try(value, field.type, field.encode_name)
            case _:
                pass


def wrong_entries(table: str, entries: Tree, kind: type[Section]) -> Iterator[str]:
    """Yield a clause for each entry of a table whose name or first value is wrong."""
    for name, entry in entries.items():
        if re.fullmatch(NAME_PATTERN, name) is None:
            yield f"{table}.{name}: a name has the form {NAME_PATTERN}"
        yield from _try(entry, kind, f"{table}.{name}")


def _try(value: object, kind: type[Section], path: str) -> Iterator[str]:
    try:
        msgspec.convert(value, type=kind)
    except msgspec.ValidationError as error:
        yield word(str(error), path)


def _merge(sources: Sequence[Source]) -> Tree:
    merged: Tree = {}
    for source in sources:
        try:
            tree = tomllib.loads(source.data.decode("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError([f"{source.name}: not toml: {error}"]) from error
        except RecursionError as error:
            raise _too_deep(source) from error
        if not _is_shallow(tree):
            raise _too_deep(source)
        _merge_into(merged, tree, source.name, "")
    return merged


def _too_deep(source: Source) -> ConfigError:
    return ConfigError([f"{source.name}: nested too deeply"])


def _is_shallow(tree: object) -> bool:
    """Tell whether a tree is one that may be walked by recursion."""
    level = [tree]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for value in level
            if isinstance(value, dict | list)
            for child in (value.values() if isinstance(value, dict) else value)
        ]
    return not level


def _merge_into(target: Tree, tree: Tree, file: str, path: str) -> None:
    for key, value in tree.items():
        here = f"{path}.{key}" if path else key
        present = target.get(key)
        if isinstance(present, dict) and isinstance(value, dict):
            _merge_into(present, value, file, here)
        elif key in target:
            raise ConfigError([f"{file}: {here} is already set by an earlier file"])
        else:
            target[key] = value


def word(message: str, table: str) -> str:
    """Put the path first, as in every other problem.

    msgspec says ``Expected `str`, got `int` - at `$.state` ``.
    """
    match = re.fullmatch(r"(.*) - at `\$(.*)`", message, re.DOTALL)
    text, path = (
        (match.group(1), f"{table}{match.group(2)}")
        if match
        else (
            message,
            table,
        )
    )
    pattern = re.search(r"regex '(.*)'", text, re.DOTALL)
    if pattern:
        # The pattern stands there as `repr` writes it.
        shown = pattern.group(1).replace("\\\\", "\\")
        return f"{path}: does not have the form {shown}"
    # TOML has no null: that a setting may be left out is no news to who wrote it.
    text = text.replace(" | null", "")
    return f"{path}: {text[0].lower()}{text[1:]}"
