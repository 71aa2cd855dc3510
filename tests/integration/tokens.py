"""Starts real tokens for tests: SoftHSM2, a TPM simulator, and a shim that misbehaves.

It knows packages, ports and processes. It does not know `agent`, except the shape of a
`[token.NAME]` table.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.config import tokens as tables
from agent.records.keys import PinRecord
from tests.parts.process import answers

PIN = "1234"
SO_PIN = "5678"
SOFTHSM_MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
)
TPM_MODULES = (
    "/usr/lib/x86_64-linux-gnu/libtpm2_pkcs11.so.1",
    "/usr/lib/x86_64-linux-gnu/pkcs11/libtpm2_pkcs11.so",
    "/usr/lib/aarch64-linux-gnu/libtpm2_pkcs11.so.1",
    "/usr/lib/aarch64-linux-gnu/pkcs11/libtpm2_pkcs11.so",
)
PATIENCE = 60.0
"""Seconds for a real part to come up."""


@dataclass(frozen=True, kw_only=True)
class TokenSetup:
    """A token that is ready for use.

    Attributes:
        module: Path of the PKCS#11 module.
        uri: RFC 7512 URI of the token.
        pin_file: File with the user PIN.
        env: What a process that uses the module must have in its environment.
    """

    module: str
    uri: str
    pin_file: Path
    env: dict[str, str]

    @contextmanager
    def exported(self) -> Iterator[None]:
        """Put `env` into this process's environment for a while."""
        before = {name: os.environ.get(name) for name in self.env}
        os.environ.update(self.env)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name)
                else:
                    os.environ[name] = value

    def table(self, **changes: object) -> tables.Token:
        """Return the `[token.NAME]` table that names this token."""
        fields: dict[str, object] = {
            "module": self.module,
            "token": self.uri,
            "pin": f"file:{self.pin_file}",
            "deadline": "10s",
        }
        return tables.Token(**(fields | changes))  # type: ignore[arg-type]  # by name


def require(*programs: str) -> None:
    """Skip the test, with the reason, where a program is missing."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def first_of(paths: tuple[str, ...], what: str) -> str:
    """Return the first path that exists; skip the test where none does."""
    for path in paths:
        if Path(path).exists():
            return path
    pytest.skip(f"{what} is not installed")


def softhsm(tmp: Path, label: str = "nf") -> TokenSetup:
    """Make a SoftHSM2 token below `tmp`; its objects are in `tmp/tokens`."""
    require("softhsm2-util")
    module = first_of(SOFTHSM_MODULES, "softhsm2")
    tokens = tmp / "tokens"
    tokens.mkdir(parents=True, exist_ok=True)
    conf = tmp / "softhsm2.conf"
    conf.write_text(
        f"directories.tokendir = {tokens}\nobjectstore.backend = file\n"
        "log.level = ERROR\n"
    )
    setup = TokenSetup(
        module=module,
        uri=f"pkcs11:token={label}",
        pin_file=write_pin(tmp / f"{label}.pin"),
        env={"SOFTHSM2_CONF": str(conf)},
    )
    softhsm_init(setup, "--free", "--label", label)
    return setup


def softhsm_init(setup: TokenSetup, *which: str, pin: str = PIN) -> None:
    """Initialise a SoftHSM2 token: `--free --label L`, or `--token L --label L`."""
    subprocess.run(
        [
            *("softhsm2-util", "--init-token", *which),
            *("--pin", pin, "--so-pin", SO_PIN),
        ],
        env={**os.environ, **setup.env},
        check=True,
        capture_output=True,
        timeout=PATIENCE,
    )


def write_pin(path: Path, pin: str = PIN) -> Path:
    """Write a PIN file of mode 0600."""
    path.write_text(pin + "\n")
    path.chmod(0o600)
    return path


@dataclass(frozen=True, kw_only=True)
class Shim(TokenSetup):
    """A token behind a module that can hang or die, and counts logins.

    Attributes:
        directory: Where the shim's files are.
    """

    directory: Path

    @property
    def logins(self) -> int:
        """Return how often C_Login was called."""
        log = self.directory / "logins"
        return log.stat().st_size if log.exists() else 0

    def start(self, fault: str) -> None:
        """Begin a fault: `hang-login`, `hang-sign` or `die-login`."""
        (self.directory / fault).touch()

    def stop(self, fault: str) -> None:
        """End a fault; calls that hang go on."""
        (self.directory / fault).unlink(missing_ok=True)


def shim(tmp: Path, real: TokenSetup) -> Shim:
    """Compile the shim below `tmp` and put it before a real token's module."""
    require("gcc")
    directory = tmp / "shim"
    directory.mkdir()
    module = directory / "libshim.so"
    source = Path(__file__).with_name("shim.c")
    command = ("gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o")
    subprocess.run([*command, module, source, "-ldl"], check=True, timeout=4 * PATIENCE)
    return Shim(
        module=str(module),
        uri=real.uri,
        pin_file=real.pin_file,
        env={
            **real.env,
            "NFCERTD_SHIM_MODULE": real.module,
            "NFCERTD_SHIM_DIR": str(directory),
        },
        directory=directory,
    )


