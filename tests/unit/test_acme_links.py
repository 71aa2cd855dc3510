"""Link headers (RFC 8288), as far as ACME needs them."""

import pytest

from agent.acme.headers import MAX_LINKS, links

BASE = "https://ca.example/certificate/7"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, ()),
        ("", ()),
        ('<https://ca.example/a>;rel="alternate"', ("https://ca.example/a",)),
        ("<https://ca.example/a>; rel=alternate", ("https://ca.example/a",)),
        ('<https://ca.example/a> ; REL="ALTERNATE"', ("https://ca.example/a",)),
        ('<https://ca.example/a>;rel="up alternate"', ("https://ca.example/a",)),
        (
            '<https://ca.example/a>;rel="index", <https://ca.example/b>;rel=alternate',
            ("https://ca.example/b",),
        ),
        (
            '<https://ca.example/a,b>;title="x, <y>; z";rel="alternate"',
            ("https://ca.example/a,b",),
        ),
        (
            r'<https://ca.example/a>;title="q\"<";rel=alternate',
            ("https://ca.example/a",),
        ),
        ('<https://ca.example/a>;rel="up";rel="alternate"', ()),
        ('<https://ca.example/a>;rel="alternates"', ()),
        ("<https://ca.example/a>;alternate", ()),
        ("</certificate/7/1>;rel=alternate", ("https://ca.example/certificate/7/1",)),
        ("<1>;rel=alternate", ("https://ca.example/certificate/1",)),
        ("<http://ca.example/a>;rel=alternate", ()),
        ("<javascript:x>;rel=alternate", ()),
        ("<https://[>;rel=alternate", ()),
        ("<https://ca.example/a b>;rel=alternate", ()),
        (
            "<https://ca.example/a>;rel=alternate,<https://ca.example/a>;rel=alternate",
            ("https://ca.example/a",),
        ),
        ("https://ca.example/a;rel=alternate", ()),
        ('<https://ca.example/a>;rel="alternate', ()),
    ],
)
def test_links_of_one_relation_are_found(
    value: str | None, found: tuple[str, ...]
) -> None:
    """Quoted or not, several in one header, relative to their resource, https only."""
    assert links(value, "alternate", BASE) == found


def test_links_are_bounded() -> None:
    """In number and in what is read of them; nonsense takes no time."""
    many = ",".join(f"<https://ca.example/{n}>;rel=alternate" for n in range(300))
    assert len(links(many, "alternate", BASE)) == MAX_LINKS
    assert links("<" * 100_000, "alternate", BASE) == ()
    assert links("<a>;" + " " * 100_000, "alternate", BASE) == ()
    assert links('<a>;a="' * 20_000, "alternate", BASE) == ()
    assert links("<a>" + ";a=b" * 20_000, "alternate", BASE) == ()
