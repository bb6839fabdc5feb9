"""Work that several callers want at once is done once: among the tasks of a loop, and among threads."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar

from ..core.ports import run_sync
from ..errors import ProviderUnavailable
from ..journal import logger

_T = TypeVar("_T")
_Work = Callable[[], Coroutine[Any, Any, _T]]

_CLOSING_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _Landing(Generic[_T]):
    """How work ended: with a value, or with an error that each caller raises as its own."""

    value: _T | None = None
    error: Exception | None = None

    def taken(self) -> _T:
        if self.error is not None:
            raise _twin(self.error)
        return self.value  # type: ignore[return-value]


async def _landed(work: _Work[_T]) -> _Landing[_T]:
    try:
        return _Landing(value=await work())
    except Exception as error:
        return _Landing(error=error)


class AsyncFlight:
    """`Flight` for one event loop: the work is a task of its own, and every caller only waits for it."""

    def __init__(self) -> None:
        self._up: dict[str, asyncio.Task[_Landing[Any]]] = {}

    async def once(self, key: str, work: _Work[_T], *, within: float, most: int | None = None) -> _T:
        """The outcome of `work`, shared by all who ask for `key` while it runs."""
        _check_room(self._up, key, most)
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + within
        while (flight := self._up.get(key)) is not None:
            landing = await _arrival(flight, within=ends_at - loop.time())
            if landing is not None:
                return landing.taken()  # type: ignore[no-any-return]
        landing = await _arrival(self._started(key, work), within=ends_at - loop.time())
        if landing is None:
            raise ProviderUnavailable() from RuntimeError("the work was cancelled")
        return landing.taken()  # type: ignore[no-any-return]

    def behind(self, key: str, work: _Work[object]) -> None:
        """Start `work` unless it runs already; nobody waits, and its exceptions are swallowed."""
        if key not in self._up:
            self._started(key, work).add_done_callback(_note_failure)

    async def pause(self, seconds: float) -> None:
        """Let others work for that long."""
        await asyncio.sleep(seconds)

    async def aclose(self) -> None:
        """Let the work that is up land, and break off what does not land soon."""
        up = set(self._up.values())
        if up:
            _, late = await asyncio.wait(up, timeout=_CLOSING_SECONDS)
            for flight in late:
                flight.cancel()
            await asyncio.wait(up)

    def _started(self, key: str, work: _Work[Any]) -> asyncio.Task[_Landing[Any]]:
        # An empty context: the work is for everybody, so it must not see the request of whoever asked first.
        flight = asyncio.get_running_loop().create_task(_landed(work), context=contextvars.Context())
        self._up[key] = flight
        flight.add_done_callback(lambda ended: self._end(key, ended))
        return flight

    def _end(self, key: str, ended: asyncio.Task[_Landing[Any]]) -> None:
        if self._up.get(key) is ended:
            del self._up[key]
        # asyncio logs the text of an exception that nobody asks for.
        _outcome(ended)


async def _arrival(flight: asyncio.Task[_Landing[Any]], *, within: float) -> _Landing[Any] | None:
    await asyncio.wait({flight}, timeout=max(0.0, within))
    if not flight.done():
        _give_up_waiting()
    return _outcome(flight)


def _outcome(flight: asyncio.Task[_Landing[Any]]) -> _Landing[Any] | None:
    """How the work of a task that is done ended; None where it was broken off."""
    if flight.cancelled() or flight.exception() is not None:
        return None
    return flight.result()


def _note_failure(flight: asyncio.Task[_Landing[Any]]) -> None:
    if not flight.cancelled():
        _note(flight.exception() or flight.result().error)


class SyncFlight:
    """`Flight` for the threads of a process: the first caller does the work, and the others wait for it.

    A forked child knows nothing of its parent's flights, whose leaders it does not have.
    """

    def __init__(self) -> None:
        self._of_process: dict[int, dict[str, _ThreadFlight]] = {}

    async def once(self, key: str, work: _Work[_T], *, within: float, most: int | None = None) -> _T:
        """The outcome of `work`, shared by all who ask for `key` while it runs."""
        _check_room(self._up(), key, most)
        ends_at = time.monotonic() + within
        landing: _Landing[Any] | None = None
        while landing is None:
            landing = self._joined(key, work).arrival(ends_at)
        return landing.taken()  # type: ignore[no-any-return]

    def behind(self, key: str, work: _Work[object]) -> None:
        """Start `work` unless it runs already; nobody waits, and its exceptions are swallowed."""
        own = _ThreadFlight(self._up(), key)
        if own.boarded() is own:
            thread = threading.Thread(target=contextvars.Context().run, args=(own.fly_behind, work), daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                own.end()
                _note(error)

    async def pause(self, seconds: float) -> None:
        """Let others work for that long."""
        time.sleep(seconds)  # noqa: ASYNC251 - blocking code has no loop to hold up

    def _joined(self, key: str, work: _Work[Any]) -> _ThreadFlight:
        """The flight of that key; it has ended where it was this thread that had to fly it."""
        own = _ThreadFlight(self._up(), key)
        try:
            flight = own.boarded()
            if flight is own:
                own.fly(work)
        finally:
            own.end()
        return flight

    def _up(self) -> dict[str, _ThreadFlight]:
        pid = os.getpid()
        up = self._of_process.get(pid)
        if up is None:
            up = self._of_process.setdefault(pid, {})
            for parent in set(self._of_process) - {pid}:
                self._of_process.pop(parent, None)
        return up


class _ThreadFlight:
    """Work that one thread does while others wait for it, on the board of its process until it ends."""

    __slots__ = ("_board", "_ended", "_key", "_landing")

    def __init__(self, board: dict[str, _ThreadFlight], key: str) -> None:
        self._board = board
        self._key = key
        self._ended = threading.Event()
        self._landing: _Landing[Any] | None = None

    def boarded(self) -> _ThreadFlight:
        """The flight of the key that is up already, or else this one, up from now on."""
        return self._board.setdefault(self._key, self)

    def fly(self, work: _Work[Any]) -> _Landing[Any]:
        self._landing = run_sync(_landed(work))
        return self._landing

    def fly_behind(self, work: _Work[object]) -> None:
        error: BaseException | None
        try:
            error = self.fly(work).error
        except BaseException as broken_off:
            error = broken_off
        finally:
            self.end()
        _note(error)

    def end(self) -> None:
        """Nobody boards any more, and whoever waits goes on."""
        if self._board.get(self._key) is self:
            del self._board[self._key]
        self._ended.set()

    def arrival(self, ends_at: float) -> _Landing[Any] | None:
        """How the work ended; None where it was broken off."""
        if not self._ended.wait(max(0.0, ends_at - time.monotonic())):
            _give_up_waiting()
        return self._landing


class TooMany(Exception):
    """So much work is under way that one more would wait in vain."""


def _check_room(up: Mapping[str, object], key: str, most: int | None) -> None:
    if most is not None and len(up) >= most and key not in up:
        raise ProviderUnavailable() from TooMany()


def _give_up_waiting() -> NoReturn:
    raise ProviderUnavailable() from TimeoutError("another caller's work took longer than we may wait")


def _note(error: BaseException | None) -> None:
    if error is not None:
        logger.debug("work behind the scenes failed: %s", type(error).__name__)


def _twin(error: Exception) -> Exception:
    """The same error once more: a door writes its answer into the one it raises, and raising lengthens a traceback."""
    twin = error.__class__.__new__(error.__class__, *error.args)
    twin.__dict__.update(error.__dict__)
    twin.__cause__ = error.__cause__
    twin.__suppress_context__ = error.__suppress_context__
    return twin.with_traceback(error.__traceback__)
