"""What is looked at before an order, and what an order is not held up by."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.config.endpoints import Endpoint, Reload
from agent.config.model import Certificate
from agent.config.tokens import Key
from agent.endpoints.errors import EndpointDownError
from agent.keys.errors import TokenAbsentError
from agent.preflight import LEAST_FREE, Preflight, StorageError
from agent.records.keys import KeyRecord
from agent.solvers.errors import BindError
from tests.fakes.subjects import key

NGINX = Reload(unit="nginx.service")


class Pen:
    """Keys that sign, unless their token is gone.

    Attributes:
        signed: How often.
        gone: The token is.
    """

    def __init__(self) -> None:
        """Begin with a token."""
        self.signed = 0
        self.gone = False

    async def sign(self, key: KeyRecord, data: bytes) -> bytes:
        """Sign."""
        assert key.id
        assert data
        if self.gone:
            raise TokenAbsentError("token hsm is absent")
        self.signed += 1
        return b"signature"


class Ground:
    """A pre-flight with everything in reach.

    Attributes:
        pen: Its keys.
        bound: The address is in use by somebody else.
        down: The endpoint is.
        state: Its state directory.
    """

    def __init__(self, state: Path) -> None:
        """Begin with everything in order."""
        self.pen = Pen()
        self.bound = False
        self.down = False
        self.looks: list[Reload] = []
        self.preflight = Preflight(
            state, self.pen, {"http-01": self._ready}, self._find
        )

    def _ready(self) -> None:
        if self.bound:
            raise BindError("cannot serve http-01: address in use")

    async def _find(self, reload: Reload) -> None:
        self.looks.append(reload)
        if self.down:
            raise EndpointDownError("nginx.service is inactive")

    async def check(self, challenge: str = "http-01", *, challenged: bool) -> None:
        """Look before an order."""
        table = Certificate(
            names=("web.example",),
            ca="test",
            key=Key(file=True),
            challenge=challenge,  # type: ignore[arg-type]  # a test's own
            endpoint=(Endpoint(reload=NGINX), Endpoint(name="b")),
        )
        await self.preflight.check("web", table, key(), challenged=challenged)


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """Return a pre-flight over a directory with room."""
    return Ground(tmp_path)


async def test_what_is_in_order_is_looked_at_once(ground: Ground) -> None:
    """One signature, and the one endpoint that is told."""
    await ground.check(challenged=True)
    assert ground.pen.signed == 1
    assert [reload.unit for reload in ground.looks] == ["nginx.service"]


async def test_a_key_that_cannot_sign_costs_no_order(ground: Ground) -> None:
    """The error of the token decides what follows."""
    ground.pen.gone = True
    with pytest.raises(TokenAbsentError):
        await ground.check(challenged=False)


async def test_an_address_holds_up_only_who_is_challenged(ground: Ground) -> None:
    """A CA that never asks is not kept waiting for a port that nobody needs."""
    ground.bound = True
    await ground.check(challenged=False)
    await ground.check("dns-01", challenged=True)
    with pytest.raises(BindError):
        await ground.check(challenged=True)


async def test_an_endpoint_that_is_not_there_is_only_said(
    ground: Ground, caplog: pytest.LogCaptureFixture
) -> None:
    """The certificate is ordered, and waits for it as it always does."""
    ground.down = True
    with caplog.at_level(logging.WARNING, "nfcertd"):
        await ground.check(challenged=False)
    assert "web is ordered although its endpoint is not there" in caplog.text


def disk(**facts: int) -> Callable[[Path], object]:
    """Return what statvfs(3) says of a disk."""
    base = {
        "f_flag": 0,
        "f_bavail": LEAST_FREE // 4096,
        "f_frsize": 4096,
        "f_files": 1000,
        "f_favail": 64,
    }
    return lambda _: SimpleNamespace(**(base | facts))


@pytest.mark.parametrize(
    ("facts", "complaint"),
    [
        ({}, ""),
        ({"f_files": 0, "f_favail": 0}, ""),
        ({"f_bavail": LEAST_FREE // 4096 - 1}, "15 MiB free"),
        ({"f_favail": 63}, "63 files"),
        ({"f_flag": os.ST_RDONLY}, "read-only"),
    ],
)
async def test_what_is_issued_must_find_room(
    ground: Ground,
    monkeypatch: pytest.MonkeyPatch,
    facts: dict[str, int],
    complaint: str,
) -> None:
    """16 MiB and 64 files, where the file system counts them."""
    monkeypatch.setattr("os.statvfs", disk(**facts))
    if not complaint:
        await ground.check(challenged=True)
        return
    with pytest.raises(StorageError, match=complaint):
        await ground.check(challenged=True)
    assert ground.pen.signed == 0


async def test_a_directory_that_is_gone_is_said(tmp_path: Path) -> None:
    """Rather than found out when the certificate is to be written."""
    with pytest.raises(StorageError, match="cannot be looked at"):
        await Ground(tmp_path / "gone").check(challenged=False)
