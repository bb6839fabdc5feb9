"""The ports of this process and of each event loop: made on first use, closed together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .core.ports import HttpAnswer, HttpRequest, Ports, StorePolicy
from .io.flights import AsyncFlight, SyncFlight
from .stores import MemoryStore, StoreLike, StoreSource, open_store

if TYPE_CHECKING:
    from .io.http_async import AsyncFetch
    from .io.http_sync import SyncFetch


class Connections:
    """What one verifier or denylist is connected with.

    Ports of blocking code belong to the process and are shared by its threads; ports of async code belong to their
    event loop. Those of a loop that has been closed are let go when the next loop asks for its own.
    """

    _blocking: Ports | None = None

    def __init__(self, store: StoreLike | str, monotonic: Callable[[], float]) -> None:
        self.store: StoreSource = open_store(store, monotonic=monotonic)
        self._by_loop: dict[asyncio.AbstractEventLoop, Ports] = {}

    @property
    def are_shared(self) -> bool:
        """Whether other processes may see the same store."""
        return not isinstance(self.store, MemoryStore)

    @property
    def store_policy(self) -> StorePolicy:
        """What is done where the store forgets, or cannot be asked."""
        return self.store.policy

    @staticmethod
    def bring_in_http() -> None:
        """Load what takes a fifth of a second, before the first request has to wait for it."""
        from .io.http import public_authorities

        public_authorities()

    def blocking(self) -> Ports:
        """The ports of blocking code."""
        if self._blocking is not None:
            return self._blocking
        made = Ports(self.store.sync_port(), _LateSyncFetch(), SyncFlight())
        # One step, so that threads that come here at once share one.
        shared: Ports = vars(self).setdefault("_blocking", made)
        return shared

    def of_this_loop(self) -> Ports:
        """The ports of the running event loop."""
        loop = asyncio.get_running_loop()
        return self._by_loop.get(loop) or self._made_for(loop)

    def _made_for(self, loop: asyncio.AbstractEventLoop) -> Ports:
        self._let_go_of_closed_loops()
        return self._by_loop.setdefault(loop, Ports(self.store.async_port(), _LateAsyncFetch(), AsyncFlight()))

    def _let_go_of_closed_loops(self) -> None:
        for closed in [loop for loop in tuple(self._by_loop) if loop.is_closed()]:
            ports = self._by_loop.pop(closed, None)
            if ports is not None:
                _abandon(ports)

    def close(self) -> None:
        """Close the ports of blocking code."""
        self._let_go_of_closed_loops()
        ports: Ports | None = vars(self).pop("_blocking", None)
        if ports is not None:
            for port in _parts(ports):
                if hasattr(port, "close"):
                    port.close()

    async def aclose(self) -> None:
        """Close the ports of this event loop."""
        self._let_go_of_closed_loops()
        ports = self._by_loop.pop(asyncio.get_running_loop(), None)
        if ports is not None:
            for port in _parts(ports):
                if hasattr(port, "aclose"):
                    await port.aclose()


def _abandon(ports: Ports) -> None:
    """Close the sockets of a loop that is gone; it can no longer say goodbye."""
    for port in _parts(ports):
        if hasattr(port, "abandon"):
            port.abandon()


def _parts(ports: Ports) -> tuple[Any, ...]:
    return ports.flight, ports.store, ports.fetch


class _LateSyncFetch:
    """Brings httpx in when the first request goes out."""

    _fetch: SyncFetch | None = None

    async def send(self, request: HttpRequest, *, within: float) -> HttpAnswer:
        """The answer to one request."""
        fetch = self._fetch
        if fetch is None:
            from .io.http_sync import SyncFetch

            # One step, so that threads that come here at once share one.
            fetch = vars(self).setdefault("_fetch", SyncFetch())
        return await fetch.send(request, within=within)

    def close(self) -> None:
        """Close what was opened."""
        if self._fetch is not None:
            self._fetch.close()


class _LateAsyncFetch:
    """Brings httpx in when the first request of its loop goes out."""

    _fetch: AsyncFetch | None = None

    async def send(self, request: HttpRequest, *, within: float) -> HttpAnswer:
        """The answer to one request."""
        if self._fetch is None:
            from .io.http_async import AsyncFetch

            self._fetch = AsyncFetch()
        return await self._fetch.send(request, within=within)

    async def aclose(self) -> None:
        """Close what was opened."""
        if self._fetch is not None:
            await self._fetch.aclose()

    def abandon(self) -> None:
        """Let go what was opened in a loop that is closed itself."""
        if self._fetch is not None:
            self._fetch.abandon()
