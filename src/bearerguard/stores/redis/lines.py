"""Where a RedisStore's connections come from: a URL, or a client of the user's own."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any, Protocol

from ...errors import SettingsError
from .address import redis_address
from .async_lines import AsyncLine, ClientAsyncLine, OwnAsyncLine
from .client import client_flavour, is_of_sentinel
from .places import finder_for
from .server import ServerWatch
from .sync_lines import ClientSyncLine, OwnSyncLine, SyncLine

if TYPE_CHECKING:
    import redis
    import redis.asyncio


class Lines(Protocol):
    """Connections to one Redis, for either flavour."""

    @property
    def shown(self) -> str:
        """Where they lead, safe to print."""
        ...

    @property
    def is_replicated(self) -> bool:
        """Whether others stand ready to take the server's place, so that a write counts only once one has it."""
        ...

    @property
    def is_async_alone(self) -> bool:
        """Whether they serve no blocking code."""
        ...

    def sync_line(self, watch: ServerWatch) -> SyncLine:
        """Connections for this process."""
        ...

    def async_line(self, watch: ServerWatch) -> AsyncLine:
        """Connections for the running event loop."""
        ...


def lines_to(where: Any, key: str) -> Lines:
    """The connections to what RedisStore was given; in a cluster, to the server that has `key`."""
    if isinstance(where, str):
        return _UrlLines(where, key)
    return _AsyncClientLines(where) if client_flavour(where) == "async" else _SyncClientLines(where)


class _UrlLines:
    is_async_alone = False

    def __init__(self, url: str, key: str) -> None:
        self._address = redis_address(url)
        self._key = key
        self.shown = self._address.shown
        self.is_replicated = self._address.guides is not None

    def sync_line(self, watch: ServerWatch) -> SyncLine:
        return OwnSyncLine(self._address.kind, finder_for(self._address, self._key), watch)

    def async_line(self, watch: ServerWatch) -> AsyncLine:
        return OwnAsyncLine(self._address.kind, finder_for(self._address, self._key), watch)


class _SyncClientLines:
    is_async_alone = False
    shown = "a redis.Redis"

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self.is_replicated = is_of_sentinel(client)

    def sync_line(self, watch: ServerWatch) -> SyncLine:
        return ClientSyncLine(self._client, watch)

    def async_line(self, watch: ServerWatch) -> AsyncLine:  # noqa: ARG002
        raise SettingsError(
            "the RedisStore has a blocking client, which would hold up the event loop; "
            "give RedisStore a URL, or a redis.asyncio.Redis"
        )


class _AsyncClientLines:
    is_async_alone = True
    shown = "a redis.asyncio.Redis"

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self.is_replicated = is_of_sentinel(client)
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None

    def sync_line(self, watch: ServerWatch) -> SyncLine:  # noqa: ARG002
        raise SettingsError(
            "the RedisStore has an async client, which blocking code cannot use; "
            "give RedisStore a URL, or a redis.Redis"
        )

    def async_line(self, watch: ServerWatch) -> AsyncLine:
        self._check_loop()
        return ClientAsyncLine(self._client, watch)

    def _check_loop(self) -> None:
        running = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = weakref.ref(running)
        if self._loop() is not running:
            raise SettingsError(
                "the RedisStore's async client is used in a second event loop, and its connections belong to the "
                "first; give RedisStore a URL, which serves any number of loops"
            )
