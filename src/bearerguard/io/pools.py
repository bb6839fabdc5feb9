"""Connections that are kept for the next call, the one used last first.

httpcore's own pools look at every idle connection on each call, which costs more than the call where there are many.
Here only the one that is taken is looked at, and the one that has lain idle for longest.
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

import httpcore

from .http import KEPT_ALIVE_SECONDS, MOST_AT_ONCE


class _Connection(Protocol):
    def has_expired(self) -> bool: ...

    def is_idle(self) -> bool: ...


_ConnectionT = TypeVar("_ConnectionT", bound=_Connection)


class _Idle(Generic[_ConnectionT]):
    """What lies idle, by where it leads. Single steps of a deque are atomic, so threads need no lock."""

    def __init__(self) -> None:
        self._by_origin: dict[tuple[bytes, bytes, int], deque[_ConnectionT]] = {}

    def take(self, origin: httpcore.Origin) -> _ConnectionT | None:
        """The connection that was used last."""
        try:
            return self._of(origin).pop()
        except IndexError:
            return None

    def put(self, origin: httpcore.Origin, connection: _ConnectionT) -> _ConnectionT | None:
        """Keep a connection; another one that should be closed instead, where there is one."""
        idle = self._of(origin)
        idle.append(connection)
        try:
            oldest = idle.popleft()
        except IndexError:  # another thread has just taken the last one
            return None
        if len(idle) >= MOST_AT_ONCE or oldest.has_expired():
            return oldest
        idle.appendleft(oldest)
        return None

    def everything(self) -> Iterator[_ConnectionT]:
        """Every connection, which is then no longer kept."""
        for idle in list(self._by_origin.values()):
            with suppress(IndexError):
                while True:
                    yield idle.pop()

    def _of(self, origin: httpcore.Origin) -> deque[_ConnectionT]:
        return self._by_origin.setdefault((origin.scheme, origin.host, origin.port), deque())


class AsyncPool:
    """What httpx's async transport asks of a pool."""

    def __init__(self, tls: ssl.SSLContext, backend: httpcore.AsyncNetworkBackend) -> None:
        self._tls = tls
        self._backend = backend
        self._idle: _Idle[httpcore.AsyncHTTPConnection] = _Idle()

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """The answer, whose body must be closed so that its connection is kept."""
        origin = request.url.origin
        connection = await self._connection(origin)
        try:
            response = await connection.handle_async_request(request)
        except BaseException:
            await connection.aclose()
            raise
        body = _AsyncBody(response.stream, lambda: self._give_back(origin, connection))
        return httpcore.Response(
            response.status, headers=response.headers, content=body, extensions=response.extensions
        )

    async def aclose(self) -> None:
        """Close what lies idle."""
        for connection in self._idle.everything():
            await connection.aclose()

    async def _connection(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        while (kept := self._idle.take(origin)) is not None:
            if not kept.has_expired():
                return kept
            await kept.aclose()
        return httpcore.AsyncHTTPConnection(
            origin, self._tls, keepalive_expiry=KEPT_ALIVE_SECONDS, network_backend=self._backend
        )

    async def _give_back(self, origin: httpcore.Origin, connection: httpcore.AsyncHTTPConnection) -> None:
        surplus = self._idle.put(origin, connection) if connection.is_idle() else connection
        if surplus is not None:
            await surplus.aclose()


class SyncPool:
    """What httpx's blocking transport asks of a pool."""

    def __init__(self, tls: ssl.SSLContext, backend: httpcore.NetworkBackend) -> None:
        self._tls = tls
        self._backend = backend
        self._idle: _Idle[httpcore.HTTPConnection] = _Idle()

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """The answer, whose body must be closed so that its connection is kept."""
        origin = request.url.origin
        connection = self._connection(origin)
        try:
            response = connection.handle_request(request)
        except BaseException:
            connection.close()
            raise
        body = _SyncBody(response.stream, lambda: self._give_back(origin, connection))
        return httpcore.Response(
            response.status, headers=response.headers, content=body, extensions=response.extensions
        )

    def close(self) -> None:
        """Close what lies idle."""
        for connection in self._idle.everything():
            connection.close()

    def _connection(self, origin: httpcore.Origin) -> httpcore.HTTPConnection:
        while (kept := self._idle.take(origin)) is not None:
            if not kept.has_expired():
                return kept
            kept.close()
        return httpcore.HTTPConnection(
            origin, self._tls, keepalive_expiry=KEPT_ALIVE_SECONDS, network_backend=self._backend
        )

    def _give_back(self, origin: httpcore.Origin, connection: httpcore.HTTPConnection) -> None:
        surplus = self._idle.put(origin, connection) if connection.is_idle() else connection
        if surplus is not None:
            surplus.close()


class _AsyncBody:
    """The body of an answer, after which its connection is given back."""

    def __init__(self, inner: Any, give_back: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._inner = inner
        self._give_back = give_back

    def __aiter__(self) -> AsyncIterator[bytes]:
        pieces: AsyncIterator[bytes] = self._inner.__aiter__()
        return pieces

    async def aclose(self) -> None:
        """Called once, when the body has been read or is of no more use."""
        await self._inner.aclose()
        await self._give_back()


class _SyncBody:
    """The body of an answer, after which its connection is given back."""

    def __init__(self, inner: Any, give_back: Callable[[], None]) -> None:
        self._inner = inner
        self._give_back = give_back

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._inner)

    def close(self) -> None:
        """Called once, when the body has been read or is of no more use."""
        self._inner.close()
        self._give_back()
