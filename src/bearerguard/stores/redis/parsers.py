"""How our own connections read replies: what redis-py asks of a parser, over a reader of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from ssl import SSLWantReadError
from typing import Any

from redis.connection import DefaultParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse
from redis.utils import HIREDIS_AVAILABLE

from .replies import MORE, Replies

_AT_ONCE = 2**20
"""More than an event loop keeps for a stream: what is read is all that came."""

_parse_error: Callable[[str], Exception] = DefaultParser.parse_error


class _Parser:
    """What both flavours share: one connection after another, each with replies of its own."""

    def __init__(self, socket_read_size: int) -> None:
        self._read_size = socket_read_size
        self.on_disconnect()

    def on_disconnect(self) -> None:
        """Forget the connection, with all that came and was not read."""
        self._replies = Replies(_told)
        self._encoder: Any = None
        self._source: Any = None

    def _finished(self, reply: Any, *, disable_decoding: bool) -> Any:
        if not disable_decoding:
            return self._decoded(reply)
        # A command of ours is sent alone; redis-py sends several at once, but only while it connects, and decodes.
        if not self._replies.is_at_rest:
            raise InvalidResponse("more than a reply")
        return reply

    def _decoded(self, reply: Any) -> Any:
        return [self._decoded(item) for item in reply] if isinstance(reply, list) else self._encoder.decode(reply)


class SyncParser(_Parser):
    """For blocking connections: their sockets end each wait."""

    def on_connect(self, connection: Any) -> None:
        """Begin with a connection."""
        self.on_disconnect()
        self._source, self._encoder = connection._sock, connection.encoder

    def can_read(self, timeout: float = 0) -> bool:
        """Whether there are bytes that were not read."""
        if not self._replies.is_at_rest:
            return True
        self._source.settimeout(timeout)
        try:
            self._replies.feed(self._received())
        except (BlockingIOError, SSLWantReadError, TimeoutError):
            return False
        finally:
            self._source.settimeout(None)
        return True

    def read_response(self, disable_decoding: bool = False, **_: Any) -> Any:
        """One reply."""
        replies = self._replies
        while (reply := replies.next()) is MORE:
            replies.feed(self._received())
        return self._finished(reply, disable_decoding=disable_decoding)

    def _received(self) -> bytes:
        return _unless_closed(self._source and self._source.recv(self._read_size))


class AsyncParser(_Parser):
    """For an event loop: whoever asks ends each wait."""

    def on_connect(self, connection: Any) -> None:
        """Begin with a connection."""
        self.on_disconnect()
        self._source, self._encoder = connection._reader, connection.encoder

    async def can_read(self) -> bool:
        """Whether there are bytes that were not read, or will never be any."""
        stream: asyncio.StreamReader | None = self._source
        return stream is None or not self._replies.is_at_rest or stream.at_eof()

    can_read_destructive = can_read  # what redis-py before 8 calls it

    async def read_response(self, disable_decoding: bool = False, **_: Any) -> Any:
        """One reply."""
        replies = self._replies
        while (reply := replies.next()) is MORE:
            replies.feed(_unless_closed(self._source and await self._source.read(_AT_ONCE)))
        return self._finished(reply, disable_decoding=disable_decoding)


def _unless_closed(data: bytes | None) -> bytes:
    if not data:
        raise RedisConnectionError("closed by the server")
    return data


def _told(text: str) -> Exception:
    """The error that the server told; one that ends the connection is raised even from within an array."""
    error = _parse_error(text)
    if isinstance(error, RedisConnectionError):
        raise error
    return error


# hiredis is quicker still, where it is installed; redis-py takes it by itself.
SYNC_READING: Mapping[str, Any] = {} if HIREDIS_AVAILABLE else {"parser_class": SyncParser}
ASYNC_READING: Mapping[str, Any] = {} if HIREDIS_AVAILABLE else {"parser_class": AsyncParser}
