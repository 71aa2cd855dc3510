"""What this CA says of its certificates by CRL (RFC 5280) and OCSP (RFC 6960).

Plain HTTP on loopback, real signatures. It knows what is revoked; it does not know why
anybody asks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.ca.certificates import Certificates, Revocation
from tests.ca.issuing import Issuer
from tests.ca.statements import Statements

FLAGS: Final[Mapping[int, x509.ReasonFlags]] = {
    0: x509.ReasonFlags.unspecified,
    1: x509.ReasonFlags.key_compromise,
    2: x509.ReasonFlags.ca_compromise,
    3: x509.ReasonFlags.affiliation_changed,
    4: x509.ReasonFlags.superseded,
    5: x509.ReasonFlags.cessation_of_operation,
    6: x509.ReasonFlags.certificate_hold,
    9: x509.ReasonFlags.privilege_withdrawn,
    10: x509.ReasonFlags.aa_compromise,
}
_BODIES: Final = {
    "/crl": "application/pkix-crl",
    "/ocsp": "application/ocsp-response",
}


def make_crl(
    issuer: Issuer,
    revoked: Mapping[int, Revocation],
    updates: tuple[datetime, datetime],
    *extensions: x509.ExtensionType,
) -> x509.CertificateRevocationList:
    """Return a complete CRL; every extension is critical."""
    this_update, next_update = updates
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(this_update)
        .next_update(next_update)
        .add_extension(x509.CRLNumber(1), critical=False)
    )
    for serial, revocation in revoked.items():
        entry = (
            x509.RevokedCertificateBuilder()
            .serial_number(serial)
            .revocation_date(revocation.at.replace(microsecond=0))
        )
        if revocation.reason:
            reason = x509.CRLReason(FLAGS[revocation.reason])
            entry = entry.add_extension(reason, critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(issuer.key, hashes.SHA256())


def make_responder(issuer: Issuer, now: datetime) -> Issuer:
    """Return a responder that an issuer has delegated (RFC 6960 4.2.2.2)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test OCSP")])
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(usage, critical=False)
        .sign(issuer.key, hashes.SHA256())
    )
    return Issuer(certificate=certificate, key=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """What one OCSP response is made of.

    Attributes:
        issuer: Who issued the certificate.
        signer: Who signs.
        leaf: The certificate; None is not known.
        revocation: Set where it is revoked.
        updates: thisUpdate and nextUpdate.
    """

    issuer: Issuer
    signer: Issuer
    leaf: x509.Certificate | None
    revocation: Revocation | None
    updates: tuple[datetime, datetime | None]


def make_ocsp(request: ocsp.OCSPRequest, about: Answering) -> ocsp.OCSPResponse:
    """Return the response to a request; its nonce comes back."""
    if about.leaf is None:
        status = ocsp.OCSPResponseStatus.UNAUTHORIZED
        return ocsp.OCSPResponseBuilder.build_unsuccessful(status)
    revocation = about.revocation
    good = revocation is None
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=about.leaf,
            issuer=about.issuer.certificate,
            algorithm=hashes.SHA1(),
            cert_status=ocsp.OCSPCertStatus.GOOD
            if good
            else ocsp.OCSPCertStatus.REVOKED,
            this_update=about.updates[0],
            next_update=about.updates[1],
            revocation_time=revocation.at if revocation else None,
            revocation_reason=FLAGS[revocation.reason]
            if revocation and revocation.reason
            else None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, about.signer.certificate)
    )
    if about.signer is not about.issuer:
        builder = builder.certificates([about.signer.certificate])
    for extension in request.extensions:
        if isinstance(extension.value, x509.OCSPNonce):
            builder = builder.add_extension(extension.value, critical=False)
    return builder.sign(about.signer.key, hashes.SHA256())


@dataclass(slots=True, kw_only=True)
class StatusServer:
    """Serves both on a free port of loopback, from `start` to `stop`.

    Attributes:
        statements: May be replaced at any time.
        requests: Paths that were asked for.
        port: Where it listens; 0 before it does.
    """

    issuer: Issuer
    certificates: Callable[[], Certificates]
    now: Callable[[], datetime]
    statements: Statements
    requests: list[str] = field(default_factory=list)
    port: int = 0
    _runner: web.ServerRunner | None = None
    _responder: Issuer | None = None

    @property
    def base(self) -> str:
        """Return the URL below which both are."""
        return f"http://127.0.0.1:{self.port}"

    def change(self, **changes: object) -> None:
        """Change how statements are made from now on."""
        self.statements = replace(self.statements, **changes)  # type: ignore[arg-type]  # a test's own keywords

    async def start(self) -> None:
        """Listen."""
        self._runner = web.ServerRunner(web.Server(self._serve, access_log=None))
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        self.requests.append(request.path)
        if self.statements.down or request.path not in _BODIES:
            return web.Response(status=503)
        made = (
            self._crl() if request.path == "/crl" else self._ocsp(await request.read())
        )
        return web.Response(body=made, content_type=_BODIES[request.path])

    def _updates(self) -> tuple[datetime, datetime]:
        begins = self.now().replace(microsecond=0) - self.statements.age
        return begins, begins + self.statements.validity

    def _crl(self) -> bytes:
        crl = make_crl(self.issuer, self.certificates().revoked, self._updates())
        return crl.public_bytes(Encoding.DER)

    def _ocsp(self, body: bytes) -> bytes:
        request = ocsp.load_der_ocsp_request(body)
        book = self.certificates()
        leaves = {i.serial: i.leaf for i in book.by_id.values()}
        if self._responder is None:
            self._responder = make_responder(self.issuer, self.now())
        about = Answering(
            issuer=self.issuer,
            signer=self._responder if self.statements.delegated else self.issuer,
            leaf=leaves.get(request.serial_number),
            revocation=book.revoked.get(request.serial_number),
            updates=self._updates(),
        )
        return make_ocsp(request, about).public_bytes(Encoding.DER)
