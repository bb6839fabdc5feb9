"""Where blocking connections to Redis come from: of our own making, or out of a client of the user's own."""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ...core.ports import run_sync
from .address import Kind
from .bounded import BOUNDED_CONNECTIONS, Bounded
from .failures import command_failure
from .parsers import SYNC_READING
from .places import FRESH_SECONDS, Arguments, Ask, Finder
from .server import QUESTION, ServerWatch
from .wire import GUIDE_SECONDS, MOST_CONNECTIONS, SILENCE_SECONDS, packed


class SyncConnection(Protocol):
    """What we use of redis-py's connections."""

    def connect(self) -> None:
        """Connect and log in."""

    def can_read(self) -> bool:
        """Whether bytes wait to be read."""
        ...

    def send_packed_command(self, command: list[bytes]) -> None:
        """Send a command that is packed already."""

    def read_response(self, disable_decoding: bool) -> Any:
        """One reply."""
        ...

    def disconnect(self) -> None:
        """Close the socket."""


class SyncLine(Protocol):
    """Where blocking connections come from; one that is dropped is never lent again as it is."""

    @property
    def size(self) -> int:
        """How many connections there may be at a time."""
        ...

    @property
    def watch(self) -> ServerWatch:
        """What is known of the server."""
        ...

    def take(self, end: float) -> SyncConnection:
        """A connection that is ready for a command, which ends at `end`."""
        ...

    def give_back(self, connection: SyncConnection) -> None:
        """Take back a connection whose reply was read to its end."""

    def drop(self, connection: SyncConnection) -> None:
        """Take back one whose reply was not."""

    def leave(self) -> None:
        """Look for the server anew."""

    def close(self) -> None:
        """Close what we opened."""

    def after_fork(self) -> None:
        """Begin anew in a child process."""


def answer_over(connection: SyncConnection, command: tuple[str, ...], *, seconds_left: float) -> Any:
    """The reply to a command, or the `WireError` that it is or that stands in its place."""
    # Whatever a corrupt reply makes redis-py raise, it is no reply.
    try:
        connection.send_packed_command(packed(command))
        return connection.read_response(disable_decoding=True)
    except Exception as error:
        return command_failure(error, seconds_left=seconds_left)


class OwnSyncLine:
    """Connections of our own making."""

    size = MOST_CONNECTIONS

    def __init__(self, kind: Kind, finder: Finder, watch: ServerWatch) -> None:
        self.watch = watch
        self._finder = finder
        self._make = BOUNDED_CONNECTIONS[kind]
        self._place: Arguments | None = None
        self.after_fork()

    def after_fork(self) -> None:
        """Begin without connections; those of the parent are neither used nor shut down."""
        self._idle: list[SyncConnection] = []
        self._lent: set[SyncConnection] = set()

    def take(self, end: float) -> SyncConnection:
        """A connection that is ready for a command."""
        if self._finder.is_due():
            self._look_again(end)
        connection = self._idle_one(end) or self._new_one(end)
        self._lent.add(connection)
        return connection

    def give_back(self, connection: SyncConnection) -> None:
        """Keep a sound connection for the next command, unless all were closed in the meantime."""
        if connection in self._lent:
            self._lent.discard(connection)
            self._idle.append(connection)
        else:
            connection.disconnect()

    def drop(self, connection: SyncConnection) -> None:
        """Close a connection whose reply was not read to its end."""
        self._lent.discard(connection)
        connection.disconnect()

    def leave(self) -> None:
        """Look for the server anew; no connection to the one that was asked is used again."""
        self._finder.forget()
        self.watch.leave()

    def close(self) -> None:
        """Close all that are idle; those that are lent are closed when they come back."""
        idle, self._idle, self._lent = self._idle, [], set()
        for connection in idle:
            connection.disconnect()

    def _idle_one(self, end: float) -> SyncConnection | None:
        with suppress(IndexError):
            while True:
                connection = self._idle.pop()
                bounded = cast(Bounded, connection)
                bounded.deadline.end = end
                if bounded.generation == self.watch.generation and _is_quiet(connection):
                    return self._greeted(connection, end) if self.watch.is_due() else connection
                connection.disconnect()
        return None

    def _new_one(self, end: float) -> SyncConnection:
        try:
            return self._greeted(self._connected(self._found(end), end), end)
        except Exception:
            self._finder.forget()
            raise

    def _found(self, end: float) -> Arguments:
        ask: Ask = lambda *asked: self._asked(*asked, end=end)  # noqa: E731
        before, self._place = self._place, run_sync(self._finder.found(ask))
        if before is not None and before != self._place:
            self.watch.leave(hands_over=self._was_handed_over(ask, before))
        return self._place

    def _was_handed_over(self, ask: Ask, by: Arguments) -> bool:
        try:
            return run_sync(self._finder.was_handed_over(ask, by))
        except Exception:
            return False

    def _look_again(self, end: float) -> None:
        """Whoever was named before and is not named now is left; while nobody can be asked, the old place stands."""
        with suppress(Exception):
            self._found(min(end, time.monotonic() + GUIDE_SECONDS))

    async def _asked(self, arguments: Arguments, /, *command: str, end: float) -> Any:
        connection = self._connected(arguments, min(end, time.monotonic() + SILENCE_SECONDS))
        try:
            return answer_over(connection, command, seconds_left=end - time.monotonic())
        finally:
            connection.disconnect()

    def _connected(self, arguments: Arguments, end: float) -> SyncConnection:
        made = self._make(**arguments, **_BOUNDS)
        made.deadline.end = end
        connection = cast(SyncConnection, made)
        try:
            connection.connect()
        except BaseException:
            connection.disconnect()
            raise
        return connection

    def _greeted(self, connection: SyncConnection, end: float) -> SyncConnection:
        """The connection, once its server has said who it is."""
        try:
            asked_at = self.watch.now()
            answer = answer_over(connection, QUESTION, seconds_left=end - time.monotonic())
            cast(Bounded, connection).generation = self.watch.note(answer, asked_at=asked_at)
        except BaseException:
            connection.disconnect()
            raise
        return connection


