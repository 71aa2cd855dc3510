"""What a certificate's orders ask a CA for beyond the names."""

from typing import Annotated

import msgspec

from agent.config.section import Section

ProfileName = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,128}$")]


class Profile(Section, frozen=True, kw_only=True):
    """`profile = { ... }`: the CA's kind of certificate (draft-ietf-acme-profiles).

    Attributes:
        name: As the CA's directory names it.
        required: False takes what the CA chooses where it does not offer this one.
    """

    name: ProfileName
    required: bool = True
