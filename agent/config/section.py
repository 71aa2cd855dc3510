"""The base of every table of the configuration."""

import msgspec


class Section(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """Base of every table: unknown keys are refused."""
