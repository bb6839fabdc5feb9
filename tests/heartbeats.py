"""How long an event loop was held up by its own work; that the machine gave its processor to others does not count."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_SCHEDULER = Path("/proc/thread-self/schedstat")
_NANOSECOND = 1e-9
_REST = 0.001


@dataclass
class Heartbeat:
    """What was seen of a loop while it was watched."""

    longest: float = 0.0
    """Seconds from one beat to the next one, at the most."""


@contextlib.asynccontextmanager
async def heartbeat() -> AsyncIterator[Heartbeat]:
    """Watch the running loop until the block ends."""
    seen = Heartbeat()
    with _time_of_this_thread() as now:

        async def beat() -> None:
            while True:
                before = now()
                await asyncio.sleep(_REST)
                seen.longest = max(seen.longest, now() - before)

        beating = asyncio.create_task(beat())
        try:
            yield seen
        finally:
            beating.cancel()
            await asyncio.wait({beating})


@contextlib.contextmanager
def _time_of_this_thread() -> Iterator[Callable[[], float]]:
    """A clock that stands still while the thread could run and another one does; where no one tells, it goes on."""
    if not _SCHEDULER.exists():
        yield time.monotonic
        return
    with _SCHEDULER.open("rb", buffering=0) as scheduler:

        def seconds_kept_waiting() -> float:
            scheduler.seek(0)
            _ran, waited, _turns = scheduler.read().split()
            return int(waited) * _NANOSECOND

        yield lambda: time.monotonic() - seconds_kept_waiting()
