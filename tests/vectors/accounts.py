"""An account at a CA without a wire, and the loop that drives its jobs there.

The CA does what RFC 8555 section 7.3 says, at once; what goes wrong is decided fault by
fault. Nothing here knows what the jobs should make of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from agent.acme.errors import KeyChangeRefusedError
from agent.errors import AgentError
from agent.jobs import account_changes, register, retire, roll
from agent.jobs.account import fold, next_step
from agent.jobs.accounts import next_account_change, reconcile_account
from agent.jobs.context import AccountContext
from agent.jobs.lifecycle import (
    begin,
    edited_jobs,
    found_running,
    interrupt,
)
from agent.jobs.step import Do, Failed, Moment, Performed, Wait
from agent.records.codec import decode, encode
from agent.records.job import Failure, Job
from agent.records.others import AccountRecord
from agent.records.slots import Slot, jobs
from agent.renewal.disposition import TABLE, failure_of
from tests.vectors.model import GoneError, problem
from tests.vectors.records import DIRECTORY, NOW

LIMIT = 800
"""Steps in which everything must have ended."""


class Fault(StrEnum):
    """What can go wrong with one effect."""

    NONE = "none"
    CRASH_BEFORE = "killed before the effect"
    CRASH_AFTER = "killed after the effect"
    STOP_BEFORE = "shut down before the effect"
    STOP_AFTER = "shut down after the effect"
    LOST_BEFORE = "the request was lost"
    LOST_AFTER = "the answer was lost"
    PART_AWAY = "the token is away"
    LIMITED = "rate limited with a Retry-After"
    SERVER_ERROR = "the ca has a problem of its own"
    SERVER_ERROR_AFTER = "the ca has a problem after it has done its work"
    PROXY_ERROR = "something in between has a problem"
    REFUSED = "the ca refuses for a reason"
    REFUSED_AFTER = "the ca refuses what it has done"
    NOT_DONE = "the ca advertises what it does not do"
    LIES = "the ca says that it has done what it has not"


def errors(fault: Fault, now: datetime) -> AgentError | None:
    """Return the error that a request to the CA ends in; None for none."""
    found: dict[Fault, AgentError] = {
        Fault.LOST_BEFORE: GoneError("transport"),
        Fault.LOST_AFTER: GoneError("transport"),
        Fault.PART_AWAY: GoneError("token.absent"),
        Fault.LIMITED: problem("rateLimited", 429, now + timedelta(hours=3)),
        Fault.SERVER_ERROR: problem("serverInternal", 500),
        Fault.SERVER_ERROR_AFTER: problem("serverInternal", 500),
        Fault.PROXY_ERROR: problem("", 502),
        Fault.REFUSED: problem("unauthorized", 403),
        Fault.REFUSED_AFTER: problem("malformed", 400),
        Fault.NOT_DONE: KeyChangeRefusedError("the ca does not do it"),
    }
    return found.get(fault)


DONE_ALL_THE_SAME = frozenset(
    {Fault.LOST_AFTER, Fault.SERVER_ERROR_AFTER, Fault.REFUSED_AFTER}
)
"""Faults of a request that the CA has worked on."""


@dataclass
class ModelCa:
    """A CA with one account at most; keys are known by their id.

    Attributes:
        holder: Id of the key in force; empty before there is an account.
        contact: What it was told.
        closed: The account was given up.
        asked: Requests that it got, by the name of the effect.
    """

    holder: str = ""
    contact: tuple[str, ...] = ()
    closed: bool = False
    asked: list[str] = field(default_factory=list)

    def perform(self, effect: Any, signer: str) -> Any:
        """Do what a request asks for; `signer` is the id of the key that signed it."""
        self.asked.append(effect.name)
        url = f"{DIRECTORY}/account"
        match effect:
            case register.Register():
                self.holder = self.holder or signer
                return register.Registered(url, "", self.contact)
            case roll.ProbeNewKey(key) | roll.ProbeOldKey(key):
                return roll.Probed(url if key.id == self.holder else "")
            case _ if signer != self.holder:
                raise problem("malformed", 400)
            case roll.ChangeKey(key):
                self.holder = key.id
                return roll.KeyChanged()
            case account_changes.UpdateContact(contact):
                self.contact = contact
                return account_changes.Updated(contact)
            case _:
                self.closed = True
                return account_changes.Deactivated()


class Life:
    """One account, driven as the daemon drives it."""

    def __init__(self, context: AccountContext, faults: list[Fault]) -> None:
        """Begin with nothing; each effect takes the next fault."""
        self.record = AccountRecord(name="operator", directory=DIRECTORY)
        self.context = context
        self.ca = ModelCa()
        self.token: set[str] = set()
        self.now = NOW
        self.faults = faults
        self._count = 0

    def go_on(self, done: Callable[[AccountRecord], bool]) -> None:
        """Go on until something is so; fail where nothing moves any more."""
        for _ in range(LIMIT):
            self.store(reconcile_account(self.record, self.context, self.moment()))
            if done(self.record):
                return
            slot = self._due()
            if slot is None:
                self._wait()
            else:
                self._step(slot)
        raise AssertionError(f"no end: {self.record}")

    def store(self, record: AccountRecord) -> None:
        """Let a record pass through its file, as every step of the daemon does."""
        known = [key.id for key in record.keys]
        known += [] if record.key is None else [record.key.id]
        assert len(set(known)) == len(known)
        assert record.retire.keys() <= set(known)
        self.record = decode(encode(record), AccountRecord)

    def moment(self) -> Moment:
        """Return a moment."""
        self._count += 1
        token = f"{self._count:032x}"
        return Moment(now=self.now, draw=self._count % 10 / 10, token=token)

    def _due(self) -> Slot | None:
        found = [s for s in jobs(self.record) if isinstance(self._next(s), Do)]
        return found[self._count % len(found)] if found else None

    def _next(self, slot: Slot) -> Do[Any] | Wait:
        return next_step(self.record, slot, self.context, self.now)

    def _wait(self) -> None:
        """Let time pass to what comes next; an operator lifts a quarantine."""
        until = [next_account_change(self.record, self.context.config)]
        for slot, job in jobs(self.record).items():
            step = self._next(slot)
            assert isinstance(step, Wait)
            assert step.reason
            until.append(step.until)
            if job.crashes >= 3:
                self.store(edited_jobs(self.record, _pardoned))
                return
        instants = [i for i in until if i is not None and i > self.now]
        assert instants, f"nothing will ever happen: {self.record}"
        self.now = min(instants)

    def _step(self, slot: Slot) -> None:
        step = self._next(slot)
        assert isinstance(step, Do)
        effect = step.effect
        fault = self.faults.pop(0) if self.faults else Fault.NONE
        self._check(effect)
        self.store(begin(self.record, slot, effect.name))
        outcome: Any = None
        if fault not in {Fault.CRASH_BEFORE, Fault.STOP_BEFORE}:
            try:
                outcome = self._perform(effect, fault)
            except AgentError as error:
                outcome = Failed(self._failure(error))
        match fault:
            case Fault.CRASH_BEFORE | Fault.CRASH_AFTER:
                self.store(found_running(self.record))
            case Fault.STOP_BEFORE | Fault.STOP_AFTER:
                stopped = interrupt(self.record, slot)
                self.store(found_running(stopped))
            case _:
                moment, context = self.moment(), self.context
                after = fold(self.record, slot, effect, outcome, context, moment)
                self.store(after)

    def _check(self, effect: Any) -> None:
        """Hold what is about to be done against what must never be done."""
        match effect:
            case retire.DestroyKey(key):
                assert key != self.ca.holder or self.ca.closed, "the key is in force"
            case roll.ChangeKey():
                assert not self.context.busy, "a challenge is open"
            case account_changes.UpdateContact() | account_changes.Deactivate():
                assert self.record.key is not None
                assert self.record.key.id == self.ca.holder, "signed by a dead key"
            case _:
                pass

    def _perform(self, effect: Any, fault: Fault) -> Any:
        match effect:
            case roll.FindKeyChange():
                return roll.KeyChangeOffered()
            case register.MakeAccountKey(key):
                self._make(key.id, fault)
                return register.AccountKeyExists(b"spki", "serial")
            case roll.MakeNewKey(key):
                self._make(key.id, fault)
                return roll.NewKeyExists(b"spki", "serial")
            case retire.DestroyKey(key):
                if fault is Fault.PART_AWAY:
                    raise GoneError("token.absent")
                self.token.discard(key)
                return Performed()
            case _:
                return self._ask(effect, fault)

    def _make(self, key: str, fault: Fault) -> None:
        if fault is Fault.PART_AWAY:
            raise GoneError("token.absent")
        self.token.add(key)

    def _ask(self, effect: Any, fault: Fault) -> Any:
        signer = self.record.key
        assert signer is not None
        assert signer.id in self.token
        if fault is Fault.LIES and isinstance(effect, roll.ChangeKey):
            return roll.KeyChanged()
        error = errors(fault, self.now)
        if fault is Fault.NOT_DONE and not isinstance(effect, roll.ChangeKey):
            error = None
        if error is None:
            return self.ca.perform(effect, signer.id)
        if fault in DONE_ALL_THE_SAME:
            self.ca.perform(effect, signer.id)
        raise error

    def _failure(self, error: AgentError) -> Failure:
        if isinstance(error, GoneError):
            return Failure(
                kind=error.slug,
                message=str(error),
                at=self.now,
                disposition=TABLE[error.slug],
            )
        return failure_of(error, self.now)


def _pardoned(job: Job[Any], /) -> Job[Any]:
    """Return a job out of quarantine, as an operator does."""
    changed: dict[str, Any] = {"crashes": 0, "crashed_in": ""}
    return type(job)(
        **{name: getattr(job, name) for name in job.__struct_fields__} | changed
    )
