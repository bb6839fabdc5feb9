"""The store that a fleet shares: one Redis or Valkey, 6.2 or later."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from .breaker import Breaker
from .forks import tell_after_fork
from .layout import DEFAULT_PREFIX, KeyLayout

if TYPE_CHECKING:
    import redis
    import redis.asyncio

    from .redis_port import AsyncRedisPort, SyncRedisPort


class RedisStore:
    """Revocations and spent tokens in Redis, seen by every process that uses the same prefix.

    ```python
    RedisStore("redis://localhost:6379/0")
    RedisStore("rediss://user:password@redis.example.com", prefix="shop:")
    RedisStore(redis.asyncio.Redis(..., socket_timeout=0.25, socket_connect_timeout=0.25, retry=Retry(NoBackoff(), 0)))
    ```

    A URL serves blocking and async code, and every wait ends with the deadline of the check. A client of your own
    serves the flavour it is, from its own pool, and is never closed. An async one is bounded by the deadline as well;
    a blocking one by its own timeouts, each of which counts for one read.
    """

    def __init__(self, where: str | redis.Redis | redis.asyncio.Redis, *, prefix: str = DEFAULT_PREFIX) -> None:
        # Not at the top: an app with its store in memory need not load redis-py. Not later: the first request would.
        from .redis_lines import lines_to

        self._layout = KeyLayout(prefix)
        self._lines = lines_to(where)
        self._breaker = Breaker()
        self._sync_port: SyncRedisPort | None = None
        self._lock = Lock()
        tell_after_fork(self)

    def __repr__(self) -> str:
        return f"RedisStore({self._lines.shown!r}, prefix={self._layout.prefix!r})"

    def sync_port(self) -> SyncRedisPort:
        """The port of this process for blocking code: always the same one."""
        from .redis_port import SyncRedisPort
        from .redis_sync import SyncWire

        with self._lock:
            if self._sync_port is None:
                wire = SyncWire(self._lines.sync_line())
                self._sync_port = SyncRedisPort(wire, layout=self._layout, breaker=self._breaker)
            return self._sync_port

    def async_port(self) -> AsyncRedisPort:
        """A new port, for the running event loop alone."""
        from .redis_async import AsyncWire
        from .redis_port import AsyncRedisPort

        wire = AsyncWire(self._lines.async_line())
        return AsyncRedisPort(wire, layout=self._layout, breaker=self._breaker)

    def after_fork(self) -> None:
        """A thread of the parent may hold the lock; and what the parent knows of the server, we have not seen."""
        self._lock = Lock()
        self._breaker.succeeded()
