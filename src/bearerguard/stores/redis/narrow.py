"""A wire that leaves room on another: what strangers set off must not crowd out the checks of those who are known."""

from __future__ import annotations

import asyncio
from typing import Any

from ...rules.epochs import Memory
from .wire import MOST_CONNECTIONS, Crowded, Wire


class NarrowWire:
    """Half of the connections of a wire at most, for one event loop; who comes first is served first."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._gate = asyncio.Semaphore(MOST_CONNECTIONS // 2)

    @property
    def is_replicated(self) -> bool:
        """Whether a write counts only once a replica has it."""
        return self._wire.is_replicated

    @property
    def memory(self) -> Memory | None:
        """Whose memory has been asked of late."""
        return self._wire.memory

    async def execute(self, *command: str, within: float, is_write: bool = False) -> Any:
        """The reply to one command, undecoded."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + within
        try:
            async with asyncio.timeout_at(ends_at):
                await self._gate.acquire()
        except TimeoutError:
            raise Crowded("too many ask for entries") from None
        try:
            return await self._wire.execute(*command, within=ends_at - loop.time(), is_write=is_write)
        finally:
            self._gate.release()

    async def close(self) -> None:
        """Nothing: the wire is another's."""
