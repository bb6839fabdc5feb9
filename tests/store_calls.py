"""A store's port, called alike in either flavour."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias, TypeVar

from bearerguard.core.ports import Spent, Store, run_sync
from bearerguard.stores import MemoryStore, RedisStore, StoreSource

Flavour: TypeAlias = Literal["sync", "async"]
_T = TypeVar("_T")

WITHIN = 0.5


class Calls:
    """The methods of a port as plain calls, with the deadline that the core gives."""

    def __init__(self, port: Store, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self.port = port
        self.run = run

    def read(self, *names: str, within: float = WITHIN) -> list[str | None]:
        return [*self.run(self.port.read(names, within=within))]

    def raise_mark(self, name: str, number: int, *, keep_seconds: int = 60, within: float = WITHIN) -> None:
        self.run(self.port.raise_mark(name, number, keep_seconds=keep_seconds, within=within))

    def spend(
        self, name: str, nonce: str, *, epoch: str | None = None, keep_seconds: int = 60, within: float = WITHIN
    ) -> Spent:
        spent: Spent = self.run(self.port.spend(name, nonce, epoch=epoch, keep_seconds=keep_seconds, within=within))
        return spent

    def found_epoch(self, observed: str | None, *, trusted: bool = True, within: float = WITHIN) -> str:
        return str(self.run(self.port.found_epoch(observed, trusted=trusted, within=within)))

    def together(self, calls: Sequence[Callable[[], Coroutine[Any, Any, _T]]]) -> list[_T | BaseException]:
        """What many calls at once give, or raise: as tasks, or as 50 threads."""
        if isinstance(self.run, _RunInLoop):
            return self.run(_gathered(calls))  # type: ignore[no-any-return]
        with ThreadPoolExecutor(50) as pool:
            return [*pool.map(lambda call: _outcome(lambda: run_sync(call())), calls)]


@contextmanager
def calls_to(source: StoreSource, flavour: Flavour) -> Iterator[Calls]:
    """The port of that flavour, closed at the end."""
    if flavour == "sync":
        sync_port = source.sync_port()
        try:
            yield Calls(sync_port, run_sync)
        finally:
            sync_port.close()
        return
    with asyncio.Runner() as runner:
        run = _RunInLoop(runner)
        async_port = run(_awaited(source.async_port))
        try:
            yield Calls(async_port, run)
        finally:
            run(async_port.aclose())


class _RunInLoop:
    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner

    def __call__(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)


async def _awaited(work: Callable[[], _T]) -> _T:
    return work()


async def _gathered(calls: Sequence[Callable[[], Coroutine[Any, Any, _T]]]) -> list[_T | BaseException]:
    return await asyncio.gather(*(call() for call in calls), return_exceptions=True)


def _outcome(call: Callable[[], _T]) -> _T | BaseException:
    try:
        return call()
    except Exception as error:
        return error


def elapsed(call: Callable[[], object]) -> float:
    """How many seconds a call takes, whether it returns or raises."""
    start = time.perf_counter()
    _outcome(call)
    return time.perf_counter() - start


def store_of(kind: str, url: str) -> tuple[StoreSource, Flavour]:
    """The store and flavour that "memory", "redis-sync" or "redis-async" names."""
    if kind == "memory":
        return MemoryStore(), "sync"
    return RedisStore(url), "sync" if kind == "redis-sync" else "async"
