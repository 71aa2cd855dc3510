"""What a bundle can say, member by member: nothing is added to it by accident."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from agent.bootstrap.tables import TABLES, Payload

ALLOWED = """
version instance sequence issued expires
ca.*.directory ca.*.roots ca.*.chain_roots ca.*.issuers ca.*.allowed_hosts ca.*.timeout
ca.*.client.certificate ca.*.client.key ca.*.trusted_by_peers ca.*.concurrency
ca.*.requests_per_second ca.*.orders_per_hour ca.*.identifiers
ca.*.csr.san_policy ca.*.csr.san_critical ca.*.csr.subject ca.*.csr.extensions
account.*.ca account.*.contact account.*.terms_agreed
account.*.eab.kid account.*.eab.key account.*.eab.algorithm
nf.*.instance_id nf.*.types nf.*.fqdn nf.*.country
nf.*.plmn.mcc nf.*.plmn.mnc nf.*.snpn.mcc nf.*.snpn.mnc nf.*.snpn.nid
token-authority.*.url token-authority.*.roots token-authority.*.bearer
token-authority.*.client.certificate token-authority.*.client.key
token-authority.*.wrap_atc token-authority.*.reuse token-authority.*.timeout
token-authority.*.obey.authority token-authority.*.obey.url
trust.*.est trust.*.signed trust.*.roots trust.*.signer trust.*.list trust.*.interval
trust.*.timeout trust.*.overlap trust.*.delay trust.*.max_step
"""
"""Before a path is added here: could it make the host run, open or reach something?"""
DOCUMENT = Path(__file__).parents[2] / "docs" / "bootstrap.md"


def members(kind: msgspec.inspect.Type, path: str = "") -> Iterator[str]:
    """Yield the path of everything that a bundle can say."""
    match kind:
        case msgspec.inspect.StructType(fields=fields):
            for field in fields:
                name = f"{path}.{field.encode_name}" if path else field.encode_name
                yield from list(members(field.type, name)) or [name]
        case msgspec.inspect.DictType(value_type=value):
            yield from members(value, f"{path}.*")
        case msgspec.inspect.VarTupleType(item_type=item):
            yield from members(item, path)
        case msgspec.inspect.UnionType(types=types):
            for option in types:
                yield from members(option, path)
        case _:
            return


def test_a_bundle_says_this_and_nothing_else() -> None:
    """A setting that the configuration gains is not thereby one that OAM can write."""
    said = set(members(msgspec.inspect.type_info(Payload)))
    assert said == set(ALLOWED.split())


def test_the_documented_form_has_every_member() -> None:
    """A vendor who has only the document can write each of them."""
    text = DOCUMENT.read_text()
    form = text[text.index("## The form of a bundle") :]
    words = set(re.findall(r"`([a-z_-]+)`", form))
    for path in ALLOWED.split():
        table, _, member = path.partition(".*.")
        assert table in words
        assert not member or member.split(".")[0] in words, path
    assert set(TABLES) <= words
