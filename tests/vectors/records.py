"""Records, contexts and moments for tests of the jobs, with every default said once."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from agent.acme.messages import Order
from agent.config.authorities import Account
from agent.config.endpoints import Endpoint, Reload, Verify
from agent.config.model import Certificate
from agent.config.tokens import AccountKey, Key
from agent.jobs.context import AccountContext, Context
from agent.jobs.step import Moment
from agent.pki.chain import CheckedChain
from agent.records.certificate import (
    CertificateRecord,
    DeployJob,
    EndpointRecord,
    Issuance,
    IssueJob,
    Publication,
)
from agent.records.job import Disposition, Failure
from agent.records.keys import KeyRecord, KeyState
from agent.records.others import AccountRecord
from agent.records.phases import (
    Answering,
    AuthorizationRecord,
    Deployment,
    Downloading,
    Finalizing,
    IssuePhase,
    KeyChosen,
    KeyMade,
    OrderRecord,
    Processing,
    Stage,
)
from agent.records.revocation import IssuedRecord

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
DIRECTORY = "https://ca.example/directory"
NAME = "amf1.example"
ADDRESS = "192.0.2.4:443"
TOLD_AND_WATCHED = Endpoint(
    reload=Reload(unit="nginx.service"), verify=Verify(connect=ADDRESS)
)


def key_id(number: int) -> str:
    """Return the id of the n-th key: 32 hexadecimal digits."""
    return f"{number:032x}"


def key(
    number: int = 1,
    state: KeyState = KeyState.MADE,
    *,
    adopted: bool = False,
    store: str = "hsm",
) -> KeyRecord:
    """Return the n-th key."""
    return KeyRecord(
        id=key_id(number),
        store=store,
        type="ec-p256",
        label=f"nfcertd/0123456789abcdef/amf1/{number}",
        number=number,
        state=state,
        created=NOW - 30 * DAY,
        public=b"" if state is KeyState.CHOSEN else b"spki",
        adopted=adopted,
    )


def fingerprint(number: int) -> str:
    """Return the fingerprint of the n-th issuance."""
    return f"{number:064x}"


def issuance(
    number: int = 1,
    *,
    begins: datetime = NOW - 30 * DAY,
    life: timedelta = 90 * DAY,
    draw: float = 0.0,
    of: int | None = None,
) -> Issuance:
    """Return the n-th issuance, with the key of that number unless `of` says else."""
    return Issuance(
        fingerprint=fingerprint(number),
        serial=f"{number:x}",
        names=(NAME,),
        ca="operator",
        directory=DIRECTORY,
        key=key_id(of or number),
        order=f"https://ca.example/order/{number}",
        not_before=begins,
        not_after=begins + life,
        issued_at=begins,
        draw=draw,
        chain="-----BEGIN CERTIFICATE-----\n",
    )


def issued(number: int = 1) -> IssuedRecord:
    """Return what stays known of the n-th issuance."""
    known = issuance(number)
    return IssuedRecord(
        fingerprint=known.fingerprint,
        serial=known.serial,
        key=known.key,
        ca=known.ca,
        directory=known.directory,
        account="operator",
        not_after=known.not_after,
        leaf=known.leaf,
    )


def publication(number: int = 1, look: str | None = None) -> Publication:
    """Return the n-th publication, of the issuance of that number."""
    shown = context().look if look is None else look
    return Publication(
        number=number, issuance=issuance(number), key=key(number), look=shown
    )


def certificate_table(
    *, endpoints: Sequence[Endpoint] = (TOLD_AND_WATCHED,), **settings: object
) -> Certificate:
    """Return the table of the certificate; settings replace its defaults."""
    base: dict[str, object] = {
        "names": (NAME,),
        "ca": "operator",
        "key": Key(token="hsm"),
        "endpoint": tuple(endpoints),
    }
    return Certificate(**(base | settings))  # type: ignore[arg-type]  # a table of tests


ACCOUNT = AccountRecord(
    name="operator",
    directory=DIRECTORY,
    key=key(99),
    url="https://ca.example/account/1",
)


def context(
    table: Certificate | None = None,
    *,
    account: AccountRecord | None = ACCOUNT,
    directory: str = DIRECTORY,
    never_destroy: bool = False,
    accounts: Mapping[str, AccountRecord] | None = None,
) -> Context:
    """Return the context of the certificate."""
    return Context(
        config=table or certificate_table(),
        ca="operator",
        directory=directory,
        install="0123456789abcdef",
        account=account,
        accounts=accounts or {},
        never_destroy=never_destroy,
    )


def account_context(**changes: Any) -> AccountContext:
    """Return the context of the account; `key`, `contact` and so on are its table's."""
    around = {
        k: changes.pop(k) for k in ("busy", "never_destroy", "idle") if k in changes
    }
    base: dict[str, Any] = {"ca": "operator", "key": AccountKey(token="hsm")}
    return AccountContext(
        config=Account(**(base | changes)),
        directory=DIRECTORY,
        install="0123456789abcdef",
        **around,
    )


