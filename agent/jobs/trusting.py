"""What lists of trusted roots mean for a certificate: its files, its gate, its issuer.

A publication is an issuance with one version of each list. A list that has no version
at the moment, because it is new or its record cannot be read, never takes away what the
publication before had of it.
"""

from agent.config.endpoints import Endpoint
from agent.jobs.context import Context
from agent.records.certificate import CertificateRecord, Issuance
from agent.records.trust import ListedRoots


def trust_of(record: CertificateRecord, context: Context) -> tuple[ListedRoots, ...]:
    """Return what the next publication trusts, list by list as configured."""
    before = record.publications[-1].trust if record.publications else ()
    found = {part.name: part for part in (*before, *context.trust)}
    return tuple(found[name] for name in context.config.trust if name in found)


def untrusting(
    record: CertificateRecord, context: Context, endpoint: Endpoint | None, number: int
) -> str:
    """Return why an endpoint that verifies peers must wait; empty where it need not.

    Without a root it would have to refuse everybody, or accept everybody.
    """
    publication = record.publication(number)
    if endpoint is None or not endpoint.verify_peers or publication is None:
        return ""
    if publication.trust:
        return ""
    return f"waits for the trusted roots of {', '.join(context.config.trust)}"


def anchor_leaves(current: Issuance, context: Context) -> str | None:
    """Return why a certificate is replaced: its issuer's anchor leaves a list.

    Once only: a CA that still issues from that anchor is not asked again and again.
    """
    since = context.leaving.get(current.anchor)
    if since is None or current.issued_at >= since:
        return None
    return "the anchor of its issuer leaves the list of trusted roots"
