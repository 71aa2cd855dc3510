"""Profiles of the test CA (draft-ietf-acme-profiles), and orders without proofs."""

from datetime import timedelta

import pytest

from tests.ca import Authorizations, Config, Profile
from tests.ca.harness import running
from tests.ca.raw_client import csr_for, new_key

SHORT = Profile(lifetime=timedelta(days=6))
CONFIG = Config(
    authorizations=Authorizations.NONE,
    profiles={"classic": Profile(), "short": SHORT, "old": Profile()},
    default_profile="classic",
    rejected_profiles=frozenset({"old"}),
)


async def test_a_profile_is_advertised_echoed_and_obeyed() -> None:
    """The certificate is what the profile says; without one the CA chooses."""
    async with running(CONFIG) as (ca, client):
        await client.register()
        order = (await client.order("a.example", profile="short")).json
        await client.finalize(order, csr_for(new_key(), "a.example"))
        usual = (await client.order("b.example")).json
        assert set(client.directory["meta"]["profiles"]) == {"classic", "short", "old"}
        leaf = ca.certificates[0].leaf
    assert (order["profile"], usual["profile"]) == ("short", "classic")
    life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    assert life < timedelta(days=7)


@pytest.mark.parametrize("name", ["old", "strange", 7])
async def test_another_profile_is_refused(name: object) -> None:
    """With the error of the draft."""
    async with running(CONFIG) as (_, client):
        await client.register()
        reply = await client.order("a.example", profile=name)
    assert (reply.status, reply.problem) == (400, "invalidProfile")


async def test_a_ca_without_profiles_ignores_the_member() -> None:
    """And does not echo it."""
    async with running(Config()) as (_, client):
        await client.register()
        reply = await client.order("a.example", profile="short")
    assert reply.status == 201
    assert "profile" not in reply.json


async def test_a_profile_need_not_be_shown() -> None:
    """Some servers forget the echo."""
    config = Config(profiles={"short": SHORT}, echo_profile=False)
    async with running(config) as (ca, client):
        await client.register()
        reply = await client.order("a.example", profile="short")
        assert ca.orders[0].profile == "short"
    assert "profile" not in reply.json


@pytest.mark.parametrize(
    ("kind", "status", "listed"),
    [
        (Authorizations.NONE, "ready", True),
        (Authorizations.MISSING, "ready", False),
        (Authorizations.PENDING_NONE, "pending", True),
    ],
)
async def test_orders_of_private_cas_have_nothing_to_prove(
    kind: Authorizations, status: str, *, listed: bool
) -> None:
    """Born ready, without the list, or ready only at the second look."""
    async with running(Config(authorizations=kind)) as (_, client):
        await client.register()
        reply = await client.order("a.example")
        later = (await client.post(reply.location)).json
    assert reply.json["status"] == status
    assert ("authorizations" in reply.json) is listed
    assert later["status"] == "ready"
