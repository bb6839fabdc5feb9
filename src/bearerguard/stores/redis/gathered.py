"""Reads that several tasks ask for in one turn of their loop go out as one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Protocol

from ...errors import StoreUnavailable
from .wire import SILENCE_SECONDS

MOST_TOGETHER = 256

Brought = Mapping[str, str | None] | StoreUnavailable
"""What a read brought all who share it."""

Outcome = Brought | None
"""What a batch brought; nothing for a caller who asks himself."""


class Read(Protocol):
    """One read of several names."""

    def __call__(self, names: Sequence[str], *, within: float) -> Coroutine[Any, Any, Sequence[str | None]]:
        """Their values."""
        ...


async def outcome_of(read: Read, names: Sequence[str], *, within: float) -> Brought:
    """What one read brings, for several who share it."""
    try:
        return dict(zip(names, await read(names, within=within), strict=True))
    except StoreUnavailable as error:
        return error


def taken(brought: Brought, names: Sequence[str]) -> Sequence[str | None]:
    """The share of one caller; a failure is raised as one of his own."""
    if isinstance(brought, StoreUnavailable):
        raise StoreUnavailable(brought.reason) from brought.__cause__
    return [brought[name] for name in names]


def is_of_one(outcome: Outcome) -> bool:
    """Whether a failure may be that of one alone: what only he asks for is unreadable."""
    return isinstance(outcome, StoreUnavailable) and outcome.reason == "store_unreadable"


class Gathered:
    """Gathers the reads of one event loop.

    A batch leaves at the loop's next turn and nobody boards it then, so every caller is answered from after he asked.
    It belongs to none of them: whoever is cancelled leaves his seat empty, and the others are served.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._boarding: _Batch | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    async def read(self, names: Sequence[str], *, within: float) -> Sequence[str | None]:
        """The values of `names`. Who has little time left asks alone, for a batch has the time of its first caller."""
        if within < SILENCE_SECONDS or not names:
            return await self._read(names, within=within)
        batch, seat = self._seat(names, within)
        outcome = await seat
        if outcome is None:
            return await self._read(names, within=within)
        if is_of_one(outcome):
            return await self._read(names, within=within - (asyncio.get_running_loop().time() - batch.began))
        return taken(outcome, names)

    async def aclose(self) -> None:
        """Let what is under way come in."""
        if self._under_way:
            await asyncio.wait(self._under_way)

    def _seat(self, names: Sequence[str], within: float) -> tuple[_Batch, asyncio.Future[Outcome]]:
        loop = asyncio.get_running_loop()
        batch = self._boarding
        if batch is None or len(batch.seats) >= MOST_TOGETHER:
            batch = self._boarding = _Batch(within, loop.time())
            loop.call_soon(self._depart, batch)
        seat: asyncio.Future[Outcome] = loop.create_future()
        batch.seats.append(seat)
        batch.names.update(dict.fromkeys(names))
        return batch, seat

    def _depart(self, batch: _Batch) -> None:
        if self._boarding is batch:
            self._boarding = None
        if len(batch.seats) == 1:
            batch.arrive(None)
        else:
            task = asyncio.get_running_loop().create_task(self._travel(batch))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _travel(self, batch: _Batch) -> None:
        outcome: Outcome = StoreUnavailable()
        try:
            outcome = await outcome_of(self._read, tuple(batch.names), within=batch.within)
        finally:
            batch.arrive(outcome)


class _Batch:
    """Who waits for one read, and for what."""

    __slots__ = ("began", "names", "seats", "within")

    def __init__(self, within: float, began: float) -> None:
        self.within = within
        self.began = began
        self.names: dict[str, None] = {}
        self.seats: list[asyncio.Future[Outcome]] = []

    def arrive(self, outcome: Outcome) -> None:
        """Serve everybody who is still there."""
        for seat in self.seats:
            if not seat.done():
                seat.set_result(outcome)
