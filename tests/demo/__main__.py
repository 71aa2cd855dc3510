"""`make demo`: enrol, serve, renew and destroy, on real parts, told step by step.

Environment: `SCENARIO=5g` tells of two network functions instead of one endpoint,
`TOKEN=tpm` uses a TPM simulator (not for 5g), `KEEP=1` leaves everything running until
Ctrl-C. Exit status: 0 all went as promised; 1 it did not, or something is missing.
"""

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.demo.fiveg.play import play_functions
from tests.demo.keeping import keep
from tests.demo.stage import (
    NAME,
    OWNER,
    WORKERS,
    Stage,
    daemon_identity,
    lacking,
    stage,
)
from tests.demo.story import Story
from tests.demo.telling import Teller
from tests.demo.views import version
from tests.parts.daemon import USER, nfcertd
from tests.parts.nginx import nginx
from tests.parts.process import PartError


def main() -> int:
    """Play the demo; return the exit status."""
    tpm = os.environ.get("TOKEN", "softhsm") == "tpm"
    scenario = os.environ.get("SCENARIO", "")
    if scenario not in {"", "5g"} or (scenario and tpm):
        print("SCENARIO is 5g, or nothing; with 5g the token is SoftHSM2's")
        return 1
    if absent := lacking(tpm=tpm):
        print(absent)
        return 1
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(1))
    home = Path(tempfile.mkdtemp(prefix="nfcertd-demo-"))
    home.chmod(0o711)
    try:
        if scenario:
            play_functions(home)
        else:
            _play(home, tpm=tpm)
    except PartError as error:
        print(f"\nthe demo failed: {error}\n\nfiles and logs are in {home}")
        return 1
    except KeyboardInterrupt:
        print("\nended")
    shutil.rmtree(home)
    return 0


def _play(home: Path, *, tpm: bool) -> None:
    teller = Teller()
    teller.heading("A token, a CA")
    with stage(home, tpm=tpm) as scene:
        _introduce(teller, scene)
        teller.heading("nfcertd starts as its own user and enrols")
        with nfcertd(scene.program, home, daemon_identity()) as daemon:
            teller.fact("runs as", f"uid {USER.uid}, no capability but CAP_KILL")
            story = Story(scene, teller, daemon)
            first = story.enrolled()
            teller.heading("nginx starts with what was published")
            with nginx(home, scene.site) as server:
                story.proven(first)
                teller.heading("The keys, as the token describes them")
                before = story.held()
                teller.heading("Renewal under load")
                second, result = story.renewed(first)
                story.counted(second, result)
                teller.heading("The old key is destroyed")
                story.destroyed(before, second)
                teller.heading("What it cost")
                story.metered()
                teller.heading("nfcertd status")
                story.status()
                if os.environ.get("KEEP"):
                    keep(
                        teller,
                        scene.program,
                        scene.home,
                        f"curl -k https://127.0.0.1:{scene.port}/",
                    )
                story.stopped(server)


def _introduce(teller: Teller, scene: Stage) -> None:
    kind = "TPM 2.0 simulator with tpm2-pkcs11" if scene.tpm else "SoftHSM2"
    owner = "root" if scene.tpm else f"uid {OWNER.uid}"
    teller.fact("token", f"{kind}, owned by {owner}")
    teller.fact("exported to", f"group {WORKERS}, by p11-kit-server on a socket")
    teller.fact("CA", f"Pebble, {scene.ca.directory_url}")
    teller.fact("name", NAME)
    teller.fact("endpoint", f"nginx {version('nginx', '-v')}, workers as {WORKERS}")
    if scene.tpm:
        teller.remark("A running nginx does not see a new key of a TPM after SIGHUP:")
        teller.remark("its own key is in a file, account and second key in the TPM.")
    teller.fact("files", scene.home)


if __name__ == "__main__":
    sys.exit(main())
