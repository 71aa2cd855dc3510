"""Annex J's challenge on a real daemon: OAM attests, the CA judges, nothing else."""

import contextlib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509

from tests.ca import SBA, Config, Profile
from tests.integration.scene import PATIENCE, Scene, certificate_table, scene
from tests.oam import Oam, Script
from tests.parts.looped import looped

pytestmark = pytest.mark.integration
NAMES = ("amf1.example", "amf2.example")
ACCOUNT = "nf-17"
ATTESTED = 'challenge = "tkauth-01"'
NFS = {
    "amf1": ("AMF", "4ace9d34-2c69-4f99-92d5-a73a3fe8e23b"),
    "smf1": ("SMF", "0b8a9c76-52d1-4c0e-8a3f-6f2f1d3c9b10"),
}
HOME = "5gc.mnc012.mcc345.3gppnetwork.org"
NF = """
[nf.{name}]
instance_id = "{uuid}"
types = ["{type}"]
fqdn = "{name}.{home}"
country = "DE"

[certificate.{name}-sbi]
nf = "{name}"
ca = "test"
key = {{ file = true }}
challenge = "tkauth-01"
"""
CALLS = """
[certificate.calls]
names = {names}
ca = "test"
key = {{ file = true }}
challenge = "tkauth-01"
subject = {{ country = "DE", organization = "Operator" }}
{more}
"""
TN_AUTH_LIST = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.26")
SPC_1234 = bytes.fromhex("3008a006160431323334")


@contextmanager
def attested(home: Path, script: Script, *, bearer: bool = False) -> Iterator[Scene]:
    """Make a scene whose CA believes a token authority, and configure both."""
    script.accounts = {ACCOUNT: {("dns", name) for name in NAMES}}
    (home / "oam").mkdir()
    if bearer:
        script.bearer = {ACCOUNT: "the-credential"}
        (home / "bearer").write_text("the-credential\n")
    with (
        looped(Oam(home / "oam", script), "oam") as oam,
        scene(home, Config(token_authorities=(oam.token_root,)), speed=20) as place,
    ):
        script.now = lambda: place.clock().timestamp()
        place.configure(
            _authority(oam, home, bearer=bearer),
            certificate_table("web", names=NAMES, more=ATTESTED),
        )
        yield place


def _authority(oam: Oam, home: Path, *, bearer: bool) -> str:
    certificate, key = oam.client("nf-host")
    who = (
        f'bearer = "file:{home}/bearer"'
        if bearer
        else f'client = {{ certificate = "{certificate}", key = "file:{key}" }}'
    )
    return (
        f'\n[token-authority.oam]\nurl = "{oam.url(ACCOUNT)}"\n'
        f'roots = "{oam.roots}"\n{who}\n'
    )


@pytest.mark.parametrize("bearer", [False, True])
def test_identifiers_are_proven_by_tokens_and_tokens_are_reused(
    tmp_path: Path, bearer: bool
) -> None:
    """A token for each identifier; a renewal asks for none while they are good."""
    script = Script(life=7 * 24 * 3600)
    with attested(tmp_path, script, bearer=bearer) as place:
        with place.daemon() as daemon:
            daemon.settle_deployed("web")
            daemon.ask("renew", "web")
            daemon.settle_deployed("web", 2)
        asked = [line for line in place.log().splitlines() if "token" in line]
        assert not [line for line in asked if "eyJ" in line]


def test_an_authority_that_refuses_costs_no_loop_and_says_so(tmp_path: Path) -> None:
    """The operator is told; once it grants, a renewal by command goes through."""
    script = Script(status=403)
    with attested(tmp_path, script) as place, place.daemon() as daemon:
        status = daemon.wait(lambda s: s.alarms("web"), PATIENCE)
        alarm = status.alarms("web")["issue-failing"]
        assert "token authority answered 403" in alarm["cause"]
        assert "operator" in alarm["action"]
        script.status = 200
        daemon.ask("renew", "web")
        daemon.settle_deployed("web")


def test_a_token_that_attests_something_else_is_never_presented(
    tmp_path: Path,
) -> None:
    """The CA sees no challenge answered; the reason names what is wrong."""
    script = Script(claims=lambda claims: claims["atc"].update(ca=True))
    with attested(tmp_path, script) as place, place.daemon() as daemon:
        status = daemon.wait(lambda s: s.alarms("web"), PATIENCE)
        assert "ca flag" in status.alarms("web")["issue-failing"]["cause"]
        assert place.ca.log.of("challenge") == []


