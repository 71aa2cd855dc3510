"""Certificates of NFs from a CA by the profile of TS 33.310, and from CAs that are not.

The test CA issues by the profile, or leaves a part out; Pebble, which is not ours,
knows nothing of it.
"""

import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.ca import SBA, Authorizations, Config
from tests.integration.scene import Daemon, Scene, scene
from tests.parts.pebble import PebbleOptions, pebble, pebble_missing
from tests.parts.process import free_port

pytestmark = pytest.mark.integration

UUID = "4ace9d34-2c69-4f99-92d5-a73a3fe8e23b"
URI = f"urn:uuid:{UUID}"
HOME = "5gc.mnc012.mcc345.3gppnetwork.org"
NF_TYPES = "1.3.6.1.5.5.7.1.34"
CA = Config(
    identifier_types=frozenset({"dns", "NfInstanceId"}),
    authorizations=Authorizations.BORN_VALID,
    profile=SBA,
)
NFS = f"""
[nf.amf1]
instance_id = "{UUID}"
types = ["SMF", "AMF"]
fqdn = "amf1.{HOME}"
country = "DE"
"""
SBI = """
[certificate.sbi]
nf = "amf1"
ca = "test"
key = { file = true }
"""
CRL_RULE = "crl-distribution-points"


def leaf(place: Scene) -> x509.Certificate:
    """Return the certificate that is in use."""
    return x509.load_pem_x509_certificate(
        (place.state / "live" / "sbi" / "cert.pem").read_bytes()
    )


def test_an_nf_gets_a_certificate_by_the_profile(tmp_path: Path) -> None:
    """NF and purpose are all that is said; the rest follows, and is held against it."""
    with scene(tmp_path, CA) as place:
        place.configure(NFS, SBI)
        with place.daemon() as daemon:
            shown = daemon.settle_deployed("sbi").certificate("sbi")
            samples = place.metrics()
        names = [i.document() for i in place.ca.orders[0].identifiers]
        made = leaf(place)
        key = place.state / "live" / "sbi" / "key.pem"
        assert (
            load_pem_private_key(key.read_bytes(), None).public_key()
            == made.public_key()
        )
    assert names == [
        {"type": "NfInstanceId", "value": UUID},
        {"type": "dns", "value": f"amf1.{HOME}"},
    ]
    assert made.subject.rfc4514_string() == f"O={HOME},C=DE"
    sans = made.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert sans.critical
    assert [n.value for n in sans.value] == [URI, f"amf1.{HOME}"]
    found = {e.oid.dotted_string: e.value for e in made.extensions}
    assert found[NF_TYPES].public_bytes().hex() == "300a1603414d461603534d46"
    assert (shown["findings"], shown["refused"]) == ([], None)
    assert shown["names"] == [URI, f"amf1.{HOME}"]
    assert samples['nfcertd_certificate_refused{certificate="sbi"}'] == 0


def refused(daemon: Daemon) -> Mapping[str, object]:
    """Wait until the certificate is refused, and return what status says of it."""
    status = daemon.settle(lambda s: s.certificate("sbi")["refused"])
    failure = status.job("sbi", "issue")["failure"]
    assert failure["kind"] == "sba.lint"
    assert failure["message"] == f"it breaks its profile: {CRL_RULE}: there is none"
    assert "issue-failing" in status.alarms("sbi")
    shown: Mapping[str, object] = status.certificate("sbi")
    return shown


def test_what_breaks_the_profile_is_refused_until_it_is_accepted(
    tmp_path: Path,
) -> None:
    """Status says which rule; nothing is published; a restart forgets nothing."""
    lame = replace(CA, profile=replace(SBA, crl_url=None))
    with scene(tmp_path, lame) as place:
        place.configure(NFS, SBI)
        with place.daemon() as daemon:
            shown = refused(daemon)
            samples = place.metrics()
        assert (shown["issued"], shown["publication"]) == (False, 0)
        assert samples['nfcertd_certificate_refused{certificate="sbi"}'] == 1
        count = 'nfcertd_certificate_profile_findings{certificate="sbi",level="error"}'
        assert samples[count] == 1
        assert not (place.state / "live" / "sbi").exists()
        with place.daemon() as daemon:
            assert refused(daemon) is not None
            daemon.ask("accept", "sbi")
            after = daemon.settle_deployed("sbi").certificate("sbi")
        assert place.ca.answered_orders == 1
        assert "accepted after all by an operator" in place.log()
        assert f"{leaf(place).serial_number:x}" == after["serial"]
    assert after["refused"] is None
    assert [(f["rule"], f["level"]) for f in after["findings"]] == [(CRL_RULE, "error")]


def test_a_lower_level_deploys_what_was_refused(tmp_path: Path) -> None:
    """The operator's word can be the configuration: no new order is needed."""
    lame = replace(CA, profile=replace(SBA, crl_url=None))
    with scene(tmp_path, lame) as place:
        place.configure(NFS, SBI)
        with place.daemon() as daemon:
            refused(daemon)
            text = place.config.read_text()
            lint = f'timeout = "5s"\nlint = {{ {CRL_RULE} = "warn" }}'
            place.config.write_text(text.replace('timeout = "5s"', lint))
            daemon.part.signal(signal.SIGHUP)
            after = daemon.settle_deployed("sbi").certificate("sbi")
        assert place.ca.answered_orders == 1
    assert [(f["rule"], f["level"]) for f in after["findings"]] == [(CRL_RULE, "warn")]


@pytest.mark.skipif(bool(pebble_missing()), reason=pebble_missing())
def test_a_public_ca_gets_a_slim_request(tmp_path: Path) -> None:
    """Pebble issues what it likes for DNS names; status says what differs."""
    home = tmp_path / "scene"
    home.mkdir()
    options = PebbleOptions(http_port=free_port())
    with scene(home) as place, pebble(tmp_path, options) as server:
        (home / "transport.pem").write_bytes(server.ca_pem.read_bytes())
        (home / "issuing.pem").write_text(server.issuing_roots())
        place.configure(NFS, SBI)
        slim = (
            'identifiers = ["dns"]\nlint = { default = "warn" }\n'
            'csr = { san_policy = "identifiers-only", subject = false, '
            "extensions = [] }\n"
        )
        text = place.config.read_text()
        for old, new in {
            place.ca.directory_url: server.directory_url,
            f"{place.address}:8080": f"127.0.0.1:{options.http_port}",
            "[account.test]\n": f"{slim}\n[account.test]\nterms_agreed = true\n",
        }.items():
            text = text.replace(old, new)
        place.config.write_text(text)
        with place.daemon() as daemon:
            shown = daemon.settle_deployed("sbi").certificate("sbi")
    broken = {finding["rule"] for finding in shown["findings"]}
    assert {"subject-organization", "san-uri", "nf-types"} <= broken
    assert not {"san-dns", "key-usage", "serial-number"} & broken
