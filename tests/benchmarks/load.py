"""Load for one server: a few keep-alive connections that are always busy.

It sends exactly one request per token, which generators that run for a time cannot do: at first sight no token may come
twice. It is far quicker than a Python server answers (see `docs/performance.md`), so it is not what is measured.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Iterator, Sequence

from .traffic import ANSWER, http_request

CONNECTIONS = 8

_LAST_BYTES = b"\r\n\r\n" + json.dumps(ANSWER, separators=(",", ":")).encode()


class LoadError(Exception):
    """The server did not answer every request with 200 and the view's body."""


def requests_per_second(port: int, tokens: Sequence[str]) -> float:
    """Send one request per token, over `CONNECTIONS` connections; how many were answered per second."""
    requests = iter([http_request(token) for token in tokens])
    with selectors.DefaultSelector() as selector:
        start = time.perf_counter()
        for _ in range(CONNECTIONS):
            _start_connection(selector, port, requests)
        while selector.get_map():
            for key, _ in selector.select(timeout=10) or _stalled():
                _turn(selector, key, requests)
        return len(tokens) / (time.perf_counter() - start)


def _start_connection(selector: selectors.BaseSelector, port: int, requests: Iterator[bytes]) -> None:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    selector.register(connection, selectors.EVENT_READ, bytearray())
    _send_next(selector, connection, requests)


def _turn(selector: selectors.BaseSelector, key: selectors.SelectorKey, requests: Iterator[bytes]) -> None:
    connection: socket.socket = key.fileobj  # type: ignore[assignment]
    answer: bytearray = key.data
    piece = connection.recv(65536)
    answer += piece
    if not piece or not answer.startswith(b"HTTP/1.1 200 "[: len(answer)]):
        raise LoadError(answer[:200].decode("latin-1"))
    if answer.endswith(_LAST_BYTES):
        answer.clear()
        _send_next(selector, connection, requests)


def _send_next(selector: selectors.BaseSelector, connection: socket.socket, requests: Iterator[bytes]) -> None:
    request = next(requests, None)
    if request is None:
        selector.unregister(connection)
        connection.close()
    else:
        connection.sendall(request)


def _stalled() -> list[tuple[selectors.SelectorKey, int]]:
    raise LoadError("no answer within 10 s")
