"""A request as a person gets it, and what is held against the chain that comes back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography import x509
from msgspec.structs import replace as edited

from agent.clock import SystemClock
from agent.config.authorities import Ca
from agent.config.nf import Nf
from agent.jobs import request
from agent.jobs.context import Context
from agent.keys.software import FileKeys
from agent.pemfiles import Anchors
from agent.pki.chain import ChainError
from agent.procedures.request import Inspection, RequestProcedure
from agent.records.certificate import CertificateRecord
from agent.records.keys import KeyRecord
from agent.sba.findings import errors
from agent.trust.errors import UnknownError
from tests.ca import Config, TestCA
from tests.fakes.subjects import context, key, table
from tests.vectors.sba import HOME, UUID

STAPLE = x509.TLSFeature([x509.TLSFeatureType.status_request])
NF = Nf(instance_id=UUID, types=("AMF",), fqdn=f"amf1.{HOME}")


@dataclass(frozen=True, slots=True)
class Errand:
    """A CA, a host, and somebody who goes from one to the other.

    Attributes:
        ca: The CA.
        about: What the host is told.
        key: The key of the request, made.
        keys: Where it is.
    """

    ca: TestCA
    about: Context
    key: KeyRecord
    keys: FileKeys

    async def sign(self, about: Context) -> request.Signed:
        """Sign the request."""
        record = CertificateRecord(name="web", keys=(self.key,))
        procedure = RequestProcedure(self.keys)
        effect = request.SignRequest(self.key.id)
        signed = await procedure.perform(effect, record, about)
        assert isinstance(signed, request.Signed)
        return signed


@asynccontextmanager
async def errand(home: Path) -> AsyncIterator[Errand]:
    """Run a CA, and make the key of a certificate whose chains must end there."""
    keys = FileKeys(home / "keys")
    chosen = key(public=b"")
    record = CertificateRecord(name="web", keys=(chosen,))
    made = await RequestProcedure(keys).perform(
        request.MakeRequestKey(chosen.id), record, context()
    )
    assert isinstance(made, request.RequestKeyExists)
    async with TestCA(Config()) as ca:
        path = home / "issuing.pem"
        path.write_bytes(ca.issuing_root_pem)
        settings = Ca(directory=ca.directory_url, roots="system", chain_roots=str(path))
        about = replace(context(), table=settings)
        yield Errand(ca, about, edited(chosen, public=made.public), keys)


def inspection() -> Inspection:
    """Return the checks of a host that follows no list."""
    return Inspection(Anchors(lambda _: ""), SystemClock())


async def test_what_a_ca_makes_of_the_request_passes(tmp_path: Path) -> None:
    """Names and key are those that were asked for."""
    async with errand(tmp_path) as at:
        signed = await at.sign(at.about)
        assert signed.asked == request.asked(at.about)
        chain = at.ca.certify(signed.pem.encode())
        brought = await inspection().check(chain, at.key, at.about)
        assert brought.chain.names == ("web.example",)
        assert brought.findings == ()
        assert not brought.renewal_info


async def test_the_request_says_everything_that_an_order_would(tmp_path: Path) -> None:
    """Also that the certificate is to demand stapling."""
    async with errand(tmp_path) as at:
        signed = await at.sign(replace(at.about, config=table(must_staple=True)))
        asked = x509.load_pem_x509_csr(signed.pem.encode())
        assert asked.extensions.get_extension_for_class(x509.TLSFeature).value == STAPLE
        assert signed.asked.must_staple


async def test_a_chain_for_another_key_is_refused(tmp_path: Path) -> None:
    """As it is when ACME brings it."""
    async with errand(tmp_path) as at:
        chain = at.ca.certify((await at.sign(at.about)).pem.encode())
        other = edited(at.key, public=b"another")
        with pytest.raises(ChainError):
            await inspection().check(chain, other, at.about)


async def test_a_chain_needs_an_anchor_of_the_configured_ca(tmp_path: Path) -> None:
    """That of another CA, and a list that has no roots yet, do not do."""
    async with errand(tmp_path) as at:
        chain = at.ca.certify((await at.sign(at.about)).pem.encode())
        assert at.about.table is not None
        with pytest.raises(ChainError):
            await inspection().check(chain, at.key, replace(at.about, table=None))
        listed = edited(at.about.table, chain_roots="trust:peers")
        with pytest.raises(UnknownError):
            await inspection().check(chain, at.key, replace(at.about, table=listed))


async def test_a_chain_for_an_nf_is_held_against_its_profile(tmp_path: Path) -> None:
    """Every rule that the leaf breaks comes back, as for a chain by ACME."""
    async with errand(tmp_path) as at:
        served = edited(table(nf="amf1"), names=(f"amf1.{HOME}",))
        about = replace(at.about, config=served, nf=NF)
        chain = at.ca.certify((await at.sign(about)).pem.encode())
        broken = (await inspection().check(chain, at.key, about)).findings
        assert errors(broken)
        assert "nf-types" in {finding.rule for finding in broken}
