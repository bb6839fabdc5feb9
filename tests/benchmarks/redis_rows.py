"""The rows with a Redis: one check beside one call of the user's own client for the same keys, on the same server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any, Protocol

from bearerguard import OpaqueTokens, RedisStore, Verifier
from bearerguard.core.ports import run_sync
from bearerguard.stores.redis.async_wire import AsyncWire
from bearerguard.stores.redis.lines import lines_to
from bearerguard.stores.redis.server import ServerWatch
from bearerguard.stores.redis.sync_wire import SyncWire

from . import provider
from .floor_opaque import OpaqueFloor
from .floor_redis import RedisFloor
from .harness import Serve, Served, interleaved, ratio, rounds_of_one_token
from .ours import introspecting
from .provider import Provider
from .redis_server import async_client, blocking_client, redis_url
from .redis_server import sent as sent_to
from .tokens import AUDIENCE, ISSUER

HIT = "introspection, Redis hit"
STRICT = "strict Redis on top"

CLIENT = "that client's own call"
WIRE = "the same call over our connections"
SCRIPT = "that client, running our script"
BY_HAND = "floor: the same, and the entry proved and judged"
BY_URL = "bearerguard, RedisStore(url)"
BY_CLIENT = "bearerguard, RedisStore(that client)"

CHECKS_COUNTED = 20

_BLOCK = 40


@dataclass(frozen=True, slots=True)
class RedisRow:
    """What a row is about."""

    what: str
    flavour: str

    def __str__(self) -> str:
        return f"{self.what}, {self.flavour}"


@dataclass(frozen=True, slots=True)
class RedisFigures:
    """What one contestant came to."""

    contestant: str
    microseconds: float
    times_client: float
    """The ratio that the goals speak of: how many times the client's own call."""
    round_trips: float | None
    """Commands that the server was sent per check, counted by the server; None for who is the yardstick."""


@dataclass(frozen=True, slots=True)
class RedisResult:
    """One row, measured."""

    row: RedisRow
    command: str
    figures: tuple[RedisFigures, ...]

    @property
    def title(self) -> str:
        """Which row this is."""
        return str(self.row)


ROWS = tuple(RedisRow(what, flavour) for what in (HIT, STRICT) for flavour in ("async", "sync"))


def measure(chosen: Sequence[RedisRow], rounds: int) -> Iterator[RedisResult]:
    """One result per row, as they come; LeftOut where no Redis can be started."""
    for row in chosen:
        with asyncio.Runner() as runner, provider.running(runner) as asked, redis_url() as url:
            side: _Side = (_AsyncSide if row.flavour == "async" else _BlockingSide)(url, runner)
            try:
                yield _measured(row, side, asked, rounds)
            finally:
                side.close()


def _measured(row: RedisRow, side: _Side, asked: Provider, rounds: int) -> RedisResult:
    token = asked.token()
    checks = _checks(row, side, asked)
    for check in checks.values():
        check([token] * 3)
    sent = {name: sent_to(side.url, partial(check, [token] * CHECKS_COUNTED)) for name, check in checks.items()}
    command = _yardstick(row, sent[BY_URL][0])
    others = {CLIENT: partial(side.client.execute_command, *command), WIRE: partial(side.over_wire, *command)}
    contestants = {name: side.serve(_whatever_token(call)) for name, call in others.items()}
    if row.what == HIT:
        contestants[SCRIPT] = side.serve(_whatever_token(partial(side.client.execute_command, *sent[BY_URL][0])))
        contestants[BY_HAND] = side.serve(partial(side.by_hand, _floor(asked, sent[BY_URL][0])))
    contestants |= checks
    times = interleaved(contestants, rounds_of_one_token(token, rounds=rounds, block=_BLOCK))
    keys = len(command) - 1
    return RedisResult(row, f"{command[0]} of {keys} key{'s' * (keys > 1)}", _figures(times, sent))


def _checks(row: RedisRow, side: _Side, asked: Provider) -> dict[str, Serve]:
    """What is measured: verifiers that remember no token, so that Redis must; for the other row, verifiers that do."""
    remember = 0 if row.what == HIT else 10_000
    stores = {BY_URL: RedisStore(side.url), BY_CLIENT: RedisStore(side.client)}
    return {
        name: side.serve(partial(side.verify, introspecting(asked, store=store, remember_tokens=remember)))
        for name, store in stores.items()
    }


