"""Properties of RFC 7512 URIs: writing and reading are inverse, nothing crashes."""

from hypothesis import given
from hypothesis import strategies as st

from agent.pki import uri
from agent.pki.uri import Pkcs11Uri, UriError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30).map(str.encode)
PATH = st.fixed_dictionaries(
    {},
    optional={
        "token": TEXT,
        "serial": TEXT,
        "manufacturer": TEXT,
        "object": TEXT,
        "id": st.binary(max_size=20),
        "type": st.sampled_from([b"private", b"public", b"cert"]),
        "slot-id": st.integers(0, 2**32).map(lambda n: str(n).encode()),
        "x-vendor": TEXT,
    },
)
QUERY = st.fixed_dictionaries(
    {}, optional={"pin-source": TEXT, "module-path": TEXT, "x-vendor": TEXT}
)


@given(PATH, QUERY)
def test_what_is_written_reads_the_same(
    path: dict[str, bytes], query: dict[str, bytes]
) -> None:
    """`parse` undoes `render`, and writing again gives the same text."""
    built = Pkcs11Uri(path=path, query=query)
    text = uri.render(built)
    assert uri.parse(text) == built
    assert uri.render(uri.parse(text)) == text
    assert text.isascii()


@given(st.text(max_size=60), st.sampled_from(["", "pkcs11:", "pkcs11:token=a;id="]))
def test_any_text_is_read_or_refused(text: str, start: str) -> None:
    """Nothing but `UriError` leaves the parser; what it takes, it can write."""
    try:
        parsed = uri.parse(start + text)
    except UriError:
        return
    assert uri.parse(uri.render(parsed)) == parsed


@given(st.binary(min_size=1, max_size=32), TEXT)
def test_a_key_uri_names_its_key(key_id: bytes, label: bytes) -> None:
    """What `key_uri` writes, `object_uri` reads as the same key."""
    written = uri.key_uri("pkcs11:token=nf", key_id, label=label.decode())
    parsed = uri.object_uri(written)
    assert parsed.id == key_id
    assert (parsed.text("object") or "") == label.decode()
