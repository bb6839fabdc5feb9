"""The wire to Redis for one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol, cast

import redis.asyncio
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from .redis_address import Kind, RedisAddress
from .redis_failures import command_failure, connect_failure, leaves_connection_sound
from .redis_wire import MOST_CONNECTIONS, SILENCE_SECONDS, Crowded, WireError, connection_overdue, reply_overdue


class _Connection(Protocol):
    socket_timeout: float | None

    async def connect(self) -> None: ...
    async def send_command(self, *command: str) -> None: ...
    async def read_response(self, disable_decoding: bool) -> Any: ...
    async def disconnect(self, nowait: bool = False) -> None: ...


class AsyncLine(Protocol):
    """Where connections come from; one that is dropped is never lent again as it is."""

    @property
    def size(self) -> int:
        """How many connections there may be at a time."""
        ...

    async def take(self) -> _Connection:
        """A connection that is ready for a command."""
        ...

    async def give_back(self, connection: _Connection) -> None:
        """Take back a connection whose reply was read to its end."""

    async def drop(self, connection: _Connection) -> None:
        """Take back one whose reply was not."""

    async def close(self) -> None:
        """Close what we opened."""

    def abandon(self) -> None:
        """Close what we opened, without the loop."""


class _Progress:
    """What it means when the time is over now."""

    __slots__ = ("cut_off",)

    def __init__(self) -> None:
        self.cut_off: WireError = Crowded("no connection came free in time")


class AsyncWire:
    """One command at a time on each of at most `size` connections; who comes first is served first."""

    def __init__(self, line: AsyncLine) -> None:
        self._line = line
        self._gate = asyncio.Semaphore(line.size)

    async def execute(self, *command: str, within: float) -> Any:
        """The reply to one command, undecoded."""
        progress = _Progress()
        try:
            async with asyncio.timeout(within) as limit, self._gate:
                answer = await self._exchange(command, limit, progress)
        except TimeoutError:
            answer = progress.cut_off
        # Raised here and not where it was caught: what redis-py says may hold keys and values.
        if isinstance(answer, WireError):
            raise answer
        return answer

    async def close(self) -> None:
        """Close the connections that nobody uses now, and the others when they come back."""
        await self._line.close()

    def abandon(self) -> None:
        """Close the sockets of a loop that is closed itself."""
        self._line.abandon()

    async def _exchange(self, command: tuple[str, ...], limit: asyncio.Timeout, progress: _Progress) -> Any:
        seconds_left = _seconds_left(limit)
        progress.cut_off = connection_overdue(seconds_left)
        try:
            connection = await self._line.take()
        except Exception as error:
            return connect_failure(error, seconds_left=seconds_left)
        seconds_left = _seconds_left(limit)
        progress.cut_off = reply_overdue(seconds_left)
        _hasten(limit, seconds_left)
        sound = False
        try:
            answer = await _answer(connection, command, seconds_left=seconds_left)
            sound = leaves_connection_sound(answer)
        finally:
            await (self._line.give_back if sound else self._line.drop)(connection)
        return answer


def _seconds_left(limit: asyncio.Timeout) -> float:
    return (limit.when() or 0.0) - asyncio.get_running_loop().time()


def _hasten(limit: asyncio.Timeout, seconds_left: float) -> None:
    """Wait for a reply no longer than SILENCE_SECONDS, whatever is left."""
    if seconds_left > SILENCE_SECONDS:
        limit.reschedule(asyncio.get_running_loop().time() + SILENCE_SECONDS)


async def _answer(connection: _Connection, command: tuple[str, ...], *, seconds_left: float) -> Any:
    # Whatever a corrupt reply makes redis-py raise, it is no reply.
    try:
        await connection.send_command(*command)
        return await connection.read_response(disable_decoding=True)
    except Exception as error:
        return command_failure(error, seconds_left=seconds_left)


class _Abrupt:
    """Mixed into redis-py's connections: one that is cut off does not wait for a frozen server's TLS goodbye."""

    _writer: asyncio.StreamWriter | None

    async def disconnect(self, nowait: bool = False, **why: Any) -> None:
        if nowait and self._writer is not None:
            self._writer.transport.abort()
        await super().disconnect(nowait, **why)  # type: ignore[misc]


class _AbruptTcp(_Abrupt, Connection):  # type: ignore[misc]
    pass


class _AbruptTls(_Abrupt, SSLConnection):  # type: ignore[misc]
    pass


class _AbruptUnix(_Abrupt, UnixDomainSocketConnection):  # type: ignore[misc]
    pass


_CONNECTIONS: Mapping[Kind, type[Any]] = {"tcp": _AbruptTcp, "tls": _AbruptTls, "unix": _AbruptUnix}


class OwnAsyncLine:
    """Connections of our own making. Nothing here waits but connecting and closing, so a cancelled task leaks none."""

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
        self._idle: list[_Connection] = []
        self._lent: set[_Connection] = set()

    async def take(self) -> _Connection:
        """A connection that is ready for a command."""
        connection = await self._idle_one() or await self._new_one()
        self._lent.add(connection)
        return connection

    async def give_back(self, connection: _Connection) -> None:
        """Keep a sound connection for the next command, unless all were closed in the meantime."""
        if connection in self._lent:
            self._lent.discard(connection)
            self._idle.append(connection)
        else:
            await _shut(connection)

    async def drop(self, connection: _Connection) -> None:
        """Close a connection whose reply was not read to its end."""
        self._lent.discard(connection)
        await _shut(connection)

    async def close(self) -> None:
        """Close all that are idle; those that are lent are closed when they come back."""
        idle, self._idle, self._lent = self._idle, [], set()
        for connection in idle:
            with suppress(Exception):
                await connection.disconnect()

    def abandon(self) -> None:
        """Close all of them, without the loop, which is closed."""
        for connection in (*self._idle, *self._lent):
            _bury(connection)
        self._idle, self._lent = [], set()

    async def _idle_one(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            quiet = False
            try:
                quiet = await _is_quiet(connection)
            finally:
                if not quiet:
                    await _shut(connection)
            if quiet:
                return connection
        return None

    async def _new_one(self) -> _Connection:
        connection = cast(_Connection, self._make(**self._arguments))
        try:
            await connection.connect()
        except BaseException:
            await _shut(connection)
            raise
        # From here on the wire's own limit bounds every wait: a second one would cost as much as the command.
        connection.socket_timeout = None
        return connection


async def _is_quiet(connection: Any) -> bool:
    # The server may have closed it while it was idle; and bytes that nobody asked for would answer the next command.
    # redis-py 8 gave can_read its name; before, it did not see what the stream had read already.
    can_read = getattr(connection, "can_read", None) or connection.can_read_destructive
    try:
        return not (await can_read() or connection._reader._buffer)
    except Exception:
        return False


async def _shut(connection: _Connection) -> None:
    with suppress(Exception):
        await connection.disconnect(nowait=True)


def _bury(connection: Any) -> None:
    # There is no public way: redis-py and asyncio both close a socket through its loop. What we miss here is closed by
    # the garbage collector, which complains.
    with suppress(Exception):
        transport = connection._writer.transport
        with suppress(RuntimeError):
            transport.close()
        connection._writer = connection._reader = None
        transport._call_connection_lost(None)


class ClientAsyncLine:
    """The connections of a client of the user's own, which is never closed by us."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._pool: Any = client.connection_pool
        self.size = min(MOST_CONNECTIONS, self._pool.max_connections)

    async def take(self) -> _Connection:
        """A connection of the client's pool."""
        connection: _Connection = await self._pool.get_connection()
        return connection

    async def give_back(self, connection: _Connection) -> None:
        """Back to the client's pool."""
        await self._pool.release(connection)

    async def drop(self, connection: _Connection) -> None:
        """Back to the client's pool, which connects it anew."""
        await _shut(connection)
        await self._pool.release(connection)

    async def close(self) -> None:
        """Not ours to close."""

    def abandon(self) -> None:
        """Not ours to close."""
