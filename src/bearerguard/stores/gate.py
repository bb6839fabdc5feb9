"""A gate for threads: so many inside at a time, and who comes first is let in first."""

from __future__ import annotations

import threading
from collections import deque


class Gate:
    """A semaphore that is fair: whoever goes out hands the place to the one who has waited longest.

    A `threading.Semaphore` lets a newcomer overtake those it has just woken, who then queue at the end again.
    """

    __slots__ = ("_free", "_lock", "_queue")

    def __init__(self, size: int) -> None:
        self._free = size
        self._queue: deque[threading.Lock] = deque()
        # Nobody waits or is switched away while it is held: it need not be gevent's.
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many stand in the queue."""
        return len(self._queue)

    def enter(self, *, within: float) -> bool:
        """Whether there was a place in time; whoever hears yes must `leave`."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            # Made here, and not once and for all: the one of a gevent that has patched by now.
            turn = threading.Lock()
            turn.acquire()
            self._queue.append(turn)
        return self._comes(turn, within)

    def leave(self) -> None:
        """Hand the place on."""
        with self._lock:
            if self._queue:
                self._queue.popleft().release()
            else:
                self._free += 1

    def _comes(self, turn: threading.Lock, within: float) -> bool:
        came = False
        try:
            came = turn.acquire(timeout=max(0.0, within))
        finally:
            if not came:
                self._give_up(turn)
        return came

    def _give_up(self, turn: threading.Lock) -> None:
        with self._lock:
            if turn in self._queue:
                self._queue.remove(turn)
                return
        # It came at the very last moment: it is the next one's.
        self.leave()
