"""Every error of the daemon and every error of the standards has its disposition."""

import importlib
import pkgutil
from collections.abc import Iterator
from datetime import timedelta

import pytest
from msgspec.structs import replace

import agent
from agent.acme.errors import ProblemError, ProtocolError
from agent.acme.identifiers import Identifier
from agent.acme.problem import PREFIX, Problem
from agent.errors import AgentError
from agent.records.job import Disposition
from agent.renewal.disposition import MAX_TOKEN, TABLE, by_status, failure_of, kind_of
from tests.vectors.records import NOW

URNS = [
    "accountDoesNotExist",
    "alreadyRevoked",
    "badCSR",
    "badNonce",
    "badPublicKey",
    "badRevocationReason",
    "badSignatureAlgorithm",
    "caa",
    "compound",
    "connection",
    "dns",
    "externalAccountRequired",
    "incorrectResponse",
    "invalidContact",
    "malformed",
    "orderNotReady",
    "rateLimited",
    "rejectedIdentifier",
    "serverInternal",
    "tls",
    "unauthorized",
    "unsupportedContact",
    "unsupportedIdentifier",
    "userActionRequired",
    "autoRenewalCanceled",
    "autoRenewalExpired",
    "autoRenewalCancellationInvalid",
    "autoRenewalRevocationNotSupported",
    "unknownDelegation",
    "alreadyReplaced",
    "invalidProfile",
    "badAttestationStatement",
    "onionCAARequired",
]
"""RFC 8555 section 6.7, RFC 8739, RFC 9115, RFC 9773, RFC 9799, and two drafts."""
STATUSES = [301, 400, 401, 403, 404, 405, 408, 409, 415, 425, 429, 500, 502, 503, 599]


def classes(base: type[AgentError] = AgentError) -> Iterator[type[AgentError]]:
    """Yield every error of the package, however deep it stands."""
    for error in base.__subclasses__():
        if error.__module__.startswith("agent."):
            yield error
            yield from classes(error)


