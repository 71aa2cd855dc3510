"""What is seen from outside: what is published, what is served, what was destroyed.

Nothing here asks nfcertd. A certificate is looked at with openssl, a key with
pkcs11-tool, a connection is made by a TLS client that verifies.
"""

import json
import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.demo.stage import CERTIFICATE, NAME, Stage
from tests.parts.load import Target, connect
from tests.parts.process import PartError, Setting, run

KEY_LINES = ("label", "ID", "Usage", "Access")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A publication as its manifest tells it.

    Attributes:
        number: Number of the publication.
        serial: Serial number of the certificate.
        fingerprint: SHA-256 of the leaf's DER, hexadecimal.
        label: Label of its key.
        at: When it was written.
    """

    number: int
    serial: str
    fingerprint: str
    label: str
    at: datetime


def published(live: Path) -> Published | None:
    """Return what a link points to, or None before the first publication."""
    try:
        path = (live / "manifest.json").resolve(strict=True)
        manifest = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return Published(
        number=manifest["publication"],
        serial=manifest["serial"],
        fingerprint=manifest["fingerprint_sha256"],
        label=manifest["key"],
        at=datetime.fromtimestamp(path.stat().st_mtime, UTC),
    )


def target(stage: Stage) -> Target:
    """Return the endpoint; what it serves is verified against the issuing root."""
    roots = stage.home / "issuing-root.pem"
    return Target(port=stage.port, server_name=NAME, roots=roots, seconds=90)


def served(stage: Stage) -> str:
    """Return the fingerprint of what a new connection is shown; empty if refused."""
    try:
        return connect(target(stage))
    except (OSError, ValueError):
        return ""


def described(stage: Stage) -> str:
    """Return what openssl says of the certificate that is served."""
    address = f"127.0.0.1:{stage.port}"
    roots = stage.home / "issuing-root.pem"
    asked = ["openssl", "s_client", "-connect", address, "-servername", NAME]
    checked = ["-verify_return_error", "-CAfile", str(roots), "-verify_hostname", NAME]
    shown = subprocess.run(
        [*asked, *checked], input=b"", capture_output=True, check=False, timeout=20
    )
    if shown.returncode != 0:
        raise PartError(f"openssl s_client: {shown.stderr.decode(errors='replace')}")
    session = shown.stdout.decode(errors="replace")
    fields = ["-noout", "-subject", "-issuer", "-serial", "-dates"]
    wanted = [*fields, "-ext", "subjectAltName,extendedKeyUsage"]
    parsed = subprocess.run(
        ["openssl", "x509", *wanted],
        input=shown.stdout,
        capture_output=True,
        check=True,
    )
    verdict = re.findall(r"(?m)^(Verify return code: .*|Protocol *: .*)$", session)
    return parsed.stdout.decode() + "\n".join(dict.fromkeys(verdict))


def keys(stage: Stage) -> list[str]:
    """Return the private keys in the token, one text with its attributes each."""
    listing = stage.token.private_keys()
    found = re.split(r"(?m)^(?=Private Key Object)", listing)
    return [_brief(text) for text in found if text.startswith("Private Key")]


def in_service(stage: Stage) -> set[str]:
    """Return the keys that exist for the certificate that nginx serves.

    Their labels in the token; with a TPM, where they are files, the files' names.
    """
    if stage.tpm:
        return {path.name for path in (stage.home / "state" / "keys").iterdir()}
    labels = re.findall(r"(?m)^\s*label:\s*(\S+)$", stage.token.private_keys())
    return {label for label in labels if f"/{CERTIFICATE}/" in label}


def _brief(text: str) -> str:
    lines = text.splitlines()
    kept = [line for line in lines[1:] if line.strip().startswith(KEY_LINES)]
    return "\n".join([lines[0].strip(), *kept])


def version(*argv: str) -> str:
    """Return the version number that a program prints."""
    done = run(argv, Setting())
    found = re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr)
    return found.group(0) if found else "?"
