"""Where a RedisStore's connections come from: a URL, or a client of the user's own."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import SettingsError
from .redis_address import redis_address
from .redis_async import AsyncLine, ClientAsyncLine, OwnAsyncLine
from .redis_client import client_flavour
from .redis_sync import ClientSyncLine, OwnSyncLine, SyncLine

if TYPE_CHECKING:
    import redis
    import redis.asyncio


class Lines(Protocol):
    """Connections to one Redis, for either flavour."""

    @property
    def shown(self) -> str:
        """Where they lead, safe to print."""
        ...

    def sync_line(self) -> SyncLine:
        """Connections for this process."""
        ...

    def async_line(self) -> AsyncLine:
        """Connections for the running event loop."""
        ...


def lines_to(where: Any) -> Lines:
    """The connections to what RedisStore was given."""
    if isinstance(where, str):
        return _UrlLines(where)
    return _AsyncClientLines(where) if client_flavour(where) == "async" else _SyncClientLines(where)


class _UrlLines:
    def __init__(self, url: str) -> None:
        self._address = redis_address(url)
        self.shown = self._address.shown

    def sync_line(self) -> SyncLine:
        return OwnSyncLine(self._address)

    def async_line(self) -> AsyncLine:
        return OwnAsyncLine(self._address)


class _SyncClientLines:
    shown = "a redis.Redis"

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def sync_line(self) -> SyncLine:
        return ClientSyncLine(self._client)

    def async_line(self) -> AsyncLine:
        raise SettingsError(
            "the RedisStore has a blocking client, which would hold up the event loop; "
            "give RedisStore a URL, or a redis.asyncio.Redis"
        )


class _AsyncClientLines:
    shown = "a redis.asyncio.Redis"

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None

    def sync_line(self) -> SyncLine:
        raise SettingsError(
            "the RedisStore has an async client, which blocking code cannot use; "
            "give RedisStore a URL, or a redis.Redis"
        )

    def async_line(self) -> AsyncLine:
        self._check_loop()
        return ClientAsyncLine(self._client)

    def _check_loop(self) -> None:
        running = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = weakref.ref(running)
        if self._loop() is not running:
            raise SettingsError(
                "the RedisStore's async client is used in a second event loop, and its connections belong to the "
                "first; give RedisStore a URL, which serves any number of loops"
            )
