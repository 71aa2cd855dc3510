"""What a solver is told of a challenge, and what becomes of it when one fails."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key

from agent.acme import jws
from agent.acme.identifiers import Identifier
from agent.jobs.issue import effects
from agent.records.phases import AuthorizationRecord
from agent.solvers.errors import BusyError
from tests.ca import Fault, actions
from tests.fakes.desk import NAMES, Desk, desk, order_record, wish


async def _all_challenges(place: Desk) -> list[AuthorizationRecord]:
    order = order_record(await place.create())
    return [await place.challenge(url) for url in order.authorizations]


async def test_a_solver_is_told_everything_that_a_type_may_need(tmp_path: Path) -> None:
    """Account, identifier, wildcard, and the key that is to be certified."""
    async with desk(tmp_path) as place:
        (first, _) = await _all_challenges(place)
        await place.perform(effects.Answer(first))
        (seen,) = place.board.seen
        account = place.ordering.account
        assert account.key is not None
        assert seen.identifier == Identifier(type="dns", value=first.identifier)
        assert not seen.wildcard
        assert seen.account_url == account.url
        assert seen.thumbprint == jws.thumbprint(account.key.public)
        assert seen.key_authorization == f"{seen.token}.{seen.thumbprint}"
        assert seen.certificate_key.public == place.ordering.key.public
        raw = await seen.certificate_key.sign(b"data")
        assert seen.token not in repr(seen)
    public = load_der_public_key(seen.certificate_key.public)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    r, s = (int.from_bytes(part, "big") for part in (raw[:32], raw[32:]))
    public.verify(encode_dss_signature(r, s), b"data", ec.ECDSA(hashes.SHA256()))


async def test_a_challenge_without_a_token_is_presented(tmp_path: Path) -> None:
    """Newer types have none; what they have instead is kept for a restart."""
    challenge = {
        "type": "http-01",
        "url": "https://127.0.0.1/c",
        "issuer-domain-names": ["ca.example"],
    }
    body = json.dumps(
        {
            "identifier": {"type": "dns", "value": NAMES[0].upper()},
            "status": "pending",
            "wildcard": True,
            "challenges": [challenge],
        }
    ).encode()
    ordered = wish(f"*.{NAMES[0]}")
    async with desk(tmp_path) as place:
        url = (await place.create()).order.authorizations[0]
        place.ca.faults.add(Fault(resource="authz", action=actions.Body(body)))
        wanted = AuthorizationRecord(url=url)
        seen = await place.perform(effects.FetchAuthorization(wanted), wish=ordered)
        assert isinstance(seen, effects.AuthorizationSeen)
        assert (seen.token, seen.issuers) == ("", ("ca.example",))
        record = AuthorizationRecord(
            url=url,
            identifier=seen.authorization.identifier.value,
            wildcard=True,
            challenge=seen.challenge,
            issuers=seen.issuers,
            answered=True,
        )
        await place.fetch_again(record, ordered)
        (shown,) = place.board.seen
    assert shown.identifier == Identifier(type="dns", value=NAMES[0])
    assert (shown.wildcard, shown.token, shown.key_authorization) == (True, "", "")
    assert shown.issuers == ("ca.example",)


async def test_what_was_presented_for_nothing_is_taken_down(tmp_path: Path) -> None:
    """Two orders never wait for each other with half of their names presented."""
    async with desk(tmp_path) as place:
        first, second = await _all_challenges(place)
        place.board.busy.add(second.token)
        for effect in (
            effects.Answer(first, (second,)),
            effects.Answer(second, (first,)),
        ):
            with pytest.raises(BusyError):
                await place.perform(effect)
            assert place.board.up == set()
        assert place.ca.log.count("challenge") == 0
        place.board.busy.clear()
        await place.perform(effects.Answer(first, (second,)))
        assert place.board.up == {first.token, second.token}
