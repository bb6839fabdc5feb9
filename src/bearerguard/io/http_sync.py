"""Outbound HTTP in blocking code: every read, write and connect of a socket gets the time that its call has left."""

from __future__ import annotations

import math
import os
import socket
import ssl
import threading
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import httpcore
import httpx

from ..core.ports import HttpAnswer, HttpRequest
from ..errors import ProviderUnavailable
from .http import (
    GATE_SECONDS,
    KEPT_ALIVE_SECONDS,
    MOST_AT_ONCE,
    MOST_WAITING,
    STEP_SECONDS,
    Incoming,
    NoAnswer,
    cause_of,
    outgoing,
    public_authorities,
)

# A context, and not a threading.local: one made before gevent patches would be shared by all greenlets.
_ends_at: ContextVar[float] = ContextVar("bearerguard_call_ends_at", default=math.inf)


class SyncFetch:
    """`Fetch` for the threads of a process. A forked child opens connections of its own."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._of_process: dict[int, _Lines] = {}

    async def send(self, request: HttpRequest, *, within: float) -> HttpAnswer:
        """The answer, whatever its status; `ProviderUnavailable` where there was none inside the bounds."""
        try:
            with _ending(time.monotonic() + within):
                return self._lines().answer(outgoing(request))
        except Exception as error:
            raise ProviderUnavailable() from cause_of(error)

    def close(self) -> None:
        """Close the connections of this process; the next use opens new ones."""
        lines = self._of_process.pop(os.getpid(), None)
        if lines is not None:
            lines.close()

    def _lines(self) -> _Lines:
        pid = os.getpid()
        lines = self._of_process.get(pid)
        if lines is None:
            lines = _Lines(self._tls or public_authorities())
            self._of_process = {pid: lines}
        return lines


class _Lines:
    """The connections of one process, and the gate before them."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._seats = threading.Semaphore(MOST_AT_ONCE + MOST_WAITING)
        self._gate = threading.Semaphore(MOST_AT_ONCE)
        self._transport = _BoundedTransport(tls)

    def close(self) -> None:
        self._transport.close()

    def answer(self, request: httpx.Request) -> HttpAnswer:
        with self._place():
            response = self._transport.handle_request(request)
            try:
                incoming = Incoming(response)
                for piece in response.iter_raw():
                    incoming.add(piece)
            finally:
                response.close()
            return incoming.whole()

    @contextmanager
    def _place(self) -> Generator[None]:
        with _acquired(self._seats, within=0), _acquired(self._gate, within=_time_left(GATE_SECONDS)):
            yield


class _BoundedTransport(httpx.HTTPTransport):
    """httpx's transport over our own sockets, which it has no argument for."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__(verify=tls, trust_env=False)
        # The gate is the limit, so the pool has none: nothing that it might mislay can starve the calls to come.
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls,
            max_connections=None,
            max_keepalive_connections=MOST_AT_ONCE,
            keepalive_expiry=KEPT_ALIVE_SECONDS,
            network_backend=_BoundedBackend(),
        )


class _BoundedBackend(httpcore.SyncBackend):
    """Opens sockets that never wait longer than their call has left."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers; a name with many dead ones takes no longer than one."""
        failure: Exception = NoAnswer("the name has no address")
        for address in _addresses(host, port):
            within = _time_left(timeout)
            try:
                return _BoundedStream(super().connect_tcp(address, port, within, local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


class _BoundedStream(httpcore.NetworkStream):
    """A socket that never waits longer than its call has left."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _time_left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _time_left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _BoundedStream(self._inner.start_tls(ssl_context, server_hostname, _time_left(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


@contextmanager
def _ending(at: float) -> Generator[None]:
    token = _ends_at.set(at)
    try:
        yield
    finally:
        _ends_at.reset(token)


def _time_left(step: float | None) -> float:
    left = _ends_at.get() - time.monotonic()
    if left <= 0:
        raise TimeoutError("the call did not end inside its deadline")
    return min(left, STEP_SECONDS if step is None else step)


@contextmanager
def _acquired(semaphore: threading.Semaphore, *, within: float) -> Generator[None]:
    if not semaphore.acquire(timeout=within):
        raise NoAnswer("too many calls are waiting already")
    try:
        yield
    finally:
        semaphore.release()


def _addresses(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]
