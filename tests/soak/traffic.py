"""The traffic: callers that show tokens of all sorts, and somebody who revokes and withdraws them."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlencode

from .apps import CONTROL
from .ledger import Ledger
from .oracle import CACHE_SECONDS, Door, Verdict
from .revoker import DONE
from .tokens import TENANTS, USERS, Token, flawed_token, made_up_token, opaque_token, signed_token
from .wire import Line, post, request_of
from .world import World

CALLERS = 8
"""To each fleet; not more than one of its workers has threads, so that nobody queues behind others."""

MOST_LIVE = 120
MOST_OLD = 400
REQUESTS_A_LINE = (20, 150)
REVOKE_EVERY = 0.3
WITHDRAW_EVERY = 0.4
PAUSE_AFTER_503 = 0.03


@dataclass(frozen=True, slots=True)
class Errand:
    """A token to show, and where."""

    token: Token
    door: Door


class Plan:
    """What is shown next."""

    def __init__(self, chance: random.Random, ledger: Ledger) -> None:
        self._chance = chance
        self._ledger = ledger
        self._urgent = deque[Errand](maxlen=200)
        self._live: list[Token] = []
        self._old = deque[Errand](maxlen=MOST_OLD)

    def next(self) -> Errand:
        """An errand: an urgent one, or by chance one of all sorts."""
        if self._urgent:
            return self._urgent.popleft()
        dice = self._chance.random()
        if dice < 0.15:
            return self._once()
        if dice < 0.35 and self._old:
            return self._chance.choice(self._old)
        if dice < 0.40:
            return Errand(self._flawed(), self._anywhere())
        return Errand(self._living(), self._anywhere())

    def learns(self, errand: Errand, verdict: Verdict) -> None:
        """What came of an errand decides what is shown again."""
        token = errand.token
        if errand.door is Door.ONCE:
            self._old.append(errand)
            if verdict in (Verdict.UNAVAILABLE, Verdict.PASSED) and self._chance.random() < 0.3:
                self._urgent.append(errand)
        elif verdict in (Verdict.EXPIRED, Verdict.REVOKED, Verdict.INVALID) and token in self._live:
            self._live.remove(token)
            self._old.append(errand)

    def show_again(self, tokens: Sequence[Token]) -> None:
        """Show these at once, to whoever takes them."""
        for token in tokens:
            self._urgent.extend(Errand(token, self._anywhere()) for _ in range(4))

    def some_live(self) -> Token | None:
        """A token that was good when we last heard of it."""
        return self._chance.choice(self._live) if self._live else None

    def live_of(self, name: str) -> list[Token]:
        """Some that a user or a tenant has."""
        return [token for token in self._live if name in (token.user, token.tenant)][:5]

    def _once(self) -> Errand:
        token = self._minted() if self._chance.random() < 0.9 else self._living()
        for _ in range(self._chance.choice([0, 0, 0, 1, 3])):
            self._urgent.append(Errand(token, Door.ONCE))
        return Errand(token, Door.ONCE)

    def _living(self) -> Token:
        if len(self._live) < MOST_LIVE:
            self._live.append(self._minted())
            return self._live[-1]
        return self._chance.choice(self._live)

    def _minted(self) -> Token:
        if self._chance.random() < 0.7:
            return signed_token(self._chance)
        token = opaque_token(self._chance)
        self._ledger.opaque[token.text] = token
        return token

    def _flawed(self) -> Token:
        return flawed_token(self._chance) if self._chance.random() < 0.8 else made_up_token()

    def _anywhere(self) -> Door:
        return self._chance.choice([Door.PLAIN, Door.SCOPED])


class Pace:
    """Lets so many requests pass in a second."""

    def __init__(self, per_second: float) -> None:
        self._step = 1 / per_second
        self._next = time.monotonic()

    async def turn(self) -> None:
        """Wait for one's turn."""
        now = time.monotonic()
        self._next = max(self._next + self._step, now - 0.1)
        if self._next > now:
            await asyncio.sleep(self._next - now)


@dataclass(frozen=True)
class Stage:
    """What everybody who takes part needs."""

    world: World
    ledger: Ledger
    plan: Plan
    pace: Pace
    chance: random.Random
    over: asyncio.Event


async def calls(fleet: str, stage: Stage) -> None:
    """One caller, until it is over: it keeps its connection for a while and then comes by another."""
    line = Line(stage.world.fleets[fleet].port)
    while not stage.over.is_set():
        for _ in range(stage.chance.randint(*REQUESTS_A_LINE)):
            await stage.pace.turn()
            if await _asks_once(fleet, line, stage) in (Verdict.UNAVAILABLE, Verdict.LOST):
                await asyncio.sleep(PAUSE_AFTER_503)
            if stage.over.is_set():
                break
        line.close()


async def _asks_once(fleet: str, line: Line, stage: Stage) -> Verdict:
    with suppress(OSError):
        await line.open()
    errand = stage.plan.next()
    question = stage.ledger.asks(errand.token, errand.door, fleet)
    answer = await line.ask(request_of(errand.door, errand.token.text))
    stage.ledger.hears(question, answer)
    stage.plan.learns(errand, answer.verdict)
    return answer.verdict


async def revokes(stage: Stage) -> None:
    """Revoke by chance, through a worker or from the process without the secrets, until it is over."""
    world, plan, ledger, chance = stage.world, stage.plan, stage.ledger, stage.chance
    while not stage.over.is_set():
        await asyncio.sleep(chance.uniform(0, 2 * REVOKE_EVERY))
        token = plan.some_live()
        dice = chance.random()
        if dice < 0.7 and token is not None:
            order: dict[str, object] = {"what": "id", "name": token.token_id, "until": token.ends_at}
            with ledger.revoking(token.revocations, is_watermark=False) as how:
                how.add(await _revoked(world, ledger, chance, order))
            plan.show_again([token])
        else:
            what, name = ("user", chance.randrange(USERS)) if dice < 0.9 else ("tenant", chance.randrange(TENANTS))
            named = f"{'usr' if what == 'user' else 'str'}_{name}"
            with ledger.revoking(ledger.watermarks(named), is_watermark=True) as how:
                how.add(await _revoked(world, ledger, chance, {"what": what, "name": named}))
            plan.show_again(plan.live_of(named))


async def _revoked(world: World, ledger: Ledger, chance: random.Random, order: dict[str, object]) -> str:
    """How it went: "done", or anything else where nobody knows."""
    fleet = chance.choice([*world.fleets, None])
    if fleet is None:
        return await world.revoker.does(**order)
    line = Line(world.fleets[fleet].port)
    with suppress(OSError):
        await line.open()
    sent_at = time.time()
    answer = await line.ask(post(f"{CONTROL}?{urlencode(order)}"))
    line.close()
    ledger.hears_of_revocation(sent_at, answer)
    return DONE if answer.verdict is Verdict.PASSED else ""


async def withdraws(stage: Stage) -> None:
    """Withdraw opaque tokens at the provider by chance, until it is over."""
    plan, chance = stage.plan, stage.chance
    while not stage.over.is_set():
        await asyncio.sleep(chance.uniform(0, 2 * WITHDRAW_EVERY))
        token = plan.some_live()
        if token is not None and token.is_opaque and token.withdrawn_at is None:
            token.withdrawn_at = time.time()
            asyncio.get_running_loop().call_later(CACHE_SECONDS + 0.01, plan.show_again, [token])
