"""One soak from its beginning to its end."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .faults import Faults, vex_provider
from .ledger import UNEXPLAINED, Ledger
from .oracle import HEALING_SECONDS, Need
from .traffic import CALLERS, Pace, Plan, Stage, calls, revokes, withdraws
from .vitals import Growth, Vitals
from .world import WORKERS, world_of

STALL_SECONDS = 0.15
CALM_SECONDS = HEALING_SECONDS + 4
WARM_UP_SECONDS = 30.0
MOST_UNEXPLAINED_PART = 0.001


@dataclass(frozen=True)
class Orders:
    """How long a soak lasts: both so many seconds and so many decisions, but no longer than `at_most`."""

    seconds: float
    decisions: int = 0
    at_most: float = 3600.0
    per_second: float = 5000.0
    seed: int = 0
    stops_at_once: bool = False
    only: str = ""
    redis: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a soak has found out."""

    orders: Orders
    seconds: float
    redis: str
    ledger: Ledger
    growths: list[Growth]

    @property
    def is_good(self) -> bool:
        """Whether nothing was wrong."""
        return not self.ledger.count.violations


async def soaked(orders: Orders, say: Callable[[str], None]) -> Outcome:
    """Run one soak."""
    ledger, vitals, began_at = Ledger(say), Vitals(), time.monotonic()
    async with world_of(ledger, orders.redis) as world:
        chance = random.Random(orders.seed)
        plan = Plan(random.Random(orders.seed + 1), ledger)
        stage = Stage(world, ledger, plan, Pace(orders.per_second), random.Random(orders.seed + 2), asyncio.Event())
        with ledger.fault("the fleet starts", *Need):
            people = [asyncio.ensure_future(one) for one in _people(stage, vitals)]
            await _all_have_come(stage, people)
        calm = asyncio.Event()
        faults = Faults(world, ledger, chance, orders.only)
        faults.elders = frozenset(min(known) for known in ledger.known_workers.values())
        breaking = [
            asyncio.ensure_future(faults.all(calm)),
            asyncio.ensure_future(vex_provider(world, ledger, random.Random(orders.seed + 3), calm)),
        ]
        await _until_enough(orders, ledger, [*people, *breaking], say)
        calm.set()
        await asyncio.gather(*breaking)
        await asyncio.sleep(0 if orders.stops_at_once and ledger.count.violations else CALM_SECONDS)
        stage.over.set()
        await asyncio.gather(*people)
        redis_name, logs = world.redis.name, {name: server.log() for name, server in world.fleets.items()}
    _look_at(logs, ledger)
    _allow_for_a_busy_machine(ledger)
    if ledger.count.decisions < orders.decisions and not ledger.told:
        ledger.violated("too few decisions", f"{ledger.count.decisions} in {orders.at_most:.0f} s")
    growths = vitals.growths()
    for growth in growths:
        if not growth.is_flat:
            ledger.violated("not flat", str(growth))
    return Outcome(orders, time.monotonic() - began_at, redis_name, ledger, growths)


def _people(stage: Stage, vitals: Vitals) -> list[Coroutine[Any, Any, None]]:
    callers = [calls(fleet, stage) for fleet in stage.world.fleets for _ in range(CALLERS)]
    return [*callers, revokes(stage), withdraws(stage), _watch(stage), _keep_house(stage, vitals)]


async def _all_have_come(stage: Stage, people: Sequence[asyncio.Future[None]]) -> None:
    """Wait until every worker has answered."""
    deadline = time.monotonic() + WARM_UP_SECONDS
    while any(len(stage.ledger.known_workers.get(fleet, ())) < WORKERS for fleet in stage.world.fleets):
        _raise_what_broke(people)
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {stage.ledger.known_workers} have come; {stage.ledger.told}")
        await asyncio.sleep(0.05)


async def _until_enough(
    orders: Orders, ledger: Ledger, people: Sequence[asyncio.Future[None]], say: Callable[[str], None]
) -> None:
    began_at = said_at = time.monotonic()
    while True:
        await asyncio.sleep(0.5)
        _raise_what_broke(people)
        now = time.monotonic()
        if orders.stops_at_once and ledger.count.violations.keys() - {UNEXPLAINED}:
            return
        if now - began_at > orders.at_most - CALM_SECONDS:
            return
        if now - began_at > orders.seconds - CALM_SECONDS and ledger.count.decisions >= orders.decisions:
            return
        if now - said_at > 10:
            said_at = now
            wrong = dict(ledger.count.violations)
            say(f"{now - began_at:.0f} s, {ledger.count.decisions:,} decisions, violations {wrong}")


def _raise_what_broke(people: Sequence[asyncio.Future[None]]) -> None:
    for one in people:
        if one.done() and not one.cancelled():
            with suppress(asyncio.InvalidStateError):
                one.result()


async def _watch(stage: Stage) -> None:
    """Note when the machine gives us no time."""
    while not stage.over.is_set():
        before = time.time()
        await asyncio.sleep(0.02)
        if time.time() - before > STALL_SECONDS:
            stage.ledger.note_stall(before, time.time())


async def _keep_house(stage: Stage, vitals: Vitals) -> None:
    while not stage.over.is_set():
        stage.ledger.tidy()
        vitals.look([pid for known in stage.ledger.known_workers.values() for pid in known])
        await asyncio.sleep(1)


def _allow_for_a_busy_machine(ledger: Ledger) -> None:
    """Some 503s are the machine's: where it gives Redis or a worker no time, no answer comes inside the deadline."""
    count = ledger.count
    count.unexplained = count.violations.pop(UNEXPLAINED, 0)
    if count.unexplained > MOST_UNEXPLAINED_PART * count.decisions:
        ledger.violated(UNEXPLAINED, f"{count.unexplained} of {count.decisions}")


def _look_at(logs: dict[str, str], ledger: Ledger) -> None:
    for fleet, log in logs.items():
        at = log.find("Traceback")
        if at >= 0:
            ledger.violated("traceback", f"in the log of {fleet}: {log[max(0, at - 500) : at + 2000]}")
