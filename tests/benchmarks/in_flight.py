"""Many checks in flight on a strict Redis: what all of them cost, beside as many calls of the user's own client."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

from bearerguard import RedisStore, SignedTokens, Verifier

from .harness import Serve, Served, interleaved, ratio, rounds_of_one_token
from .ours import verifier_for
from .redis_rows import BY_CLIENT, BY_URL
from .redis_server import async_client, blocking_client, redis_url, sent
from .tokens import shared_secret

CHECKS = 50
EXISTS = "EXISTS for each, by that client"
ONE_MGET = "one MGET of all their keys, by that client"

_BLOCK = 6


@dataclass(frozen=True, slots=True)
class InFlightRow:
    """What a row is about."""

    flavour: str

    def __str__(self) -> str:
        return f"{CHECKS} checks in flight on strict Redis, {self.flavour}"


@dataclass(frozen=True, slots=True)
class InFlightFigures:
    """What one contestant came to."""

    contestant: str
    milliseconds: float
    """For all checks together."""
    times_cheaper: float
    """The ratio that the goals speak of: how much less than an EXISTS for each check."""
    commands: int
    """What the server was sent for them, counted by the server."""


@dataclass(frozen=True, slots=True)
class InFlightResult:
    """One row, measured."""

    row: InFlightRow
    keys: int
    """How many keys one check reads."""
    figures: tuple[InFlightFigures, ...]

    @property
    def title(self) -> str:
        """Which row this is."""
        return str(self.row)


TASKS, THREADS = InFlightRow("tasks"), InFlightRow("threads")
ROWS = (TASKS, THREADS)

Crowd = Callable[[], object]
"""Lets all checks come at once, and returns when all are done."""


def measure(chosen: Sequence[InFlightRow], rounds: int) -> Iterator[InFlightResult]:
    """One result per row, as they come; LeftOut where no Redis can be started."""
    for row in chosen:
        with redis_url() as url, asyncio.Runner() as runner, ExitStack() as stack:
            crowds = (_tasks if row == TASKS else _threads)(url, runner, stack)
            yield _measured(row, url, crowds, rounds)


def _measured(row: InFlightRow, url: str, crowds: Mapping[str, Crowd], rounds: int) -> InFlightResult:
    for crowd in crowds.values():
        crowd()
    commands = {name: _asked(url, crowd) for name, crowd in crowds.items()}
    contestants: dict[str, Serve] = {name: partial(_served, crowd) for name, crowd in crowds.items()}
    times = interleaved(contestants, rounds_of_one_token("", rounds=rounds, block=_BLOCK))
    figures = (
        InFlightFigures(name, median(own) / 1000, ratio(times[EXISTS], own), len(commands[name]))
        for name, own in times.items()
    )
    return InFlightResult(row, len(commands[EXISTS][0]) - 1, tuple(figures))


def _asked(url: str, crowd: Crowd) -> list[list[str]]:
    """What the server is asked; not INFO, which goes once over each connection of the client's pool."""
    return [words for words in sent(url, crowd) if words != ["INFO"]]


def _served(crowd: Crowd, tokens: Sequence[str | None]) -> Served:
    nanoseconds: list[int] = []
    for _ in tokens:
        start = time.perf_counter_ns()
        crowd()
        nanoseconds.append(time.perf_counter_ns() - start)
    return Served(nanoseconds, [200])


def _some_tokens() -> list[str]:
    """Each of another user of another tenant, so that no key but the store's own is asked for twice."""
    signs = shared_secret()
    return [signs.token(sub=f"usr_{number}", tenant=f"str_{number}") for number in range(CHECKS)]


def _keys(url: str, tokens: Sequence[str]) -> list[list[str]]:
    """What a check of each token reads, as the server sees it."""
    with verifier_for(shared_secret(), store=RedisStore(url)) as verifier:
        verifier.verify(tokens[0])
        read = [sent(url, partial(verifier.verify, token)) for token in tokens]
    if {(len(commands), commands[0][0]) for commands in read} != {(1, "MGET")}:
        raise RuntimeError("a check sent something else than one MGET")
    return [commands[0][1:] for commands in read]


def _all(keys: Sequence[Sequence[str]]) -> Sequence[str]:
    """Each of them once."""
    return [*dict.fromkeys(name for names in keys for name in names)]


def _tasks(url: str, runner: asyncio.Runner, stack: ExitStack) -> dict[str, Crowd]:
    tokens = _some_tokens()
    keys = _keys(url, tokens)
    client = async_client(url)
    stack.callback(lambda: runner.run(client.aclose()))

    def gathered(calls: Callable[[], Sequence[Awaitable[Any]]]) -> Crowd:
        async def all_at_once() -> None:
            await asyncio.gather(*calls())

        return lambda: runner.run(all_at_once())

    def checked(verifier: Verifier[SignedTokens]) -> Crowd:
        stack.callback(lambda: runner.run(verifier.aclose()))
        return gathered(lambda: [verifier.averify(token) for token in tokens])

    return {
        EXISTS: gathered(lambda: [client.exists(*names) for names in keys]),
        ONE_MGET: gathered(lambda: [client.mget(*_all(keys))]),
        BY_URL: checked(verifier_for(shared_secret(), store=RedisStore(url))),
        BY_CLIENT: checked(verifier_for(shared_secret(), store=RedisStore(client))),
    }


def _threads(url: str, _: asyncio.Runner, stack: ExitStack) -> dict[str, Crowd]:
    tokens = _some_tokens()
    keys = _keys(url, tokens)
    client = stack.enter_context(blocking_client(url))
    pool = stack.enter_context(ThreadPoolExecutor(CHECKS))

    def checked(store: RedisStore) -> Crowd:
        verifier = stack.enter_context(verifier_for(shared_secret(), store=store))
        return _at_once(pool, [partial(verifier.verify, token) for token in tokens])

    return {
        EXISTS: _at_once(pool, [partial(client.exists, *names) for names in keys]),
        ONE_MGET: partial(client.mget, *_all(keys)),
        BY_URL: checked(RedisStore(url)),
        BY_CLIENT: checked(RedisStore(client)),
    }


def _at_once(pool: Executor, calls: Sequence[Callable[[], object]]) -> Crowd:
    def crowd() -> None:
        barrier = threading.Barrier(len(calls))

        def after_all(call: Callable[[], object]) -> None:
            barrier.wait(30)
            call()

        for future in [pool.submit(after_all, call) for call in calls]:
            future.result()

    return crowd