def test_every_error_stands_in_the_table() -> None:
    """Every module is imported, so that none hides a class of its own."""
    for module in pkgutil.walk_packages(agent.__path__, "agent."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found = {error.__name__: error.kind for error in classes()}
    assert len(found) > 40
    assert {name for name, kind in found.items() if kind not in TABLE} == set()
    assert AgentError.kind in TABLE


@pytest.mark.parametrize("urn", URNS)
def test_every_error_of_the_standards_stands_in_the_table(urn: str) -> None:
    """None of them is left to its HTTP status."""
    assert f"acme:{urn}" in TABLE


RETRY_NOW, BACK_OFF = Disposition.RETRY_NOW, Disposition.BACK_OFF
WAIT_UNTIL, OPERATOR = Disposition.WAIT_UNTIL, Disposition.NEEDS_OPERATOR


@pytest.mark.parametrize(
    ("type_", "status", "retry", "kind", "disposition"),
    [
        (PREFIX + "badCSR", 400, False, "acme:badCSR", OPERATOR),
        (PREFIX + "badCSR", 503, True, "acme:badCSR", OPERATOR),
        (
            PREFIX + "accountDoesNotExist",
            400,
            False,
            "acme:accountDoesNotExist",
            RETRY_NOW,
        ),
        (PREFIX + "serverInternal", 500, False, "acme:serverInternal", BACK_OFF),
        (PREFIX + "serverInternal", 500, True, "acme:serverInternal", WAIT_UNTIL),
        (PREFIX + "rateLimited", 429, True, "acme:rateLimited", WAIT_UNTIL),
        (PREFIX + "rateLimited", 429, False, "acme:rateLimited", BACK_OFF),
        (PREFIX + "malformed", 400, False, "acme:malformed", OPERATOR),
        (PREFIX + "malformed", 404, False, "acme.not-found", BACK_OFF),
        ("about:blank", 404, False, "acme.not-found", BACK_OFF),
        ("about:blank", 503, False, "acme:about:blank", BACK_OFF),
        ("about:blank", 503, True, "acme:about:blank", WAIT_UNTIL),
        ("about:blank", 429, False, "acme:rateLimited", BACK_OFF),
        ("about:blank", 429, True, "acme:rateLimited", WAIT_UNTIL),
        ("about:blank", 302, False, "acme:about:blank", OPERATOR),
        ("about:blank", 408, False, "acme:about:blank", BACK_OFF),
        ("about:blank", 405, False, "acme:about:blank", OPERATOR),
        ("https://vendor/quota", 429, True, "acme:https://vendor/quota", WAIT_UNTIL),
        (
            "x\x1b" + "y" * 999,
            400,
            False,
            "acme:x " + "y" * (MAX_TOKEN - 2) + "...",
            OPERATOR,
        ),
    ],
)
def test_a_problem_is_decided_by_its_type(
    type_: str, status: int, retry: bool, kind: str, disposition: Disposition
) -> None:
    """Where nobody told us of the type, by its status; Retry-After makes it a wait."""
    retry_at = NOW + timedelta(hours=1) if retry else None
    error = ProblemError(Problem(type=type_), status=status, url="", retry_at=retry_at)
    failed = failure_of(error, NOW)
    assert (failed.kind, failed.disposition) == (kind, disposition)
    assert (failed.at, failed.retry_at) == (NOW, retry_at)


def test_an_error_of_ours_is_decided_by_its_kind() -> None:
    """Message and hint are kept; a kind that nobody knows is a person's."""
    failed = failure_of(ProtocolError("no location", hint="ask"), NOW)
    assert (failed.message, failed.hint) == ("no location", "ask")
    assert failed.disposition is BACK_OFF

    class StrangeError(AgentError):
        """An error that the table does not know."""

        kind = "strange"

    assert kind_of(StrangeError("x")) == "strange"
    assert failure_of(StrangeError("x"), NOW).disposition is OPERATOR


@pytest.mark.parametrize(
    ("status", "disposition"),
    [
        (302, OPERATOR),
        (400, OPERATOR),
        (408, BACK_OFF),
        (425, BACK_OFF),
        (429, WAIT_UNTIL),
        (499, OPERATOR),
        (500, BACK_OFF),
        (599, BACK_OFF),
    ],
)
def test_statuses(status: int, disposition: Disposition) -> None:
    """The server's trouble passes, ours does not."""
    assert by_status(status) is disposition


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("urn", URNS)
def test_the_whole_table(urn: str, status: int) -> None:
    """Every registered type at every status, with and without a Retry-After.

    The type decides, not the status; the instant is never lost; a wait has an instant,
    and nothing that needs a person is tried in haste.
    """
    gone = urn == "malformed" and status == 404
    kind = "acme.not-found" if gone else f"acme:{urn}"
    waits = TABLE[kind] in {WAIT_UNTIL, BACK_OFF}
    problem = Problem(type=PREFIX + urn)
    for retry_at in (None, NOW, NOW + timedelta(hours=1)):
        error = ProblemError(problem, status=status, url="", retry_at=retry_at)
        failed = failure_of(error, NOW)
        assert (failed.kind, failed.retry_at) == (kind, retry_at)
        after = BACK_OFF if retry_at is None else WAIT_UNTIL
        assert failed.disposition is (after if waits else TABLE[kind])


def compound(*urns: str) -> ProblemError:
    """Return a compound refusal of these parts, each about a name of its own."""
    parts = tuple(
        Problem(
            type=PREFIX + urn,
            detail="no",
            identifier=Identifier(type="dns", value=f"{index}.example"),
        )
        for index, urn in enumerate(urns)
    )
    problem = Problem(type=f"{PREFIX}compound", subproblems=parts)
    return ProblemError(problem, status=403, url="")


@pytest.mark.parametrize(
    ("urns", "disposition"),
    [
        ((), OPERATOR),
        (("caa", "rateLimited"), OPERATOR),
        (("dns", "connection"), BACK_OFF),
        (("rateLimited", "dns"), BACK_OFF),
        (("orderNotReady",), RETRY_NOW),
        (("orderNotReady", "serverInternal"), BACK_OFF),
        (("compound", "dns"), OPERATOR),
        (("neverHeardOf", "dns"), OPERATOR),
    ],
)
def test_the_most_lasting_part_decides(
    urns: tuple[str, ...], disposition: Disposition
) -> None:
    """RFC 8555 section 6.7.1; a limit without a Retry-After is backed off from."""
    failed = failure_of(compound(*urns), NOW)
    assert failed.kind == "acme:compound"
    assert failed.disposition is disposition


def test_every_part_reaches_the_operator_with_its_identifier() -> None:
    """As many as an order can have, in a message that stays short enough to keep."""
    message = failure_of(compound(*["caa"] * 100), NOW).message
    assert all(f"{number}.example: caa: no" in message for number in range(100))
    long = compound(*["caa"] * 100)
    longer = tuple(replace(p, detail="x" * 999) for p in long.problem.subproblems)
    problem = replace(long.problem, subproblems=longer)
    assert len(problem.describe()) < 20_000
