"""What an operator does to the real unit, from its first start to its stop.

Runs as root inside the booted machine, and prints one JSON object: what was seen at
each step. It judges nothing, except that it ends when something never happens.
"""

import grp
import json
import os
import pwd
import re
import signal
import socket
import ssl
import stat
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAME = "amf1.5gc.mnc012.mcc345.3gppnetwork.org"
PORTS = {"in-token": 443, "in-file": 8443}
STATE = Path("/var/lib/nfcertd")
CONFIG = Path("/etc/nfcertd/nfcertd.toml")
DROP_INS = Path("/etc/systemd/system/nfcertd.service.d")
PROBE = Path("/probe")
STRANGERS = 25
"""Connections to port 80 that wait. More than there is room for (32 once a challenge
was served) would come in later, as TCP tries again, and start a stopped daemon."""
IDLE = 6.5
"""Seconds; more than three periods of the lowered watchdog."""
SETTLED = 1.0
"""Seconds after a start, when it has looked for its token and let go of the rest."""

Facts = dict[str, Any]


def run(*argv: str, user: str = "") -> tuple[int, str]:
    """Run a program, perhaps as a user with all groups; return status and output."""
    prefix = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
    done = subprocess.run(
        [*(prefix if user else []), *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=30,
    )
    return done.returncode, done.stdout


def must(*argv: str, user: str = "") -> str:
    """Run a program that has to end with 0."""
    status, output = run(*argv, user=user)
    if status != 0:
        raise SystemExit(f"{argv} ended with {status}: {output}")
    return output


def until(what: str, check: Callable[[], bool], within: float = 20.0) -> float:
    """Wait for something and return how many seconds it took."""
    began = time.monotonic()
    while not check():
        if time.monotonic() - began > within:
            raise SystemExit(f"not within {within} s: {what}; {page('/readyz')[1]}")
        time.sleep(0.05)
    return time.monotonic() - began


def shown(name: str, unit: str = "nfcertd") -> str:
    """Return a property of a unit."""
    return must("systemctl", "show", "-P", name, unit).strip()


def page(path: str) -> tuple[int, str]:
    """Return status and body of a page of the health listener, 0 for no answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:9469{path}", timeout=5) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def sample(name: str) -> float:
    """Return a metric without labels."""
    found = re.search(rf"^{name} (\S+)$", page("/metrics")[1], re.MULTILINE)
    return float(found[1]) if found else -1.0


def status() -> Facts:
    """Return what `nfcertd status --json` prints, and how it ends."""
    code, output = run("nfcertd", "status", "--json")
    found: Facts = json.loads(output)
    return {"exit": code, **found}


def orders() -> dict[str, int]:
    """Return how often each certificate was ordered, ever."""
    return {one["name"]: one["orders"] for one in status()["certificates"]}


def served(name: str) -> str:
    """Return the serial that an endpoint serves, its chain verified; empty if not."""
    context = ssl.create_default_context(cafile="/run/ca/issuing-root.pem")
    try:
        with (
            socket.create_connection(("127.0.0.1", PORTS[name]), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=NAME) as tls,
        ):
            leaf = tls.getpeercert() or {}
    except OSError as error:
        return f"nothing: {error}"
    return str(leaf["serialNumber"]).lower()


def requests() -> list[str]:
    """Return the requests that the CA has seen, all that were made before this."""
    time.sleep(0.2)
    return Path("/run/ca/log").read_text().splitlines()


def ready() -> bool:
    """Tell whether nothing needs anybody."""
    return page("/readyz")[0] == 200


def starting() -> float:
    """Return how many seconds the last start took, by systemd's own account."""
    began = int(shown("ExecMainStartTimestampMonotonic"))
    return (int(shown("ActiveEnterTimestampMonotonic")) - began) / 1e6


def prepare() -> Facts:
    """Make users, token and endpoint; install the rule that nfcertd prints."""
    must("systemd-sysusers")
    token = ("--init-token", "--free", "--label", "nf", "--pin", "1234")
    must(
        *("setpriv", "--reuid=nfcertd", "--regid=nfcertd", "--groups=softhsm"),
        *("softhsm2-util", *token, "--so-pin", "5678"),
    )
    must("systemctl", "start", "ca", "web", "nfcertd-http01.socket")
    check = run("nfcertd", "check")
    rule = must("nfcertd", "polkit")
    Path("/etc/polkit-1/rules.d/49-nfcertd.rules").write_text(rule)
    return {"check": check}


def start() -> Facts:
    """Start the unit, and look at it at once."""
    began = time.monotonic()
    must("systemctl", "start", "nfcertd")
    took = time.monotonic() - began
    pid = shown("MainPID")
    owner = Path(f"/proc/{pid}").stat().st_uid
    capabilities = re.search(r"CapEff:\t(\S+)", Path(f"/proc/{pid}/status").read_text())
    return {
        "active": shown("ActiveState"),
        "text": shown("StatusText"),
        "to_ready": starting(),
        "start_job": took,
        "user": pwd.getpwuid(owner).pw_name,
        "capabilities": capabilities[1] if capabilities else "",
        "healthz": page("/healthz")[0],
    }


def enrol() -> Facts:
    """Wait until both certificates are served from a new start."""
    took = until("both certificates deployed", ready, 30)
    return {
        "took": took,
        "status": status(),
        "served": {name: served(name) for name in PORTS},
        "requests": requests(),
        "table": must("nfcertd", "status"),
    }


def rights() -> Facts:
    """Note mode, owner and group of everything below the two directories."""
    found: Facts = {}
    for top in (STATE, Path("/run/nfcertd")):
        for path in (top, *sorted(top.rglob("*"))):
            about = path.lstat()
            found[str(path)] = (
                f"{stat.filemode(about.st_mode)} {pwd.getpwuid(about.st_uid).pw_name} "
                f"{grp.getgrgid(about.st_gid).gr_name}"
            )
    return found


def readers() -> Facts:
    """Try as several users to read what is published."""
    live = STATE / "live/in-file"
    names = {"certificate": live / "fullchain.pem", "key": live / "key.pem"}
    names["record"] = STATE / "records/certificate/in-file.json"
    return {
        f"{user} {what}": run("cat", str(path), user=user)[0]
        for user in ("alice", "worker")
        for what, path in names.items()
    }


def askers() -> Facts:
    """Ask as several users; the administrator's renewal really happens."""
    before = served("in-token")
    found: Facts = {}
    for user in ("alice", "reader", "admin"):
        for words in (("status",), ("renew", "in-token"), ("keys",)):
            found[f"{user} {words[0]}"] = run("nfcertd", *words, user=user)
    took = until("a new certificate", lambda: served("in-token") != before)
    until("the end of the renewal", ready)
    found["unknown"] = run("nfcertd", "renew", "nobody")
    return {"exits": found, "took": took, "before": before, **after("in-token")}


def after(name: str) -> Facts:
    """Return what is served and recorded of a certificate."""
    seen = {one["name"]: one for one in status()["certificates"]}
    return {"served": served(name), "status": seen[name]}


def reload() -> Facts:
    """Reload a bad file, and then a good one with a third certificate."""
    pid = shown("MainPID")
    CONFIG.write_text((PROBE / "bad.toml").read_text())
    bad: Facts = {"reload": run("systemctl", "reload", "nfcertd")[0]}
    refused = "nfcertd_config_last_reload_success"
    until("the refusal", lambda: sample(refused) == 0)
    bad |= {"active": shown("ActiveState"), "text": shown("StatusText")}
    bad |= {"status": status(), "verb": run("nfcertd", "reload")}
    bad |= {"served": served("in-token")}
    CONFIG.write_text((PROBE / "good.toml").read_text())
    good: Facts = {"reload": run("systemctl", "reload", "nfcertd")[0]}
    until("the acceptance", lambda: sample(refused) == 1)
    until("the third certificate", lambda: len(orders()) == 3 and ready())
    good |= {"active": shown("ActiveState"), "text": shown("StatusText")}
    good |= {"status": status(), "same": shown("MainPID") == pid, "pss": pss()}
    return {"bad": bad, "good": good}


def exposure() -> Facts:
    """Ask systemd how exposed the running unit is, and how it were with CAP_KILL."""
    found = {"running": analysed()}
    drop_in = DROP_INS / "signal.conf"
    drop_in.write_text((PROBE / "signal.conf").read_text())
    must("systemctl", "daemon-reload")
    found["signal"] = analysed()
    drop_in.unlink()
    must("systemctl", "daemon-reload")
    return found


def analysed() -> float:
    """Return the overall exposure level."""
    output = must("systemd-analyze", "security", "--no-pager", "nfcertd.service")
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", output)
    return float(found[1]) if found else -1.0


def restarts() -> Facts:
    """Restart, idle, hang and kill the daemon; note what it cost at the CA."""
    before: Facts = {"requests": requests(), "orders": orders()}
    impatient = (PROBE / "impatient.conf").read_text()
    (DROP_INS / "impatient.conf").write_text(impatient)
    must("systemctl", "daemon-reload")
    must("systemctl", "restart", "nfcertd")
    found = {"restarted": state()}
    found["idle"] = idle()
    os.kill(int(shown("MainPID")), signal.SIGSTOP)
    found["hung"] = {"took": until("a restart", lambda: back(1)), **state()}
    found["hung"]["timeouts"] = timeouts()
    must("systemctl", "kill", "-s", "SIGKILL", "nfcertd")
    found["killed"] = {"took": until("another one", lambda: back(2)), **state()}
    until("readiness", ready)
    found["before"], found["after"] = before, {"orders": orders()}
    found["after"]["requests"] = requests()
    return found


def idle() -> Facts:
    """Leave the daemon alone for a while, and see how often it wakes."""
    time.sleep(SETTLED)
    before = wakings()
    time.sleep(IDLE)
    woken = wakings() - before
    return {**state(), "woken": woken, "pss": pss(), "timeouts": timeouts()}


def wakings() -> int:
    """Return how often threads of the daemon gave up the processor, ever."""
    tasks = Path(f"/proc/{shown('MainPID')}/task").glob("*/status")
    pattern = re.compile(r"^voluntary_ctxt_switches:\s+(\d+)$", re.MULTILINE)
    return sum(int(n) for task in tasks for n in pattern.findall(task.read_text()))


def back(times: int) -> bool:
    """Tell whether systemd has restarted the daemon so often, and it is ready."""
    return shown("NRestarts") == str(times) and shown("ActiveState") == "active"


def state() -> Facts:
    """Return how the unit is."""
    names = ("ActiveState", "MainPID", "NRestarts", "StatusText")
    return {name: shown(name) for name in names} | {"to_ready": starting()}


def timeouts() -> int:
    """Return how often systemd found the watchdog unfed, by its own words."""
    return must("journalctl", "-b", "-u", "nfcertd", "-o", "cat").count("Watchdog time")


def pss() -> int:
    """Return the proportional memory of the daemon, KiB."""
    text = Path(f"/proc/{shown('MainPID')}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) if found else 0


def renew() -> Facts:
    """Renew by the command line, after a kill and with strangers at port 80."""
    before = served("in-file")
    strangers = [knock() for _ in range(STRANGERS)]
    answer = run("nfcertd", "renew", "in-file")
    took = until("a new certificate", lambda: served("in-file") != before)
    until("the end of the renewal", ready)
    for stranger in strangers:
        stranger.close()
    found = {"answer": answer, "took": took, "before": before, **after("in-file")}
    return {**found, "exit": status()["exit"]}


def knock() -> socket.socket:
    """Connect to port 80, or begin to, and say nothing."""
    stranger = socket.socket()
    stranger.setblocking(False)
    stranger.connect_ex(("127.0.0.1", 80))
    return stranger


def stop() -> Facts:
    """Stop the unit after a stranger knocked at port 80, and look at what is left."""
    knock().close()
    began = time.monotonic()
    must("systemctl", "stop", "nfcertd")
    took = time.monotonic() - began
    time.sleep(SETTLED)
    return {
        "took": took,
        "active": shown("ActiveState"),
        "socket": shown("ActiveState", "nfcertd-http01.socket"),
        "result": shown("Result"),
        "exit": shown("ExecMainStatus"),
        "sockets": [path.name for path in Path("/run").glob("nfcertd/*")],
        "status": run("nfcertd", "status"),
        "web": {name: served(name) for name in PORTS},
    }


def refuse() -> Facts:
    """Start with a bad file, and repair it without telling anybody."""
    CONFIG.write_text((PROBE / "bad.toml").read_text())
    found: Facts = {"start": run("systemctl", "start", "nfcertd")[0]}
    found["exit"] = shown("ExecMainStatus")
    CONFIG.write_text((PROBE / "good.toml").read_text())
    found["took"] = until("a start", lambda: shown("ActiveState") == "active")
    return {**found, "text": shown("StatusText")}


STEPS: tuple[Callable[[], Facts], ...] = (
    *(prepare, start, enrol, rights, readers, askers),
    *(reload, exposure, restarts, renew, stop, refuse),
)


def main() -> None:
    """Take every step, and write down what was seen even if one fails."""
    facts: Facts = {}
    try:
        for step in STEPS:
            began = time.monotonic()
            facts[step.__name__] = step()
            took = time.monotonic() - began
            print(f"{step.__name__}: {took:.1f} s", flush=True)
    finally:
        (PROBE / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main()