def _floor(asked: Provider, command: Sequence[str]) -> RedisFloor:
    (kind,) = introspecting(asked).kinds
    return RedisFloor(kind, asked.endpoint, command, OpaqueFloor(asked.ask, issuer=ISSUER, audience=AUDIENCE))


def _figures(times: Mapping[str, Sequence[float]], sent: Mapping[str, Sequence[object]]) -> tuple[RedisFigures, ...]:
    trips = {name: len(commands) / CHECKS_COUNTED for name, commands in sent.items()}
    return tuple(
        RedisFigures(name, median(own), ratio(own, times[CLIENT]), trips.get(name)) for name, own in times.items()
    )


def _whatever_token(call: Callable[[], Any]) -> Callable[[str], Any]:
    return lambda _: call()


def _yardstick(row: RedisRow, command: Sequence[str]) -> Sequence[str]:
    """The plain command that reads what this check reads: GET of the entry, or the very MGET."""
    if row.what == STRICT:
        return command
    name, _, _, entry = command[:4]
    if name != "EVALSHA":
        raise RuntimeError(f"a recall sent {name} and not its script")
    return "GET", entry


class _Side(Protocol):
    """One flavour: how to call, and how long it takes."""

    url: str
    client: Any

    def verify(self, verifier: Verifier[OpaqueTokens], token: str) -> Any: ...
    def over_wire(self, *command: str) -> Any: ...
    def by_hand(self, floor: RedisFloor, token: str) -> Any: ...
    def serve(self, call: Callable[[str], Any]) -> Serve: ...
    def close(self) -> None: ...


class _AsyncSide:
    """Calls in one event loop."""

    def __init__(self, url: str, runner: asyncio.Runner) -> None:
        self.url = url
        self.client: Any = async_client(url)
        self._runner = runner
        self._wire = AsyncWire(lines_to(url, "epoch").async_line(ServerWatch()))

    def verify(self, verifier: Verifier[OpaqueTokens], token: str) -> Awaitable[Any]:
        return verifier.averify(token)

    def over_wire(self, *command: str) -> Awaitable[Any]:
        return self._wire.execute(*command, within=0.5)

    async def by_hand(self, floor: RedisFloor, token: str) -> object:
        return floor.claims(token, await self.client.execute_command(*floor.command(token)))

    def serve(self, call: Callable[[str], Awaitable[Any]]) -> Serve:
        return lambda tokens: self._runner.run(self._served(call, tokens))

    async def _served(self, call: Callable[[str], Awaitable[Any]], tokens: Sequence[str | None]) -> Served:
        nanoseconds: list[int] = []
        for token in tokens:
            start = time.perf_counter_ns()
            await call(token or "")
            nanoseconds.append(time.perf_counter_ns() - start)
        return Served(nanoseconds, [200])

    def close(self) -> None:
        self._runner.run(self._wire.close())
        self._runner.run(self.client.aclose())


class _BlockingSide:
    """Calls in one thread."""

    def __init__(self, url: str, _: asyncio.Runner) -> None:
        self.url = url
        self.client: Any = blocking_client(url)
        self._wire = SyncWire(lines_to(url, "epoch").sync_line(ServerWatch()))

    def verify(self, verifier: Verifier[OpaqueTokens], token: str) -> object:
        return verifier.verify(token)

    def over_wire(self, *command: str) -> object:
        return run_sync(self._wire.execute(*command, within=0.5))

    def by_hand(self, floor: RedisFloor, token: str) -> object:
        return floor.claims(token, self.client.execute_command(*floor.command(token)))

    def serve(self, call: Callable[[str], object]) -> Serve:
        def served(tokens: Sequence[str | None]) -> Served:
            nanoseconds: list[int] = []
            for token in tokens:
                start = time.perf_counter_ns()
                call(token or "")
                nanoseconds.append(time.perf_counter_ns() - start)
            return Served(nanoseconds, [200])

        return served

    def close(self) -> None:
        run_sync(self._wire.close())
        self.client.close()
