"""dns-01 by the real dns-lexicon: its ddns provider updates a real DNS server."""

import base64
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.config.challenges import Dns as Table
from agent.config.challenges import Lexicon
from agent.files import read_secret
from agent.solvers.dns01.records import account_record_name
from agent.solvers.dns01.solver import Dns01
from agent.solvers.errors import DnsPropagationError, DnsUpdateError
from tests.fakes.presented import ACCOUNT_URL, presented
from tests.parts.dns import DELEGATED, KEY_NAME, ZONE, Dns, dns_missing, dns_servers
from tests.parts.fetched import fetched, not_fetched

MISSING = dns_missing() or not_fetched("lexicon")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(MISSING), reason=MISSING),
]

RECORD = "_acme-challenge.web.example"
CHALLENGE = presented("web.example", "token", "token.thumbprint")
OTHER = presented("web.example", "other", "other.thumbprint")


@pytest.fixture(scope="module")
def dns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dns]:
    """Run a primary and a secondary that follows at once."""
    with dns_servers(tmp_path_factory.mktemp("lexicon")) as servers:
        yield servers


@pytest.fixture(autouse=True)
def _library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the library where the extra would be; what we have ourselves comes first."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(fetched("lexicon"))])


def solver(dns: Dns, key: str, place: Path, **changes: str) -> Dns01:
    """Return a solver whose changes are those of the library's ddns provider."""
    (place / "token").write_text(f"hmac-sha256:{KEY_NAME}:{key}\n")
    table = Lexicon(
        name=changes.get("name", "ddns"),
        options={"ddns_server": dns.primary},
        secrets={"auth_token": f"file:{place}/token"},
    )
    settings = Table(
        provider="lexicon",
        lexicon=table,
        zone=changes.get("zone"),
        resolvers=(dns.primary,),
        propagation=changes.get("propagation", "20s"),
    )
    return Dns01(lambda: settings, lambda ref: read_secret(ref, None), SystemClock())


async def test_values_are_everywhere_while_presented_and_nowhere_after(
    dns: Dns, tmp_path: Path
) -> None:
    """Base and wildcard share a name; one value goes and the other one stays."""
    shared = solver(dns, dns.key_file.read_text().strip(), tmp_path)
    async with shared.prepare(OTHER):
        (first,) = dns.values(RECORD)
        async with shared.prepare(CHALLENGE):
            both = dns.values(RECORD)
            assert len(both) == 2
            assert dns.values(RECORD, dns.secondary) == both
        assert dns.values(RECORD) == [first]
    assert dns.values(RECORD) == []


async def test_an_account_has_its_own_record(dns: Dns, tmp_path: Path) -> None:
    """dns-account-01 takes the same provider."""
    key = dns.key_file.read_text().strip()
    record = account_record_name("web.example", ACCOUNT_URL)
    async with solver(dns, key, tmp_path).for_accounts().prepare(CHALLENGE):
        assert len(dns.values(record)) == 1
        assert dns.values(RECORD) == []
    assert dns.values(record) == []


async def test_what_the_library_does_not_hear_is_found_out_by_asking(
    dns: Dns, tmp_path: Path
) -> None:
    """Its ddns provider takes a refusal for success; the zone's servers know better."""
    key = dns.key_file.read_text().strip()
    elsewhere = presented(f"web.{DELEGATED}", "token", "token.thumbprint")
    subject = solver(dns, key, tmp_path, zone=ZONE, propagation="1s")
    with pytest.raises(DnsPropagationError, match="did not have"):
        async with subject.prepare(elsewhere):
            pass


async def test_a_wrong_key_is_refused_and_not_shown(
    dns: Dns, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The library's exception is told, the key is not."""
    caplog.set_level("DEBUG")
    wrong = base64.b64encode(b"w" * 32).decode()
    with pytest.raises(DnsUpdateError, match=r"create of .* failed: Peer") as caught:
        async with solver(dns, wrong, tmp_path).prepare(CHALLENGE):
            pass
    assert wrong not in f"{caught.value}{caught.value.__cause__!r}{caplog.text}"
    assert dns.values(RECORD) == []


async def test_a_provider_that_the_library_lacks_is_named(
    dns: Dns, tmp_path: Path
) -> None:
    """The real library is laid out as we take it to be."""
    with pytest.raises(DnsUpdateError, match=r"No module named .*none_such"):
        async with solver(dns, "key", tmp_path, name="none_such").prepare(CHALLENGE):
            pass
