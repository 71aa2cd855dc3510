"""Problem documents: whatever comes, there is one, and it reads well."""

import pytest

from agent.acme.errors import ProblemError
from agent.acme.problem import MAX_PARTS, MAX_TEXT, Problem, parse_problem

COMPOUND = b"""{
  "type": "urn:ietf:params:acme:error:malformed",
  "detail": "Some of the identifiers requested were rejected",
  "subproblems": [
    {
      "type": "urn:ietf:params:acme:error:malformed",
      "detail": "Invalid underscore in DNS name \\"_example.org\\"",
      "identifier": { "type": "dns", "value": "_example.org" }
    },
    {
      "type": "urn:ietf:params:acme:error:rejectedIdentifier",
      "detail": "This CA will not issue for \\"example.net\\"",
      "identifier": { "type": "dns", "value": "example.net" }
    }
  ]
}"""


def test_the_compound_problem_of_the_standard() -> None:
    """Section 6.7.1: sub-problems keep their identifiers, and reach the operator."""
    problem = parse_problem(COMPOUND, 403)
    assert problem.token == "malformed"
    found = [p.identifier.value for p in problem.subproblems if p.identifier]
    assert found == ["_example.org", "example.net"]
    assert problem.describe() == (
        "malformed: Some of the identifiers requested were rejected; "
        '_example.org: malformed: Invalid underscore in DNS name "_example.org"; '
        "example.net: rejectedIdentifier: "
        'This CA will not issue for "example.net"'
    )


@pytest.mark.parametrize(
    ("body", "kind", "detail"),
    [
        (b"", "about:blank", "no problem document: "),
        (b"<html>503</html>", "about:blank", "no problem document: <html>503</html>"),
        (b"\xff\x00", "about:blank", "no problem document:   "),
        (b"null", "about:blank", "no problem document: null"),
        (b"{}", "about:blank", ""),
        (b'{"type": "https://vendor/e"}', "https://vendor/e", ""),
        (b'{"type": "x", "status": "403", "detail": "no"}', "x", "no"),
        (b'{"type": "x", "detail": 5}', "x", ""),
        (b'{"type": "x", "subproblems": null}', "x", ""),
        (b'{"type": "x", "identifier": {"type": "dns"}}', "x", ""),
        (b'{"type": null}', "about:blank", 'no problem document: {"type": null}'),
    ],
)
def test_whatever_comes_is_a_problem(body: bytes, kind: str, detail: str) -> None:
    """A type outlives a malformed member, a status outlives a body of nothing."""
    problem = parse_problem(body, 503)
    assert problem.type == kind
    assert problem.detail.replace("\N{REPLACEMENT CHARACTER}", " ") == detail


@pytest.mark.parametrize("open_", [b"[", b'{"a":', b'{"subproblems":[', b'{"type":"'])
def test_depth_does_not_hurt(open_: bytes) -> None:
    """Nesting that no stack would survive is a body like any other."""
    assert parse_problem(open_ * 50_000, 500).status == 500


def test_a_description_is_bounded() -> None:
    """Many, long, deep and colourful parts end in a few printable clauses."""
    deep = Problem(type="x", detail="\x1b[31m" + "y" * 9999)
    for _ in range(50):
        deep = Problem(type="t" * 999, subproblems=(deep,) * 20)
    text = deep.describe()
    assert text.isprintable()
    assert len(text) <= (MAX_PARTS + 1) * (MAX_TEXT + 10)


def test_an_error_says_what_a_person_can_do() -> None:
    """Type, detail and status are in the message, the page to visit is in the hint."""
    problem = Problem(
        type="urn:ietf:params:acme:error:userActionRequired",
        detail="terms have changed",
        instance="https://ca.example/terms\x07",
    )
    error = ProblemError(problem, status=403, url="https://ca.example/new")
    assert str(error) == (
        "the ca refused: userActionRequired: terms have changed (http status 403)"
    )
    assert error.hint == "see https://ca.example/terms "
    assert (error.status, error.url, error.retry_at) == (
        403,
        "https://ca.example/new",
        None,
    )
    assert ProblemError(Problem(), status=500, url="").hint == ""
