"""A replica of the denylist in this process: a check is a look into a dictionary."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress

from ...core.ports import run_sync
from ..forks import tell_after_fork
from ..layout import KeyLayout
from .follower import Follower
from .log import DenylistLog
from .replica_marks import Board
from .wire import Wire

BOUND_SECONDS = 1.0


class DenylistReplica:
    """What Redis holds of revocations, as it was less than `bound_seconds` ago; whoever needs more asks Redis.

    One thread of this process, begun by the first question, follows the log that is written with each revocation, over
    a connection of its own: `wire` blocks, and nobody else uses it. `told` hears, in that thread, why a replica was
    dropped, or why there can be none. Gevent's patches make a greenlet of the thread.
    """

    def __init__(
        self,
        wire: Wire,
        *,
        layout: KeyLayout,
        told: Callable[[str], object] = lambda _why: None,
        bound_seconds: float = BOUND_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wire = wire
        self._layout = layout
        self._told = told
        self._bound = bound_seconds
        self._monotonic = monotonic
        self.after_fork()
        tell_after_fork(self)

    def peek(self, names: Sequence[str]) -> Sequence[str | None] | None:
        """The values of marks and of the epoch, as `read` would give them; None where this is not the one to ask."""
        known = self._board.known
        if self._monotonic() - known.sent_at >= self._bound:
            self._begin()
            return None
        return known.values_of(names)

    def close(self) -> None:
        """Know nothing, and close the connection; the next question begins anew."""
        self._stop()
        run_sync(self._wire.close())

    def after_fork(self) -> None:
        """The thread is the parent's."""
        self._beginning = threading.Lock()
        self._stop()

    def _stop(self) -> None:
        # Whoever follows the store writes to a board that nobody reads any more, and so ends.
        self._board = Board()
        self._thread: threading.Thread | None = None

    def _begin(self) -> None:
        """Have somebody follow the store, if nobody does."""
        if self._thread is not None and self._thread.is_alive():
            return
        # Whoever comes second goes on: starting a thread switches greenlets, and the lock may not be gevent's.
        if self._beginning.acquire(blocking=False):
            try:
                self._start()
            finally:
                self._beginning.release()

    def _start(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        log = DenylistLog(self._wire, self._layout)
        follower = Follower(log, self._board, told=self._told, monotonic=self._monotonic)
        # The thread must not keep us alive: it ends when nobody can ask us any more.
        watch = _Watch(weakref.ref(self), self._board)
        thread = threading.Thread(target=follower.follow, args=(watch,), name="bearerguard replica", daemon=True)
        # A process that ends, or has no threads left, has no replica.
        with suppress(RuntimeError):
            thread.start()
            self._thread = thread

    def reads(self, board: Board) -> bool:
        """Whether this is the board that answers come from."""
        return self._board is board


class _Watch:
    """Whether a board still has a reader."""

    def __init__(self, replica: weakref.ref[DenylistReplica], board: Board) -> None:
        self._replica = replica
        self._board = board

    def __call__(self) -> bool:
        replica = self._replica()
        return replica is not None and replica.reads(self._board)
