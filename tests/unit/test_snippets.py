"""What endpoints include is quoted, or refused."""

from pathlib import Path
from typing import get_args

import pytest

from agent.publication.snippets import SnippetError, Template, snippet

PLACE = Path("/var/lib/nfcertd/certificates/web/3")
URI = "pkcs11:token=nf-keys;id=%01%AB;type=private"


@pytest.mark.parametrize(
    ("template", "key"),
    [
        ("nginx", f"{PLACE}/key.pem"),
        ("nginx-engine", f"engine:pkcs11:{URI}"),
        ("nginx-store", f"store:{URI}"),
    ],
)
def test_a_snippet_names_certificate_and_key_of_one_publication(
    template: Template, key: str
) -> None:
    """One file, read by one open: absolute paths, no link among them."""
    text = snippet(template, PLACE, URI).decode()
    assert text.splitlines()[1:] == [
        f"ssl_certificate {PLACE}/fullchain.pem;",
        f'ssl_certificate_key "{key}";',
    ]


def test_peers_are_verified_by_the_roots_of_the_same_publication() -> None:
    """Demanded, not asked for: who is not verified gets no answer."""
    text = snippet("nginx", PLACE, URI, verify_peers=True).decode()
    assert text.splitlines()[3:] == [
        f"ssl_client_certificate {PLACE}/trust.pem;",
        "ssl_verify_client on;",
    ]


def test_a_software_key_has_no_uri() -> None:
    """The path of its file is enough."""
    assert b"key.pem" in snippet("nginx", PLACE, "")


HOSTILE = [
    ";", "'", '"', "\\", " ", "\t", "\n", "\r", "{", "}", "#", "$", "\x00", "é", "`",
]  # fmt: skip


@pytest.mark.parametrize("character", HOSTILE)
@pytest.mark.parametrize("template", get_args(Template))
def test_a_path_with_a_meaning_of_its_own_is_refused(
    template: Template, character: str
) -> None:
    """Root's nginx includes the file: nothing is escaped, it is refused."""
    hostile = Path(f"/var/lib/a{character}b/3")
    with pytest.raises(SnippetError, match="cannot be written into a configuration"):
        snippet(template, hostile, URI)


@pytest.mark.parametrize("path", ["relative/3", ".", "/var/lib/a\n"])
def test_a_path_that_is_not_absolute_and_whole_is_refused(path: str) -> None:
    """A final line end does not slip through the pattern either."""
    with pytest.raises(SnippetError):
        snippet("nginx", Path(path), "")


@pytest.mark.parametrize(
    "uri",
    [
        *(f"pkcs11:token=a{c}b" for c in ['"', "\\", " ", "\n", "{", "}", "#", "$"]),
        "pkcs11:token=a\n",
        "pkcs11:",
        "file:/etc/passwd",
        "x",
    ],
)
def test_a_uri_that_would_end_its_quotes_is_refused(uri: str) -> None:
    """The clause does not repeat it."""
    with pytest.raises(SnippetError) as caught:
        snippet("nginx-store", PLACE, uri)
    assert uri not in str(caught.value)
