"""What breaks: one fault of the store or of a worker at a time, and one of the provider, every few seconds."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from .ledger import Ledger
from .oracle import Loss, Need
from .provider import MOODS
from .proxy import EITHER, HEALS, WAYS
from .world import WORKERS, World

_T = TypeVar("_T")
_Way = Callable[[], Awaitable[None]]

PROC = Path("/proc/self")

STORE = (Need.READS, Need.WRITES, Need.SCRIPTS)
BETWEEN_SECONDS = (2.0, 6.0)
MEMORY_IS_LOST_EVERY = 4
ALL_KNOWN_SECONDS = 60.0
DYING_SECONDS = 40.0


class Faults:
    """Breaks the store and the workers, each way once before any comes again."""

    def __init__(self, world: World, ledger: Ledger, chance: random.Random, only: str = "") -> None:
        """`only` names the faults that are wanted, by a part of their names."""
        self._only = only
        self._world = world
        self._redis = world.redis
        self._do = world.hands.do
        self._ledger = ledger
        self._chance = chance
        self.elders: frozenset[int] = frozenset()

    async def all(self, over: asyncio.Event) -> None:
        """Break one thing after another until it is over; what was broken is whole again then."""
        async for way in _with_pauses(self._in_turn(), self._chance, over):
            await way()

    def _in_turn(self) -> Iterator[_Way]:
        """Every way once before any comes again; but the store loses its memory more often than that."""
        ways, losses = self._chosen(self._ways()), itertools.cycle(self._chosen(self._losses()))
        for number, way in enumerate(_shuffled(ways or self._chosen(self._losses()), self._chance)):
            if ways and number % MEMORY_IS_LOST_EVERY == 1:
                yield from itertools.islice(losses, 1)
            yield way

    def _chosen(self, ways: Mapping[str, _Way]) -> Sequence[_Way]:
        return [way for name, way in ways.items() if self._only in name]

    def _losses(self) -> Mapping[str, _Way]:
        return {
            "Redis returns empty": self._returns_empty,
            "Redis returns from a snapshot": self._returns_older,
        }

    def _ways(self) -> Mapping[str, _Way]:
        return {
            "Redis is frozen": self._freezes,
            "Redis cuts every connection": self._cuts_off,
            "Redis is full": self._is_full,
            "Redis holds writes back": self._delays,
            **{f"the wire to Redis {way}": partial(self._spoils_the_wire, way) for way in WAYS},
            "a worker is killed": self._kills,
            "a worker is told to end": self._ends,
            "a worker stands still": self._holds,
        }

    # --- The store

    async def _freezes(self) -> None:
        with self._ledger.fault("Redis is frozen", *STORE):
            await self._do(self._redis.freeze)
            await asyncio.sleep(self._chance.uniform(0.2, 3.0))
            await self._do(self._redis.thaw)

    async def _returns_empty(self) -> None:
        await self._all_workers_are_known()
        with self._ledger.fault("Redis returns empty", *STORE):
            await self._killed_and_back(empty=True)

    async def _returns_older(self) -> None:
        await self._all_workers_are_known()
        await self._do(self._redis.cli, "SAVE")
        await asyncio.sleep(self._chance.uniform(0.5, 4.0))
        with self._ledger.fault("Redis returns from a snapshot", *STORE):
            await self._killed_and_back(empty=False)

    async def _killed_and_back(self, *, empty: bool) -> None:
        loss = Loss(time.time())
        self._ledger.losses.append(loss)
        await self._do(self._redis.kill)
        loss = self._changed(loss, gone_at=time.time())
        await asyncio.sleep(self._chance.choice([0, self._chance.uniform(0, 1.5)]))
        await self._do(self._redis.restart, empty)
        self._changed(loss, back_at=time.time())

    def _changed(self, loss: Loss, **changes: float) -> Loss:
        losses = self._ledger.losses
        changed = losses[losses.index(loss)] = replace(loss, **changes)
        return changed

    async def _cuts_off(self) -> None:
        with self._ledger.fault("Redis cuts every connection", *STORE):
            for _ in range(self._chance.randint(1, 20)):
                await self._do(self._redis.cli, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                await asyncio.sleep(0.02)

    async def _is_full(self) -> None:
        with self._ledger.fault("Redis is full", Need.WRITES):
            await self._do(self._redis.cli, "CONFIG", "SET", "maxmemory", "1")
            await asyncio.sleep(self._chance.uniform(0.5, 3.0))
            await self._do(self._redis.cli, "CONFIG", "SET", "maxmemory", "0")

    async def _delays(self) -> None:
        with self._ledger.fault("Redis holds writes back", *STORE):
            milliseconds = self._chance.randint(100, 2000)
            await self._do(self._redis.cli, "CLIENT", "PAUSE", str(milliseconds), "WRITE")
            await asyncio.sleep(milliseconds / 1000)

    async def _spoils_the_wire(self, way: str) -> None:
        with self._ledger.fault(f"the wire to Redis {way}", *STORE):
            await self._world.proxy.does(way=way, only=self._chance.choice(EITHER).decode())
            await asyncio.sleep(self._chance.uniform(0.2, 2.5))
            await self._world.proxy.does(way=HEALS)

    # --- The workers

    async def _all_workers_are_known(self) -> None:
        """A worker that has never seen the store would trust an empty one: `first_start="trust"` (RULES.md, 4)."""
        deadline = time.monotonic() + ALL_KNOWN_SECONDS
        while any(len(self._living(fleet)) < WORKERS for fleet in self._world.fleets):
            if time.monotonic() > deadline:
                self._ledger.violated("worker missing", f"only {self._ledger.known_workers} have come")
                return
            await asyncio.sleep(0.05)

    def _living(self, fleet: str) -> list[int]:
        known = self._ledger.known_workers.setdefault(fleet, {})
        for pid in [*known]:
            if not is_alive(pid):
                del known[pid]
        return [*known]

    async def _kills(self) -> None:
        await self._signals("a worker is killed", signal.SIGKILL)

    async def _ends(self) -> None:
        await self._signals("a worker is told to end", signal.SIGTERM)

    async def _signals(self, name: str, number: signal.Signals) -> None:
        """The elders live on: somebody must remember, and somebody's memory is measured."""
        fleet = self._chance.choice([*self._world.fleets])
        young = [pid for pid in self._living(fleet) if pid not in self.elders]
        if not young:
            return
        with self._ledger.fault(name, Need.WORKER), suppress(ProcessLookupError):
            os.kill(young[0], number)
            await self._do(_wait_until_dead, young[0])

    async def _holds(self) -> None:
        fleet = self._chance.choice([*self._world.fleets])
        pids = self._living(fleet)
        if not pids:
            return
        pid = self._chance.choice(pids)
        with self._ledger.fault("a worker stands still", Need.WORKER, *STORE, Need.PROVIDER):
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(self._chance.uniform(0.2, 2.0))
            os.kill(pid, signal.SIGCONT)


async def vex_provider(world: World, ledger: Ledger, chance: random.Random, over: asyncio.Event) -> None:
    """Let the provider fail in one way after another until it is over."""
    async for mood in _with_pauses(_shuffled(MOODS, chance), chance, over):
        with ledger.fault(f"the provider {mood}", Need.PROVIDER):
            world.provider.mood = mood
            await asyncio.sleep(chance.uniform(0.2, 2.5))
            world.provider.mood = None


def _shuffled(things: Sequence[_T], chance: random.Random) -> Iterator[_T]:
    """Each thing once in an order of chance, and again in another."""
    while True:
        yield from chance.sample(things, len(things))


async def _with_pauses(things: Iterator[_T], chance: random.Random, over: asyncio.Event) -> AsyncIterator[_T]:
    """The things, with a while before each, until it is over."""
    for thing in things:
        with suppress(TimeoutError):
            async with asyncio.timeout(chance.uniform(*BETWEEN_SECONDS)):
                await over.wait()
                return
        yield thing


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that is dead and not yet buried does not."""
    with suppress(OSError):
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not PROC.exists() or stat.read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    return False


def _wait_until_dead(pid: int) -> None:
    deadline = time.monotonic() + DYING_SECONDS
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
