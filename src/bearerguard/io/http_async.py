"""Outbound HTTP inside an event loop: every read, write and connect gets the time that its call has left."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, cast

import httpcore
import httpx

from ..core.ports import HttpAnswer, HttpRequest
from ..errors import ProviderUnavailable
from .http import (
    GATE_SECONDS,
    MOST_AT_ONCE,
    MOST_WAITING,
    Incoming,
    cause_of,
    ending,
    outgoing,
    public_authorities,
    queue_is_full,
    time_left,
    waited_in_vain,
)
from .pools import AsyncPool


class AsyncFetch:
    """`Fetch` for one event loop: one client, made on first use.

    A cancellation that lands while httpcore takes or puts back a connection leaves that connection busy for ever. So
    each exchange is a task of its own, which a caller may stop waiting for and nobody cancels: it ends by the deadline.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._gate = asyncio.Semaphore(MOST_AT_ONCE)
        self._exchanges: set[asyncio.Task[HttpAnswer]] = set()
        self._transport: _Transport | None = None

    async def send(self, request: HttpRequest, *, within: float) -> HttpAnswer:
        """The answer, whatever its status; `ProviderUnavailable` where there was none inside the bounds."""
        try:
            exchange = self._started(request, time.monotonic() + within)
            await asyncio.wait({exchange}, timeout=within)
            if not exchange.done() or exchange.cancelled():
                raise TimeoutError("the call did not end inside its deadline")
            return exchange.result()
        except Exception as error:
            raise ProviderUnavailable() from cause_of(error)

    async def aclose(self) -> None:
        """Let what is under way end and close the connections; the next use opens new ones."""
        if self._exchanges:
            await asyncio.wait(self._exchanges)
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()

    def abandon(self) -> None:
        """End the connections of a loop that was closed before `aclose`, so that no peer waits for them."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.backend.end_all()

    def _started(self, request: HttpRequest, ends_at: float) -> asyncio.Task[HttpAnswer]:
        if len(self._exchanges) >= MOST_AT_ONCE + MOST_WAITING:
            raise queue_is_full()
        exchange = asyncio.get_running_loop().create_task(self._exchange(request, ends_at))
        self._exchanges.add(exchange)
        exchange.add_done_callback(self._ended)
        return exchange

    def _ended(self, exchange: asyncio.Task[HttpAnswer]) -> None:
        self._exchanges.discard(exchange)
        if not exchange.cancelled():
            exchange.exception()

    async def _exchange(self, request: HttpRequest, ends_at: float) -> HttpAnswer:
        with ending(ends_at):
            await self._pass_gate()
            try:
                return await self._answer(request)
            finally:
                self._gate.release()

    async def _pass_gate(self) -> None:
        try:
            async with asyncio.timeout(time_left(GATE_SECONDS)):
                await self._gate.acquire()
        except TimeoutError as error:
            raise waited_in_vain() from error

    async def _answer(self, request: HttpRequest) -> HttpAnswer:
        response = await self._client().handle_async_request(outgoing(request))
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
    """httpx's transport over our own pool and sockets, which it has no argument for."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__(verify=tls, trust_env=False)
        self.backend = _BoundedBackend()
        # The gate is the limit, so the pool has none: nothing that it might mislay can starve the calls to come.
        self._pool = AsyncPool(tls, self.backend)  # type: ignore[assignment]


class _BoundedBackend(httpcore.AsyncNetworkBackend):
    """Opens sockets that never wait longer than their call has left.

    It remembers them, because those of a closed loop can be ended in no other way.
    """

    def __init__(self) -> None:
        self._inner = cast(httpcore.AsyncNetworkBackend, httpcore.AnyIOBackend())
        self._open: set[socket.socket] = set()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the address that answers first."""
        stream = await self._inner.connect_tcp(host, port, time_left(timeout), local_address, socket_options)
        return _BoundedStream(stream, self._open)

    def end_all(self) -> None:
        """End every connection without its loop."""
        for known in self._open:
            # uvloop closes its sockets with the loop, and lets nobody else end them.
            with suppress(OSError, TypeError):
                known.shutdown(socket.SHUT_RDWR)


class _BoundedStream(httpcore.AsyncNetworkStream):
    """A socket that never waits longer than its call has left, and is among the open ones until it is closed."""

    def __init__(self, inner: httpcore.AsyncNetworkStream, among: set[socket.socket]) -> None:
        self._inner = inner
        self._among = among
        self._socket: socket.socket = inner.get_extra_info("socket")
        among.add(self._socket)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._inner.read(max_bytes, time_left(timeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._inner.write(buffer, time_left(timeout))

    async def aclose(self) -> None:
        self._among.discard(self._socket)
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            secured = await self._inner.start_tls(ssl_context, server_hostname, time_left(timeout))
            return _BoundedStream(secured, self._among)
        except BaseException:
            await self.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
