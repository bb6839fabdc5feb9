"""redis-py's blocking connections, made to end every wait at the deadline of the command that they are lent for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection

from .address import Kind
from .wire import SILENCE_SECONDS


class Deadline:
    """When the command ends that a connection is lent for."""

    __slots__ = ("end",)

    def __init__(self) -> None:
        self.end: float = 0.0

    def wait_seconds(self) -> float:
        """How long the next wait may last; TimeoutError when the time is over."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return min(left, SILENCE_SECONDS)


class _BoundedSocket:
    """A socket that gives each wait no more than the time left; a timeout alone would start anew at every byte."""

    def __init__(self, sock: Any, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline
        self._waits = True

    def settimeout(self, seconds: float | None) -> None:
        self._waits = seconds != 0

    def recv(self, *arguments: Any) -> Any:
        self._arm()
        return self._sock.recv(*arguments)

    def recv_into(self, *arguments: Any) -> Any:
        self._arm()
        return self._sock.recv_into(*arguments)

    def sendall(self, data: Any) -> None:
        self._arm()
        self._sock.sendall(data)

    def _arm(self) -> None:
        self._sock.settimeout(self._deadline.wait_seconds() if self._waits else 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class Bounded:
    """Mixed into redis-py's connections: connecting, too, ends at the deadline, whatever the number of addresses."""

    def __init__(self, **arguments: Any) -> None:
        self.deadline: Deadline = Deadline()
        self.generation = 0
        super().__init__(**arguments)

    @property
    def socket_connect_timeout(self) -> float:
        """What is left, for redis-py, which reads it before it connects."""
        return self._seconds()

    @socket_connect_timeout.setter
    def socket_connect_timeout(self, seconds: float) -> None:
        """Ours alone."""

    @property
    def socket_timeout(self) -> float:
        """The same, once it is connected."""
        return self._seconds()

    @socket_timeout.setter
    def socket_timeout(self, seconds: float) -> None:
        """Ours alone."""

    def _seconds(self) -> float:
        with suppress(TimeoutError):
            return self.deadline.wait_seconds()
        return 0.001  # zero would mean: do not wait at all, and fail in another way

    def _connect(self) -> _BoundedSocket:
        return _BoundedSocket(super()._connect(), self.deadline)  # type: ignore[misc]


class _BoundedTcp(Bounded, Connection):  # type: ignore[misc]
    pass


class _BoundedTls(Bounded, SSLConnection):  # type: ignore[misc]
    pass


class _BoundedUnix(Bounded, UnixDomainSocketConnection):  # type: ignore[misc]
    pass


BOUNDED_CONNECTIONS: Mapping[Kind, type[Bounded]] = {"tcp": _BoundedTcp, "tls": _BoundedTls, "unix": _BoundedUnix}
