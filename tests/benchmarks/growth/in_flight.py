"""What each check costs while more and more of them are under way: tasks of one loop, and threads."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256

import redis

from bearerguard import MemoryStore, RedisStore, SignedTokens, StoreUnavailable, Verifier
from bearerguard.stores import StoreLike
from bearerguard.stores.redis.wire import MOST_CONNECTIONS
from tests.servers import redis_binaries, start_redis

from .series import Series, of_times, sized
from .users import kind, tokens_of_users

SIZES = (1, 10, 100, 1_000)

GROWS = "users at once"
MOST_GROWN_IN_THREADS = 3.0
"""Threads hand Python's lock to each other, whatever they do: the yardsticks grow as well."""

Round = Callable[[], float]
"""Lets everybody check at once; microseconds per check."""


@dataclass(frozen=True)
class Crowd:
    """How long everybody goes on: long enough that setting out together does not count."""

    checks: int
    least_each: int

    def checks_each(self, size: int) -> int:
        """How many checks each of so many makes."""
        return max(self.least_each, self.checks // size)


IN_MEMORY = Crowd(checks=4_000, least_each=100)
OVER_REDIS = Crowd(checks=1_000, least_each=10)


def measured(rounds: int, sizes: Sequence[int] = SIZES) -> Iterator[Series]:
    """Tasks and threads, with a denylist in memory and in Redis, as they come."""
    yield in_tasks("in tasks of one loop, MemoryStore", MemoryStore(), IN_MEMORY, rounds, sizes)
    yield in_threads("in threads, MemoryStore", MemoryStore(), IN_MEMORY, rounds, sizes)
    yield _of_threads("in threads, a SHA-256 of the token alone", _hashed, IN_MEMORY, rounds, sizes, most=None)
    server = start_redis(redis_binaries()[0])
    try:
        yield in_tasks("in tasks of one loop, RedisStore", RedisStore(server.url), OVER_REDIS, rounds, sizes)
        yield in_threads("in threads, RedisStore", RedisStore(server.url), OVER_REDIS, rounds, sizes)
        yield with_client(server.url, OVER_REDIS, rounds, sizes)
    finally:
        server.close()


def in_tasks(check: str, store: StoreLike, crowd: Crowd, rounds: int, sizes: Sequence[int]) -> Series:
    """Each task checks its own token several times, and lets the others in between."""
    with asyncio.Runner() as runner:
        verifier = Verifier(kind(), store=store)
        runner.run(_seen(verifier))
        each = {size: _round_of_tasks(verifier, size, crowd.checks_each(size), runner) for size in sizes}
        taken = _in_turn(each, rounds)
        runner.run(verifier.aclose())
    return of_times(check, GROWS, {sized(size): times for size, times in taken.items()})


def in_threads(check: str, store: StoreLike, crowd: Crowd, rounds: int, sizes: Sequence[int]) -> Series:
    """Each thread checks its own token several times."""
    with closing(Verifier(kind(), store=store)) as verifier:
        for text in tokens_of_users():
            verifier.verify(text)
        return _of_threads(check, verifier.verify, crowd, rounds, sizes, most=MOST_GROWN_IN_THREADS)


def with_client(url: str, crowd: Crowd, rounds: int, sizes: Sequence[int]) -> Series:
    """What redis-py alone takes for as many keys, over as many connections."""
    pool = redis.BlockingConnectionPool.from_url(url, max_connections=MOST_CONNECTIONS, timeout=60)
    with closing(redis.Redis(connection_pool=pool)) as client:
        names = [f"name-{number}" for number in range(4)]
        check = "in threads, redis-py's MGET of as many keys"
        return _of_threads(check, lambda _: client.mget(names), crowd, rounds, sizes, most=None)


def _hashed(text: str) -> bytes:
    return sha256(text.encode()).digest()


async def _seen(verifier: Verifier[SignedTokens]) -> None:
    for text in tokens_of_users():
        await verifier.averify(text)


def _of_threads(
    check: str,
    call: Callable[[str], object],
    crowd: Crowd,
    rounds: int,
    sizes: Sequence[int],
    *,
    most: float | None,
) -> Series:
    tolerant = {size: _Tolerant(call) for size in sizes}
    with ThreadPoolExecutor(max(sizes)) as pool:
        each = {size: _round_of_threads(tolerant[size], size, crowd.checks_each(size), pool) for size in sizes}
        taken = _in_turn(each, rounds)
    named = {tolerant[size].named(size): taken[size] for size in sizes}
    return of_times(check, GROWS, named, most=most)


class _Tolerant:
    """A call that may end with a 503, which is counted."""

    def __init__(self, call: Callable[[str], object]) -> None:
        self._call = call
        self._refused: list[str] = []
        self._passed: list[None] = []

    def __call__(self, text: str) -> None:
        try:
            self._call(text)
        except StoreUnavailable as error:
            self._refused.append(error.reason)
        else:
            self._passed.append(None)

    def named(self, size: int) -> str:
        """The size, and which part of the calls was refused."""
        refused = len(self._refused) / (len(self._refused) + len(self._passed))
        return f"{sized(size)}, of which {refused:.1%} get a 503" if refused else sized(size)


def _in_turn(each: Mapping[int, Round], rounds: int) -> dict[int, list[float]]:
    times: dict[int, list[float]] = {size: [] for size in each}
    order = list(each)
    for _ in range(rounds):
        random.shuffle(order)
        for size in order:
            times[size].append(each[size]())
    return times


def _round_of_tasks(verifier: Verifier[SignedTokens], size: int, checks: int, runner: asyncio.Runner) -> Round:
    async def user(text: str) -> None:
        for _ in range(checks):
            await verifier.averify(text)
            await asyncio.sleep(0)

    async def everybody() -> float:
        started = time.perf_counter()
        await asyncio.gather(*(user(text) for text in tokens_of_users()[:size]))
        return (time.perf_counter() - started) / (size * checks) * 1e6

    return lambda: runner.run(everybody())


def _round_of_threads(call: Callable[[str], object], size: int, checks: int, pool: ThreadPoolExecutor) -> Round:
    def everybody() -> float:
        begun: list[float] = []
        barrier = threading.Barrier(size, action=lambda: begun.append(time.perf_counter()))

        def user(text: str) -> float:
            barrier.wait(60)
            for _ in range(checks):
                call(text)
            return time.perf_counter()

        ended = max(pool.map(user, tokens_of_users()[:size]))
        return (ended - begun[0]) / (size * checks) * 1e6

    return everybody
