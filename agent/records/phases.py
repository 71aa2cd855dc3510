"""The phases of each kind of job; what a job knows is in its phase."""

from datetime import datetime
from enum import StrEnum

import msgspec

from agent.records.deployment import Sighting
from agent.records.job import Failure
from agent.records.star import StarTerms


class Phase(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="phase"
):
    """Base of all phases."""


class OrderRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An order as far as a job must remember it.

    Attributes:
        url: The order's URL, exactly as in `Location`; what resumption needs.
        finalize: Where the request is posted.
        authorizations: URLs of its authorizations.
        expires: When the CA forgets the order, if it said so.
        profile: The profile that the CA says it has; empty where it says nothing.
        star: What was agreed for a STAR order; None for a usual one.
    """

    url: str
    finalize: str
    authorizations: tuple[str, ...] = ()
    expires: datetime | None = None
    profile: str = ""
    star: StarTerms | None = None


class AuthorizationRecord(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True
):
    """An authorization on its way to `valid`.

    Attributes:
        url: Its URL.
        identifier: Value of its identifier, once fetched; a wildcard without `*.`.
        identifier_type: Type of its identifier.
        wildcard: It is for all names below the identifier.
        challenge: URL of the chosen challenge, once fetched.
        token: The challenge's token; empty where its type has none.
        issuers: The challenge's issuer domain names (dns-persist-01).
        token_type: Which authority token the challenge wants (tkauth-01).
        authority: Which token authority the challenge hints at (tkauth-01).
        answered: The CA has been told that the challenge is ready.
        valid: The CA says so.
    """

    url: str
    identifier: str = ""
    identifier_type: str = "dns"
    wildcard: bool = False
    challenge: str = ""
    token: str = ""
    issuers: tuple[str, ...] = ()
    token_type: str = ""
    authority: str = ""
    answered: bool = False
    valid: bool = False


# -- issue


class KeyChosen(Phase, frozen=True, kw_only=True, tag="key-chosen"):
    """The CKA_ID is durable; the key is made next."""

    key: str


class KeyMade(Phase, frozen=True, kw_only=True, tag="key-made"):
    """The key exists; an order is asked for next."""

    key: str


class Answering(Phase, frozen=True, kw_only=True, tag="answering"):
    """The order is known; its authorizations are made valid."""

    key: str
    order: OrderRecord
    authorizations: tuple[AuthorizationRecord, ...]


class Finalizing(Phase, frozen=True, kw_only=True, tag="finalizing"):
    """The order is ready; the request is posted next."""

    key: str
    order: OrderRecord


class Processing(Phase, frozen=True, kw_only=True, tag="processing"):
    """The order's state is asked for until it is final."""

    key: str
    order: OrderRecord


class Downloading(Phase, frozen=True, kw_only=True, tag="downloading"):
    """The certificate exists; it is fetched and checked next."""

    key: str
    order: OrderRecord
    certificate: str


IssuePhase = KeyChosen | KeyMade | Answering | Finalizing | Processing | Downloading


# -- deploy


class Stage(StrEnum):
    """How far a deployment has come; every stage knows the same things."""

    UNPUBLISHED = "unpublished"
    """Nothing has been written yet."""
    PUBLISHED = "published"
    """The directory is durable; what is served now is looked at next."""
    BASELINED = "baselined"
    """What was served before is known; the swap is next, unless held."""
    SWAPPED = "swapped"
    """`live` points to the publication; the endpoint is told next."""
    PROVING = "proving"
    """The endpoint was told; it is watched until it serves only the new one."""
    REVERTING = "reverting"
    """It served nothing usable; `live` goes back next."""
    REVERT_SWAPPED = "revert-swapped"
    """`live` points to the previous publication; the endpoint is told next."""
    PROVEN = "proven"
    """The new certificate is served; publications that nobody needs go next."""


class Deployment(Phase, frozen=True, kw_only=True):
    """A publication on its way to an endpoint.

    Attributes:
        stage: How far it has come.
        publication: The number that is to be served.
        previous: The number that `live` pointed to before, 0 for none.
        baseline: What was served before the swap.
        signals: How often the endpoint has been told for this publication.
        rounds: How often the deployment was reverted and begun again.
    """

    stage: Stage
    publication: int
    previous: int = 0
    baseline: tuple[Sighting, ...] = ()
    signals: int = 0
    rounds: int = 0


# -- retire


class Condemned(Phase, frozen=True, kw_only=True, tag="condemned"):
    """Nothing refers to the key; it is destroyed after its grace."""


class Destroyed(Phase, frozen=True, kw_only=True, tag="destroyed"):
    """The key is gone; the publications that used it go next."""


RetirePhase = Condemned | Destroyed


# -- renewal-info


class AskDue(Phase, frozen=True, kw_only=True, tag="ask-due"):
    """The CA is asked next when this certificate should be renewed.

    Attributes:
        certid: Names the certificate (RFC 9773 section 4.1).
    """

    certid: str


# -- register, for accounts


class AccountKeyChosen(Phase, frozen=True, kw_only=True, tag="account-key-chosen"):
    """The CKA_ID of the account key is durable; the key is made next.

    Attributes:
        given: What the CA is given of the configuration: binding and agreement.
    """

    given: str = ""


class AccountKeyMade(Phase, frozen=True, kw_only=True, tag="account-key-made"):
    """The account key exists; newAccount is posted next.

    Attributes:
        given: As in `AccountKeyChosen`; a change of it begins the job anew.
    """

    given: str = ""


RegisterPhase = AccountKeyChosen | AccountKeyMade


# -- roll, for accounts


class RollGate(Phase, frozen=True, kw_only=True, tag="gate"):
    """No new key is chosen; whether the CA offers a key change is looked at next."""


class NewKeyChosen(Phase, frozen=True, kw_only=True, tag="new-key-chosen"):
    """The CKA_ID of the new account key is durable; the key is made next."""

    key: str


class NewKeyMade(Phase, frozen=True, kw_only=True, tag="new-key-made"):
    """The new key exists; the CA is asked next, once no challenge is open.

    With an intent it has been asked: nobody knows which of the two keys is in force.
    """

    key: str


class Probing(Phase, frozen=True, kw_only=True, tag="probing"):
    """The CA was asked; it is asked by either key which of the two is in force.

    Attributes:
        key: Id of the new key.
        answer: Why the change failed; None where the CA said that it was done.
        unknown: By the new key the CA knows no account, or another one.
    """

    key: str
    answer: Failure | None = None
    unknown: bool = False


RollPhase = RollGate | NewKeyChosen | NewKeyMade | Probing


# -- update and deactivate, for accounts


class UpdateWanted(Phase, frozen=True, kw_only=True, tag="update-wanted"):
    """The CA is told these contacts next."""

    contact: tuple[str, ...]


class DeactivateWanted(Phase, frozen=True, kw_only=True, tag="deactivate-wanted"):
    """An operator has given the account up; the CA is told next."""
