"""A test OAM: the token authority of RFC 9447 that TS 33.310 Annex J wants.

It shares no code with `agent/` nor with the test CA: what it signs, the CA judges by
reading of its own.
"""

from tests.oam.authority import Oam, Script

__all__ = ["Oam", "Script"]
