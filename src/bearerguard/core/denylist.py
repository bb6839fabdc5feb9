"""Revoked and spent: what a check reads, what a revocation writes, and how a store that forgot is noticed."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, Protocol

from ..errors import StoreUnavailable, TokenReplayed, Unavailable
from ..events import StoreForgot, StoreMetEmpty
from ..rules.epochs import (
    EPOCH_NAME,
    Epoch,
    Memory,
    after_a_write,
    begins_anew,
    check_epoch,
    continues,
    epoch,
    is_same_memory,
    tells_of_a_loss_before,
)
from ..rules.revocation import check_marks, keep_seconds, spent_name, spent_nonce
from ..sinks import tell, tell_failure, told_if_unavailable
from .ports import Entries, Recollection, ReplyLost, Spent, Store

STORE_SECONDS = 0.5
FOUNDING_TRIES = 3


class Subject(Protocol):
    """A token, as far as its revocation goes."""

    @property
    def names(self) -> Sequence[str]:
        """The names under which it may have been revoked."""
        ...

    @property
    def issued_at(self) -> float | None:
        """When it was issued, where that is known."""
        ...

    @property
    def ahead(self) -> float:
        """How far ahead of ours the clock of its issuer may be."""
        ...

    @property
    def lives(self) -> float | None:
        """For how long it is accepted at most, where that is known."""
        ...


class Reading(NamedTuple):
    """What was recalled in one step with the marks about a token, and from whose memory.

    `before` and `memory_before` are what this process knew of epoch and memory until then.
    """

    before: Epoch | None
    memory_before: Memory | None
    started: float
    recollection: Recollection
    memory: Memory | None


class Revocations:
    """One store's memory as this process knows it; every verdict about revocation and one-time use is reached here."""

    __slots__ = ("_clock", "_heard", "_last_epoch", "_lost", "_memory", "_own_write")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last_epoch: Epoch | None = None
        self._lost: Epoch | None = None
        self._memory: Memory | None = None
        self._own_write: Epoch | None = None
        self._heard: Epoch | None = None

    async def recall(self, name: str, entries: Entries, *, claim: str, claim_seconds: float) -> Reading:
        """An entry, with the marks under the names that it names: half of a check, which `check` completes."""
        before, memory_before, started = self._last_epoch, self._memory, time.monotonic()
        with told_if_unavailable("store"):
            recollection = await entries.recall(name, claim=claim, claim_seconds=claim_seconds, within=STORE_SECONDS)
        return Reading(before, memory_before, started, recollection, entries.memory)

    def knows_unrevoked(self, token: Subject, store: Store) -> bool:
        """Whether the store knows without waiting that a token is not revoked; TokenRevoked if it is."""
        if not store.keeps_epoch:
            values = store.peek(token.names)
            return values is not None and _are_clear(token, values)
        known = store.peek((EPOCH_NAME, *token.names))
        if known is None:
            return False
        present = epoch(known[0])
        if not self._is_late(present, store.memory):
            return False
        if present is not self._heard:
            self._heard = present
            self._remember(self._last_epoch, present, None)
        self._check_epoch(present, token, store)
        return _are_clear(token, known[1:])

    def _is_late(self, present: Epoch | None, memory: Memory | None) -> bool:
        """Whether what is known without waiting is merely a little old.

        It must be of the memory that was asked last, and no older than what this process has revoked itself, or has
        gone by before: else the store may have fallen back, which whoever asks it will notice.
        """
        last = self._last_epoch
        if present is None or last is None or present.incarnation != last.incarnation or self._lost is not None:
            return False
        # On the path of every request: what is the same, or unknown, need not be asked any further.
        if self._own_write is not None and not continues(self._own_write, present):
            return False
        if self._heard is not present and not continues(self._heard, present):
            return False
        return self._memory is memory or is_same_memory(self._memory, memory)

    async def check(self, token: Subject, store: Store, reading: Reading | None = None) -> str | None:
        """The epoch that the check read; TokenRevoked where a token is revoked, or where that may have been forgotten.

        A `reading` has the marks under exactly the token's names already.
        """
        if not store.keeps_epoch:
            _are_clear(token, await store.read(token.names, within=STORE_SECONDS))
            return None
        started = time.monotonic()
        try:
            if reading is None:
                before, memory_before = self._last_epoch, self._memory
                raw, *marks = await store.read((EPOCH_NAME, *token.names), within=STORE_SECONDS)
                reading = Reading(before, memory_before, started, Recollection(raw, marks=marks), store.memory)
            raw = reading.recollection.epoch
            if not self._goes_on(reading):
                raw = await self._standing_epoch(reading, store)
            self._check_epoch(epoch(raw), token, store)
            _are_clear(token, reading.recollection.marks)
        except Unavailable as error:
            tell_failure("store", error, since=started)
            raise
        return raw

    def _check_epoch(self, present: Epoch | None, token: Subject, store: Store) -> None:
        if present is not None and present.since:
            check_epoch(
                present,
                issued_at=token.issued_at,
                ahead=token.ahead,
                lives=token.lives,
                now=self._clock(),
                on_amnesia=store.policy.on_amnesia,
            )

    def _goes_on(self, reading: Reading) -> bool:
        """Whether the memory that was read is the one that was known, and has forgotten nothing; it is known then."""
        present = epoch(reading.recollection.epoch)
        if present is None or self._lost is not None or not continues(reading.before, present):
            return False
        if not self._is_remembered(reading, present):
            return False
        self._remember(reading.before, present, reading.memory)
        return True

    async def _standing_epoch(self, reading: Reading, store: Store) -> str | None:
        """The epoch that was read, or the one that is begun because the store is new or has lost its memory."""
        before, raw = reading.before, reading.recollection.epoch
        present = epoch(raw)
        if present is None and before is None:
            raw = await self._first_epoch(store, within=_left(reading.started))
        elif self._lost is not None or not continues(before, present):
            raw = await self._after_loss(self._lost or before, raw, store, reading.started)
        elif not self._is_remembered(reading, present):
            raw = await self._after_loss(present, raw, store, reading.started)
        self._remember(before, epoch(raw), reading.memory)
        return raw

    def _is_remembered(self, reading: Reading, present: Epoch | None) -> bool:
        """Whether the server has the memory that was asked before, or its epoch says already that this is gone.

        What was known before the reading counts as well: another check may have noticed the loss in the meantime.
        """
        memory = reading.memory
        if is_same_memory(reading.memory_before, memory) and is_same_memory(self._memory, memory):
            return True
        return tells_of_a_loss_before(memory, present)

    async def _after_loss(self, lost: Epoch | None, observed: str | None, store: Store, started: float) -> str | None:
        """The epoch that tells of the loss; until there is one, this process does not forget it."""
        self._lost = lost
        tell(StoreForgot())
        standing = await _founded_anew(lost, observed, store, started)
        self._lost = None
        return standing

    async def _first_epoch(self, store: Store, *, within: float) -> str | None:
        """The epoch of a store that was met empty; None where it takes no writes, for checks go on without them."""
        is_trusted = store.policy.first_start == "trust"
        tell(StoreMetEmpty(trusted=is_trusted))
        try:
            return await store.found_epoch(None, trusted=is_trusted, within=within)
        except StoreUnavailable as error:
            if error.reason == "store_unreadable" or not is_trusted:
                raise
            return None

    def _remember(self, before: Epoch | None, present: Epoch | None, memory: Memory | None) -> None:
        """Keep what the store showed, unless it showed more in the meantime, or less than it must."""
        if memory is not None:
            self._memory = memory
        if present is not None and continues(before, present) and continues(self._last_epoch, present):
            self._last_epoch = present

    async def revoke(self, names: Iterable[str], number: int, store: Store, *, keep_seconds: int) -> None:
        """Raise the mark under each name; every process refuses from its next check on."""
        started = time.monotonic()
        with told_if_unavailable("store"):
            for name in names:
                before = self._last_epoch
                raw = await store.raise_mark(name, number, keep_seconds=keep_seconds, within=_left(started))
                written = epoch(raw)
                if continues(self._own_write, written):
                    self._own_write = written
                self._remember(before, written, None)

    async def spend(self, identity: str, store: Store, *, epoch_read: str | None, dies_at: float) -> None:
        """Claim a one-time token; TokenReplayed for whoever comes second."""
        keep, known = keep_seconds(dies_at, now=self._clock()), self._memory
        with told_if_unavailable("store"):
            outcome = await self._spent(spent_name(identity), store, epoch_read, keep)
            if outcome is Spent.OTHER_EPOCH or not is_same_memory(known, store.memory):
                raise StoreUnavailable("token_state_unknown")
        if outcome is Spent.REPLAYED:
            raise TokenReplayed
        self._remember(self._last_epoch, after_a_write(epoch(epoch_read)), None)

    async def _spent(self, name: str, store: Store, epoch_read: str | None, keep: int) -> Spent:
        nonce, started = secrets.token_urlsafe(12), time.monotonic()
        try:
            return await store.spend(name, nonce, epoch=epoch_read, keep_seconds=keep, within=STORE_SECONDS)
        except ReplyLost as lost:
            standing = await _standing_nonce(name, store, lost, within=_left(started))
        return Spent.FIRST if standing == nonce else Spent.REPLAYED


