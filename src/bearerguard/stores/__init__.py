"""Where revocations and spent tokens are kept: the stores, and how a setting names one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeAlias, cast

from ..core.ports import Store, StorePolicy
from ..errors import SettingsError
from .memory import MemoryStore
from .redis import RedisStore
from .redis.address import SCHEMES

__all__ = ["AsyncStorePort", "MemoryStore", "RedisStore", "StoreLike", "StoreSource", "SyncStorePort", "open_store"]

StoreLike: TypeAlias = str | MemoryStore | RedisStore


class SyncStorePort(Store, Protocol):
    """A store's port for blocking code; one process has one."""

    def close(self) -> None:
        """Close what is open; the next use opens anew."""


class AsyncStorePort(Store, Protocol):
    """A store's port for async code; one event loop has one."""

    async def aclose(self) -> None:
        """Close what is open; the next use opens anew."""

    def abandon(self) -> None:
        """Close the sockets of a loop that is closed itself."""


class StoreSource(Protocol):
    """A store, as a setting names it: it gives ports, which open their connections when they are first used."""

    @property
    def policy(self) -> StorePolicy:
        """What is done where the store forgets, or cannot be asked."""
        ...

    def sync_port(self) -> SyncStorePort:
        """The port of this process."""
        ...

    def async_port(self) -> AsyncStorePort:
        """A port for the running event loop."""
        ...


def open_store(where: StoreLike, *, monotonic: Callable[[], float] = time.monotonic) -> StoreSource:
    """The store that a setting names: a store, or a URL as in "memory://" and "redis://localhost:6379/0"."""
    if isinstance(where, (MemoryStore, RedisStore)):
        return where
    if not isinstance(cast("object", where), str):
        raise SettingsError(
            f"store is a {type(where).__name__}; give a URL, a MemoryStore, or RedisStore(client) around a client"
        )
    return MemoryStore(monotonic=monotonic) if where == "memory://" else _redis_store(where)


def _redis_store(url: str) -> RedisStore:
    scheme = url.partition("://")[0].lower()
    if scheme in SCHEMES:
        return RedisStore(url)
    known = ", ".join(f"'{name}://'" for name in ("memory", *sorted(SCHEMES)))
    raise SettingsError(f"the store's URL begins with none of {known}; write 'memory://' or 'redis://localhost:6379/0'")
