"""Outbound HTTP inside an event loop."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import cast

import anyio
import httpcore
import httpx

from ..core.ports import HttpAnswer, HttpRequest
from ..errors import ProviderUnavailable
from .http import (
    GATE_SECONDS,
    KEPT_ALIVE_SECONDS,
    MOST_AT_ONCE,
    MOST_WAITING,
    Incoming,
    NoAnswer,
    cause_of,
    outgoing,
    public_authorities,
)


class AsyncFetch:
    """`Fetch` for one event loop: one client, made on first use.

    A `Task.cancel` that lands while httpcore puts a connection back leaves that connection busy for ever. So each
    call is an exchange in a task of its own, which nobody cancels but through a scope that lets httpcore clean up.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._gate = asyncio.Semaphore(MOST_AT_ONCE)
        self._exchanges: dict[asyncio.Task[HttpAnswer | None], anyio.CancelScope] = {}
        self._transport: _Transport | None = None

    async def send(self, request: HttpRequest, *, within: float) -> HttpAnswer:
        """The answer, whatever its status; `ProviderUnavailable` where there was none inside the bounds."""
        try:
            return await self._answer(outgoing(request), within)
        except Exception as error:
            raise ProviderUnavailable() from cause_of(error)

    async def aclose(self) -> None:
        """Break off what is under way and close the connections; the next use opens new ones."""
        for scope in self._exchanges.values():
            scope.cancel()
        if self._exchanges:
            await asyncio.wait(self._exchanges)
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()

    def abandon(self) -> None:
        """End the connections of a loop that was closed before `aclose`, so that no peer waits for them."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.sockets.end()

    async def _answer(self, request: httpx.Request, within: float) -> HttpAnswer:
        if len(self._exchanges) >= MOST_AT_ONCE + MOST_WAITING:
            raise NoAnswer("too many calls are waiting already")
        scope = anyio.CancelScope()
        exchange = self._started(request, scope)
        try:
            await asyncio.wait({exchange}, timeout=within)
        finally:
            if not exchange.done():
                scope.cancel()
        answer = exchange.result() if exchange.done() and not exchange.cancelled() else None
        if answer is None:
            raise TimeoutError("the call did not end inside its deadline")
        return answer

    def _started(self, request: httpx.Request, scope: anyio.CancelScope) -> asyncio.Task[HttpAnswer | None]:
        exchange = asyncio.get_running_loop().create_task(self._exchange(request, scope))
        self._exchanges[exchange] = scope
        exchange.add_done_callback(self._ended)
        return exchange

    def _ended(self, exchange: asyncio.Task[HttpAnswer | None]) -> None:
        del self._exchanges[exchange]
        if not exchange.cancelled():
            exchange.exception()

    async def _exchange(self, request: httpx.Request, scope: anyio.CancelScope) -> HttpAnswer | None:
        with scope:
            async with self._place():
                return await self._exchanged(request)
        return None

    @asynccontextmanager
    async def _place(self) -> AsyncGenerator[None]:
        with anyio.fail_after(GATE_SECONDS):
            await self._gate.acquire()
        try:
            yield
        finally:
            self._gate.release()

    async def _exchanged(self, request: httpx.Request) -> HttpAnswer:
        response = await self._client().handle_async_request(request)
        try:
            incoming = Incoming(response)
            async for piece in response.aiter_raw():
                incoming.add(piece)
        finally:
            await response.aclose()
        return incoming.whole()

    def _client(self) -> _Transport:
        if self._transport is None:
            self._transport = _Transport(self._tls or public_authorities())
        return self._transport


class _Transport(httpx.AsyncHTTPTransport):
    """httpx's transport over sockets that we know, for which it has no argument."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__(verify=tls, trust_env=False)
        self.sockets = _Sockets()
        # The gate is the limit, so the pool has none: nothing that it might mislay can starve the calls to come.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=None,
            max_keepalive_connections=MOST_AT_ONCE,
            keepalive_expiry=KEPT_ALIVE_SECONDS,
            network_backend=self.sockets,
        )


class _Sockets(httpcore.AsyncNetworkBackend):
    """Opens sockets and remembers them, because those of a closed loop can be ended in no other way."""

    def __init__(self) -> None:
        self._inner = cast(httpcore.AsyncNetworkBackend, httpcore.AnyIOBackend())
        self._open: list[socket.socket] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A new connection."""
        stream = await self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        self._open = [known for known in self._open if known.fileno() >= 0]
        self._open.append(stream.get_extra_info("socket"))
        return stream

    def end(self) -> None:
        """End every connection without its loop."""
        for known in self._open:
            with suppress(OSError):
                known.shutdown(socket.SHUT_RDWR)
