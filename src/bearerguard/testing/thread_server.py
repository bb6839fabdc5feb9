"""Serves a provider for tests over real sockets, from threads that all end with the block."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import responses
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from threading import Event, Thread
from typing import Any, TypeAlias, cast
from urllib.parse import urlsplit

from ..errors import SettingsError
from .provider_answers import Reply, Request

Answering: TypeAlias = Callable[[Request], Reply]

DRIP_SECONDS = 0.1
LONGEST_BODY = 1_048_576
_HOST = "127.0.0.1"


@contextmanager
def serving(answer: Answering, port: int) -> Iterator[str]:
    """Serve until the block ends; gives the address."""
    server = _Server(answer, port)
    thread = Thread(target=server.serve_forever, args=(0.02,), name="bearerguard-fake-provider", daemon=True)
    thread.start()
    try:
        yield f"http://{_HOST}:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.hang_up()
        server.server_close()


class _Server(ThreadingTCPServer):
    """A server that knows its connections, to hang up on all of them and then wait for their threads."""

    allow_reuse_address = True
    daemon_threads = False
    request_queue_size = 256

    def __init__(self, answer: Answering, port: int) -> None:
        self.answer = answer
        self.closing = Event()
        self._connections: set[socket.socket] = set()
        try:
            super().__init__((_HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise SettingsError(f"port {port} of {_HOST} cannot be had; give another one, or none") from error

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in a thread of its own."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of those who have gone away."""

    def hang_up(self) -> None:
        """End every connection, and every wait."""
        self.closing.set()
        for connection in tuple(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection, one after the other."""

    protocol_version = "HTTP/1.1"

    @property
    def _ours(self) -> _Server:
        return cast("_Server", self.server)

    def do_GET(self) -> None:
        """Answer a question without a body."""
        self._answer()

    def do_POST(self) -> None:
        """Answer a form."""
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing to the terminal."""

    def _answer(self) -> None:
        request = Request(self.command, urlsplit(self.path).path, self.headers.get("Authorization", ""), self._body())
        reply = self._ours.answer(request)
        head = {**reply.headers, "content-length": str(len(reply.body))}
        lines = [f"HTTP/1.1 {reply.status} {responses.get(reply.status, '')}", *(f"{n}: {v}" for n, v in head.items())]
        try:
            self._deliver("\r\n".join([*lines, "", ""]).encode("latin-1"), reply)
        except OSError:
            self.close_connection = True

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "0")
        return self.rfile.read(min(int(length), LONGEST_BODY)) if length.isdecimal() else b""

    def _deliver(self, head: bytes, reply: Reply) -> None:
        """Send an answer, or what its fault leaves of it; after a fault the connection is over."""
        self.close_connection = self.close_connection or reply.fault is not None
        if reply.fault is None:
            self.wfile.write(head + reply.body)
        elif reply.fault == "truncate":
            self.wfile.write(head + reply.body[: len(reply.body) // 2])
        elif reply.fault == "drip":
            self._drip(head + reply.body)
        elif reply.fault == "hang":
            self._hang(reply.released)

    def _drip(self, data: bytes) -> None:
        for index in range(len(data)):
            self.wfile.write(data[index : index + 1])
            if self._ours.closing.wait(DRIP_SECONDS):
                return

    def _hang(self, released: Event) -> None:
        """Until the provider recovers, or the server closes."""
        while not released.wait(DRIP_SECONDS) and not self._ours.closing.is_set():
            continue
