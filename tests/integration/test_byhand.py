"""A CA is down, and a person carries a request to another desk and its answer back."""

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from agent.control.verbs import RefusedError
from tests.ca import Fault, Problem, actions
from tests.integration.scene import Daemon, certificate_table, scene, token_table
from tests.integration.served import look, table, tls_server
from tests.integration.tokens import softhsm
from tests.parts.token import tool_missing

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(tool_missing()), reason=tool_missing()),
]
DOWN = actions.Refuse(problem=Problem(type="serverInternal", detail="down"))
PATIENT = 5
"""Times that one asks; the daemon waits for the token a third of a minute each time."""
NOT_YET = "the request is not signed yet"
IN_TOKEN, IN_FILE = 'token = "hsm"', "file = true"


def request_of(daemon: Daemon) -> bytes:
    """Return the request that a person gets, who asks again where it takes long."""
    for _ in range(PATIENT):
        try:
            return str(daemon.ask("csr", "web")["csr"]).encode()
        except RefusedError as error:
            if NOT_YET not in str(error):
                raise
    raise AssertionError(NOT_YET)


@pytest.mark.parametrize("key", [IN_TOKEN, IN_FILE])
def test_a_certificate_comes_by_hand_while_the_ca_is_down(
    tmp_path: Path, key: str
) -> None:
    """Renewals go back to ACME by themselves."""
    token = softhsm(tmp_path)
    with scene(tmp_path, token=token) as place:
        down = place.ca.faults.add(Fault(resource="newOrder", action=DOWN, times=None))
        place.configure(token_table(token), certificate_table("web", key))
        with place.daemon() as daemon:
            daemon.wait(lambda s: s.job("web", "issue").get("failures"))
            pem = request_of(daemon)
            assert request_of(daemon) == pem
            request = x509.load_pem_x509_csr(pem)
            assert request.is_signature_valid
            with pytest.raises(RefusedError, match="text beside"):
                daemon.ask("import", "web", chain="nonsense")
            chain = place.ca.certify(pem)
            daemon.ask("import", "web", chain=chain.decode())
            status = daemon.settle_deployed("web")
            leaf = x509.load_pem_x509_certificate(chain)
            assert status.certificate("web")["serial"] == f"{leaf.serial_number:x}"
            assert place.ca.answered_orders == 0
            with pytest.raises(RefusedError, match="no request"):
                daemon.ask("import", "web", chain=chain.decode())
            place.ca.faults.remove(down)
            daemon.clock.push(timedelta(days=70))
            daemon.settle_deployed("web", 2)
        assert place.ca.answered_orders == 1


def test_what_is_imported_is_proven_like_everything_else(tmp_path: Path) -> None:
    """Swapped, told, and seen over the wire."""
    home = tmp_path / "scene"
    home.mkdir()
    with scene(home) as place:
        place.ca.faults.add(Fault(resource="newOrder", action=DOWN, times=None))
        live = place.state / "live/web"
        with tls_server(home / "endpoint", live, place.address) as server:
            more = f"[[certificate.web.endpoint]]\n{table(server.home, place.address)}"
            place.configure(certificate_table("web", more=more))
            with place.daemon() as daemon:
                chain = place.ca.certify(request_of(daemon))
                daemon.ask("import", "web", chain=chain.decode())
                status = daemon.settle_deployed("web")
                shown = status.certificate("web")
                assert [e["by"] for e in shown["endpoints"]] == ["wire"]
                assert look(server.address) == shown["fingerprint"]
