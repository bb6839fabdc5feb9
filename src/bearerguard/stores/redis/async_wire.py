"""The wire to Redis for one event loop."""

from __future__ import annotations

import asyncio
from typing import Any

from ...rules.epochs import Memory
from .async_lines import AsyncConnection, AsyncLine, answer_over
from .failures import connect_failure, leaves_connection_sound
from .wire import (
    SILENCE_SECONDS,
    Crowded,
    ElsewhereNow,
    ReplyLate,
    Unconfirmed,
    WireError,
    confirmed,
    connection_overdue,
    reply_overdue,
    wait_command,
)


class _Progress:
    """What it means when the time is over now."""

    __slots__ = ("cut_off",)

    def __init__(self) -> None:
        self.cut_off: WireError = Crowded("no connection came free in time")


class AsyncWire:
    """One command at a time on each of at most `size` connections; who comes first is served first."""

    def __init__(self, line: AsyncLine) -> None:
        self._line = line
        self._gate = asyncio.Semaphore(line.size)

    @property
    def is_replicated(self) -> bool:
        """Whether a write counts only once a replica has it."""
        return self._line.watch.is_replicated

    @property
    def memory(self) -> Memory | None:
        """Whose memory has been asked of late."""
        return self._line.watch.memory

    async def execute(self, *command: str, within: float, is_write: bool = False) -> Any:
        """The reply to one command, undecoded."""
        progress = _Progress()
        try:
            async with asyncio.timeout(within) as limit, self._gate:
                answer = await self._exchange(command, limit, progress, is_write=is_write)
        except TimeoutError:
            answer = progress.cut_off
        if isinstance(answer, ElsewhereNow) or (self.is_replicated and isinstance(answer, ReplyLate)):
            self._line.leave()
        # Raised here and not where it was caught: what redis-py says may hold keys and values.
        if isinstance(answer, WireError):
            raise answer
        return answer

    async def close(self) -> None:
        """Close the connections that nobody uses now, and the others when they come back."""
        await self._line.close()

    def abandon(self) -> None:
        """Close the sockets of a loop that is closed itself."""
        self._line.abandon()

    async def _exchange(
        self, command: tuple[str, ...], limit: asyncio.Timeout, progress: _Progress, *, is_write: bool
    ) -> Any:
        seconds_left, end = _seconds_left(limit), limit.when() or 0.0
        progress.cut_off = connection_overdue(seconds_left)
        try:
            connection = await self._line.take()
        except Exception as error:
            return connect_failure(error, seconds_left=seconds_left)
        sound = False
        try:
            answer = await self._answer(connection, command, limit, progress)
            if is_write and self.is_replicated and not isinstance(answer, WireError):
                progress.cut_off = Unconfirmed("TimeoutError")
                answer = confirmed(answer, await self._copies(connection, limit, end))
            sound = leaves_connection_sound(answer)
        finally:
            await (self._line.give_back if sound else self._line.drop)(connection)
        return answer

    async def _copies(self, connection: AsyncConnection, limit: asyncio.Timeout, end: float) -> Any:
        """How many replicas have what was written."""
        limit.reschedule(end)
        seconds_left = _seconds_left(limit)
        _hasten(limit, seconds_left)
        return await answer_over(connection, wait_command(seconds_left), seconds_left=seconds_left)

    async def _answer(
        self, connection: AsyncConnection, command: tuple[str, ...], limit: asyncio.Timeout, progress: _Progress
    ) -> Any:
        seconds_left = _seconds_left(limit)
        progress.cut_off = reply_overdue(seconds_left)
        _hasten(limit, seconds_left)
        return await answer_over(connection, command, seconds_left=seconds_left)


def _seconds_left(limit: asyncio.Timeout) -> float:
    return (limit.when() or 0.0) - asyncio.get_running_loop().time()


def _hasten(limit: asyncio.Timeout, seconds_left: float) -> None:
    """Wait for a reply no longer than SILENCE_SECONDS, whatever is left."""
    if seconds_left > SILENCE_SECONDS:
        limit.reschedule(asyncio.get_running_loop().time() + SILENCE_SECONDS)
