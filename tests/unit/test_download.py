"""Which chain is used of those that a CA offers, with a real CA over HTTPS."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from agent.acme.errors import ProfileRefusedError, ProfileUnavailableError
from agent.errors import AgentError
from agent.jobs.issue import effects
from agent.pki.anchors import preferred_anchors
from agent.pki.chain import ChainError, parse_anchors
from tests.ca import Authorizations, Config, Fault, Profile, actions
from tests.fakes.desk import Desk, desk, order_record

FREE = {"authorizations": Authorizations.NONE}
TWO = {**FREE, "alternate_chains": 2}
STAPLE = "1.3.6.1.5.5.7.1.24"


async def issued(at: Desk, **changes: object) -> str:
    """Issue a certificate and return where it is downloaded."""
    seen = await at.create()
    done = await at.perform(effects.Finalize("k", order_record(seen)), **changes)
    assert isinstance(done, effects.OrderSeen)
    assert done.order.certificate is not None
    return done.order.certificate


def trusting(*pems: bytes) -> object:
    """Return a reader of these anchors."""

    async def anchors() -> tuple[x509.Certificate, ...]:
        return parse_anchors(b"".join(pems))

    return anchors


async def anchor(at: Desk, url: str, **changes: object) -> str:
    """Download and return the subject of the anchor."""
    found = await at.perform(effects.Download("k", url), **changes)
    assert isinstance(found, effects.Downloaded)
    return found.chain.anchor_subject


def roots(at: Desk) -> list[bytes]:
    """Return all roots of the CA."""
    return [at.ca.issuing_root_pem, *at.ca.alternate_root_pems]


async def test_the_default_chain_is_all_that_is_fetched_where_it_will_do(
    tmp_path: Path,
) -> None:
    """No request more than needed."""
    async with desk(tmp_path, **TWO) as at:
        url = await issued(at)
        assert await anchor(at, url, anchors=trusting(*roots(at))) == "CN=Test Root 0"
        assert at.ca.log.count("certificate") == 1


@pytest.mark.parametrize("kind", ["common name", "subject", "fingerprint", "digits"])
async def test_the_preferred_anchor_is_chosen(tmp_path: Path, kind: str) -> None:
    """By its names or by its fingerprint, from the links that the CA gave."""
    async with desk(tmp_path, **TWO) as at:
        url = await issued(at)
        (root,) = parse_anchors(roots(at)[2])
        digest = root.fingerprint(hashes.SHA256())
        named = {
            "common name": "Test Root 2",
            "subject": "CN=Test Root 2",
            "fingerprint": f"SHA256:{digest.hex(':').upper()}",
            "digits": f"sha256:{digest.hex()}",
        }
        found = await anchor(
            at, url, anchors=trusting(*roots(at)), preferred=named[kind]
        )
        assert found == "CN=Test Root 2"


async def test_without_a_preference_a_trusted_alternate_is_found(
    tmp_path: Path,
) -> None:
    """Where the default chain ends in an anchor that is not ours."""
    async with desk(tmp_path, **TWO) as at:
        url = await issued(at)
        found = await anchor(at, url, anchors=trusting(roots(at)[1]))
        assert found == "CN=Test Root 1"


@pytest.mark.parametrize("preferred", ["Test Root 7", "Test Root 1"])
async def test_a_preference_that_cannot_be_met_takes_what_is_trusted(
    tmp_path: Path, preferred: str
) -> None:
    """No anchor of ours, or no chain that ends in it."""
    async with desk(tmp_path, **FREE) as at:
        url = await issued(at)
        other = await other_root(tmp_path)
        anchors = trusting(at.ca.issuing_root_pem, other)
        found = await anchor(at, url, anchors=anchors, preferred=preferred)
        assert found == "CN=Test Root 0"


async def other_root(home: Path) -> bytes:
    """Return a root `Test Root 1` of another CA."""
    async with desk(home / "other", **TWO) as at:
        return at.ca.alternate_root_pems[0]


async def test_a_chain_of_another_leaf_is_left_out(tmp_path: Path) -> None:
    """However good it is, and whatever the CA links to."""
    async with desk(tmp_path, **TWO) as at:
        mine, other = await issued(at), await issued(at)
        link = actions.WithHeader("Link", f'<{other}/1>;rel="alternate"')
        at.ca.faults.add(Fault(resource="certificate", action=link))
        with pytest.raises(ChainError, match="trust anchor"):
            await anchor(at, mine, anchors=trusting(roots(at)[1]))
        assert at.ca.log.count("certificate") == 2


async def test_an_alternate_that_is_gone_spoils_nothing(tmp_path: Path) -> None:
    """The next one is looked at; only four are."""
    async with desk(tmp_path, **FREE, alternate_chains=9) as at:
        url = await issued(at)
        gone = ", ".join(f'<{url}/{n}>;rel="alternate"' for n in (77, 1, 2, 3, 4, 5))
        fault = Fault(resource="certificate", action=actions.WithHeader("Link", gone))
        at.ca.faults.add(fault)
        found = await anchor(at, url, anchors=trusting(roots(at)[2]))
        assert found == "CN=Test Root 2"
        assert at.ca.log.count("certificate") == 5


async def test_an_alternate_that_is_lost_is_asked_for_again_later(
    tmp_path: Path,
) -> None:
    """No answer says nothing of the chains."""
    async with desk(tmp_path, **TWO) as at:
        url = await issued(at)
        drop = Fault(resource="certificate", action=actions.DropAfter(), nth=2)
        at.ca.faults.add(drop)
        with pytest.raises(AgentError) as caught:
            await anchor(at, url, anchors=trusting(roots(at)[1]))
        assert caught.value.kind == "transport"


async def test_nothing_but_certificates_is_taken(tmp_path: Path) -> None:
    """Nor in an alternate chain (section 11.4)."""
    async with desk(tmp_path, **FREE) as at:
        url = await issued(at)
        pem = b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"
        at.ca.faults.add(Fault(resource="certificate", action=actions.Body(pem)))
        with pytest.raises(ChainError, match="other than certificates"):
            await anchor(at, url)


def test_a_preference_names_no_stranger() -> None:
    """An empty list of anchors has nothing to prefer."""
    assert preferred_anchors((), "Test Root 0") == ()


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("copies", [True, False])
async def test_stapling_is_demanded_only_where_it_was_asked_for(
    tmp_path: Path, *, asked: bool, copies: bool
) -> None:
    """The TLS feature goes into the request and must come back (RFC 7633)."""
    extensions = frozenset({STAPLE}) if copies else frozenset()
    profile = Profile(copied_extensions=extensions)
    async with desk(tmp_path, **FREE, profile=profile) as at:
        url = await issued(at, must_staple=asked)
        if asked and not copies:
            with pytest.raises(ChainError, match="does not demand"):
                await anchor(at, url, must_staple=asked)
        else:
            assert await anchor(at, url, must_staple=asked)
        if asked and copies:
            with pytest.raises(ChainError, match="not asked for"):
                await anchor(at, url, must_staple=False)


PROFILES = {
    **FREE,
    "profiles": {"short": Profile(), "old": Profile()},
    "default_profile": "short",
    "rejected_profiles": frozenset({"old"}),
}


@pytest.mark.parametrize("required", [True, False])
async def test_a_profile_is_named_where_it_is_advertised(
    tmp_path: Path, *, required: bool
) -> None:
    """And its echo comes with the order."""
    async with desk(tmp_path, **PROFILES) as at:
        extras = effects.Extras(profile="short", required=required)
        seen = await at.perform(effects.CreateOrder("k", extras))
        assert isinstance(seen, effects.OrderSeen)
        assert seen.order.profile == "short"


@pytest.mark.parametrize("config", [FREE, PROFILES])
async def test_a_profile_that_is_not_advertised_is_not_named(
    tmp_path: Path, config: dict[str, object]
) -> None:
    """Required, nothing is ordered, and what is offered is told; preferred, it goes."""
    async with desk(tmp_path, **config) as at:
        with pytest.raises(ProfileUnavailableError) as caught:
            await at.perform(
                effects.CreateOrder("k", effects.Extras(profile="new", required=True))
            )
        assert at.ca.log.count("newOrder") == 0
        offered = "old, short" if "profiles" in config else "none"
        assert f"it offers: {offered}" in str(caught.value)
        preferred = effects.CreateOrder("k", effects.Extras(profile="new"))
        assert isinstance(await at.perform(preferred), effects.OrderSeen)


@pytest.mark.parametrize("required", [True, False])
async def test_a_refused_profile_is_told_apart_where_it_was_preferred(
    tmp_path: Path, *, required: bool
) -> None:
    """So that it is asked once more without."""
    async with desk(tmp_path, **PROFILES) as at:
        extras = effects.Extras(profile="old", required=required)
        with pytest.raises(AgentError) as caught:
            await at.perform(effects.CreateOrder("k", extras))
        refused = isinstance(caught.value, ProfileRefusedError)
        assert refused is not required


@pytest.mark.parametrize(
    "kind", [Authorizations.NONE, Authorizations.MISSING, Authorizations.PENDING_NONE]
)
async def test_orders_without_authorizations_are_read(
    tmp_path: Path, kind: Authorizations
) -> None:
    """Whatever form the lack of them has."""
    async with desk(tmp_path, **{**FREE, "authorizations": kind}) as at:
        seen = await at.create()
        assert seen.order.authorizations == ()
    assert Config().authorizations is Authorizations.REQUIRED
