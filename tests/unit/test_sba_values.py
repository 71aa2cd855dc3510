"""Names of TS 23.003, ids and types of NFs, and the purposes of their certificates."""

import pytest

from agent.sba import domains, nf, purposes
from agent.sba.domains import home, read
from agent.sba.purposes import USES, KeyUsage, Purpose, key_usage
from tests.vectors.sba import AMF_SMF, HOME, URI, UUID

PLMN = home("345", "12")
SNPN = home("345", "012", "000007ED9D5")


def test_a_home_domain_has_padded_digits() -> None:
    """The examples of clause 28.2, and three digits as they are."""
    assert str(PLMN) == HOME
    assert str(SNPN) == "5gc.nid000007ed9d5.mnc012.mcc345.3gppnetwork.org"
    assert str(home("310", "260")) == "5gc.mnc260.mcc310.3gppnetwork.org"


@pytest.mark.parametrize(
    "parts",
    [
        ("34", "12"),
        ("345", "1"),
        ("345", "1234"),
        ("345", "12", "7ed9d5"),
        ("345", "12", "000007ed9dx"),
        ("34a", "12"),
        ("345\n", "12"),
    ],
)
def test_a_home_domain_of_wrong_digits_is_refused(parts: tuple[str, ...]) -> None:
    """A PLMN has 5 or 6 digits, a NID 11."""
    with pytest.raises(ValueError, match="digits"):
        home(*parts)


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("nrf", domains.nrf(PLMN)),
        ("nssf", domains.nssf(PLMN)),
        ("sepp", domains.sepp(PLMN)),
        ("sepp", f"sepp1.{domains.sepp(PLMN)}"),
        ("amf", domains.amf(PLMN, "Amf1")),
        ("amf-set", domains.amf_set(PLMN, 1, 72)),
        ("amf-instance", domains.amf_instance(PLMN, 18, 1, 72)),
        ("nf-set", domains.nf_set(PLMN, "xyz", "SMF")),
        ("", f"anything.{HOME}"),
        ("", HOME),
    ],
)
def test_a_name_that_was_made_can_be_read(form: str, name: str) -> None:
    """Without case, and with the final dot of an absolute name."""
    assert read(name) == (form, PLMN)
    assert read(f"{name.upper()}.") == (form, PLMN)


def test_names_have_the_digits_of_the_standard() -> None:
    """Numbers of an AMF are hexadecimal, padded; a NID stands before the MNC."""
    assert domains.amf_set(PLMN, 1, 0x48) == f"set001.region48.amfset.{HOME}"
    assert (
        domains.amf_instance(PLMN, 0x12, 0x3FF, 0xFF)
        == f"pt12.set3ff.regionff.amfi.{HOME}"
    )
    assert domains.nf_set(PLMN, "1", "MB_SMF") == f"set1.mb-smfset.{HOME}"
    assert domains.nrf(SNPN).endswith("nid000007ed9d5.mnc012.mcc345.3gppnetwork.org")
    assert read(domains.nrf(SNPN)) == ("nrf", SNPN)
    assert domains.telescopic("x1", domains.sepp(PLMN)) == f"x1.sepp.{HOME}"


@pytest.mark.parametrize(
    "make",
    [
        lambda: domains.amf_set(PLMN, 1024, 0),
        lambda: domains.amf_set(PLMN, 0, 256),
        lambda: domains.amf_instance(PLMN, 64, 0, 0),
        lambda: domains.amf_instance(PLMN, -1, 0, 0),
        lambda: domains.amf(PLMN, "a.b"),
        lambda: domains.nf_set(PLMN, "1-", "SMF"),
        lambda: domains.telescopic("", "sepp.example"),
    ],
)
def test_what_does_not_fit_into_a_name_is_refused(make: object) -> None:
    """Bits of the AMF's identifiers, and the form of a label."""
    assert callable(make)
    with pytest.raises(ValueError, match=r"does not fit|no label"):
        make()


