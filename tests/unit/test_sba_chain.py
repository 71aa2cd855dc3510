"""Which network functions a chain may be for: the one that is meant, and no other."""

import pytest

from agent.acme.identifiers import identifiers
from agent.pki.chain import ChainError, CheckedChain, check_chain
from agent.pki.names import Beside
from tests.vectors.chains import LEAF, NAME, NOW, but, chain, pem, spki
from tests.vectors.sba import URI, sans

NF, OTHER = URI, "urn:uuid:00000000-0000-4000-8000-000000000000"
ROOT = chain()[2]


@pytest.mark.parametrize(
    ("served", "ordered", "allowed", "good"),
    [
        ((NF, NAME), (NF, NAME), (), True),
        ((NF, NAME), (NF,), (NF, NAME), True),
        ((NF,), (NF,), (NF, NAME), True),
        ((NAME,), (NAME,), (NF, NAME), True),
        # Not what was ordered, or more than anybody wanted.
        ((NAME,), (NF, NAME), (NF, NAME), False),
        ((OTHER, NAME), (NAME,), (NF, NAME), False),
        ((NF, OTHER), (NF,), (NF, NAME), False),
        ((NF, NAME, "b.example"), (NF,), (NF, NAME), False),
        # Where no NF is meant, URIs are the CA's own affair.
        ((OTHER, NAME), (NAME,), (), True),
    ],
)
def test_a_leaf_names_what_was_ordered_and_no_other_nf(
    served: tuple[str, ...],
    ordered: tuple[str, ...],
    allowed: tuple[str, ...],
    good: bool,
) -> None:
    """Names of the profile may stand beside; another instance id never may."""
    leaf = but(LEAF, extensions=[(sans(*served), True)])
    body = pem(*chain(leaf))

    def held() -> CheckedChain:
        return check_chain(
            body,
            public=spki(LEAF.key),
            identifiers=identifiers(ordered),
            anchors=(ROOT,),
            now=NOW,
            beside=Beside(identifiers(allowed)),
        )

    if good:
        assert held().names == ordered
        return
    with pytest.raises(ChainError, match="the certificate names"):
        held()
