"""The steps of the demo, in the order in which they are told."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from tests.demo.stage import CERTIFICATE, Stage
from tests.demo.telling import Teller
from tests.demo.views import (
    Published,
    described,
    in_service,
    keys,
    published,
    served,
    target,
)
from tests.parts.load import Result, load
from tests.parts.nginx import Nginx
from tests.parts.process import Part, PartError

PATIENCE: Final = 60.0
"""Seconds that any step may take; an nginx that hangs over a login is told again."""
SHOWN: Final = (
    "nfcertd_certificate_not_after_timestamp_seconds",
    "nfcertd_certificate_renew_at_timestamp_seconds",
    "nfcertd_endpoint_deployed",
    "nfcertd_endpoint_issued_to_served_seconds",
    "nfcertd_token_up",
    "nfcertd_alarms",
)


class SurpriseError(PartError):
    """Something went otherwise than the demo promises."""


class Story:
    """Tells what happens on a stage, and stops at the first surprise."""

    def __init__(self, stage: Stage, teller: Teller, daemon: Part) -> None:
        """Tell of a stage on which the daemon has been started."""
        self._stage = stage
        self._tell = teller
        self._daemon = daemon

    def enrolled(self) -> Published:
        """Wait for the first publication, which needs no endpoint."""
        self._wait(lambda: published(self._stage.live), "no certificate was published")
        first = self._published()
        self._tell.fact("certificate", f"serial {first.serial}")
        self._tell.fact("published as", f"state/live/{CERTIFICATE} -> {first.number}")
        snippet = (self._stage.live / "nginx.conf").read_text()
        self._tell.quote(
            snippet.replace(str(self._stage.home), "..."), "cat nginx.conf"
        )
        self._tell.fact("endpoint", "not running yet: awaited, which is no failure")
        return first

    def proven(self, first: Published) -> None:
        """Wait until the endpoint serves the publication and nfcertd has seen it."""
        self._wait(
            lambda: served(self._stage) == first.fingerprint, "nginx does not serve it"
        )
        self._wait(self._deployed, "nfcertd did not prove the deployment")
        self._tell.fact("deployed", "nfcertd saw over the wire what nginx serves")
        self._tell.quote(described(self._stage), "openssl s_client ... | openssl x509")

    def held(self) -> set[str]:
        """Show the keys in the token; return the one that nginx uses."""
        found = keys(self._stage)
        for text in found:
            if "never extractable" not in text or "local" not in text:
                raise SurpriseError(f"a key in the token could leave it:\n{text}")
        self._tell.quote("\n".join(found), "pkcs11-tool --list-objects --type privkey")
        return in_service(self._stage)

    def renewed(self, first: Published) -> tuple[Published, Result]:
        """Renew under load, and account for every connection."""
        with load(target(self._stage)) as generator:
            time.sleep(1)
            asked = time.monotonic()
            self._tell.quote(
                self._stage.program.ask("renew", CERTIFICATE),
                f"nfcertd renew {CERTIFICATE}",
            )
            self._wait(lambda: self._published().number > first.number, "not renewed")
            second = self._published()
            self._wait(
                lambda: served(self._stage) == second.fingerprint, "not served after it"
            )
            self._wait(self._deployed, "nfcertd did not prove the deployment")
            spent = time.monotonic() - asked
            time.sleep(1)
            result = generator.stop()
        self._tell.fact("serial before", first.serial)
        self._tell.fact("serial after", second.serial)
        self._tell.fact("asked to proven", f"{spent:.2f} s")
        return second, result

    def counted(self, second: Published, result: Result) -> None:
        """Tell what the load saw, and refuse a single failed connection."""
        self._tell.fact("connections", f"{result.ok + result.failed}, a handshake each")
        self._tell.fact("failed", result.failed)
        if result.failed:
            raise SurpriseError(
                f"connections failed during the renewal: {result.errors}"
            )
        if second.fingerprint not in result.leaves or len(result.leaves) < 2:
            raise SurpriseError("the load did not see both certificates")
        fresh = datetime.fromtimestamp(result.leaves[second.fingerprint].first, UTC)
        spent = (fresh - second.at).total_seconds()
        self._tell.fact("issued to served", f"{spent:.2f} s (as the load saw it)")

    def destroyed(self, before: set[str], second: Published) -> None:
        """Wait until the old key is gone; the new one stays in service."""
        self._wait(
            lambda: not before & in_service(self._stage), "the old key still exists"
        )
        after = in_service(self._stage)
        if len(before) != 1 or len(after) != 1:
            raise SurpriseError(f"keys before: {before}, after: {after}")
        if served(self._stage) != second.fingerprint:
            raise SurpriseError("after the old key was destroyed, the endpoint fails")
        self._tell.fact("destroyed", *before)
        self._tell.fact("in service", *after)

    def metered(self) -> None:
        """Show how many requests the whole story cost, and a few metrics."""
        total = self._stage.program.total("nfcertd_acme_requests_total")
        orders = self._orders()
        self._tell.fact(
            "ACME requests", f"{total:.0f}: an account, {orders:.0f} orders"
        )
        shown = [line for line in self._lines() if line.startswith(SHOWN)]
        told = [line for line in self._lines() if "requests_total{" in line]
        self._tell.quote("\n".join(shown + told), "curl http://.../metrics")
        if not total:
            raise SurpriseError("/metrics counts no ACME request")

    def status(self) -> None:
        """End with what an operator would ask first."""
        self._tell.quote(self._stage.program.ask("status"), "nfcertd status")

    def stopped(self, nginx: Nginx) -> None:
        """End the daemon as systemd would, and see that nobody else notices."""
        status = self._daemon.stop()
        self._tell.fact("nfcertd", f"ended by SIGTERM with status {status}")
        if status or not nginx.part.alive or not served(self._stage):
            raise SurpriseError(f"it did not end well\n{self._daemon.tail()}")

    def _orders(self) -> float:
        samples = self._stage.program.samples().items()
        return sum(count for name, count in samples if 'resource="newOrder"' in name)

    def _lines(self) -> list[str]:
        return self._stage.program.page("/metrics").splitlines()

    def _published(self) -> Published:
        found = published(self._stage.live)
        if found is None:
            raise SurpriseError(f"there is no publication at {self._stage.live}")
        return found

    def _deployed(self) -> bool:
        wanted = f'nfcertd_endpoint_deployed{{certificate="{CERTIFICATE}"'
        found = self._stage.program.samples().items()
        return any(value == 1 for name, value in found if name.startswith(wanted))

    def _wait(self, check: Callable[[], object], otherwise: str) -> None:
        try:
            self._daemon.wait_until(lambda: bool(check()), PATIENCE)
        except PartError as error:
            raise SurpriseError(f"{otherwise}: {error}") from error
