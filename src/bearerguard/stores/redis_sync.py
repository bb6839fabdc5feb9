"""The blocking wire to Redis: connections whose every wait ends at the deadline of the command."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol, cast

import redis
from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.retry import Retry

from .forks import tell_after_fork
from .gate import Gate
from .redis_address import Kind, RedisAddress
from .redis_failures import command_failure, connect_failure, leaves_connection_sound
from .redis_wire import MOST_CONNECTIONS, SILENCE_SECONDS, Crowded, WireError


class _Connection(Protocol):
    def connect(self) -> None: ...
    def can_read(self) -> bool: ...
    def send_command(self, *command: str) -> None: ...
    def read_response(self, disable_decoding: bool) -> Any: ...
    def disconnect(self) -> None: ...


class SyncLine(Protocol):
    """Where blocking connections come from; one that is dropped is never lent again as it is."""

    @property
    def size(self) -> int:
        """How many connections there may be at a time."""
        ...

    def take(self, end: float) -> _Connection:
        """A connection that is ready for a command, which ends at `end`."""
        ...

    def give_back(self, connection: _Connection) -> None:
        """Take back a connection whose reply was read to its end."""

    def drop(self, connection: _Connection) -> None:
        """Take back one whose reply was not."""

    def close(self) -> None:
        """Close what we opened."""

    def after_fork(self) -> None:
        """Begin anew in a child process."""


class SyncWire:
    """One command at a time on each of at most `size` connections; who comes first is served first."""

    def __init__(self, line: SyncLine) -> None:
        self._line = line
        self._gate = Gate(line.size)
        tell_after_fork(self)

    async def execute(self, *command: str, within: float) -> Any:
        """The reply to one command, undecoded; it blocks, and never suspends."""
        end, gate = time.monotonic() + within, self._gate
        if not gate.enter(within=within):
            raise Crowded("no connection came free in time")
        try:
            answer = self._exchange(command, end)
        finally:
            gate.leave()
        # Raised here and not where it was caught: what redis-py says may hold keys and values.
        if isinstance(answer, WireError):
            raise answer
        return answer

    async def close(self) -> None:
        """Close the connections that nobody uses now, and the others when they come back."""
        self._line.close()

    def after_fork(self) -> None:
        """The sockets are the parent's, and its threads may hold the gate."""
        self._gate = Gate(self._line.size)
        self._line.after_fork()

    def _exchange(self, command: tuple[str, ...], end: float) -> Any:
        seconds_left = end - time.monotonic()
        try:
            connection = self._line.take(end)
        except Exception as error:
            return connect_failure(error, seconds_left=seconds_left)
        sound = False
        try:
            answer = _answer(connection, command, seconds_left=end - time.monotonic())
            sound = leaves_connection_sound(answer)
        finally:
            (self._line.give_back if sound else self._line.drop)(connection)
        return answer


def _answer(connection: _Connection, command: tuple[str, ...], *, seconds_left: float) -> Any:
    # Whatever a corrupt reply makes redis-py raise, it is no reply.
    try:
        connection.send_command(*command)
        return connection.read_response(disable_decoding=True)
    except Exception as error:
        return command_failure(error, seconds_left=seconds_left)


class Deadline:
    """When the command ends that a connection is lent for."""

    __slots__ = ("end",)

    def __init__(self) -> None:
        self.end = 0.0

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


class _Bounded:
    """Mixed into redis-py's connections: connecting, too, ends at the deadline, whatever the number of addresses."""

    def __init__(self, **arguments: Any) -> None:
        self.deadline = Deadline()
        super().__init__(**arguments)

    @property
    def socket_connect_timeout(self) -> float:
        return self._seconds()

    @socket_connect_timeout.setter
    def socket_connect_timeout(self, seconds: float) -> None:
        """Ours alone."""

    @property
    def socket_timeout(self) -> float:
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


class _BoundedTcp(_Bounded, Connection):  # type: ignore[misc]
    pass


class _BoundedTls(_Bounded, SSLConnection):  # type: ignore[misc]
    pass


class _BoundedUnix(_Bounded, UnixDomainSocketConnection):  # type: ignore[misc]
    pass


_CONNECTIONS: Mapping[Kind, type[_Bounded]] = {"tcp": _BoundedTcp, "tls": _BoundedTls, "unix": _BoundedUnix}


class OwnSyncLine:
    """Connections of our own making."""

    size = MOST_CONNECTIONS

    def __init__(self, address: RedisAddress) -> None:
        self._make = _CONNECTIONS[address.kind]
        self._arguments = {
            **address.arguments,
            "socket_timeout": SILENCE_SECONDS,
            "socket_connect_timeout": SILENCE_SECONDS,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
        }
        self.after_fork()

    def after_fork(self) -> None:
        """Begin without connections; those of the parent are neither used nor shut down."""
        self._idle: list[_Connection] = []
        self._lent: set[_Connection] = set()

    def take(self, end: float) -> _Connection:
        """A connection that is ready for a command."""
        connection = self._idle_one(end) or self._new_one(end)
        self._lent.add(connection)
        return connection

    def give_back(self, connection: _Connection) -> None:
        """Keep a sound connection for the next command, unless all were closed in the meantime."""
        if connection in self._lent:
            self._lent.discard(connection)
            self._idle.append(connection)
        else:
            connection.disconnect()

    def drop(self, connection: _Connection) -> None:
        """Close a connection whose reply was not read to its end."""
        self._lent.discard(connection)
        connection.disconnect()

    def close(self) -> None:
        """Close all that are idle; those that are lent are closed when they come back."""
        idle, self._idle, self._lent = self._idle, [], set()
        for connection in idle:
            connection.disconnect()

    def _idle_one(self, end: float) -> _Connection | None:
        with suppress(IndexError):
            while True:
                connection = self._idle.pop()
                cast(_Bounded, connection).deadline.end = end
                if _is_quiet(connection):
                    return connection
                connection.disconnect()
        return None

    def _new_one(self, end: float) -> _Connection:
        made = self._make(**self._arguments)
        made.deadline.end = end
        connection = cast(_Connection, made)
        try:
            connection.connect()
        except BaseException:
            connection.disconnect()
            raise
        return connection


def _is_quiet(connection: _Connection) -> bool:
    # The server may have closed it while it was idle; and bytes that nobody asked for would answer the next command.
    try:
        return not connection.can_read()
    except Exception:
        return False


class ClientSyncLine:
    """The connections of a client of the user's own, which has its own timeouts and is never closed by us."""

    def __init__(self, client: redis.Redis) -> None:
        self._pool: Any = client.connection_pool
        self.size = min(MOST_CONNECTIONS, self._pool.max_connections)

    def take(self, end: float) -> _Connection:
        """A connection of the client's pool."""
        connection: _Connection = self._pool.get_connection()
        if time.monotonic() >= end:
            self._pool.release(connection)
            raise TimeoutError
        return connection

    def give_back(self, connection: _Connection) -> None:
        """Back to the client's pool."""
        self._pool.release(connection)

    def drop(self, connection: _Connection) -> None:
        """Back to the client's pool, which connects it anew."""
        try:
            connection.disconnect()
        finally:
            self._pool.release(connection)

    def close(self) -> None:
        """Not ours to close."""

    def after_fork(self) -> None:
        """The client's pool sees to it."""
