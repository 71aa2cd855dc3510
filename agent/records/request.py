"""What is remembered of a request that a person takes to a CA."""

import msgspec

from agent.records.job import Job
from agent.records.phases import Phase


class Asked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a request asks for; a changed configuration makes another one.

    Attributes:
        names: Its identifiers.
        content: What the certificate is to say beside them; empty where nothing.
        must_staple: The certificate is to demand stapling.
    """

    names: tuple[str, ...]
    content: str = ""
    must_staple: bool = False


class RequestKeyChosen(Phase, frozen=True, kw_only=True, tag="request-key-chosen"):
    """The CKA_ID is durable; the key is made next, or found."""

    key: str


class RequestKeyMade(Phase, frozen=True, kw_only=True, tag="request-key-made"):
    """The key exists; the request is signed next."""

    key: str


class RequestSigned(Phase, frozen=True, kw_only=True, tag="request-signed"):
    """The request can be taken to a CA; its certificate is waited for.

    Attributes:
        key: Id of the key that signed it.
        asked: What it is for.
        pem: The request, PKCS#10 in PEM.
    """

    key: str
    asked: Asked
    pem: str


RequestPhase = RequestKeyChosen | RequestKeyMade | RequestSigned
RequestJob = Job[RequestPhase]
