"""ACME in the words of CMP (RFC 9810), which operators of TS 33.310 know.

Nothing is added to the wire: CMP's messages are names for what happened. A CA learns
who we are by newAccount (ir, ip), certifies for the first time (cr, cp), certifies
again (kur, kup: an update of the *certificate*; RFC 8555 section 7.3.5 changes the
account's key, told apart as acct-kur) and revokes (rr, rp). certconf and pkiconf have
no message in ACME: our own check of what was issued, and its proof at the endpoints.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from agent.trail.entry import CHECKPOINT


class Word(StrEnum):
    """Every event that an entry can have; bounded, so it can be a metric's label."""

    IR = "ir"
    IP = "ip"
    CR = "cr"
    CP = "cp"
    KUR = "kur"
    KUP = "kup"
    CERTCONF = "certconf"
    PKICONF = "pkiconf"
    RR = "rr"
    RP = "rp"
    GENM = "genm"
    GENP = "genp"
    POLL_REQ = "pollreq"
    POLL_REP = "pollrep"
    ERROR = "error"
    ACCOUNT_KUR = "acct-kur"
    """Change of the account's key (RFC 8555 section 7.3.5); not in CMP."""
    ACCOUNT_KUP = "acct-kup"
    ACCOUNT = "acct"
    """Any other change of the account, such as its contacts."""
    KEY = "key"
    """A key was made, condemned or destroyed."""
    ALARM = "alarm"
    BOOTSTRAP = "bootstrap"
    """A bootstrap bundle was taken or refused."""
    OPERATOR = "operator"
    """A verb that an operator used."""
    DEPLOYMENT = "deployment"
    """What became of a publication at an endpoint, short of its proof."""
    RECORD = "record"
    """Everything else that became durable."""
    GAP = "gap"
    """Entries that were lost: the disk was full."""
    REPAIRED = "repaired"
    """A torn last line was cut off at a start."""
    CHECKPOINT = CHECKPOINT


class Pair(NamedTuple):
    """The request's word and the answer's."""

    request: Word
    answer: Word


FIRST: Final = Pair(Word.CR, Word.CP)
"""A certificate that this CA has not certified before."""
UPDATE: Final = Pair(Word.KUR, Word.KUP)
"""A certificate that has one: TR 33.876's key update."""

_POLLED: Final = Pair(Word.POLL_REQ, Word.POLL_REP)
_ASKED: Final = Pair(Word.GENM, Word.GENP)
_FIXED: Final[Mapping[str, Pair]] = {
    "newAccount": Pair(Word.IR, Word.IP),
    "revokeCert": Pair(Word.RR, Word.RP),
    "star-cancel": Pair(Word.RR, Word.RP),
    "keyChange": Pair(Word.ACCOUNT_KUR, Word.ACCOUNT_KUP),
    "account": Pair(Word.ACCOUNT, Word.ACCOUNT),
    "directory": _ASKED,
    "newNonce": _ASKED,
    "renewalInfo": _ASKED,
    "orders": _POLLED,
    "order": _POLLED,
    "authz": _POLLED,
}
_CERTIFYING: Final = frozenset(
    {"newOrder", "challenge", "finalize", "certificate", "star-certificate"}
)


def words_of(resource: str, *, update: bool) -> Pair:
    """Return the words for a request to a resource of the directory or of an order.

    Args:
        resource: As the client names it, such as `newOrder`.
        update: The certificate that it is for has one of this CA already.
    """
    if resource in _CERTIFYING:
        return UPDATE if update else FIRST
    return _FIXED.get(resource, _ASKED)


_EVENTS: Final[Mapping[str, Word]] = {
    "certificate.issued": Word.CERTCONF,
    "certificate.refused": Word.CERTCONF,
    "endpoint.deployed": Word.PKICONF,
    "endpoint.swapped": Word.DEPLOYMENT,
    "deploy.begun": Word.DEPLOYMENT,
    "deploy.failed": Word.DEPLOYMENT,
    "endpoint.left": Word.DEPLOYMENT,
    "nf.ending": Word.OPERATOR,
    "issue.failed": Word.ERROR,
    "account.failed": Word.ERROR,
}
_FAMILIES: Final[Mapping[str, Word]] = {
    "key": Word.KEY,
    "alarm": Word.ALARM,
    "operator": Word.OPERATOR,
    "bootstrap": Word.BOOTSTRAP,
    "account": Word.ACCOUNT,
}


def word_of_event(kind: str) -> Word:
    """Return the word for something that became durable here, by its event's kind."""
    family = kind.partition(".")[0]
    return _EVENTS.get(kind) or _FAMILIES.get(family, Word.RECORD)


FAILURE_INFO: Final[Mapping[str, str]] = {
    "badCSR": "badCertTemplate",
    "badNonce": "badSenderNonce",
    "badPublicKey": "badAlg",
    "badSignatureAlgorithm": "badAlg",
    "malformed": "badDataFormat",
    "rateLimited": "systemUnavail",
    "rejectedIdentifier": "badCertTemplate",
    "serverInternal": "systemFailure",
    "unauthorized": "notAuthorized",
    "unsupportedIdentifier": "badCertTemplate",
    "alreadyRevoked": "certRevoked",
    "userActionRequired": "notAuthorized",
}
"""CMP's PKIFailureInfo (RFC 9810 section 5.2.3) for a problem type; words only."""
