"""A real systemd, booted in a few seconds over an overlay of this machine.

Use:

    with BootedSystem.prepared(tmp_path / "machine") as machine:
        machine.install()                  # code, launcher, units, user and groups
        machine.configure(TOML)            # /etc/nfcertd/nfcertd.toml
        machine.write("etc/systemd/system/other.service", UNIT)
        machine.drop_in("signal")          # from systemd/nfcertd.service.d/
        machine.polkit([("other.service", "kill")])  # what `nfcertd polkit` prints
        outcome = machine.run("systemctl start nfcertd; systemctl status nfcertd")
    assert outcome.status == 0, outcome.console
    assert "active (running)" in outcome.output

What there is inside: everything of this machine, read-write and thrown away afterwards;
our code and its dependencies under /opt/nfcertd, readable by everybody;
`/usr/bin/nfcertd`, and `/usr/bin/nfcertd-python SCRIPT` for scripts that import
`agent`; loopback and no other network; basic.target and what the script starts.

`run` may be called once. The script runs as root under `sh`; standard output and error
together are the outcome's output; the machine powers off when it ends. Files that it
leaves are read by `read`. A drop-in that replaces ExecStart= of nfcertd.service by a
script needs Type=oneshot with Restart=no and WatchdogSec=0; see test_telling.py.
"""

import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import agent
from agent.endpoints.polkit import Verb, rules

REPOSITORY = Path(__file__).resolve().parents[2]
SYSTEMD = REPOSITORY / "systemd"
BOOT_WITHIN = 90.0
"""Seconds; a boot takes about 5, what the script does comes on top."""

TOOLS = ("systemd-nspawn", "systemd-sysusers", "mount", "umount")

_DEVELOPMENT = "mypy* ruff* pip* setuptools* hypothesis* _pytest* pytest* grimp*"
_DEVELOPMENT += " pygments* ast_serialize* coverage* *__mypyc*"

_PROBE = """[Unit]
Description=The script under test
After=basic.target
[Service]
Type=oneshot
StandardOutput=null
StandardError=null
ExecStart=-/bin/sh -c 'sh /probe/script >/probe/output 2>&1; echo $? >/probe/status'
ExecStart=/usr/bin/systemctl poweroff --no-block
"""

_TARGET = """[Unit]
Requires=basic.target
After=basic.target
Wants=probe.service
AllowIsolate=yes
"""

_LAUNCHER = """#!{python} -P
import sys
sys.path.insert(0, "/opt/nfcertd")
from agent.__main__ import main
sys.exit(main())
"""

_PYTHON = """#!/bin/sh
export PYTHONPATH=/opt/nfcertd
exec {python} "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the script ended.

    Attributes:
        status: Its exit status, or None where the machine was stopped before.
        output: What it wrote to standard output and error.
        console: What the machine said meanwhile.
    """

    status: int | None
    output: str
    console: str


def missing() -> str:
    """Return why no machine can be booted here, empty if one can."""
    if os.geteuid() != 0:
        return "needs root"
    for tool in TOOLS:
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    if "overlay" not in Path("/proc/filesystems").read_text():
        loaded = subprocess.run(
            ["modprobe", "overlay"], capture_output=True, check=False
        )
        if loaded.returncode != 0:
            return "the kernel has no overlay file system"
    return ""


