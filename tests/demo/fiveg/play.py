"""How the 5G demo is played, from the first boot to the summary."""

import os
from pathlib import Path

from tests.demo.fiveg.network import Network, network
from tests.demo.fiveg.sbi import traffic
from tests.demo.fiveg.story import FunctionsStory
from tests.demo.keeping import keep
from tests.demo.stage import OWNER, WORKERS, daemon_identity
from tests.demo.telling import Teller
from tests.demo.views import version
from tests.parts.daemon import USER, nfcertd
from tests.parts.nginx import nginx


def play_functions(home: Path) -> None:
    """Play it; raises `PartError` at the first surprise."""
    teller = Teller()
    teller.heading("OAM, an operator's CA, a list of roots, a token")
    with network(home) as net:
        _introduce(teller, net)
        teller.heading("The host's first boot: one bundle of OAM (annex J.2)")
        with nfcertd(net.program, home, daemon_identity()) as daemon:
            teller.fact("runs as", f"uid {USER.uid}, no capability but CAP_KILL")
            told = _tell(FunctionsStory(net, teller, daemon), net, teller)
    teller.heading("Summary")
    for line in told:
        teller.remark(line)


def _tell(story: FunctionsStory, net: Network, teller: Teller) -> list[str]:
    """Tell it step by step; return the summary."""
    amf, smf = net.amf, net.smf
    story.bootstrapped()
    teller.heading("nfcertd enrols two functions (TS 33.310 annex J)")
    story.enrolled()
    with (
        nginx(net.home / amf.name, net.site(amf)),
        nginx(net.home / smf.name, net.site(smf)) as other,
    ):
        story.proven()
        teller.heading("They talk over mutual TLS (TS 33.501 clause 13.1)")
        story.talked()
        with traffic(net, amf, smf) as there, traffic(net, smf, amf) as back:
            teller.heading("One is renewed while they talk")
            story.renewed()
            teller.heading("A root is rolled over while they talk")
            story.rolled_over()
        teller.heading("What the traffic saw")
        story.counted(there, back)
        teller.heading("One function is decommissioned")
        story.decommissioned(other)
        if os.environ.get("KEEP"):
            keep(teller, net.program, net.home)
        teller.heading("The audit trail, and nfcertd status")
        story.ended()
    return story.summary(there, back)


def _introduce(teller: Teller, net: Network) -> None:
    teller.fact("token", f"SoftHSM2, owned by uid {OWNER.uid}")
    teller.fact("exported to", f"group {WORKERS}, by p11-kit-server on a socket")
    teller.fact("OAM", f"token authority, {net.oam.url('...')}")
    teller.fact("CA", f"the test CA, {net.ca.directory_url}")
    teller.fact("list of roots", f"EST, {net.lists.est}")
    for one in (net.amf, net.smf):
        teller.fact(one.kind, f"{one.fqdn}, nginx on port {one.port}")
    teller.fact("nginx", version("nginx", "-v"))
    teller.fact("files", net.home)
