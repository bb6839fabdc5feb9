"""A server in a thread with an event loop of its own, for sync and async tests and for other processes."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from tests.servers import free_port

T = TypeVar("T")

LOOPBACK = "127.0.0.1"
CHUNK = 64 * 1024
PATIENCE = 10.0


def reset_on_close(connection: socket.socket) -> None:
    """Let its end be an RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class BackgroundServer:
    """Listens on a port that it keeps, and serves each client by a coroutine, until it is closed.

    The sockets do not block; the client's is closed when its coroutine ends.
    """

    def __init__(self, name: str, serve: Callable[[socket.socket], Coroutine[Any, Any, None]]) -> None:
        self.port = free_port()
        self.connections = 0
        self._serve = serve
        self._listener = _bound(self.port)
        self._is_listening = False
        self._changed = threading.Condition()
        self._open: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop
        self._closing: asyncio.Event
        started: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live(started)), daemon=True, name=name)
        self._thread.start()
        started.result(PATIENCE)

    @property
    def open_connections(self) -> int:
        """How many clients are connected now."""
        return len(self._open)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns in the server's loop, waited for by this thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def wait(self, come: Callable[[], bool]) -> None:
        """Return when it has come, by a connection that began or ended, or by `tell`."""
        with self._changed:
            if not self._changed.wait_for(come, PATIENCE):
                raise TimeoutError(f"not come; {self.connections=}, {self.open_connections=}")

    def tell(self, change: Callable[[], None]) -> None:
        """Change something that others may wait for."""
        with self._changed:
            change()
            self._changed.notify_all()

    def close(self) -> None:
        """Reset every connection, give the port back and end the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join(PATIENCE)

    # --- Inside the loop

    def listen(self) -> None:
        """Take connections, if it does not yet."""
        if not self._is_listening:
            self._is_listening = True
            self._listener.listen(256)
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def refuse(self) -> None:
        """Let nobody listen on the port, and keep it."""
        if self._is_listening:
            self._is_listening = False
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = _bound(self.port)

    async def reset_all(self) -> None:
        """Cancel what serves the clients, who see a reset."""
        tasks = [*self._open]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _live(self, started: Future[None]) -> None:
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        self.listen()
        started.set_result(None)
        await self._closing.wait()
        self.refuse()
        self._listener.close()
        await self.reset_all()

    def _accept(self) -> None:
        # Not sock_accept(), which loses a connection when it is cancelled at the wrong moment.
        with suppress(BlockingIOError, ConnectionAbortedError):
            client, _ = self._listener.accept()
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.tell(lambda: self._begin(client))

    def _begin(self, client: socket.socket) -> None:
        task = asyncio.create_task(self._serve(client))
        task.add_done_callback(lambda task: self.tell(lambda: self._end(task, client)))
        self._open.add(task)
        self.connections += 1

    def _end(self, task: asyncio.Task[None], client: socket.socket) -> None:
        if task.cancelled():
            reset_on_close(client)
        client.close()
        self._open.discard(task)


def _bound(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((LOOPBACK, port))
    listener.setblocking(False)
    return listener


async def connected_to(port: int) -> socket.socket:
    """A connection to another server, which does not block."""
    connection = socket.socket()
    try:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(connection, (LOOPBACK, port))
    except BaseException:
        connection.close()
        raise
    return connection