class BootedSystem:
    """One machine: written to, booted once, read from."""

    def __init__(self, root: Path) -> None:
        """Adopt a mounted root file system."""
        self.root = root

    @classmethod
    @contextmanager
    def prepared(cls, directory: Path) -> Iterator["BootedSystem"]:
        """Mount an overlay of / below a directory, and always unmount it."""
        upper, root = directory / "upper", directory / "root"
        for path in (upper, root):
            path.mkdir(parents=True)
        with ExitStack() as stack:
            _mount(stack, upper, "-t", "tmpfs", "-o", "mode=0755", "tmpfs")
            for name in ("files", "work"):
                (upper / name).mkdir()
            layers = f"lowerdir=/,upperdir={upper}/files,workdir={upper}/work"
            _mount(stack, root, "-t", "overlay", "-o", layers, "overlay")
            yield cls(root)

    def install(self) -> None:
        """Put code, dependencies, launcher, units and users into the machine."""
        library = self.root / "opt/nfcertd"
        unwanted = shutil.ignore_patterns(*_DEVELOPMENT.split())
        for name in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
            shutil.copytree(name, library, ignore=unwanted, dirs_exist_ok=True)
        shutil.copytree(
            Path(agent.__file__).parent, library / "agent", dirs_exist_ok=True
        )
        subprocess.run(["chmod", "-R", "a+rX", library], check=True)
        # The interpreter of a virtual environment may be where only root can look.
        python = Path(sys.executable).resolve()
        self.write("usr/bin/nfcertd", _LAUNCHER.format(python=python), 0o755)
        self.write("usr/bin/nfcertd-python", _PYTHON.format(python=python), 0o755)
        for unit in (*SYSTEMD.glob("*.service"), *SYSTEMD.glob("*.socket")):
            self.write(f"usr/lib/systemd/system/{unit.name}", unit.read_text())
        for kind in ("sysusers.d", "tmpfiles.d"):
            text = (SYSTEMD / kind / "nfcertd.conf").read_text()
            self.write(f"usr/lib/{kind}/nfcertd.conf", text)
        subprocess.run(
            ["systemd-sysusers", f"--root={self.root}"],
            check=True,
            timeout=30,
            capture_output=True,
        )

    def configure(self, text: str) -> None:
        """Write the daemon's configuration."""
        self.write("etc/nfcertd/nfcertd.toml", text)

    def drop_in(self, name: str) -> None:
        """Install one of the repository's drop-ins."""
        text = (SYSTEMD / "nfcertd.service.d" / f"{name}.conf").read_text()
        self.write(f"etc/systemd/system/nfcertd.service.d/{name}.conf", text)

    def polkit(self, units: Iterable[tuple[str, Verb]]) -> None:
        """Install the rule that lets the daemon tell these units."""
        self.write("etc/polkit-1/rules.d/49-nfcertd.rules", rules(units))

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        """Write a file; its directories are made readable for everybody."""
        path = self.root / name
        for parent in reversed(path.relative_to(self.root).parents):
            if not (self.root / parent).exists():
                (self.root / parent).mkdir()
                (self.root / parent).chmod(0o755)
        path.write_text(text)
        path.chmod(mode)

    def read(self, name: str) -> str:
        """Return what a file of the machine holds, nothing where there is none."""
        path = self.root / name
        return path.read_text(errors="replace") if path.exists() else ""

    def run(self, script: str, within: float = BOOT_WITHIN) -> Outcome:
        """Boot, run the script, power off, and say how it went."""
        self.write("probe/script", script)
        self.write("etc/systemd/system/probe.service", _PROBE)
        self.write("etc/systemd/system/probe.target", _TARGET)
        # Two machines of one name exclude each other.
        name = f"nfcertd-{secrets.token_hex(4)}"
        command = ["systemd-nspawn", "-q", "-D", str(self.root), f"--machine={name}"]
        command += ["--register=no", "--keep-unit", "--private-network"]
        command += ["--link-journal=no", "--console=pipe"]
        command += ["-b", "systemd.unit=probe.target"]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        console = _console(process, within)
        # systemd-nspawn leaves it behind where the host's /run is no tmpfs.
        with suppress(OSError):
            (Path("/run/systemd/nspawn/propagate") / name).rmdir()
        status = self.read("probe/status").strip()
        return Outcome(
            status=int(status) if status else None,
            output=self.read("probe/output"),
            console=console,
        )


def _console(process: subprocess.Popen[bytes], within: float) -> str:
    """Wait for the machine to power off, or stop it, and return what it said."""
    try:
        console, _ = process.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        # What runs inside dies with systemd-nspawn (PR_SET_PDEATHSIG).
        process.kill()
        console, _ = process.communicate()
        console += b"\n(stopped: did not power off in time)"
    return console.decode(errors="replace")


def _mount(stack: ExitStack, where: Path, *arguments: str) -> None:
    """Mount, and unmount when the stack is left."""
    subprocess.run(["mount", *arguments, str(where)], check=True, timeout=30)
    stack.callback(_unmount, where)


def _unmount(where: Path) -> None:
    """Unmount, later if something still holds on."""
    done = subprocess.run(["umount", str(where)], capture_output=True, check=False)
    if done.returncode != 0:
        subprocess.run(["umount", "-l", str(where)], check=True, timeout=30)
