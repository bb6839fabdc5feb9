"""Checks that the tasks of one loop ask for at the same moment go to Redis as one."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from bearerguard import RedisStore, StoreUnavailable
from bearerguard.stores.redis.gathered import MOST_TOGETHER, Gathered
from bearerguard.stores.redis.wire import SILENCE_SECONDS
from tests.servers import RedisServer

WITHIN = 0.5


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """The test, run in an event loop of its own."""

    @functools.wraps(test)
    def run(*args: Any, **options: Any) -> None:
        asyncio.run(test(*args, **options))

    return run


class Slow:
    """Reads that end when the test says so; a value tells which read it came from."""

    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []
        self.go_on = asyncio.Event()
        self.fails = False

    async def __call__(self, names: Sequence[str], *, within: float) -> Sequence[str | None]:
        self.asked.append(names)
        number = len(self.asked)
        await self.go_on.wait()
        if self.fails:
            raise StoreUnavailable("store_evicts") from TimeoutError("scripted")
        return [f"{name} of read {number}" for name in names]


async def _turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@in_a_loop
async def test_asks_once_for_all_who_ask_in_one_turn() -> None:
    slow = Slow()
    gathered = Gathered(slow)
    readers = [asyncio.ensure_future(gathered.read(("epoch", f"d:{i}"), within=WITHIN)) for i in range(5)]
    slow.go_on.set()
    assert await asyncio.gather(*readers) == [["epoch of read 1", f"d:{i} of read 1"] for i in range(5)]
    assert slow.asked == [("epoch", "d:0", "d:1", "d:2", "d:3", "d:4")]


@in_a_loop
async def test_nobody_joins_a_read_that_is_on_its_way() -> None:
    slow = Slow()
    gathered = Gathered(slow)
    first = [asyncio.ensure_future(gathered.read(("d:1",), within=WITHIN)) for _ in range(2)]
    await _turns()
    assert len(slow.asked) == 1
    later = [asyncio.ensure_future(gathered.read(("d:1",), within=WITHIN)) for _ in range(2)]
    await _turns()
    slow.go_on.set()
    assert await asyncio.gather(*first) == [["d:1 of read 1"]] * 2
    assert await asyncio.gather(*later) == [["d:1 of read 2"]] * 2


@in_a_loop
async def test_whoever_is_cancelled_harms_nobody() -> None:
    slow = Slow()
    gathered = Gathered(slow)
    readers = [asyncio.ensure_future(gathered.read((f"d:{i}",), within=WITHIN)) for i in range(4)]
    await _turns()
    readers[0].cancel()
    await _turns()
    slow.go_on.set()
    ends = await asyncio.gather(*readers, return_exceptions=True)
    assert isinstance(ends[0], asyncio.CancelledError)
    assert ends[1:] == [[f"d:{i} of read 1"] for i in range(1, 4)]


@in_a_loop
async def test_each_caller_gets_a_failure_of_his_own() -> None:
    slow = Slow()
    slow.fails = True
    slow.go_on.set()
    gathered = Gathered(slow)
    ends = await asyncio.gather(*(gathered.read(("d:1",), within=WITHIN) for _ in range(3)), return_exceptions=True)
    assert [(type(end), str(getattr(end, "reason", ""))) for end in ends] == [(StoreUnavailable, "store_evicts")] * 3
    assert len({id(end) for end in ends}) == 3
    assert all(isinstance(end, BaseException) and isinstance(end.__cause__, TimeoutError) for end in ends)


@in_a_loop
async def test_who_has_little_time_asks_alone() -> None:
    slow = Slow()
    slow.go_on.set()
    gathered = Gathered(slow)
    hurried = gathered.read(("d:1",), within=SILENCE_SECONDS / 2)
    await asyncio.gather(hurried, *(gathered.read(("d:2",), within=WITHIN) for _ in range(2)))
    assert sorted(map(tuple, slow.asked)) == [("d:1",), ("d:2",)]


@in_a_loop
async def test_a_read_has_no_more_callers_than_its_bound() -> None:
    slow = Slow()
    slow.go_on.set()
    gathered = Gathered(slow)
    await asyncio.gather(*(gathered.read((f"d:{i}",), within=WITHIN) for i in range(MOST_TOGETHER + 10)))
    assert sorted(map(len, slow.asked)) == [10, MOST_TOGETHER]


@in_a_loop
async def test_closing_waits_for_what_is_on_its_way() -> None:
    slow = Slow()
    gathered = Gathered(slow)
    readers = [asyncio.ensure_future(gathered.read(("d:1",), within=WITHIN)) for _ in range(2)]
    await _turns()
    closing = asyncio.ensure_future(gathered.aclose())
    await _turns()
    assert not closing.done()
    slow.go_on.set()
    await closing
    assert await asyncio.gather(*readers) == [["d:1 of read 1"]] * 2


@pytest.mark.parametrize("at_once", [1, 50])
@in_a_loop
async def test_redis_is_asked_once(redis_server: RedisServer, at_once: int) -> None:
    port = RedisStore(redis_server.url).async_port()
    redis_server.cli("CONFIG", "RESETSTAT")
    names = [("epoch", f"d:{i}", f"u:{i}", f"t:{i}") for i in range(at_once)]
    answers = await asyncio.gather(*(port.read(four, within=WITHIN) for four in names))
    assert [list(answer) for answer in answers] == [[None] * 4] * at_once
    assert redis_server.cli("INFO", "commandstats")["cmdstat_mget"]["calls"] == 1
    await port.aclose()


@in_a_loop
async def test_what_is_unreadable_for_one_is_not_for_the_others() -> None:
    asked: list[tuple[Sequence[str], float]] = []

    async def read(names: Sequence[str], *, within: float) -> Sequence[str | None]:
        asked.append((names, within))
        await asyncio.sleep(0)
        if "spoilt" in names:
            raise StoreUnavailable("store_unreadable")
        return list(names)

    gathered = Gathered(read)
    readers = [gathered.read((name,), within=WITHIN) for name in ("one", "spoilt", "two")]
    outcomes = await asyncio.gather(*readers, return_exceptions=True)
    assert [outcomes[0], outcomes[2]] == [["one"], ["two"]]
    assert isinstance(outcomes[1], StoreUnavailable)
    assert [names for names, _ in asked] == [("one", "spoilt", "two"), ("one",), ("spoilt",), ("two",)]
    assert all(within < WITHIN for _, within in asked[1:])


@in_a_loop
async def test_what_is_unreadable_is_asked_for_once_where_nobody_else_asks() -> None:
    asked: list[Sequence[str]] = []

    async def read(names: Sequence[str], *, within: float) -> Sequence[str | None]:
        asked.append(names)
        raise StoreUnavailable("store_unreadable")

    with pytest.raises(StoreUnavailable):
        await Gathered(read).read(("spoilt",), within=WITHIN)
    assert asked == [("spoilt",)]