@pytest.mark.parametrize(
    "name",
    [
        "amf1.example",
        "5gc.mnc12.mcc345.3gppnetwork.org",
        "5gc.nid7.mnc012.mcc345.3gppnetwork.org",
        "x5gc.mnc012.mcc345.3gppnetwork.org",
        "n3iwf.5gc.mnc012.mcc345.pub.3gppnetwork.org",
        "",
    ],
)
def test_other_names_say_nothing(name: str) -> None:
    """An operator may name NFs below any domain."""
    assert read(name) is None


def test_an_instance_id_is_a_uuid_of_version_4_in_lower_case() -> None:
    """Senders use lower case; version and variant are looked at."""
    assert nf.instance_id(UUID.upper()) == UUID
    assert nf.urn(UUID.upper()) == URI
    for wrong in (
        UUID.replace("-4f", "-1f"),
        UUID.replace("-92", "-c2"),
        UUID[:-1],
        f"{UUID}\n",
        f"{{{UUID}}}",
        UUID.replace("-", ""),
    ):
        with pytest.raises(ValueError, match="no uuid of version 4"):
            nf.instance_id(wrong)


def test_types_are_encoded_as_the_vector_says() -> None:
    """Sorted, each once (RFC 9310 section 3)."""
    assert nf.encode(["SMF", "AMF", "AMF"]) == AMF_SMF
    assert nf.decode(AMF_SMF) == ("AMF", "SMF")
    assert {"AMF", "5G_EIR", "SLPKMF"} <= nf.KNOWN
    assert all(nf.is_type(known) for known in nf.KNOWN)


@pytest.mark.parametrize(
    "der",
    [
        "",
        "30",
        "3000",
        "3080160341",
        "308103160141",
        "30031601",
        "3003160141ff",
        "3003130141",
        "3003160120",
        "30021600",
        "30231621" + "41" * 33,
        "3082012c" + "160141" * 100,
        "3082012f" + "160141" * 101,
    ],
)
def test_malformed_types_are_refused(der: str) -> None:
    """Lengths, tags, spaces, empty ones, and more than anybody has."""
    if der.startswith("3082012c"):
        assert len(nf.decode(bytes.fromhex(der))) == nf.MAX_TYPES
        return
    with pytest.raises(ValueError, match=r"it|length"):
        nf.decode(bytes.fromhex(der))


@pytest.mark.parametrize("types", [[], ["A" * 33], [""], ["A B"], ["Ä"]])
def test_types_that_cannot_be_are_not_encoded(types: list[str]) -> None:
    """1 to 32 visible ASCII characters, and at least one type."""
    with pytest.raises(ValueError, match="cannot be nf types"):
        nf.encode(types)


def test_every_purpose_has_its_own_usages() -> None:
    """RFC 5280 and RFC 9509; none has anyExtendedKeyUsage."""
    assert set(USES) == set(Purpose)
    assert {p.value: u.usages for p, u in USES.items()} == {
        "tls": ("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"),
        "tls-client": ("1.3.6.1.5.5.7.3.2",),
        "tls-server": ("1.3.6.1.5.5.7.3.1",),
        "sepp-n32": ("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"),
        "token-signing": ("1.3.6.1.5.5.7.3.39",),
        "jwt-signing": ("1.3.6.1.5.5.7.3.37",),
        "http-content-encrypt": ("1.3.6.1.5.5.7.3.38",),
    }
    assert purposes.ANY not in purposes.USAGES.values()


def test_keys_sign_unless_they_encrypt() -> None:
    """An RSA key enciphers keys, an elliptic one agrees on them."""
    signs = (KeyUsage.DIGITAL_SIGNATURE,)
    assert all(
        key_usage(p, "ec-p256") == signs for p in Purpose if not USES[p].encrypts
    )
    encrypts = Purpose.HTTP_CONTENT_ENCRYPT
    assert key_usage(encrypts, "rsa-3072") == (KeyUsage.KEY_ENCIPHERMENT,)
    assert key_usage(encrypts, "ec-p384") == (KeyUsage.KEY_AGREEMENT,)
