"""A scene whose account key is in a SoftHSM2 token, and what has to agree there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.records.keys import KeyRecord
from agent.records.others import AccountRecord
from agent.store import Store
from tests.ca import Config
from tests.integration.scene import (
    Scene,
    Status,
    certificate_table,
    scene,
    token_table,
)
from tests.integration.tokens import PIN, TokenSetup, softhsm
from tests.parts.token import TokenTool

IN_TOKEN: Final = 'token = "hsm"'
WEB: Final = certificate_table("web", more='grace = "0s"')


@dataclass(frozen=True, slots=True)
class Office:
    """An account of one certificate, whose own key is in a file."""

    place: Scene
    token: TokenSetup

    def configure(self, key: str = IN_TOKEN, settings: str = "") -> None:
        """Write the configuration: the account key, and settings of the account."""
        account = f'grace = "0s"\n{settings}\n'
        tables = (account, token_table(self.token), WEB)
        self.place.configure(*tables, account=key, health=False)

    @property
    def record(self) -> AccountRecord:
        """Return the account as it is durable."""
        record = Store(self.place.state).get(AccountRecord, "test")
        assert record is not None
        return record

    @property
    def key(self) -> KeyRecord:
        """Return the key in force, as it is durable."""
        assert self.record.key is not None
        return self.record.key

    def wrong(self) -> Iterator[str]:
        """Yield where token, record and CA do not agree on the one account key."""
        record, key = self.record, self.key
        if record.keys:
            yield f"{len(record.keys)} keys are recorded beside the one in force"
        if self._objects() != {key.id}:
            yield f"keys {self._objects()} exist, {key.id} is recorded"
        if len(self.place.ca.accounts) != 1:
            yield f"{len(self.place.ca.accounts)} accounts"
        known = self.place.ca.accounts[0].jwk.key
        form = PublicFormat.SubjectPublicKeyInfo
        if known.public_bytes(Encoding.DER, form) != key.public:
            yield "the ca knows another key"

    def _objects(self) -> set[str]:
        """Return the ids of all private keys, in the token and in files."""
        token = self.token
        tool = TokenTool(module=token.module, environment=token.env, pin=PIN)
        lines = [x for x in tool.private_keys().splitlines() if "ID:" in x]
        files = {path.stem for path in self.place.state.glob("keys/*.pem")}
        labelled = {line.partition("ID:")[2].strip() for line in lines}
        return labelled | (files & {self.key.id, *(k.id for k in self.record.keys)})


@contextmanager
def office(
    home: Path, config: Config | None = None, *, speed: float = 20
) -> Iterator[Office]:
    """Make an office below an empty directory, whose clock runs so much faster."""
    home.mkdir(exist_ok=True)
    token = softhsm(home)
    with scene(home, config, token=token, speed=speed) as place:
        yield Office(place, token)


def is_quiet(status: Status) -> bool:
    """Tell whether the account can order and nothing of it is under way."""
    account = status.account()
    return bool(account and account["valid"] and not account["jobs"])


def has_key_other_than(status: Status, key: str) -> bool:
    """Tell whether the account's key was replaced, and the old one is gone."""
    return is_quiet(status) and status.account()["key"] != key
