"""The profile that a certificate of an NF is requested by, and held against.

TS 33.310 clause 6.1.3c. The values are those of one certificate; the rules that use
them stand in `agent.sba.rules`.
"""

from dataclasses import dataclass

from agent.sba.purposes import KeyUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one certificate is to say; an empty value demands nothing.

    Attributes:
        uris: The URIs of its subjectAltName, all of them.
        dns: The DNS names of its subjectAltName, all of them.
        addresses: The addresses of its subjectAltName, all of them, as text.
        country: C of its subject; two capitals.
        organization: O of its subject, the home network domain.
        common_name: CN of its subject; asked for, and left to the CA.
        usages: Its extended key usages, dotted.
        key_usage: The bits of its keyUsage.
        nf_types: Its NFTypes.
        of_nf: It names an NF: what is empty above is still to be well-formed.
    """

    uris: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    country: str = ""
    organization: str = ""
    common_name: str = ""
    usages: tuple[str, ...] = ()
    key_usage: tuple[KeyUsage, ...] = ()
    nf_types: tuple[str, ...] = ()
    of_nf: bool = False

    @property
    def digest(self) -> str:
        """Return a text that differs where another certificate is wanted.

        Empty where an NF is not named and nothing but names is wanted: those are
        compared as identifiers.
        """
        subject = [self.country, self.organization, self.common_name]
        said = [*subject, *self.usages, *self.key_usage]
        if not (self.of_nf or any(said)):
            return ""
        return " ".join([*said, *self.nf_types, *self.uris, *self.dns])
