"""An ACME test CA: RFC 8555 over real HTTPS, strict, and faulty on request.

It shares no code with `agent`, so that one misreading of a standard cannot pass twice.
"""

from tests.ca.config import Authorizations, Config
from tests.ca.faults import Armed, Fault
from tests.ca.issuing import SBA, ExtraNames, Profile
from tests.ca.log import Entry, Log, PayloadKind
from tests.ca.problems import Problem
from tests.ca.renewal import Suggestion
from tests.ca.series import AutoRenewal
from tests.ca.server import TestCA
from tests.ca.statements import Statements

__all__ = [
    "SBA",
    "Armed",
    "Authorizations",
    "AutoRenewal",
    "Config",
    "Entry",
    "ExtraNames",
    "Fault",
    "Log",
    "PayloadKind",
    "Problem",
    "Profile",
    "Statements",
    "Suggestion",
    "TestCA",
]
