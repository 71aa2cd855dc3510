"""The audit trail: entries, their chain, CMP's words, and what breaks it."""

import base64
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from agent.trail.check import Check, verifies
from agent.trail.entry import (
    GENESIS,
    MAX_LINE,
    EntryError,
    Fact,
    checkpoint_input,
    digest,
    line_of,
    nonce_mark,
    placed,
    read_line,
)
from agent.trail.exchange import About, Exchange, facts
from agent.trail.vocabulary import Word, word_of_event, words_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
SPKI = KEY.public_key().public_bytes(
    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
)


def trail(*events: str) -> list[bytes]:
    """Return the lines of a whole trail; `checkpoint` is signed by KEY."""
    lines: list[bytes] = []
    prev = GENESIS
    for seq, event in enumerate(events, 1):
        data = signed(seq, prev) if event == Word.CHECKPOINT else {}
        entry = placed(Fact(event=event, subject="web", data=data), seq, NOW, prev)
        lines.append(line_of(entry))
        prev = digest(lines[-1])
    return lines


def signed(seq: int, prev: str) -> dict[str, str]:
    """Return the data of a checkpoint by KEY."""
    der = KEY.sign(checkpoint_input(seq, prev), ec.ECDSA(hashes.SHA256()))
    r, s = utils.decode_dss_signature(der)
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return {
        "public": base64.b64encode(SPKI).decode(),
        "signature": base64.b64encode(raw).decode(),
    }


def problems(lines: list[bytes], pinned: bytes | None = None) -> str:
    """Return what a check finds, as one text."""
    check = Check(pinned)
    check.read("f", lines)
    return "; ".join(check.report.problems)


WHOLE = ("ir", "ip", "cr", "cp", Word.CHECKPOINT, "certconf")


def test_a_whole_trail_is_whole_and_says_what_is_vouched_for() -> None:
    """Numbers, chain and signature fit; the entries after the checkpoint are told."""
    check = Check(SPKI)
    lines = trail(*WHOLE)
    check.read("one", lines[:3])
    check.read("two", lines[3:])
    report = check.report
    assert report.problems == []
    assert (report.entries, report.first, report.last) == (6, 1, 6)
    assert (report.checkpoints, report.covered, report.covered_at) == (1, 5, NOW)


@pytest.mark.parametrize("at", range(5))
def test_a_changed_line_is_told_by_the_next_one(at: int) -> None:
    """Whatever is changed, wherever."""
    lines = trail(*WHOLE)
    lines[at] = lines[at].replace(b'"web"', b'"wob"')
    assert "does not follow" in problems(lines)


@pytest.mark.parametrize("at", range(1, 5))
def test_a_removed_line_is_told(at: int) -> None:
    """Number and chain both tell."""
    lines = trail(*WHOLE)
    del lines[at]
    assert f"number {at + 2} after {at}" in problems(lines)


def test_an_inserted_or_reordered_line_is_told() -> None:
    """The chain tells."""
    lines = trail(*WHOLE)
    assert "does not follow" in problems([lines[0], *lines])
    assert "does not follow" in problems([lines[0], lines[2], lines[1], *lines[3:]])


def test_a_trail_written_anew_is_told_by_its_checkpoints() -> None:
    """Somebody without the key can make a chain, and no signature."""
    lines = trail("cr", "cp", Word.CHECKPOINT)
    forged = trail("cr", "cr", Word.CHECKPOINT)
    entry = read_line(lines[2])
    data = dict(entry.data)
    fact = Fact(event=Word.CHECKPOINT, subject="audit", data=data)
    forged[2] = line_of(placed(fact, 3, NOW, digest(forged[1])))
    assert "signature of a checkpoint is wrong" in problems(forged)
    assert "by another key" in problems(trail(*WHOLE), b"another")


def test_a_checkpoint_with_rubbish_for_a_signature_is_wrong_and_no_crash() -> None:
    """Not base64, not a key, not there."""
    for data in ({}, {"public": "%%", "signature": "%%"}, {"public": "AAAA"}):
        fact = Fact(event=Word.CHECKPOINT, subject="audit", data=data)
        assert "signature" in problems([line_of(placed(fact, 1, NOW, GENESIS))])


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[" * 5000, b"\xff", b'{"seq": "x"}', b"x" * (MAX_LINE + 1)]
)
def test_a_line_that_is_no_entry_is_an_error_with_data(line: bytes) -> None:
    """It is told with its place, and the check goes on."""
    with pytest.raises(EntryError):
        read_line(line)
    assert "f:1: no entry" in problems([line])


def test_many_problems_are_counted_and_not_all_worded() -> None:
    """A trail of rubbish does not become a report of its size."""
    check = Check()
    check.read("f", [b"x"] * 100)
    assert len(check.report.problems) == 20
    assert check.report.more == 80


def test_texts_are_bounded() -> None:
    """A CA's prose cannot make a line that is refused when it is read."""
    fact = Fact(event="cr", subject="s" * 9999, text="t" * 9999, data={"d": "x" * 9999})
    line = line_of(placed(fact, 1, NOW, GENESIS))
    assert len(line) < 3000
    assert read_line(line).seq == 1


def test_a_nonce_is_marked_and_not_told() -> None:
    """Eight characters and a digest's beginning."""
    mark = nonce_mark("0123456789abcdefghijkl")
    assert mark.startswith("01234567~")
    assert len(mark) == 25
    assert nonce_mark("") == ""


