"""The steps of the 5G demo, in the order in which they are told."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from agent.control.client import ask as ask_daemon
from tests.demo.fiveg.network import Function, Network
from tests.demo.fiveg.sbi import RefusedError, Talk, Traffic, ask
from tests.demo.story import PATIENCE, SurpriseError
from tests.demo.telling import Teller
from tests.parts.nginx import Nginx
from tests.parts.process import Part, PartError, run

CESSATION: Final = 5
"""cessationOfOperation (RFC 5280 section 5.3.1)."""
UNRECOGNIZED: Final = "unrecognized name"
"""The alert of a server that has no certificate for a name, as OpenSSL words it."""
View = dict[str, Any]


class FunctionsStory:
    """Tells what happens to two functions, and stops at the first surprise."""

    def __init__(self, network: Network, teller: Teller, daemon: Part) -> None:
        """Tell of a network whose daemon has been started."""
        self._net = network
        self._tell = teller
        self._daemon = daemon

    @property
    def both(self) -> tuple[Function, Function]:
        """Return the two functions."""
        return self._net.amf, self._net.smf

    def bootstrapped(self) -> None:
        """Hand over OAM's bundle: before it nobody is known, and nobody is asked."""
        waiting = self._status()["bootstrap"]["waiting"]
        if waiting.keys() != {one.name for one in self.both} or self._net.ca.log:
            raise SurpriseError(f"only {waiting} waits for a bundle")
        for name, table in sorted(waiting.items()):
            self._tell.fact(name, f"waits: {table} is not known here")
        self._hand_over(1, self._net.roots()[:1])
        [kid] = self._net.ca.config.eab_keys
        self._tell.fact("it brings", "CA, account, token authority, NFs, list of roots")
        self._wait(lambda: self._net.ca.accounts, "no account was registered")
        if [account.eab_kid for account in self._net.ca.accounts] != [kid]:
            raise SurpriseError("the account is not bound as the bundle says")
        self._tell.fact("account", f"registered, bound to {kid} (RFC 8555 7.3.4)")

    def _hand_over(self, sequence: int, roots: tuple[Any, ...]) -> None:
        file = self._net.bundle(sequence, roots)
        said = self._net.program.ask("bootstrap", str(file))
        self._tell.quote(said, f"nfcertd bootstrap {file.name}")

    def enrolled(self) -> None:
        """Wait until both have a certificate that OAM has attested for."""
        for one in self.both:
            self._wait(
                lambda one=one: (self._net.live(one.name) / "nginx.conf").exists(),  # type: ignore[misc]  # a default binds the loop's value
                f"{one.name} was not enrolled",
            )
            shown = self._certificate(one)
            self._tell.fact(one.name, f"{one.kind}, {one.uri}")
            self._tell.fact("", f"serial {shown['serial']}, by {shown['anchor']}")
        asked = {(atc["tktype"], atc["tkvalue"]) for atc in self._net.oam.asked}
        attested = {
            pair for each in self._net.oam.script.accounts.values() for pair in each
        }
        if asked != attested:
            raise SurpriseError(f"oam attested {asked}, not {attested}")
        self._tell.fact("OAM was asked for", f"{len(asked)} authority tokens")
        for kind, value in sorted(asked):
            self._tell.fact("", f"{kind} {value}")

    def proven(self) -> None:
        """Wait until nfcertd has seen over the wire what both interfaces serve."""
        for one in self.both:
            self._wait(lambda one=one: self._deployed(one), f"{one.name} is not served")  # type: ignore[misc]  # a default binds the loop's value
        self._tell.fact("deployed", "nfcertd saw over the wire what both serve")

    def talked(self) -> None:
        """Let each ask the other; both are client and server with one certificate."""
        amf, smf = self.both
        for client, server in ((amf, smf), (smf, amf)):
            seen = self._ask(client, server)
            if (seen.client, seen.server) != (client.uri, server.uri):
                raise SurpriseError(f"{seen.client} talked to {seen.server}")
            self._tell.fact(f"{client.name} -> {server.name}", "200 OK")
            self._tell.fact("  server accepted", seen.client)
            self._tell.fact("  client accepted", seen.server)

    def renewed(self) -> None:
        """Renew the AMF: a new key in the token, served, the old one destroyed."""
        amf = self._net.amf
        before, keys = self._certificate(amf), self._keys(amf)
        self._tell.quote(self._net.program.ask("renew", amf.name), "nfcertd renew amf1")
        asked = time.monotonic()
        self._wait(
            lambda: (
                self._certificate(amf)["publication"] > before["publication"]
                and self._deployed(amf)
            ),
            "amf1 was not renewed",
        )
        spent = time.monotonic() - asked
        self._wait(lambda: not keys & self._keys(amf), "its old key still exists")
        after = self._certificate(amf)
        self._tell.fact("serial before", before["serial"])
        self._tell.fact("serial after", after["serial"])
        self._tell.fact("asked to proven", f"{spent:.2f} s")
        self._tell.fact("old key destroyed", *keys)
        if len(self._keys(amf)) != 1:
            raise SurpriseError(f"keys of amf1: {self._keys(amf)}")

    def rolled_over(self) -> None:
        """Put a new root into the list, let the CA issue below it, take the old out."""
        old, new = self._net.roots()
        self._hand_over(2, (old, new))
        self._publish((old, new), 2, "the new root is in the list")
        self._net.ca.issue_below(1)
        self._tell.fact("the CA", "issues below the new root from now on")
        before = {one.name: self._certificate(one)["serial"] for one in self.both}
        self._net.lists.cacerts = (new,)
        self._net.program.ask("trust", "fetch", "sba")
        self._wait(lambda: self._states() == ["missing", "trusted"], "not missing")
        # It is missed only where two fetches agree that lie apart.
        self._wait(
            lambda: self._fetched() == ["leaving", "trusted"], "it is not leaving"
        )
        self._tell.fact(
            "the old root", "is not in the list any more: trusted on, leaving"
        )
        for one in self.both:
            self._wait(
                lambda one=one: (
                    self._certificate(one)["serial"] != before[one.name]  # type: ignore[misc]  # a default binds the loop's value
                    and self._deployed(one)
                ),
                f"{one.name} was not renewed below the new root",
            )
            shown = self._certificate(one)
            if shown["anchor"] != "CN=Test Root 1":
                raise SurpriseError(f"{one.name} is below {shown['anchor']}")
            self._tell.fact(
                f"{one.name} by itself", f"{shown['serial']}, {shown['anchor']}"
            )
        self._wait(
            lambda: self._states() == ["trusted"], "the old root is still trusted"
        )
        self._everywhere(3)
        self._tell.fact("overlap over", "nobody trusts the old root any more")

    def counted(self, there: Traffic, back: Traffic) -> None:
        """Account for every request while all of that happened; none may fail."""
        for name, one in (("amf1 -> smf1", there), ("smf1 -> amf1", back)):
            self._tell.fact(name, f"{one.served} requests, {len(one.failed)} failed")
            self._tell.fact(
                "", f"{len(one.serials)} certificates of the peer were seen"
            )
            self._tell.fact("", f"{one.logins} logins to the token were tried again")
            if one.failed:
                raise SurpriseError(f"requests failed: {one.failed[:3]}")
            if len(one.issuers) != 2:
                raise SurpriseError(f"verified by {one.issuers}, not by two roots")
        if len(back.serials) < 3 or len(there.serials) < 2:
            raise SurpriseError("the traffic did not see every certificate")

    def decommissioned(self, server: Nginx) -> None:
        """Take the SMF away: nothing of it is left, and the AMF goes on."""
        net, smf, amf = self._net, self._net.smf, self._net.amf
        serial = int(self._certificate(smf)["serial"], 16)
        self._tell.quote(
            net.program.ask("decommission", smf.name, "--confirm", smf.name),
            "nfcertd decommission smf1 --confirm smf1",
        )
        self._wait(
            lambda: self._nf(smf)["state"] == "decommissioned", "it does not end"
        )
        reason = net.ca.revoked[serial].reason if serial in net.ca.revoked else None
        if reason != CESSATION:
            raise SurpriseError(f"the certificate of smf1 is revoked for {reason}")
        self._tell.fact("revoked at the CA", "cessationOfOperation")
        if left := self._keys(smf):
            raise SurpriseError(f"keys of smf1 are left: {left}")
        self._tell.fact("keys in the token", "none of smf1")
        if not server.part.alive:
            raise SurpriseError("the nginx of smf1 has ended")
        self._withdrawn(smf)
        self._refused(amf, smf)
        self._goes_on(amf)

    def _refused(self, client: Function, server: Function) -> None:
        """See that a function that has ended is not served any more, and why."""
        try:
            seen = ask(self._net, client, server)
        except RefusedError as error:
            if UNRECOGNIZED not in str(error):
                raise SurpriseError(
                    f"{server.name} was not refused: {error}"
                ) from error
            self._tell.fact(f"{client.name} -> {server.name}", f"refused: {error}")
        else:
            raise SurpriseError(f"{server.name} still serves {seen}")

    def _withdrawn(self, one: Function) -> None:
        """See that nothing is published that a function could be a client with."""
        left = sorted(path.name for path in self._net.live(one.name).iterdir())
        if left != ["nginx.conf"]:
            raise SurpriseError(f"{one.name} still has {left}")
        self._tell.fact("published", "nothing but a configuration that refuses")

    def _goes_on(self, one: Function) -> None:
        """See that a function still is client and server, by a request to itself.

        Nobody else is left in this network who has a certificate.
        """
        seen = self._ask(one, one)
        if (seen.client, seen.server) != (one.uri, one.uri):
            raise SurpriseError(f"{seen.client} talked to {seen.server}")
        account = self._status()["accounts"][0]
        if not self._deployed(one) or not account["valid"]:
            raise SurpriseError(f"{one.name} does not go on")
        self._tell.fact(f"{one.name} -> {one.name}", "200 OK, as client and as server")
        self._tell.fact(one.name, "goes on: deployed, its account is open")

    def ended(self) -> None:
        """Show the trail of it all, the status, and end the daemon as systemd would."""
        trail = str(self._net.home / "state" / "audit")
        program = self._net.program
        argv = program.argv("audit", "--verify", "--directory", trail)[:-2]
        said = run(argv, program.setting()).stdout
        self._tell.quote(said, "nfcertd audit --verify")
        if "vouched for" not in said:
            raise SurpriseError("no signed checkpoint vouches for the audit trail")
        self._tell.quote(self._net.program.ask("status"), "nfcertd status")
        status = self._daemon.stop()
        self._tell.fact("nfcertd", f"ended by SIGTERM with status {status}")
        if status:
            raise SurpriseError(f"it did not end well\n{self._daemon.tail()}")

    def summary(self, there: Traffic, back: Traffic) -> list[str]:
        """Return what was shown, a line each."""
        net, total = self._net, there.served + back.served
        failed = len(there.failed) + len(back.failed)
        again = there.logins + back.logins
        told = {
            "bootstrapped": "2 bundles of OAM, the CA is trusted by nothing else",
            "enrolled by annex J": f"2 functions, {len(net.oam.asked)} tokens of OAM",
            "certificates ordered": f"{len(net.ca.orders)}, keys made in the token",
            "requests between them": f"{total}, {failed} failed",
            "logins tried again": f"{again}, before anything was sent",
            "renewed": "amf1 by command, both by the roll-over",
            "root rolled over": "Test Root 0 -> Test Root 1",
            "decommissioned": f"smf1: {len(net.ca.revoked)} revoked, no key left",
        }
        return [f"{name:<23} {value}" for name, value in told.items()]

    # -- what is looked at

    def _publish(self, roots: tuple[Any, ...], version: int, words: str) -> None:
        self._net.lists.cacerts = roots
        self._net.program.ask("trust", "fetch", "sba")
        self._everywhere(version)
        self._tell.fact(words, f"version {version}, at both interfaces")

    def _everywhere(self, version: int) -> None:
        """Wait until a version of the list is deployed with every certificate."""
        for one in self.both:
            self._wait(
                lambda one=one: (
                    self._certificate(one)["trust"] == {"sba": version}  # type: ignore[misc]  # a default binds the loop's value
                    and self._deployed(one)
                ),
                f"version {version} of the list is not in service at {one.name}",
            )

    def _fetched(self) -> list[str]:
        self._net.program.ask("trust", "fetch", "sba")
        return self._states()

    def _states(self) -> list[str]:
        answer = json.loads(self._net.program.ask("trust", "--json"))
        return [root["state"] for root in answer["lists"][0]["roots"]]

    def _ask(self, client: Function, server: Function) -> Talk:
        try:
            return ask(self._net, client, server)
        except RefusedError as error:
            raise SurpriseError(f"{client.name} -> {server.name}: {error}") from error

    def _status(self) -> View:
        socket = Path(self._net.program.runtime) / "control.sock"
        return asyncio.run(ask_daemon(socket, "status", {}))

    def _certificate(self, one: Function) -> View:
        return next(c for c in self._status()["certificates"] if c["name"] == one.name)

    def _nf(self, one: Function) -> View:
        return next(n for n in self._status()["nfs"] if n["name"] == one.name)

    def _deployed(self, one: Function) -> bool:
        shown = self._certificate(one)
        busy = [j for j in shown["jobs"] if not j["slot"].startswith("retire")]
        return bool(shown["deployed"]) and not busy

    def _keys(self, one: Function) -> set[str]:
        """Return the labels in the token that are a function's."""
        lines = self._net.token.private_keys().splitlines()
        labels = {ln.partition("label:")[2].strip() for ln in lines if "label:" in ln}
        return {label for label in labels if f"/{one.name}/" in label}

    def _wait(self, check: Callable[[], object], otherwise: str) -> None:
        try:
            self._daemon.wait_until(lambda: bool(check()), PATIENCE)
        except PartError as error:
            raise SurpriseError(f"{otherwise}: {error}") from error
