"""Reads that threads ask for while others are under way go out as one."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ...errors import StoreUnavailable
from ..forks import tell_after_fork
from .departures import LEADING, SERVED, Departures, Seat
from .gathered import Outcome, Read, is_of_one, outcome_of, taken
from .wire import SILENCE_SECONDS, Crowded, ReplyNotAwaited

MOST_UNDER_WAY = 4
PATIENCE_SECONDS = 0.1


class GatheredThreads:
    """Gathers the reads of the threads of one process, or of its greenlets.

    A few reads go out alone, at once. Who comes while these are under way stands in line; when one comes back, the
    first in line reads for all who stand there. Where none comes back, he reads after `patience` seconds all the same.
    """

    def __init__(self, read: Read, *, most: int = MOST_UNDER_WAY, patience: float = PATIENCE_SECONDS) -> None:
        self._read = read
        self._patience = patience
        self._departures = Departures(most)
        tell_after_fork(self)

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._departures.line)

    async def read(self, names: Sequence[str], *, within: float) -> Sequence[str | None]:
        """The values of `names`; it blocks, and never suspends. Who has little time left asks alone."""
        if within < SILENCE_SECONDS or not names:
            return await self._read(names, within=within)
        departures = self._departures
        free = departures.free
        if departures.line or not free:
            return await self._shared(names, within)
        try:
            place = free.pop()
        except IndexError:
            return await self._shared(names, within)
        # On the path of every request that is alone: no seat, no lock, no call.
        try:
            place.end = time.monotonic() + within
            return await self._read(names, within=within)
        finally:
            if place not in free:
                free.append(place)
            if departures.line:
                departures.call()

    async def _shared(self, names: Sequence[str], within: float) -> Sequence[str | None]:
        seat = Seat(names, time.monotonic() + within)
        try:
            self._departures.stand_in_line(seat)
            self._wait(seat)
            outcome = seat.outcome if seat.stage is SERVED else await self._led(seat)
        finally:
            self._departures.go(seat)
        return taken(outcome, names) if outcome is not None else await self._read(names, within=seat.seconds_left)

    def after_fork(self) -> None:
        """The threads that read and wait are the parent's."""
        self._departures.begin_anew()

    def _wait(self, seat: Seat) -> None:
        """Return once he is served, or has to lead."""
        while not seat.turn.acquire(timeout=max(0.0, min(self._patience, seat.seconds_left))):
            self._departures.has_waited(seat)
            if seat.stage in (LEADING, SERVED):
                return
            if seat.seconds_left <= 0:
                raise StoreUnavailable() from ReplyNotAwaited("TimeoutError")

    async def _led(self, seat: Seat) -> Outcome:
        """What his read brings, for him and for all whom it serves; nothing where each had better ask himself."""
        left = seat.seconds_left
        if left < SILENCE_SECONDS:
            return None
        self._departures.depart(seat)
        names = dict.fromkeys([name for one in (seat, *seat.party) for name in one.names])
        outcome: Outcome = await outcome_of(self._read, tuple(names), within=left)
        if seat.party and (is_of_one(outcome) or _was_too_late(outcome)):
            outcome = None
        for one in seat.party:
            one.arrive(outcome)
        return outcome


def _was_too_late(outcome: Outcome) -> bool:
    """Whether a read failed because its caller had too little time left; others may have more."""
    return isinstance(outcome, StoreUnavailable) and isinstance(outcome.__cause__, (Crowded, ReplyNotAwaited))