def moment(now: datetime = NOW, *, draw: float = 0.5, token: str = "ab" * 16) -> Moment:
    """Return a moment."""
    return Moment(now=now, draw=draw, token=token)


def enrolled(count: int = 1) -> CertificateRecord:
    """Return a certificate whose n publications were all served, the last one now."""
    return CertificateRecord(
        name="amf1",
        keys=tuple(key(n) for n in range(1, count + 1)),
        key_count=count,
        publications=tuple(publication(n) for n in range(1, count + 1)),
        publication_count=count,
        endpoints={
            "": EndpointRecord(live=count, proven=count, proven_at=NOW, by="wire")
        },
        orders=count,
    )


def failure(
    kind: str = "transport",
    disposition: Disposition = Disposition.BACK_OFF,
    *,
    retry_at: datetime | None = None,
    at: datetime = NOW,
) -> Failure:
    """Return a failure."""
    return Failure(
        kind=kind,
        message=f"{kind} went wrong",
        at=at,
        retry_at=retry_at,
        disposition=disposition,
    )


ORDER = OrderRecord(
    url="https://ca.example/order/7",
    finalize="https://ca.example/order/7/finalize",
    authorizations=("https://ca.example/authz/1", "https://ca.example/authz/2"),
    expires=NOW + 7 * DAY,
)


def authorization(
    number: int = 1, *, asked: bool = True, answered: bool = False, valid: bool = False
) -> AuthorizationRecord:
    """Return the n-th authorization of the order, as far as it has come."""
    return AuthorizationRecord(
        url=f"https://ca.example/authz/{number}",
        identifier=NAME if asked else "",
        challenge=f"https://ca.example/challenge/{number}" if asked else "",
        token=f"token-{number}" if asked else "",
        answered=answered,
        valid=valid,
    )


CERTIFICATE = "https://ca.example/certificate/7"


def order(status: str, **members: Any) -> Order:
    """Return an order as the CA shows it."""
    base: dict[str, Any] = {
        "status": status,
        "finalize": ORDER.finalize,
        "authorizations": ORDER.authorizations,
        "expires": ORDER.expires,
        "certificate": CERTIFICATE if status == "valid" else None,
    }
    return Order(**(base | members))


AUTHORIZATIONS = {
    "unasked": authorization(asked=False),
    "asked": authorization(),
    "answered": authorization(answered=True),
    "valid": authorization(answered=True, valid=True),
}
"""Every state of an authorization that a job can remember."""


def answering(*authorizations: AuthorizationRecord) -> Answering:
    """Return the phase in which these authorizations are made valid."""
    return Answering(key=key_id(1), order=ORDER, authorizations=authorizations)


PHASES: dict[str, IssuePhase] = {
    "key-chosen": KeyChosen(key=key_id(1)),
    "key-made": KeyMade(key=key_id(1)),
    "answering-nothing": answering(),
    **{f"answering-{name}": answering(a) for name, a in AUTHORIZATIONS.items()},
    "finalizing": Finalizing(key=key_id(1), order=ORDER),
    "processing": Processing(key=key_id(1), order=ORDER),
    "downloading": Downloading(
        key=key_id(1), order=ORDER, certificate="https://ca.example/certificate/7"
    ),
}
"""Every phase of an issue job."""


def issue_job(phase: IssuePhase, **envelope: object) -> IssueJob:
    """Return an issue job in a phase; the envelope's fields by name."""
    base: dict[str, object] = {"id": "job", "reason": "due", "created": NOW}
    return IssueJob(phase=phase, **(base | envelope))  # type: ignore[arg-type]  # a table of tests


def deploy_job(stage: Stage, number: int = 2, **phase: object) -> DeployJob:
    """Return a deployment of a publication in a stage; the phase's fields by name."""
    return DeployJob(
        id="job",
        phase=Deployment(stage=stage, publication=number, **phase),  # type: ignore[arg-type]  # a table of tests
        reason="served",
        created=NOW,
    )


def checked(
    number: int, *, begins: datetime = NOW, life: timedelta = 90 * DAY
) -> CheckedChain:
    """Return a chain that has passed every check."""
    return CheckedChain(
        names=(NAME,),
        pem="-----BEGIN CERTIFICATE-----\n",
        fingerprint=fingerprint(number),
        serial=f"{number:x}",
        not_before=begins,
        not_after=begins + life,
    )
