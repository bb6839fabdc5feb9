"""The crowd: many requests at once with one token that nobody has seen, and how often the provider is asked."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Any

from . import provider
from .contestants_asgi import fastmcp_verifier
from .harness import OURS, ratio
from .ours import introspecting
from .provider import Provider

REQUESTS = 500
ROUNDS = 10

FASTMCP = "fastmcp IntrospectionTokenVerifier, cache on"
EACH_ASKS = "a call for each request, with http.client"

Crowd = Callable[[str], None]
"""Lets `REQUESTS` requests with this token come at once, and returns when all have been let in."""


@dataclass(frozen=True, slots=True)
class CrowdRow:
    """What a row is about."""

    flavour: str

    def __str__(self) -> str:
        return f"{REQUESTS} requests, one new opaque token, {self.flavour}"


@dataclass(frozen=True, slots=True)
class CrowdFigures:
    """What one contestant came to."""

    contestant: str
    calls: int
    """The most calls to the provider in any round."""
    milliseconds: float
    times_ours: float


@dataclass(frozen=True, slots=True)
class CrowdResult:
    """One row, measured."""

    row: CrowdRow
    figures: tuple[CrowdFigures, ...]

    @property
    def title(self) -> str:
        """Which row this is."""
        return str(self.row)


ROWS = (CrowdRow("tasks"), CrowdRow("threads"))


def measure(chosen: Sequence[CrowdRow]) -> Iterator[CrowdResult]:
    """One result per row, as they come."""
    for row in chosen:
        with asyncio.Runner() as runner, ExitStack() as stack:
            asked = stack.enter_context(provider.running(runner))
            crowds = _tasks(asked, runner, stack) if row.flavour == "tasks" else _threads(asked, stack)
            yield CrowdResult(row, _figures(*_interleaved(crowds, asked)))


def _interleaved(crowds: dict[str, Crowd], asked: Provider) -> tuple[dict[str, list[float]], dict[str, list[int]]]:
    """Milliseconds and calls of each contestant, by round."""
    times: dict[str, list[float]] = {name: [] for name in crowds}
    calls: dict[str, list[int]] = {name: [] for name in crowds}
    order = list(crowds)
    for _ in range(ROUNDS):
        random.shuffle(order)
        for name in order:
            before, start = asked.asked(), time.perf_counter()
            crowds[name](asked.token())
            times[name].append((time.perf_counter() - start) * 1000)
            calls[name].append(asked.asked() - before)
    return times, calls


def _figures(times: dict[str, list[float]], calls: dict[str, list[int]]) -> tuple[CrowdFigures, ...]:
    return tuple(
        CrowdFigures(name, max(calls[name]), median(own), ratio(own, times[OURS])) for name, own in times.items()
    )


def _tasks(asked: Provider, runner: asyncio.Runner, stack: ExitStack) -> dict[str, Crowd]:
    crowds = {OURS: _gathered(introspecting(asked).averify, runner)}
    try:
        import httpx2

        client = httpx2.AsyncClient(timeout=30)
        crowds[FASTMCP] = _gathered(fastmcp_verifier(asked, client).verify_token, runner)
    except ImportError:
        return crowds
    stack.callback(lambda: runner.run(client.aclose()))
    return crowds


def _gathered(verify: Callable[[str], Any], runner: asyncio.Runner) -> Crowd:
    async def gathered(token: str) -> None:
        _check(await asyncio.gather(*(verify(token) for _ in range(REQUESTS))))

    return lambda token: runner.run(gathered(token))


def _threads(asked: Provider, stack: ExitStack) -> dict[str, Crowd]:
    pool = stack.enter_context(ThreadPoolExecutor(REQUESTS))

    def call(token: str) -> bool:
        return json.loads(asked.ask(token.encode()))["active"] is True

    return {OURS: _at_once(introspecting(asked).verify, pool), EACH_ASKS: _at_once(call, pool)}


def _at_once(verify: Callable[[str], object], pool: ThreadPoolExecutor) -> Crowd:
    def crowd(token: str) -> None:
        barrier = threading.Barrier(REQUESTS)

        def at_once() -> object:
            barrier.wait(30)
            return verify(token)

        _check([future.result() for future in [pool.submit(at_once) for _ in range(REQUESTS)]])

    return crowd


def _check(answers: Sequence[object]) -> None:
    if not all(answers):
        raise RuntimeError("a good token was refused")
