"""A Redis client of the user's own: what it must be like before revocations depend on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import redis
import redis.asyncio
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncSentinelConnectionPool
from redis.sentinel import SentinelConnectionPool

from ...errors import SettingsError

MOST_SECONDS = 1.0

_WRITE = (
    "write redis.Redis(..., socket_timeout=0.25, socket_connect_timeout=0.25, retry=Retry(NoBackoff(), 0)), "
    "with the Retry of redis.retry (of redis.asyncio.retry for redis.asyncio.Redis)"
)


def client_flavour(client: object) -> Literal["sync", "async"]:
    """Which flavour a client serves; SettingsError, with what to write, for one that we cannot depend on."""
    if isinstance(client, (redis.RedisCluster, redis.asyncio.RedisCluster)):
        raise SettingsError(
            "a RedisCluster client sends commands anywhere; give RedisStore the URL, 'redis+cluster://host:6379,host:6379'"
        )
    if not isinstance(client, (redis.Redis, redis.asyncio.Redis)):
        raise SettingsError(
            f"RedisStore takes a URL, a redis.Redis or a redis.asyncio.Redis, and not a {type(client).__name__}"
        )
    for is_so, complaint in _COMPLAINTS:
        if is_so(client, client.connection_pool.connection_kwargs):
            raise SettingsError(complaint)
    return "async" if isinstance(client, redis.asyncio.Redis) else "sync"


def _reads_replicas(client: Any, _: Mapping[str, Any]) -> bool:
    return is_of_sentinel(client) and not client.connection_pool.is_master


def is_of_sentinel(client: Any) -> bool:
    """Whether a client asks Sentinels where its server is."""
    return isinstance(client.connection_pool, (SentinelConnectionPool, AsyncSentinelConnectionPool))


def _has_one_connection(client: Any, _: Mapping[str, Any]) -> bool:
    names = ("single_connection_client", "_single_connection_client")
    return any(getattr(client, name, False) for name in names)


def _retries(_: Any, arguments: Mapping[str, Any]) -> bool:
    retry = arguments.get("retry")
    if retry is not None:
        return bool(retry.get_retries() != 0)
    return bool(arguments.get("retry_on_timeout") or arguments.get("retry_on_error"))


def _waits_too_long(client: Any, arguments: Mapping[str, Any]) -> bool:
    waits = arguments.get("socket_timeout")
    # Left out, it is redis-py's own five seconds; None means the same as socket_timeout.
    connects = arguments.get("socket_connect_timeout", False)
    return not _is_short(waits) or not (connects is None or _is_short(connects)) or _queues_too_long(client)


def _queues_too_long(client: Any) -> bool:
    blocking = (redis.BlockingConnectionPool, redis.asyncio.BlockingConnectionPool)
    pool = client.connection_pool
    return isinstance(pool, blocking) and not _is_short(pool.timeout)


def _is_short(seconds: object) -> bool:
    return not isinstance(seconds, bool) and isinstance(seconds, (int, float)) and 0 < seconds <= MOST_SECONDS


def _caches(client: Any, _: Mapping[str, Any]) -> bool:
    return getattr(client.connection_pool, "cache", None) is not None


_COMPLAINTS: tuple[tuple[Callable[[Any, Mapping[str, Any]], bool], str], ...] = (
    (_reads_replicas, "the Redis client reads from replicas, which may not know a revocation yet; use the master"),
    (_has_one_connection, "the Redis client has a single connection, which mixes up replies; use one with a pool"),
    (_retries, f"the Redis client retries, so a one-time token could count as used twice; {_WRITE}"),
    (_waits_too_long, f"the Redis client may wait longer than {MOST_SECONDS:g} s, and so would requests; {_WRITE}"),
    (_caches, "the Redis client caches what it reads, and so would miss revocations; use one without a cache"),
)
