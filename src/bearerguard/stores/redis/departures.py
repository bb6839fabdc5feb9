"""Who reads at once, who waits to be taken along, and who goes on in whose place. It decides, and never waits."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum

from .gathered import MOST_TOGETHER, Outcome


class Stage(Enum):
    """How far a caller has come."""

    LEADING = "leading"
    WAITING = "waiting"
    RIDING = "riding"
    SERVED = "served"
    GONE = "gone"


LEADING, WAITING, RIDING, SERVED, GONE = Stage


class Place:
    """The right to read: whoever has it is one of the few at a time."""

    __slots__ = ("end",)

    def __init__(self) -> None:
        self.end: float = 0.0


class Seat:
    """One caller: what he asks for, when his time is over, whom he takes along, and what he is brought."""

    stage: Stage = LEADING
    party: Sequence[Seat] = ()
    outcome: Outcome = None
    place: Place | None = None
    turn: threading.Lock
    """Held while he waits; only who waits has one."""

    def __init__(self, names: Sequence[str], end: float) -> None:
        self.names = names
        self.end = end

    @property
    def seconds_left(self) -> float:
        """How much of his time is left."""
        return self.end - time.monotonic()

    def arrive(self, outcome: Outcome) -> None:
        """Serve him, unless he has gone."""
        if self.stage is RIDING:
            self.outcome, self.stage = outcome, SERVED
            self.turn.release()


class Departures:
    """There are so many places to read; who finds none stands in line, and whoever reads next takes the line along.

    Nobody boards a read that has left, so every caller is answered from after he asked. An exception may strike
    between any two steps, and take its thread away: nobody relies on another for more than he can do himself in time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.begin_anew()

    def begin_anew(self) -> None:
        """Nobody reads, and nobody waits."""
        # Nobody waits or is switched away while it is held: it need not be gevent's.
        self._lock = threading.Lock()
        self._all: tuple[Place, ...] = tuple(Place() for _ in range(self._most))
        self.line: deque[Seat] = deque()
        """Who waits, in the order in which they came."""
        self.free: list[Place] = [*self._all]
        """Whoever finds nobody in line may take one without the lock, and put it back before he looks at the line."""

    def stand_in_line(self, seat: Seat) -> None:
        """He waits, unless there is a place by now."""
        # Made here, and not once and for all: the one of a gevent that has patched by now.
        seat.turn = threading.Lock()
        seat.turn.acquire()
        with self._lock:
            seat.stage = WAITING
            self.line.append(seat)
            # Whoever has put a place back may have looked at the line before this one stood there.
            self._fill()

    def has_waited(self, seat: Seat) -> None:
        """He has waited so long that he leads whether there is a place or not, if nobody has taken him along."""
        with self._lock:
            if seat.stage is WAITING:
                self._leave_line(seat)
                self._lead(seat)
            # Whoever had it was struck down before he could put it back, or will find that it is back.
            now = time.monotonic()
            self.free += [place for place in self._all if place.end <= now and place not in self.free]

    def depart(self, leader: Seat) -> None:
        """He takes along as many as there is room for, in the order in which they came."""
        with self._lock:
            leader.party = [self.line.popleft() for _ in range(min(len(self.line), MOST_TOGETHER - 1))]
            for seat in leader.party:
                seat.stage = RIDING

    def go(self, seat: Seat) -> None:
        """He has what he came for, or gives up; whoever relied on him goes on without him, before all others."""
        with self._lock:
            if seat.stage is WAITING:
                self._leave_line(seat)
            seat.stage = GONE
            if seat.place is not None and seat.place not in self.free:
                self.free.append(seat.place)
            for one in reversed(seat.party):
                if one.stage is RIDING:
                    one.stage = WAITING
                    self.line.appendleft(one)
            self._fill()

    def call(self) -> None:
        """Let the first in line lead, where there is a place."""
        with self._lock:
            self._fill()

    def _fill(self) -> None:
        with suppress(IndexError):
            while self.line:
                place = self.free.pop()
                place.end = self.line[0].end
                self.line[0].place = place
                self._lead(self.line.popleft())

    def _lead(self, seat: Seat) -> None:
        seat.stage = LEADING
        seat.turn.release()

    def _leave_line(self, seat: Seat) -> None:
        if seat in self.line:
            self.line.remove(seat)
