"""Load for one server: a few keep-alive connections that are always busy.

It sends exactly one request per token, which generators that run for a time cannot do: at first sight no token may come
twice. It is far quicker than a Python server answers (see `docs/performance.md`), so it is not what is measured.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from .traffic import http_request

CONNECTIONS = 8


class LoadError(Exception):
    """The server did not answer every request with 200 and the view's body."""


def requests_per_second(port: int, tokens: Sequence[str], body: bytes) -> float:
    """Send one request per token, over `CONNECTIONS` connections; how many were answered per second, with `body`."""
    requests = iter([http_request(token) for token in tokens])
    last_bytes = b"\r\n\r\n" + body
    with selectors.DefaultSelector() as selector, ExitStack() as connections:
        start = time.perf_counter()
        for _ in range(CONNECTIONS):
            connection = connections.enter_context(_connection(port))
            selector.register(connection, selectors.EVENT_READ, bytearray())
            _send_next(selector, connection, requests)
        while selector.get_map():
            for key, _ in selector.select(timeout=10) or _stalled():
                _turn(selector, key, requests, last_bytes)
        return len(tokens) / (time.perf_counter() - start)


def _connection(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _turn(
    selector: selectors.BaseSelector, key: selectors.SelectorKey, requests: Iterator[bytes], last_bytes: bytes
) -> None:
    connection: socket.socket = key.fileobj  # type: ignore[assignment]
    answer: bytearray = key.data
    piece = connection.recv(65536)
    answer += piece
    if not piece or not answer.startswith(b"HTTP/1.1 200 "[: len(answer)]):
        raise LoadError(answer[:200].decode("latin-1"))
    if answer.endswith(last_bytes):
        answer.clear()
        _send_next(selector, connection, requests)


def _send_next(selector: selectors.BaseSelector, connection: socket.socket, requests: Iterator[bytes]) -> None:
    request = next(requests, None)
    if request is None:
        selector.unregister(connection)
    else:
        connection.sendall(request)


def _stalled() -> list[tuple[selectors.SelectorKey, int]]:
    raise LoadError("no answer within 10 s")