_BOUNDS: Mapping[str, Any] = {
    "socket_timeout": SILENCE_SECONDS,
    "socket_connect_timeout": SILENCE_SECONDS,
    "retry": Retry(NoBackoff(), 0),
    "protocol": 2,
    **SYNC_READING,
}


def _is_quiet(connection: SyncConnection) -> bool:
    # The server may have closed it while it was idle; and bytes that nobody asked for would answer the next command.
    try:
        return not connection.can_read()
    except Exception:
        return False


class ClientSyncLine:
    """The connections of a client of the user's own, which has its own timeouts and is never closed by us."""

    def __init__(self, client: redis.Redis, watch: ServerWatch) -> None:
        self.watch = watch
        self._pool: Any = client.connection_pool
        self.size: int = min(MOST_CONNECTIONS, self._pool.max_connections)
        self._met: weakref.WeakKeyDictionary[Any, tuple[weakref.ref[Any], int]] = weakref.WeakKeyDictionary()
        self._asks_again_at = time.monotonic()

    def take(self, end: float) -> SyncConnection:
        """A connection of the client's pool."""
        if self.watch.is_replicated and time.monotonic() >= self._asks_again_at:
            self._look_again()
        connection: Any = self._pool.get_connection()
        try:
            if time.monotonic() >= end:
                raise TimeoutError
            self._greet(connection, end)
        except BaseException:
            self._pool.release(connection)
            raise
        return cast(SyncConnection, connection)

    def _look_again(self) -> None:
        """Let the client ask its Sentinels whether another is the master by now; it waits as long as they may take."""
        self._asks_again_at = time.monotonic() + FRESH_SECONDS
        known = self._pool.master_address
        with suppress(Exception):
            if self._pool.get_master_address() != known is not None:
                self.watch.leave()

    def _greet(self, connection: Any, end: float) -> None:
        socket, generation = self._met.get(connection, (None, 0))
        # Not by its id: a new socket is often given the place of the old one.
        if socket is not None and connection._sock is not None and socket() is connection._sock:
            if generation == self.watch.generation and not self.watch.is_due():
                return
            if generation != self.watch.generation:
                connection.disconnect()
                connection.connect()
        try:
            asked_at = self.watch.now()
            answer = answer_over(connection, QUESTION, seconds_left=end - time.monotonic())
            self._met[connection] = (weakref.ref(connection._sock), self.watch.note(answer, asked_at=asked_at))
        except BaseException:
            connection.disconnect()
            raise

    def give_back(self, connection: SyncConnection) -> None:
        """Back to the client's pool."""
        self._pool.release(connection)

    def drop(self, connection: SyncConnection) -> None:
        """Back to the client's pool, which connects it anew."""
        try:
            connection.disconnect()
        finally:
            self._pool.release(connection)

    def leave(self) -> None:
        """The client looks for the server anew when it connects."""
        self.watch.leave()

    def close(self) -> None:
        """Not ours to close."""

    def after_fork(self) -> None:
        """The client's pool sees to it."""