def test_signatures_of_every_key_type_verify_and_a_wrong_one_does_not() -> None:
    """EC P-384, RSA and Ed25519, in the form of JWS."""
    wide = ec.generate_private_key(ec.SECP384R1())
    r, s = utils.decode_dss_signature(wide.sign(b"x", ec.ECDSA(hashes.SHA384())))
    raw = r.to_bytes(48, "big") + s.to_bytes(48, "big")
    rsa_key = rsa.generate_private_key(65537, 2048)
    by_rsa = rsa_key.sign(b"x", padding.PKCS1v15(), hashes.SHA256())
    edwards = ed25519.Ed25519PrivateKey.generate()
    table = (
        (wide.public_key(), raw),
        (rsa_key.public_key(), by_rsa),
        (edwards.public_key(), edwards.sign(b"x")),
    )
    for public, signature in table:
        der = public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        assert verifies(der, signature, b"x")
        assert not verifies(der, signature, b"y")
        assert not verifies(der, signature[1:], b"x")


@pytest.mark.parametrize(
    ("resource", "update", "request_word", "answer_word"),
    [
        ("newAccount", False, "ir", "ip"),
        ("newOrder", False, "cr", "cp"),
        ("newOrder", True, "kur", "kup"),
        ("challenge", False, "cr", "cp"),
        ("finalize", True, "kur", "kup"),
        ("certificate", False, "cr", "cp"),
        ("authz", False, "pollreq", "pollrep"),
        ("order", True, "pollreq", "pollrep"),
        ("revokeCert", False, "rr", "rp"),
        ("keyChange", False, "acct-kur", "acct-kup"),
        ("directory", False, "genm", "genp"),
        ("renewalInfo", False, "genm", "genp"),
    ],
)
def test_resources_have_the_words_of_cmp(
    resource: str, update: bool, request_word: str, answer_word: str
) -> None:
    """An update is a certificate's new order, never the account's new key."""
    assert words_of(resource, update=update) == (request_word, answer_word)


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("certificate.issued", Word.CERTCONF),
        ("endpoint.deployed", Word.PKICONF),
        ("key.destroyed", Word.KEY),
        ("alarm.raised", Word.ALARM),
        ("operator.renew", Word.OPERATOR),
        ("issue.failed", Word.ERROR),
        ("something.new", Word.RECORD),
    ],
)
def test_what_happens_here_has_a_word_as_well(kind: str, word: Word) -> None:
    """Certconf is our own check, pkiconf the proof; both have no message in ACME."""
    assert word_of_event(kind) is word


def exchange(**changes: object) -> Exchange:
    """Return a newOrder that went well, with some fields changed."""
    fields: dict[str, object] = {
        "ca": "operator",
        "resource": "newOrder",
        "about": About(subject="web", transaction="https://ca/acct/1"),
        "status": 201,
        "sent": "nonce-that-was-sent",
        "received": "nonce-that-came-back",
        "known": "nonce-that-was-sent",
        "location": "https://ca/order/1",
    }
    return Exchange(**(fields | changes))  # type: ignore[arg-type]  # by name


def test_an_exchange_is_two_entries_of_one_transaction() -> None:
    """The order's URL is the transaction as soon as there is one."""
    asked, answered = facts(exchange())
    assert (asked.event, answered.event) == ("cr", "cp")
    assert asked.transaction == "https://ca/acct/1"
    assert answered.transaction == "https://ca/order/1"
    assert (
        asked.sender_nonce == answered.sender_nonce == nonce_mark("nonce-that-was-sent")
    )
    assert answered.recip_nonce == nonce_mark("nonce-that-came-back")


def test_the_very_first_message_has_a_recipient_nonce_of_0_on_paper() -> None:
    """TR 33.876 wants it so; nothing zero-valued was sent."""
    asked, _ = facts(exchange(known=""))
    assert asked.recip_nonce == "0"
    assert asked.sender_nonce != "0"


def test_an_unsigned_question_has_no_sender_nonce() -> None:
    """A directory, a nonce and renewal information are asked for without one."""
    asked, answered = facts(exchange(resource="newNonce", sent="", location=""))
    assert (asked.event, answered.event) == ("genm", "genp")
    assert (asked.sender_nonce, asked.recip_nonce) == ("", "")
    assert answered.recip_nonce == nonce_mark("nonce-that-came-back")


def test_a_refusal_is_an_error_with_its_failure_info() -> None:
    """CMP's PKIFailureInfo stands beside ACME's type."""
    _, answered = facts(exchange(status=403, problem="unauthorized", location=""))
    assert answered.event == Word.ERROR
    assert answered.status == 403
    assert answered.data == {"problem": "unauthorized", "fail_info": "notAuthorized"}


def test_a_lost_answer_leaves_only_what_was_asked() -> None:
    """Nobody knows what became of it."""
    [asked] = facts(exchange(status=0, received=""))
    assert asked.event == "cr"


def test_no_nonce_stands_in_an_entry_whole() -> None:
    """Nor anything else of the request."""
    text = "".join(
        line_of(placed(f, 1, NOW, GENESIS)).decode() for f in facts(exchange())
    )
    assert "nonce-that" not in text
