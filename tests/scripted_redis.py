"""A server that speaks as much of Redis's protocol as a test scripts, and as wrongly."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, TypeAlias

Command: TypeAlias = list[bytes]


# What every new connection begins with; not for the script.
_GREETINGS = {b"CLIENT": b"+OK\r\n", b"INFO": b"-ERR unknown command\r\n"}


class Hangup(Exception):
    """Raised by a script to close the connection at once, with a reset."""


class ScriptedRedis:
    """Listens on loopback; `answer` gives the pieces of each reply, and may sleep between them."""

    def __init__(self, answer: Callable[[Command], Iterable[bytes]], tls: ssl.SSLContext | None = None) -> None:
        self._answer = answer
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.commands: list[Command] = []
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        scheme = "rediss" if self._tls else "redis"
        return f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                self.connections += 1
                self._sockets.append(accepted)
                threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        with suppress(OSError, ValueError, Hangup), accepted:
            client = self._tls.wrap_socket(accepted, server_side=True) if self._tls else accepted
            with client, client.makefile("rb") as incoming:
                for command in _commands(incoming):
                    self._reply(client, command)

    def _reply(self, client: socket.socket, command: Command) -> None:
        if command[0] in _GREETINGS:
            client.sendall(_GREETINGS[command[0]])
            return
        self.commands.append(command)
        for piece in self._answer(command):
            client.sendall(piece)


def _commands(incoming: BinaryIO) -> Iterator[Command]:
    while line := incoming.readline():
        yield [_bulk(incoming) for _ in range(int(line[1:]))]


def _bulk(incoming: BinaryIO) -> bytes:
    size = int(incoming.readline()[1:])
    return incoming.read(size + 2)[:-2]


@contextmanager
def scripted_redis(
    answer: Callable[[Command], Iterable[bytes]], tls: ssl.SSLContext | None = None
) -> Iterator[ScriptedRedis]:
    """The server, closed at the end."""
    server = ScriptedRedis(answer, tls)
    try:
        yield server
    finally:
        server.close()


def bulk(value: bytes) -> bytes:
    """A value as Redis sends it."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def echoed(command: Command) -> bytes:
    """The reply to MGET of a server in which every key's value is its own last part."""
    values = [bulk(key.rsplit(b":", 1)[-1]) for key in command[1:]]
    return b"*%d\r\n%b" % (len(values), b"".join(values))
