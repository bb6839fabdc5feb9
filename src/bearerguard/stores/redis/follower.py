"""Whoever follows the log of a denylist in Redis, and keeps a board as the store is."""

from __future__ import annotations

import time
from collections.abc import Callable

from ...errors import StoreUnavailable
from ...rules.replica import Heard, Position, new_lines, why_lost
from .log import DenylistLog
from .replica_marks import NOTHING, Board, Known, Marks
from .wire import NotPermitted, Refused, ValueUnreadable, WireError

_NAP_SECONDS = 0.15
_LEAST_PAUSE_SECONDS = 0.02
_MOST_PAUSE_SECONDS = 0.2
_HOPELESS_SECONDS = 5.0
_REFUSALS = 5


class Follower:
    """Goes on from the last line it has heard; where that cannot be, it reads all marks anew.

    What it puts on the board was all true at one moment after the poll was sent: `sent_at` is counted from then. It
    takes everything off as soon as the store shows less than before.
    """

    def __init__(
        self, log: DenylistLog, board: Board, *, told: Callable[[str], object], monotonic: Callable[[], float]
    ) -> None:
        self._log = log
        self._board = board
        self._told = told
        self._monotonic = monotonic
        self._marks = Marks()
        self._seen: Position | None = None
        self._failures = 0
        self._trouble: str | None = None

    def follow(self, is_wanted: Callable[[], bool]) -> None:
        """Go on for as long as it is wanted, whatever fails."""
        try:
            while is_wanted():
                self._nap(self._turn(is_wanted), is_wanted)
        finally:
            self._board.known = NOTHING
            self._log.close()

    def _nap(self, seconds: float, is_wanted: Callable[[], bool]) -> None:
        end = self._monotonic() + seconds
        while (left := end - self._monotonic()) > 0 and is_wanted():
            # Not an Event: one made before gevent patched the process would block every greenlet of the worker.
            time.sleep(min(left, _NAP_SECONDS))

    def _turn(self, is_wanted: Callable[[], bool]) -> float:
        """Hear what is new and wait for more; how many seconds to pause afterwards."""
        try:
            return self._heard_news(is_wanted)
        except NotPermitted:
            return self._despair("our user may not read the store's log of revocations, or the marks")
        except (StoreUnavailable, ValueUnreadable):
            return self._despair("a value in the store cannot be read")
        except Refused:
            # What a script may not do is refused like what a server cannot do for a while.
            if self._failures >= _REFUSALS:
                return self._despair("the store refuses to have its log of revocations read, or the marks")
            return self._longer_pause()
        except WireError:
            return self._longer_pause()
        except Exception as surprise:
            # A thread that ended would be begun again by the next check, and by the one after it.
            return self._despair(f"it raised {type(surprise).__name__}")

    def _heard_news(self, is_wanted: Callable[[], bool]) -> float:
        seen = self._seen = self._seen or self._begun_anew(is_wanted)
        if seen is None:
            return _NAP_SECONDS
        sent_at = self._monotonic()
        now = self._log.poll(seen.last)
        lost = why_lost(seen, now)
        if lost is not None:
            return self._drop(lost)
        self._seen = self._taken(seen, now)
        if self._seen is not None and self._seen.last == now.last:
            self._publish(now, sent_at)
            self._log.await_news(now.last)
            self._trouble = None
        return 0.0

    def _begun_anew(self, is_wanted: Callable[[], bool]) -> Position | None:
        """The place to go on from, read before all marks; None for a store without an epoch, or where none is wanted.

        A mark that is written while they are read may be missed here; but it is in the log, after that place.
        """
        begin = self._log.poll(None).position()
        if begin is None:
            self._drop("the store has no epoch")
            return None
        marks, cursor = Marks(), ""
        while cursor != "0":
            if not is_wanted():
                return None
            cursor, told = self._log.page(cursor or "0")
            marks.take(told, now=self._monotonic())
        self._marks = marks
        return begin

    def _taken(self, seen: Position, now: Heard) -> Position | None:
        """The place after the new lines, all of which are taken in; None where some are gone already."""
        lines = new_lines(seen, now)
        if lines is None:
            self._board.known = NOTHING
            return None
        self._marks.take((told for _, told in lines), now=self._monotonic())
        return Position(now.epoch or seen.epoch, lines[-1][0] if lines else seen.last, now.memory)

    def _longer_pause(self) -> float:
        self._failures += 1
        return min(_MOST_PAUSE_SECONDS, _LEAST_PAUSE_SECONDS * 2.0 ** min(self._failures - 1, 10))

    def _publish(self, now: Heard, sent_at: float) -> None:
        self._marks.sweep(self._monotonic())
        self._board.known = Known(sent_at, now.epoch, self._marks.by_name)
        self._failures = 0

    def _drop(self, why: str) -> float:
        """Take everything off the board, and tell why if anything was on it; gives the pause."""
        was_known = self._board.known is not NOTHING
        self._forget()
        if was_known:
            self._told(why)
        return _LEAST_PAUSE_SECONDS

    def _despair(self, why: str) -> float:
        """The same where nothing is to be hoped for soon, of which everybody is told who had hoped in vain."""
        self._forget()
        if why != self._trouble:
            self._trouble = why
            self._told(why)
        return _HOPELESS_SECONDS

    def _forget(self) -> None:
        self._board.known = NOTHING
        self._seen, self._marks = None, Marks()