@dataclass(frozen=True, kw_only=True)
class TpmSetup(TokenSetup):
    """A token of tpm2-pkcs11 in front of a TPM simulator.

    Attributes:
        port: TCP port of the simulator on loopback.
        manager: The processes of the resource manager; the last one runs.
    """

    port: int
    manager: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def stop_manager(self) -> None:
        """End the resource manager: the TPM is gone for every client."""
        for process in self.manager:
            _end(process)
        self.manager.clear()

    def start_manager(self) -> None:
        """Start the resource manager and wait until the TPM answers through it.

        On a busy machine the simulator can close the first connection; the manager ends
        then, and is started again.
        """
        environment = {**os.environ, **self.env}
        probe = ("tpm2_getcap", "properties-fixed")

        def up() -> bool:
            if not self.manager or self.manager[-1].poll() is not None:
                self.manager.append(self._spawn_manager(environment))
            return _succeeds(probe, environment)

        _until(up, "TPM resource manager")

    def _spawn_manager(self, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        tcti = f"swtpm:host=127.0.0.1,port={self.port}"
        return subprocess.Popen(
            ["tpm2-abrmd", "--session", "--allow-root", "--tcti", tcti],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


@contextmanager
def tpm_simulator(tmp: Path) -> Iterator[TpmSetup]:
    """Run swtpm, a bus and tpm2-abrmd, make a token; end them all afterwards."""
    require("swtpm", "swtpm_setup", "tpm2-abrmd", "tpm2_ptool", "dbus-daemon")
    require("tpm2_getcap")
    module = first_of(TPM_MODULES, "libtpm2-pkcs11-1")
    with ExitStack() as stack:
        port = _start_swtpm(tmp, stack)
        tcti = "tabrmd:bus_type=session"
        setup = TpmSetup(
            module=module,
            uri="pkcs11:token=nf",
            pin_file=write_pin(tmp / "nf.pin"),
            env={
                "DBUS_SESSION_BUS_ADDRESS": _start_bus(tmp, stack),
                "TPM2_PKCS11_TCTI": tcti,
                "TPM2TOOLS_TCTI": tcti,
                "TPM2_PKCS11_STORE": str(tmp / "store"),
                # The library tells each refused template on standard error.
                "TPM2_PKCS11_LOG_LEVEL": "0",
                "TSS2_LOG": "all+NONE",
            },
            port=port,
        )
        setup.start_manager()
        stack.callback(setup.stop_manager)
        _make_tpm_token(setup, tmp / "store")
        yield setup


def _start_swtpm(tmp: Path, stack: ExitStack) -> int:
    state = tmp / "tpm"
    state.mkdir()
    subprocess.run(
        ["swtpm_setup", "--tpm2", "--tpmstate", state, "--overwrite"],
        check=True,
        capture_output=True,
        timeout=3 * PATIENCE,
    )
    port = _free_pair()
    flags = ("--flags", "not-need-init,startup-clear")
    _spawn(
        stack,
        *("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}"),
        *("--ctrl", f"type=tcp,port={port + 1},bindaddr=127.0.0.1"),
        *("--server", f"type=tcp,port={port},bindaddr=127.0.0.1", *flags),
    )
    # The control channel answers once both are open; the other one takes one client.
    _until(lambda: answers(port + 1), "TPM simulator")
    return port


def _start_bus(tmp: Path, stack: ExitStack) -> str:
    address = f"unix:path={tmp / 'bus'}"
    _spawn(stack, "dbus-daemon", "--session", "--nofork", "--address", address)
    _until((tmp / "bus").exists, "session bus")
    return address


def _make_tpm_token(setup: TpmSetup, store: Path) -> None:
    store.mkdir()
    pins = ("--sopin", SO_PIN, "--userpin", PIN)
    for arguments in (
        ("init", "--path", str(store)),
        ("addtoken", "--pid=1", "--label=nf", *pins, "--path", str(store)),
    ):
        subprocess.run(
            ["tpm2_ptool", *arguments],
            env={**os.environ, **setup.env},
            check=True,
            capture_output=True,
            timeout=3 * PATIENCE,
        )


def _spawn(stack: ExitStack, *command: str) -> None:
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    stack.callback(_end, process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_pair() -> int:
    """Return a free port whose successor is free too: the simulator wants both."""
    for _ in range(100):
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            try:
                two.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port
    raise RuntimeError("no two neighbouring ports are free")


def _until(ready: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not ready():
        if time.monotonic() > end:
            raise RuntimeError(f"{what} did not come up")
        time.sleep(0.05)


def _succeeds(command: tuple[str, ...], environment: dict[str, str]) -> bool:
    done = subprocess.run(
        command, env=environment, capture_output=True, timeout=PATIENCE, check=False
    )
    return done.returncode == 0


class MemoryLedger:
    """A `PinLedger` that outlives the objects under test, and keeps its history."""

    def __init__(self) -> None:
        """Know nothing."""
        self.records: dict[str, PinRecord] = {}
        self.history: list[PinRecord] = []

    def load(self, token: str) -> PinRecord:
        """Return the last record that was saved."""
        return self.records.get(token, PinRecord())

    async def save(self, token: str, record: PinRecord) -> None:
        """Keep the record."""
        self.records[token] = record
        self.history.append(record)
