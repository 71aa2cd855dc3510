"""What RFC 8555 and its companions ask of a client, where no other test shows it."""

import json
import ssl
from pathlib import Path

import pytest

from agent.acme.errors import OrderMismatchError
from agent.acme.identifiers import identifiers
from agent.client import AcmeClient
from agent.config.errors import ConfigError
from agent.config.parse import Source, parse
from agent.jobs.issue import effects
from agent.jobs.issue.steps import is_presenting
from agent.records.job import Disposition
from agent.solvers.tlsalpn01.validation import validation
from tests.ca import Fault, actions
from tests.fakes.acme import BASE, DIRECTORY, SIGNER, Ca, Ears
from tests.fakes.clock import START, FakeClock
from tests.fakes.desk import NAMES, desk, order_record
from tests.unit.test_config_rules import GOOD
from tests.vectors.records import PHASES, failure, issue_job


async def test_a_request_asks_for_a_language_and_offers_no_nonce() -> None:
    """Section 6.1: Accept-Language is sent; 6.5.1: Replay-Nonce is not."""
    ca = Ca()
    client = AcmeClient(
        name="test",
        directory_url=f"{BASE}/directory",
        transport=ca,
        clock=FakeClock(),
        observer=Ears(),
    )
    await client.post(DIRECTORY["newOrder"], {}, SIGNER, "newOrder")
    sent = ca.requests[-1].headers
    assert sent["Accept-Language"] == "en"
    assert all("replay" not in name.lower() for r in ca.requests for name in r.headers)


def order_of(names: tuple[str, ...], authorizations: list[str], status: str) -> bytes:
    """Return the body of an order."""
    return json.dumps(
        {
            "status": status,
            "finalize": "https://127.0.0.1/finalize",
            "identifiers": [{"type": "dns", "value": name} for name in names],
            "authorizations": authorizations,
        }
    ).encode()


@pytest.mark.parametrize("what", ["identifiers", "authorizations"])
async def test_an_order_that_changes_what_it_is_for_is_given_up(
    tmp_path: Path, what: str
) -> None:
    """Section 7.1.3: neither array changes once it is there."""
    async with desk(tmp_path) as place:
        order = order_record(await place.create())
        names = ("else.example", *NAMES[1:]) if what == "identifiers" else NAMES
        known = list(order.authorizations)
        listed = known if what == "identifiers" else [*known[1:], f"{known[0]}x"]
        body = order_of(names, listed, "pending")
        place.ca.faults.add(Fault(resource="order", action=actions.Body(body)))
        with pytest.raises(OrderMismatchError):
            await place.perform(effects.FetchOrder(order))


@pytest.mark.parametrize(
    ("names", "kept", "status"),
    [(NAMES[::-1], -1, "pending"), ((), 0, "ready"), (NAMES, 1, "valid")],
)
async def test_an_order_that_leaves_out_or_reorders_is_the_same(
    tmp_path: Path, names: tuple[str, ...], kept: int, status: str
) -> None:
    """Nothing is concluded from a sort order (7.4), nor from what is not said again."""
    async with desk(tmp_path) as place:
        order = order_record(await place.create())
        known = list(order.authorizations)
        listed = known[::-1] if kept < 0 else known[:kept]
        body = order_of(names, listed, status)
        place.ca.faults.add(Fault(resource="order", action=actions.Body(body)))
        seen = await place.perform(effects.FetchOrder(order))
    assert isinstance(seen, effects.OrderSeen)
    assert seen.order.status == status


@pytest.mark.parametrize(
    "contact", ["mailto:a@example.org?subject=x", "mailto:a@example.org,b@example.org"]
)
def test_a_mailto_contact_is_one_plain_address(contact: str) -> None:
    """Section 7.3: no header fields, and one address."""
    good = "mailto:ops@example.org"
    assert parse((Source("nfcertd.toml", GOOD.encode()),)).account
    bad = GOOD.replace(good, contact)
    with pytest.raises(ConfigError, match="is not a url such as mailto"):
        parse((Source("nfcertd.toml", bad.encode()),))


@pytest.mark.parametrize(
    ("intent", "disposition", "running", "stays"),
    [
        ("answer", Disposition.NEEDS_OPERATOR, False, False),
        ("answer", Disposition.NEEDS_OPERATOR, True, True),
        ("answer", Disposition.BACK_OFF, False, True),
        ("fetch-authorization", Disposition.NEEDS_OPERATOR, False, True),
    ],
)
def test_a_refused_response_is_taken_down(
    intent: str, disposition: Disposition, *, running: bool, stays: bool
) -> None:
    """Section 7.5.1: what was provisioned is undone until it is answered again."""
    failed = failure("acme:unauthorized", disposition=disposition)
    phase = PHASES["answering-asked"]
    job = issue_job(phase, intent=intent, running=running, failure=failed)
    assert is_presenting(job) is stays
    assert not is_presenting(None)
    assert not is_presenting(issue_job(PHASES["processing"]))


def test_a_validation_is_at_least_tls_1_2() -> None:
    """RFC 8737 section 4, for the server that ours is there."""
    [identifier] = identifiers(["web.example"])
    made = validation(identifier, "token.thumbprint", START)
    assert made.context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_an_address_is_not_proven_by_dns() -> None:
    """RFC 8738 section 7: the configuration is refused, before anything is asked."""
    table = '[certificate.bad]\nca = "operator"\nnames = ["192.0.2.1"]\n'
    more = f'{GOOD}\n{table}key = {{ file = true }}\nchallenge = "dns-01"\n'
    with pytest.raises(ConfigError, match="dns-01") as caught:
        parse((Source("nfcertd.toml", more.encode()),))
    assert any("192.0.2.1" in problem for problem in caught.value.problems)