def test_two_nfs_enrol_by_annex_j_and_talk_over_mutual_tls(tmp_path: Path) -> None:
    """Each proves its NfInstanceId and its name; the peers accept the certificates.

    TS 33.310 annex J, and TS 33.501 clause 13.1: the certificate of either NF serves
    as client and as server, and its URI is the NF instance id.
    """
    script = Script(life=7 * 24 * 3600)
    script.accounts = {
        ACCOUNT: {
            pair
            for name, (_, uuid) in NFS.items()
            for pair in (("NfInstanceId", uuid), ("dns", f"{name}.{HOME}"))
        }
    }
    (tmp_path / "oam").mkdir()
    with looped(Oam(tmp_path / "oam", script), "oam") as oam:
        config = Config(
            token_authorities=(oam.token_root,),
            identifier_types=frozenset({"dns", "NfInstanceId"}),
            profile=SBA,
        )
        # At the pace of real time, in which the peers' TLS judges the dates.
        with scene(tmp_path, config) as place:
            script.now = lambda: place.clock().timestamp()
            tables = [
                NF.format(name=name, type=kind, uuid=uuid, home=HOME)
                for name, (kind, uuid) in NFS.items()
            ]
            place.configure(_authority(oam, tmp_path, bearer=False), *tables)
            with place.daemon() as daemon:
                for name in NFS:
                    daemon.settle_deployed(f"{name}-sbi")
            asked = {(atc["tktype"], atc["tkvalue"]) for atc in oam.asked}
            assert asked == script.accounts[ACCOUNT]
            seen = _talk(place, "amf1", "smf1")
    assert seen == {f"urn:uuid:{NFS['amf1'][1]}", f"urn:uuid:{NFS['smf1'][1]}"}


@pytest.mark.parametrize("alone", [True, False])
def test_telephone_numbers_are_attested_and_certified(
    tmp_path: Path, alone: bool
) -> None:
    """The TNAuthList of the order is the token's, the request's and the certificate's.

    RFC 9448 sections 3 and 5, alone or beside a name. The valid order has an `x5u`,
    which is nobody's business here.
    """
    script = Script(life=7 * 24 * 3600)
    with _numbers(tmp_path, script, Config(signer_url="https://ca.example/x")) as place:
        more = 'tn_auth_list = { spc = ["1234"] }'
        names = "[]" if alone else '["sti.example"]'
        place.configure(place.authority, CALLS.format(names=names, more=more))
        with place.scene.daemon() as daemon:
            daemon.settle_deployed("calls")
        leaf = place.scene.ca.certificates[0].leaf
    found = leaf.extensions.get_extension_for_oid(TN_AUTH_LIST)
    assert found.value.public_bytes() == SPC_1234
    asked = {(atc["tktype"], atc["tkvalue"]) for atc in place.oam.asked}
    assert ("TNAuthList", "MAigBhYEMTIzNA") in asked
    assert len(asked) == (1 if alone else 2)


def test_a_certificate_without_the_numbers_is_never_used(tmp_path: Path) -> None:
    """A CA that leaves the list out is refused like one that leaves a name out."""
    config = Config(certifies_numbers=False)
    with _numbers(tmp_path, Script(), config) as place:
        more = 'tn_auth_list = { spc = ["1234"] }'
        place.configure(
            place.authority, CALLS.format(names='["sti.example"]', more=more)
        )
        with place.scene.daemon() as daemon:
            status = daemon.wait(lambda s: s.alarms("calls"), PATIENCE)
        assert "TNAuthList" in status.alarms("calls")["issue-failing"]["cause"]
        assert not (place.scene.state / "live" / "calls").exists()


class _Numbers(NamedTuple):
    """A scene with an authority for numbers, and the table that names it."""

    scene: Scene
    oam: Oam
    authority: str

    def configure(self, *tables: str) -> None:
        """Write the configuration."""
        self.scene.configure(*tables)


@contextmanager
def _numbers(home: Path, script: Script, config: Config) -> Iterator[_Numbers]:
    script.accounts = {
        ACCOUNT: {("TNAuthList", "MAigBhYEMTIzNA"), ("dns", "sti.example")}
    }
    (home / "oam").mkdir()
    with looped(Oam(home / "oam", script), "oam") as oam:
        switches = replace(
            config,
            token_authorities=(oam.token_root,),
            identifier_types=frozenset({"dns", "TNAuthList"}),
            profile=Profile(copy_subject=True),
        )
        with scene(home, switches, speed=20) as place:
            script.now = lambda: place.clock().timestamp()
            yield _Numbers(place, oam, _authority(oam, home, bearer=False))


def _talk(place: Scene, client: str, server: str) -> set[str]:
    """Shake hands in memory, each side verifying the other; return the URIs seen."""
    roots = str(place.home / "issuing.pem")
    ours = ssl.create_default_context(cafile=roots)
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=roots)
    theirs.verify_mode = ssl.CERT_REQUIRED
    for context, name in ((ours, client), (theirs, server)):
        live = place.state / "live" / f"{name}-sbi"
        context.load_cert_chain(live / "fullchain.pem", live / "key.pem")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = ours.wrap_bio(to_client, to_server, server_hostname=f"{server}.{HOME}")
    serving = theirs.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (asking, serving):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return {_uri(asking), _uri(serving)}


def _uri(side: ssl.SSLObject) -> str:
    der = side.getpeercert(binary_form=True)
    assert der is not None
    leaf = x509.load_der_x509_certificate(der)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    [uri] = names.get_values_for_type(x509.UniformResourceIdentifier)
    return uri
