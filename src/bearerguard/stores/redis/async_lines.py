"""Where connections to Redis come from in an event loop: of our own making, or out of a client of the user's own."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol, cast

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from .abrupt import ABRUPT_CONNECTIONS, bury, is_quiet, shut
from .address import Kind
from .failures import command_failure
from .parsers import ASYNC_READING
from .places import FRESH_SECONDS, Arguments, Finder
from .server import QUESTION, ServerWatch
from .wire import GUIDE_SECONDS, MOST_CONNECTIONS, SILENCE_SECONDS, packed


class AsyncConnection(Protocol):
    """What we use of redis-py's connections."""

    socket_timeout: float | None

    async def connect(self) -> None:
        """Connect and log in."""

    async def send_packed_command(self, command: list[bytes]) -> None:
        """Send a command that is packed already."""

    async def read_response(self, disable_decoding: bool) -> Any:
        """One reply."""
        ...

    async def disconnect(self, nowait: bool = False) -> None:
        """Close the socket."""


class AsyncLine(Protocol):
    """Where connections come from; one that is dropped is never lent again as it is."""

    @property
    def size(self) -> int:
        """How many connections there may be at a time."""
        ...

    @property
    def watch(self) -> ServerWatch:
        """What is known of the server."""
        ...

    async def take(self) -> AsyncConnection:
        """A connection that is ready for a command."""
        ...

    async def give_back(self, connection: AsyncConnection) -> None:
        """Take back a connection whose reply was read to its end."""

    async def drop(self, connection: AsyncConnection) -> None:
        """Take back one whose reply was not."""

    def leave(self) -> None:
        """Look for the server anew."""

    async def close(self) -> None:
        """Close what we opened."""

    def abandon(self) -> None:
        """Close what we opened, without the loop."""


async def answer_over(connection: AsyncConnection, command: tuple[str, ...], *, seconds_left: float) -> Any:
    """The reply to a command, or the `WireError` that it is or that stands in its place."""
    # Whatever a corrupt reply makes redis-py raise, it is no reply.
    try:
        await connection.send_packed_command(packed(command))
        return await connection.read_response(disable_decoding=True)
    except Exception as error:
        return command_failure(error, seconds_left=seconds_left)


class OwnAsyncLine:
    """Connections of our own making. Nothing here waits but connecting and closing, so a cancelled task leaks none."""

    size = MOST_CONNECTIONS

    def __init__(self, kind: Kind, finder: Finder, watch: ServerWatch) -> None:
        self.watch = watch
        self._finder = finder
        self._make = ABRUPT_CONNECTIONS[kind]
        self._place: Arguments | None = None
        self._idle: list[AsyncConnection] = []
        self._lent: set[AsyncConnection] = set()

    async def take(self) -> AsyncConnection:
        """A connection that is ready for a command."""
        if self._finder.is_due():
            await self._look_again()
        connection = await self._idle_one() or await self._new_one()
        self._lent.add(connection)
        return connection

    async def give_back(self, connection: AsyncConnection) -> None:
        """Keep a sound connection for the next command, unless all were closed in the meantime."""
        if connection in self._lent:
            self._lent.discard(connection)
            self._idle.append(connection)
        else:
            await shut(connection)

    async def drop(self, connection: AsyncConnection) -> None:
        """Close a connection whose reply was not read to its end."""
        self._lent.discard(connection)
        await shut(connection)

    def leave(self) -> None:
        """Look for the server anew; no connection to the one that was asked is used again."""
        self._finder.forget()
        self.watch.leave()

    async def close(self) -> None:
        """Close all that are idle; those that are lent are closed when they come back."""
        idle, self._idle, self._lent = self._idle, [], set()
        for connection in idle:
            with suppress(Exception):
                await connection.disconnect()

    def abandon(self) -> None:
        """Close all of them, without the loop, which is closed."""
        for connection in (*self._idle, *self._lent):
            bury(connection)
        self._idle, self._lent = [], set()

    async def _idle_one(self) -> AsyncConnection | None:
        while self._idle:
            connection = self._idle.pop()
            quiet = False
            try:
                quiet = cast(Any, connection).generation == self.watch.generation and await is_quiet(connection)
            finally:
                if not quiet:
                    await shut(connection)
            if quiet:
                return await self._greeted(connection) if self.watch.is_due() else connection
        return None

    async def _new_one(self) -> AsyncConnection:
        try:
            return await self._greeted(await self._connected(await self._found()))
        except Exception:
            self._finder.forget()
            raise

    async def _found(self) -> Arguments:
        before, self._place = self._place, await self._finder.found(self._asked)
        if before is not None and before != self._place:
            # At once, for the old server may be silent, and whoever waits for it may be cut off.
            self.watch.leave()
            self.watch.leave(hands_over=await self._was_handed_over(before))
        return self._place

    async def _was_handed_over(self, by: Arguments) -> bool:
        try:
            return await self._finder.was_handed_over(self._asked, by)
        except Exception:
            return False

    async def _look_again(self) -> None:
        """Whoever was named before and is not named now is left; while nobody can be asked, the old place stands."""
        with suppress(Exception):
            async with asyncio.timeout(GUIDE_SECONDS):
                await self._found()

    async def _asked(self, arguments: Arguments, /, *command: str) -> Any:
        async with asyncio.timeout(SILENCE_SECONDS):
            connection = await self._connected(arguments)
            try:
                return await answer_over(connection, command, seconds_left=SILENCE_SECONDS)
            finally:
                await shut(connection)

    async def _connected(self, arguments: Arguments) -> AsyncConnection:
        connection = cast(AsyncConnection, self._make(**arguments, **_BOUNDS))
        try:
            await connection.connect()
        except BaseException:
            await shut(connection)
            raise
        # From here on the wire's own limit bounds every wait: a second one would cost as much as the command.
        connection.socket_timeout = None
        return connection

    async def _greeted(self, connection: AsyncConnection) -> AsyncConnection:
        """The connection, once its server has said who it is."""
        try:
            asked_at = self.watch.now()
            answer = await answer_over(connection, QUESTION, seconds_left=SILENCE_SECONDS)
            cast(Any, connection).generation = self.watch.note(answer, asked_at=asked_at)
        except BaseException:
            await shut(connection)
            raise
        return connection


