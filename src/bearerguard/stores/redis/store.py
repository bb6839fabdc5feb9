"""The store that a fleet shares: one Redis or Valkey, 6.2 or later."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, get_args

from ...checks import OnFailure, check_seconds, check_word
from ...core.ports import FirstStart, StorePolicy
from ...errors import SettingsError
from ...events import ReplicaDropped
from ...rules.epochs import Amnesia
from ...sinks import tell
from ..breaker import Breaker
from ..forks import tell_after_fork
from ..layout import DEFAULT_PREFIX, KeyLayout
from .server import OnEviction, ServerWatch

if TYPE_CHECKING:
    import redis
    import redis.asyncio

    from .port import AsyncRedisPort, SyncRedisPort
    from .replica import DenylistReplica
    from .visit import RedisVisit


class RedisStore:
    """Revocations and spent tokens in Redis, seen by every process that uses the same prefix.

    ```python
    RedisStore("redis://localhost:6379/0")
    RedisStore("rediss://user:password@redis.example.com", prefix="shop:")
    RedisStore("redis+sentinel://one:26379,two:26379,three:26379/mymaster")
    RedisStore(redis.asyncio.Redis(..., socket_timeout=0.25, socket_connect_timeout=0.25, retry=Retry(NoBackoff(), 0)))
    ```

    A URL serves blocking and async code, and every wait ends with the deadline of the check. A client of your own
    serves the flavour it is, from its own pool, and is never closed. An async one is bounded by the deadline as well;
    a blocking one by its own timeouts, each of which counts for one read.

    A server that was restarted, or replaced by another, is taken to have lost its memory: tokens issued before are
    refused until they would have ended, or everything is 503 with `on_amnesia="unavailable"`. Say `durable=True` where
    every write is on its disk before it is confirmed. An empty store that this process has not met before is a new one,
    or has lost its memory with `first_start="refuse"`. While it cannot be asked, nobody passes; with
    `on_failure="open"` everybody does whose token is good but for revocation. `on_eviction="refuse"` takes no server
    that drops keys for want of memory.

    With `replica=True` each process follows all revocations over one more connection, and a check is a look into its
    own memory: a revocation is seen everywhere within `max_staleness` seconds, mostly in a few milliseconds, and where
    what is known is older than that, Redis is asked. Claiming a one-time token always asks Redis.
    """

    def __init__(
        self,
        where: str | redis.Redis | redis.asyncio.Redis,
        *,
        prefix: str = DEFAULT_PREFIX,
        durable: bool = False,
        on_amnesia: Amnesia = "refuse",
        first_start: FirstStart = "trust",
        on_failure: OnFailure = "closed",
        on_eviction: OnEviction = "warn",
        replica: bool = False,
        max_staleness: float = 1.0,
    ) -> None:
        # Not at the top: an app with its store in memory need not load redis-py. Not later: the first request would.
        from .lines import lines_to

        check_word("on_amnesia", on_amnesia, get_args(Amnesia))
        check_word("first_start", first_start, get_args(FirstStart))
        check_word("on_failure", on_failure, get_args(OnFailure))
        check_word("on_eviction", on_eviction, get_args(OnEviction))
        check_seconds("max_staleness", max_staleness, 0.5, 60)
        self.policy: StorePolicy = StorePolicy(on_amnesia, first_start, on_failure)
        self.is_durable: bool = durable
        self.on_eviction: OnEviction = on_eviction
        self.has_replica: bool = replica
        self._layout = KeyLayout(prefix)
        self._lines = lines_to(where, self._layout.key("epoch"))
        self._watch = ServerWatch(is_durable=durable, is_replicated=self._lines.is_replicated, on_eviction=on_eviction)
        self._breaker = Breaker()
        self._replica = self._new_replica(max_staleness) if replica else None
        self._sync_port: SyncRedisPort | None = None
        self._lock = Lock()
        tell_after_fork(self)

    def _new_replica(self, max_staleness: float) -> DenylistReplica:
        from .replica import DenylistReplica
        from .sync_wire import SyncWire

        if self._lines.is_async_alone:
            raise SettingsError(
                "replica=True follows the store in a thread, which an async client cannot serve; give RedisStore a URL"
            )
        wire = SyncWire(self._lines.sync_line(self._watch))
        return DenylistReplica(wire, layout=self._layout, told=_tell_of_replica, bound_seconds=max_staleness)

    def __repr__(self) -> str:
        return f"RedisStore({self._lines.shown!r}, prefix={self._layout.prefix!r})"

    def sync_port(self) -> SyncRedisPort:
        """The port of this process for blocking code: always the same one."""
        from .port import SyncRedisPort
        from .sync_wire import SyncWire

        with self._lock:
            if self._sync_port is None:
                wire = SyncWire(self._lines.sync_line(self._watch))
                self._sync_port = SyncRedisPort(
                    wire, layout=self._layout, breaker=self._breaker, policy=self.policy, replica=self._replica
                )
            return self._sync_port

    def async_port(self) -> AsyncRedisPort:
        """A new port, for the running event loop alone."""
        from .async_wire import AsyncWire
        from .port import AsyncRedisPort

        wire = AsyncWire(self._lines.async_line(self._watch))
        return AsyncRedisPort(
            wire, layout=self._layout, breaker=self._breaker, policy=self.policy, replica=self._replica
        )

    def sync_visit(self) -> RedisVisit:
        """A look at the server itself, over a connection of its own, for blocking code."""
        from .sync_wire import SyncWire
        from .visit import RedisVisit

        return RedisVisit(SyncWire(self._lines.sync_line(self._visitors_watch())), self._layout, self._lines.shown)

    def async_visit(self) -> RedisVisit:
        """The same for the running event loop."""
        from .async_wire import AsyncWire
        from .visit import RedisVisit

        return RedisVisit(AsyncWire(self._lines.async_line(self._visitors_watch())), self._layout, self._lines.shown)

    def _visitors_watch(self) -> ServerWatch:
        """Whoever looks takes note for himself, and also looks at a server that would be refused."""
        return ServerWatch(is_replicated=self._lines.is_replicated)

    def after_fork(self) -> None:
        """A thread of the parent may hold the lock; and what the parent knows of the server, we have not seen."""
        self._lock = Lock()
        self._breaker.succeeded()


def _tell_of_replica(why: str) -> None:
    tell(ReplicaDropped(why=why))
