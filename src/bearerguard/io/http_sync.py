"""Outbound HTTP in blocking code: every read, write and connect of a socket gets the time that its call has left."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

from ..core.ports import HttpAnswer, HttpRequest
from ..errors import ProviderUnavailable
from .http import (
    GATE_SECONDS,
    MOST_AT_ONCE,
    MOST_WAITING,
    Incoming,
    NoAnswer,
    cause_of,
    ending,
    outgoing,
    public_authorities,
    queue_is_full,
    time_left,
    waited_in_vain,
)
from .pools import SyncPool


class SyncFetch:
    """`Fetch` for the threads of a process. A forked child opens connections of its own.

    One wait has no bound here: the operating system takes as long as it likes to resolve a name.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._of_process: dict[int, _Lines] = {}

    async def send(self, request: HttpRequest, *, within: float) -> HttpAnswer:
        """The answer, whatever its status; `ProviderUnavailable` where there was none inside the bounds."""
        try:
            with ending(time.monotonic() + within):
                return self._lines().answer(request)
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
            lines = self._of_process.setdefault(pid, _Lines(self._tls or public_authorities()))
            for parent in set(self._of_process) - {pid}:
                self._of_process.pop(parent, None)
        return lines


class _Lines:
    """The connections of one process, and the gate before them."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._seats = threading.Semaphore(MOST_AT_ONCE + MOST_WAITING)
        self._gate = threading.Semaphore(MOST_AT_ONCE)
        self._transport = _BoundedTransport(tls)
        weakref.finalize(self, self._transport.close)

    def close(self) -> None:
        self._transport.close()

    def answer(self, request: HttpRequest) -> HttpAnswer:
        with self._place():
            response = self._transport.handle_request(outgoing(request))
            try:
                incoming = Incoming(response)
                for piece in response.iter_raw():
                    incoming.add(piece)
            finally:
                response.close()
            return incoming.whole()

    @contextmanager
    def _place(self) -> Generator[None]:
        with _acquired(self._seats, 0, queue_is_full), _acquired(self._gate, time_left(GATE_SECONDS), waited_in_vain):
            yield


class _BoundedTransport(httpx.HTTPTransport):
    """httpx's transport over our own pool and sockets, which it has no argument for."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__(verify=tls, trust_env=False)
        # The gate is the limit, so the pool has none: nothing that it might mislay can starve the calls to come.
        self._pool = SyncPool(tls, _BoundedBackend())  # type: ignore[assignment]


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
            within = time_left(timeout)
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
        return self._inner.read(max_bytes, time_left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, time_left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        try:
            return _BoundedStream(self._inner.start_tls(ssl_context, server_hostname, time_left(timeout)))
        except BaseException:
            self.close()
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


@contextmanager
def _acquired(semaphore: threading.Semaphore, within: float, otherwise: Callable[[], NoAnswer]) -> Generator[None]:
    if not semaphore.acquire(timeout=within):
        raise otherwise()
    try:
        yield
    finally:
        semaphore.release()


def _addresses(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]