_BOUNDS: Mapping[str, Any] = {
    "socket_timeout": SILENCE_SECONDS,
    "socket_connect_timeout": SILENCE_SECONDS,
    "retry": Retry(NoBackoff(), 0),
    "protocol": 2,
    **ASYNC_READING,
}


class ClientAsyncLine:
    """The connections of a client of the user's own, which is never closed by us."""

    def __init__(self, client: redis.asyncio.Redis, watch: ServerWatch) -> None:
        self.watch = watch
        self._pool: Any = client.connection_pool
        self.size: int = min(MOST_CONNECTIONS, self._pool.max_connections)
        self._met: weakref.WeakKeyDictionary[Any, tuple[weakref.ref[Any], int]] = weakref.WeakKeyDictionary()
        self._timeouts: dict[AsyncConnection, float | None] = {}
        self._asks_again_at = time.monotonic()

    async def take(self) -> AsyncConnection:
        """A connection of the client's pool."""
        if self.watch.is_replicated and time.monotonic() >= self._asks_again_at:
            await self._look_again()
        connection: Any = await self._pool.get_connection()
        # While it is lent, the wire's own limit bounds every wait: a second one would cost as much as the command.
        self._timeouts[connection], connection.socket_timeout = connection.socket_timeout, None
        try:
            await self._greet(connection)
        except BaseException:
            await self.drop(connection)
            raise
        return cast(AsyncConnection, connection)

    async def _look_again(self) -> None:
        """Let the client ask its Sentinels whether another is the master by now."""
        self._asks_again_at = time.monotonic() + FRESH_SECONDS
        known = self._pool.master_address
        with suppress(Exception):
            async with asyncio.timeout(GUIDE_SECONDS):
                if await self._pool.get_master_address() != known is not None:
                    self.watch.leave()

    async def _greet(self, connection: Any) -> None:
        socket, generation = self._met.get(connection, (None, 0))
        # Not by its id: a new socket is often given the place of the old one.
        if socket is not None and connection._writer is not None and socket() is connection._writer:
            if generation == self.watch.generation and not self.watch.is_due():
                return
            if generation != self.watch.generation:
                await shut(connection)
                await connection.connect()
        asked_at = self.watch.now()
        answer = await answer_over(connection, QUESTION, seconds_left=SILENCE_SECONDS)
        self._met[connection] = (weakref.ref(connection._writer), self.watch.note(answer, asked_at=asked_at))

    async def give_back(self, connection: AsyncConnection) -> None:
        """Back to the client's pool, as it came."""
        connection.socket_timeout = self._timeouts.pop(connection)
        await self._pool.release(connection)

    async def drop(self, connection: AsyncConnection) -> None:
        """Back to the client's pool, which connects it anew."""
        await shut(connection)
        await self.give_back(connection)

    def leave(self) -> None:
        """The client looks for the server anew when it connects."""
        self.watch.leave()

    async def close(self) -> None:
        """Not ours to close."""

    def abandon(self) -> None:
        """Not ours to close."""
