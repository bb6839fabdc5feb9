"""How a store's memory is told from another: its epoch, the run of its server, and whom a loss refuses."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from ..errors import StoreUnavailable, TokenRevoked

EPOCH_NAME = "epoch"
VERSION = "1"
MOST_DIGITS = 15

Amnesia: TypeAlias = Literal["refuse", "unavailable"]


class Epoch(NamedTuple):
    """One unbroken memory of the store: since when, which one, how many writes."""

    since: int
    incarnation: str
    seq: int


@dataclass(frozen=True, slots=True)
class Memory:
    """What a server says of its memory: its own run, and the history of writes that it has and had before.

    `up_since`, the latest that it can have started, and `seen_at` are of this process's monotonic clock. Where the
    store `is_replicated`, no write counts until a second server has it. `heir_of` is the run that handed everything
    over and said so.
    """

    run: str
    history: str
    history_before: str | None
    leads: bool
    up_since: float
    seen_at: float
    is_replicated: bool = False
    heir_of: str | None = None

    @property
    def tag(self) -> str:
        """What an epoch carries that was begun in this run."""
        return self.run[:12]


def is_number(text: str) -> bool:
    """Whether a value that the store holds spells a whole number of ours."""
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS


@lru_cache(maxsize=16)
def epoch(value: str | None) -> Epoch | None:
    """The epoch that the store's answer spells."""
    if value is None:
        return None
    version, _, rest = value.partition("|")
    since, _, rest = rest.partition("|")
    incarnation, _, seq = rest.partition("|")
    if version != VERSION or not incarnation or not (is_number(since) and is_number(seq)):
        raise StoreUnavailable("store_unreadable")
    return Epoch(int(since), incarnation, int(seq))


def continues(seen: Epoch | None, now: Epoch | None) -> bool:
    """Whether the store still remembers all it told us when it showed us `seen`."""
    if seen is None:
        return True
    if now is None:
        return False
    if now.incarnation == seen.incarnation:
        return now.seq >= seen.seq
    return now.since > seen.since


def is_same_memory(seen: Memory | None, now: Memory | None) -> bool:
    """Whether a server remembers what the one remembered that was `seen`; so it does where one of them is unknown."""
    if seen is now or seen is None or now is None:
        return True
    if now.run == seen.run:
        # A server that leads and has had no replica for long begins a new history, and forgets nothing.
        began_anew = now.leads and now.history_before is None
        return seen.history in (now.history, now.history_before) or began_anew
    # A replica that was up already when its master was seen, and took over. A master that restarts claims its own
    # history as well, but has lost what it did not write to its disk.
    took_over = now.history_before == seen.history and now.up_since < seen.seen_at
    return now.is_replicated and (took_over or now.heir_of == seen.run)


def begins_anew(lost: Epoch | None, now: Epoch | None) -> bool:
    """Whether the store's epoch says that the memory of `lost` is gone."""
    return lost is not None and now is not None and now.incarnation != lost.incarnation and now.since > lost.since


def tells_of_a_loss_before(memory: Memory | None, now: Epoch | None) -> bool:
    """Whether an epoch was begun in this very run of the server, because everything before it was lost."""
    if memory is None or now is None or now.since == 0:
        return False
    return now.incarnation.startswith(f"{memory.tag}_")


def after_a_write(seen: Epoch | None) -> Epoch | None:
    """The least that the store must show after it took a write in the epoch that was seen."""
    return None if seen is None else Epoch(seen.since, seen.incarnation, seen.seq + 1)


def check_epoch(
    present: Epoch | None,
    *,
    issued_at: float | None,
    ahead: float,
    lives: float | None,
    now: float,
    on_amnesia: Amnesia = "refuse",
) -> None:
    """TokenRevoked for a token that may have been revoked in a memory that the store has lost.

    Its issuer's clock may run `ahead` of ours, and it is accepted until it has lived for `lives` seconds. Where nobody
    is to be judged without the lost memory, all are StoreUnavailable until then.
    """
    if present is None or present.since == 0:
        return
    # The store's clock is cut to the second, so what was lost may be younger by one.
    latest_lost = present.since + 1 + ahead
    if lives is not None and now >= latest_lost + lives:
        return
    if on_amnesia == "unavailable":
        raise StoreUnavailable("memory_lost")
    if issued_at is None or issued_at < latest_lost:
        raise TokenRevoked("memory_lost")