def _are_clear(token: Subject, marks: Sequence[str | None]) -> Literal[True]:
    """Yes; TokenRevoked where one of the marks says no."""
    if marks.count(None) != len(marks):
        check_marks(token.names, marks, issued_at=token.issued_at, ahead=token.ahead)
    return True


async def _founded_anew(lost: Epoch | None, observed: str | None, store: Store, started: float) -> str | None:
    """A new epoch after a loss; whoever writes meanwhile begins one that says of no loss, and it must not stand."""
    for _ in range(FOUNDING_TRIES):
        if begins_anew(lost, epoch(observed)):
            return observed
        later_than = 0 if lost is None else lost.since
        observed = await store.found_epoch(observed, trusted=False, later_than=later_than, within=_left(started))
    if begins_anew(lost, epoch(observed)):
        return observed
    raise StoreUnavailable


async def _standing_nonce(name: str, store: Store, lost: ReplyLost, *, within: float) -> str:
    """The nonce of whoever claimed the token, read once after a reply was lost; else that loss is the answer."""
    try:
        (value,) = await store.read((name,), within=within)
        standing = spent_nonce(value)
    except StoreUnavailable:
        raise lost from None
    if standing is None:
        raise lost
    return standing


def _left(started: float) -> float:
    return max(0.01, STORE_SECONDS - (time.monotonic() - started))
