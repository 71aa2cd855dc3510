"""The test CA judges authority tokens: every rule of RFC 9448 6 refuses one."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.ca import Config
from tests.ca.harness import running, settled
from tests.ca.raw_client import RawClient, thumbprint_of
from tests.oam import Oam, Script
from tests.parts.authority import Authority

NAME = "amf1.example"
ASKED = {("dns", NAME), ("dns", "other.example")}
BEARER = "credential"
Change = Callable[[dict[str, Any]], None]


def fingerprint(key: ec.EllipticCurvePrivateKey) -> str:
    """Return the form of RFC 9448 5.4, computed apart from the CA."""
    text = thumbprint_of(key)
    octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return "SHA256 " + octets.hex(":").upper()


async def grant(oam: Oam, value: str, printed: str) -> str:
    """Ask the authority as a client would; its TLS is not what is tested here."""
    body = {"tktype": "dns", "tkvalue": value, "ca": False, "fingerprint": printed}
    headers = {"Authorization": f"Bearer {BEARER}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(oam.url("nf-1"), json=body, headers=headers, ssl=False) as answer,
    ):
        assert answer.status == 200
        token: str = (await answer.json())["token"]
        return token


async def judged(
    tmp_path: Path,
    change: Change,
    header: Change = lambda _: None,
    *,
    stranger: bool = False,
    value: str = NAME,
) -> dict[str, Any]:
    """Return the challenge after a token that the change has gone through."""
    script = Script(
        accounts={"nf-1": ASKED},
        bearer={"nf-1": BEARER},
        claims=change,
        header=header,
    )
    async with Oam(tmp_path, script) as oam:
        root = Authority().root if stranger else oam.token_root
        config = Config(token_authorities=(root,))
        async with running(config) as (_, client):
            await client.register()
            order = await client.order(NAME)
            challenge = await _challenge(client, order.json)
            printed = fingerprint(client.key)  # type: ignore[arg-type]  # an EC key
            token = await grant(oam, value, printed)
            await client.post(challenge["url"], {"tkauth": token})
            return await settled(client, challenge["url"])


async def _challenge(client: RawClient, order: dict[str, Any]) -> dict[str, Any]:
    authz = (await client.post(order["authorizations"][0])).json
    offered = {each["type"]: each for each in authz["challenges"]}
    found: dict[str, Any] = offered["tkauth-01"]
    assert found["tkauth-type"] == "atc"
    return found


async def test_a_good_token_proves_an_identifier(tmp_path: Path) -> None:
    """Signed by an authority of the CA, about this account and identifier."""
    challenge = await judged(tmp_path, lambda _: None)
    assert challenge["status"] == "valid"


CHANGES: dict[str, Change] = {
    "exp is missing": lambda c: c.pop("exp"),
    "is not acceptable": lambda c: c.update(exp=1),
    "jti is missing": lambda c: c.pop("jti"),
    "atc is not": lambda c: c.update(atc="x"),
    "tktype": lambda c: c["atc"].update(tktype="DNS"),
    "fingerprint": lambda c: c["atc"].update(fingerprint="SHA256 00"),
    "for a CA": lambda c: c["atc"].update(ca=True),
}


@pytest.mark.parametrize("why", CHANGES)
async def test_a_token_that_attests_something_else_is_refused(
    tmp_path: Path, why: str
) -> None:
    """And the challenge says which rule it broke."""
    challenge = await judged(tmp_path, CHANGES[why])
    assert challenge["status"] == "invalid"
    assert why in challenge["error"]["detail"]


async def test_a_token_for_another_identifier_is_refused(tmp_path: Path) -> None:
    """Attested truly, and not what was ordered."""
    challenge = await judged(tmp_path, lambda _: None, value="other.example")
    assert "tkvalue" in challenge["error"]["detail"]


async def test_a_token_of_a_stranger_is_refused(tmp_path: Path) -> None:
    """Its signer is no authority of this CA."""
    challenge = await judged(tmp_path, lambda _: None, stranger=True)
    assert "no authority" in challenge["error"]["detail"]


async def test_a_token_without_its_signer_is_refused(tmp_path: Path) -> None:
    """This CA fetches nothing."""
    challenge = await judged(tmp_path, lambda _: None, lambda h: h.pop("x5c"))
    assert "x5c" in challenge["error"]["detail"]


async def test_a_token_that_was_changed_after_it_was_signed_is_refused(
    tmp_path: Path,
) -> None:
    """Its signature no longer fits."""
    script = Script(accounts={"nf-1": ASKED}, bearer={"nf-1": BEARER})
    async with Oam(tmp_path, script) as oam:
        config = Config(token_authorities=(oam.token_root,))
        async with running(config) as (_, client):
            await client.register()
            challenge = await _challenge(client, (await client.order(NAME)).json)
            printed = fingerprint(client.key)  # type: ignore[arg-type]  # an EC key
            head, body, signature = (await grant(oam, NAME, printed)).split(".")
            claims = json.loads(base64.urlsafe_b64decode(body + "=="))
            claims["exp"] += int(timedelta(days=1).total_seconds())
            forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=")
            token = f"{head}.{forged.decode()}.{signature}"
            await client.post(challenge["url"], {"tkauth": token})
            after = await settled(client, challenge["url"])
    assert "signature is wrong" in after["error"]["detail"]


async def test_what_is_no_token_is_malformed_before_anything_is_judged(
    tmp_path: Path,
) -> None:
    """The challenge stays pending."""
    async with Oam(tmp_path, Script(bearer={"x": "y"})) as oam:
        config = Config(token_authorities=(oam.token_root,))
        async with running(config) as (_, client):
            await client.register()
            challenge = await _challenge(client, (await client.order(NAME)).json)
            for payload in ({}, {"tkauth": "a.b"}, {"tkauth": 1}):
                answer = await client.post(challenge["url"], payload)
                assert answer.status == 400
