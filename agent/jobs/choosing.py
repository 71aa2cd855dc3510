"""Which key the configuration asks for: one that fits, or one that is to be made."""

from datetime import datetime

from agent.config.tokens import Key
from agent.config.units import duration
from agent.jobs.step import Moment
from agent.pki.uri import parse as parse_uri
from agent.records.certificate import CertificateRecord
from agent.records.keys import FILE_STORE, KeyRecord, KeyState


def key_fits(key: KeyRecord, config: Key) -> bool:
    """Tell whether a key is what the configuration asks for."""
    adopted = adopted_id(config)
    ours = not key.adopted if adopted is None else key.id == adopted
    return ours and (key.store, key.type) == (_store(config), config.type)


def choose_key(
    config: Key, *, subject: str, number: int, install: str, moment: Moment
) -> KeyRecord:
    """Return a key that is to be made: its CKA_ID is drawn before it exists."""
    adopted = adopted_id(config)
    return KeyRecord(
        id=moment.token if adopted is None else adopted,
        store=_store(config),
        type=config.type,
        label=f"nfcertd/{install}/{subject}/{number}",
        number=number,
        state=KeyState.CHOSEN,
        created=moment.now,
        adopted=adopted is not None,
    )


def adopted_id(config: Key) -> str | None:
    """Return the CKA_ID of the key that is to be adopted, None where one is made."""
    identity = None if config.adopt is None else parse_uri(config.adopt).id
    return None if identity is None else identity.hex()


def key_to_reuse(
    record: CertificateRecord, config: Key, now: datetime
) -> KeyRecord | None:
    """Return the key in service, or the one adopted, where it may serve on."""
    adopted = adopted_id(config)
    if adopted is not None:
        return next((k for k in record.keys if key_fits(k, config)), None)
    if config.rotate == "every-renewal" or not record.publications:
        return None
    newest = record.publications[-1]
    key = newest.key
    revoked = record.revocation(newest.issuance.fingerprint) is not None
    if revoked or key.id in record.compromised or not key_fits(key, config):
        return None
    if config.rotate != "never" and now >= key.created + duration(config.rotate):
        return None
    return next((k for k in record.keys if k.id == key.id), None)


def _store(config: Key) -> str:
    return config.token if config.token is not None else FILE_STORE
