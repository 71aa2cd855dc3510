"""The files of `config/`: every one parses, and the reference leaves nothing out."""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.config.model import Config
from agent.config.parse import Source, settle, typed

CONFIG = Path(__file__).parents[2] / "config"
REFERENCE = CONFIG / "nfcertd.toml"
ALERTS = CONFIG / "alerts.yml"
METRICS = [CONFIG.parent / "agent" / f"{name}.py" for name in ("metrics", "gauges")]
FILES = sorted(CONFIG.rglob("*.toml"))

Info = msgspec.inspect.Type


KEY = "certificate.*.key."
STRANGERS = {"ca.*.lint", "dns-01.lexicon.options", "dns-01.lexicon.secrets"}
"""Tables whose keys are no settings of the model but ids of rules, or a library's."""


def test_there_are_examples() -> None:
    """A glob that finds nothing would make every other test here pass."""
    assert len(FILES) >= 5
    assert REFERENCE in FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_example_parses(path: Path) -> None:
    """What an operator copies is accepted as it stands."""
    found = settle(typed([Source(path.name, path.read_bytes())]))
    assert found.config.certificate or found.waiting


def test_the_reference_shows_every_setting() -> None:
    """A field that is added to the model without a line in the reference fails here."""
    shown = {path for path, _ in _settings(_uncommented(), "")}
    known = {path for path, _ in _fields(_type(Config), "")}
    # Every key has the settings of a certificate's, which are shown there.
    known = {
        re.sub(r"^((account\.\*|audit)\.key|bootstrap\.account_key)\.", KEY, path)
        for path in known
    }
    assert known - shown == set()


def test_the_reference_shows_the_defaults() -> None:
    """A line `#name = value` has the value that leaving it out has, or says Example."""
    defaults = dict(_fields(_type(Config), ""))
    examples = _examples()
    for path, value in _settings(_commented(), ""):
        default = defaults[path]
        if default in (None, msgspec.NODEFAULT):
            assert path.rsplit(".", 1)[-1] in examples, path
        else:
            assert _plain(default) == value, path


def test_alert_rules_use_metrics_that_exist() -> None:
    """A renamed metric must not silence an alert."""
    used = set(re.findall(r"\bnfcertd_[a-z_]+", ALERTS.read_text()))
    assert len(used) >= 6
    made = "".join(path.read_text() for path in METRICS)
    assert used <= set(re.findall(r"\bnfcertd_[a-z_]+", made))


def test_alert_rules_are_what_prometheus_reads() -> None:
    """Promtool accepts the file, where it is installed."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    argv = [promtool, "check", "rules", str(ALERTS)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


def _uncommented() -> dict[str, object]:
    """Return the reference with every commented setting in force."""
    return tomllib.loads(re.sub(r"(?m)^#(?=\w)", "", REFERENCE.read_text()))


_NAMED = {
    "token",
    "ca",
    "account",
    "token-authority",
    "trust",
    "certificate",
    "nf",
    "hook",
}


def _commented() -> dict[str, object]:
    """Return only the settings of the reference that are commented out."""
    lines = REFERENCE.read_text().splitlines()
    kept = [line.removeprefix("#") for line in lines if re.match(r"#\w|\[", line)]
    return tomllib.loads("\n".join(kept))


def _examples() -> set[str]:
    """Return the names of commented settings that are said to be examples."""
    found = set()
    said = False
    for line in REFERENCE.read_text().splitlines():
        if match := re.match(r"#(?:\w+\.)*(\w+) =", line):
            found |= {match.group(1)} if said else set()
            said = False
        elif line.startswith("# "):
            said = said or "Example" in line
        else:
            said = False
    return found


def _plain(default: object) -> object:
    return list(default) if isinstance(default, tuple) else default


def _type(kind: object) -> Info:
    return msgspec.inspect.type_info(kind)


def _settings(tree: object, path: str) -> Iterator[tuple[str, object]]:
    """Yield each setting of a TOML tree, operator's names and indices as a star."""
    if isinstance(tree, dict):
        if path in STRANGERS:
            yield path, tree
            return
        named = path in _NAMED
        for key, value in tree.items():
            step = "*" if named else str(key)
            yield from _settings(value, f"{path}.{step}" if path else step)
    elif isinstance(tree, list) and tree and isinstance(tree[0], dict):
        for value in tree:
            yield from _settings(value, path)
    else:
        yield path, tree


def _fields(kind: Info, path: str) -> Iterator[tuple[str, object]]:
    """Yield each setting of the model with its default, paths as in `_settings`."""
    match kind:
        case msgspec.inspect.StructType(fields=fields):
            for field in fields:
                name = f"{path}.{field.encode_name}" if path else field.encode_name
                inner = list(_fields(field.type, name))
                yield from inner or [(name, field.default)]
        case msgspec.inspect.DictType(value_type=value):
            yield from _fields(value, f"{path}.*")
        case msgspec.inspect.VarTupleType(item_type=item):
            yield from _fields(item, path)
        case msgspec.inspect.UnionType(types=types):
            for option in types:
                yield from _fields(option, path)
        case _:
            return
