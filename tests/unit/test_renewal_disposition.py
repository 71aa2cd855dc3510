"""Every error of the daemon and every error of the standards has its disposition."""

import importlib
import pkgutil
from collections.abc import Iterator
from datetime import timedelta

import pytest

import agent
from agent.acme.errors import ProblemError, ProtocolError
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
]
"""RFC 8555 section 6.7, RFC 8739, RFC 9115, RFC 9773, and two drafts."""


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
        ("about:blank", 429, False, "acme:about:blank", BACK_OFF),
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
    [(400, OPERATOR), (429, WAIT_UNTIL), (499, OPERATOR), (500, BACK_OFF)],
)
def test_statuses(status: int, disposition: Disposition) -> None:
    """The server's trouble passes, ours does not."""
    assert by_status(status) is disposition
