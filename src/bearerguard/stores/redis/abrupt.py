"""redis-py's connections for an event loop, made to end at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection

from .address import Kind


class Abrupt:
    """Mixed into redis-py's connections: one that is cut off does not wait for a frozen server's TLS goodbye."""

    _writer: asyncio.StreamWriter | None
    generation = 0

    async def disconnect(self, nowait: bool = False, **why: Any) -> None:
        """Close the socket, at once where nobody waits."""
        if nowait and self._writer is not None:
            self._writer.transport.abort()
        await super().disconnect(nowait, **why)  # type: ignore[misc]


class _AbruptTcp(Abrupt, Connection):  # type: ignore[misc]
    pass


class _AbruptTls(Abrupt, SSLConnection):  # type: ignore[misc]
    pass


class _AbruptUnix(Abrupt, UnixDomainSocketConnection):  # type: ignore[misc]
    pass


ABRUPT_CONNECTIONS: Mapping[Kind, type[Any]] = {"tcp": _AbruptTcp, "tls": _AbruptTls, "unix": _AbruptUnix}


async def is_quiet(connection: Any) -> bool:
    """Whether it is as sound as when it was left."""
    # The server may have closed it while it was idle; and bytes that nobody asked for would answer the next command.
    # redis-py 8 gave can_read its name; before, it did not see what the stream had read already.
    can_read = getattr(connection, "can_read", None) or connection.can_read_destructive
    try:
        return not (await can_read() or connection._reader._buffer)
    except Exception:
        return False


async def shut(connection: Any) -> None:
    """Cut it off."""
    with suppress(Exception):
        await connection.disconnect(nowait=True)


def bury(connection: Any) -> None:
    """Close its socket, whose loop is closed."""
    # There is no public way: redis-py and asyncio both close a socket through its loop. What we miss here is closed by
    # the garbage collector, which complains.
    with suppress(Exception):
        transport = connection._writer.transport
        with suppress(RuntimeError):
            transport.close()
        connection._writer = connection._reader = None
        transport._call_connection_lost(None)
