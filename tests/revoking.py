"""Verifiers and denylists over one store, called alike in blocking and in async code."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from bearerguard import AuthError, Denylist, MemoryStore, RedisStore, SignedTokens, Unavailable, Verifier
from bearerguard.core.ports import Ports, run_sync
from tests.hostile import GOOD, NOW, Clock, claims, settings
from tests.minting import mint
from tests.servers import RedisServer, redis_names
from tests.store_calls import Flavour

_T = TypeVar("_T")

HORIZON = 3600
AUTHORITY = "shop:orders"
STEM = "bearerguard:{bearerguard}:"


def shop_settings(**changes: Any) -> SignedTokens:
    """Settings whose tokens name a tenant and a user, and live for an hour at most."""
    usual = {"authority": AUTHORITY, "tenant": "tenant", "user": "sub", "assumed_lifetime": HORIZON}
    return settings(**usual | changes)


def token(**changes: Any) -> str:
    """A token for such settings, with these claims changed; one that is changed to `...` is left out."""
    return mint(claims({"tenant": "str_1", **changes}))


class Twins:
    """The methods of an object, each called by its name, or by the name of its async twin."""

    def __init__(self, target: object, runner: asyncio.Runner | None) -> None:
        self._target = target
        self._runner = runner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if self._runner is None:
            method: Callable[..., Any] = getattr(self._target, name)
            return method
        return partial(self._run_twin, self._runner, getattr(self._target, f"a{name}"))

    @staticmethod
    def _run_twin(runner: asyncio.Runner, twin: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
        return runner.run(twin(*args, **options))


class Desk:
    """One verifier, and its denylist."""

    def __init__(self, verifier: Verifier[SignedTokens], runner: asyncio.Runner | None) -> None:
        self.itself = verifier
        self.denylist = Twins(verifier.denylist, runner)
        self._calls = Twins(verifier, runner)
        self._runner = runner

    def verify(self, text: str) -> Any:
        """The claims of a token."""
        return self._calls.verify(text)

    def verdict(self, text: str) -> str:
        """`GOOD`, or the reason word with which a token is refused."""
        try:
            self.verify(text)
        except (AuthError, Unavailable) as refusal:
            return refusal.reason
        return GOOD

    def run(self, work: Callable[[Ports], Coroutine[Any, Any, _T]]) -> _T:
        """What a coroutine over the ports of this flavour gives."""
        if self._runner is None:
            return run_sync(work(self.itself.connections.blocking()))
        return self._runner.run(self._in_loop(work))

    async def _in_loop(self, work: Callable[[Ports], Coroutine[Any, Any, _T]]) -> _T:
        return await work(self.itself.connections.of_this_loop())

    def spend(self, text: str, between: Callable[[], object] = lambda: None) -> str:
        """Verify a token, let something happen, and claim it for one use: `GOOD`, or the reason word."""
        try:
            self.claim(text, between)
        except (AuthError, Unavailable) as refusal:
            return refusal.reason
        return GOOD

    def claim(self, text: str, between: Callable[[], object] = lambda: None) -> None:
        """The same, and what is refused is raised."""
        self.run(partial(self._claim, text, between))

    async def _claim(self, text: str, between: Callable[[], object], ports: Ports) -> None:
        verification = self.itself.verification
        verdict = await verification.verdict(text.encode(), verification.route(), ports)
        between()
        await verification.spend(verdict, ports)

    def close(self) -> None:
        """Close its connections."""
        self._calls.close()


class Office:
    """Makes desks over one store: each is what another process would have."""

    def __init__(self, store: str | MemoryStore, runner: asyncio.Runner | None = None) -> None:
        self.store = store
        self.clock = Clock(NOW)
        self._runner = runner
        self._closers: list[Callable[[], object]] = []

    def desk(self, *kinds: SignedTokens, **store_options: Any) -> Desk:
        """A new verifier; of `shop_settings()` where no kind is given."""
        store = RedisStore(str(self.store), **store_options) if store_options else self.store
        verifier = Verifier(*kinds or (shop_settings(),), store=store, clock=self.clock)
        desk = Desk(verifier, self._runner)
        self._closers.append(desk.close)
        return desk

    def denylist(self, *, authority: str = AUTHORITY, horizon: float | None = HORIZON) -> Twins:
        """A denylist alone, as in a process without the secrets."""
        alone = Denylist(self.store, authority=authority, horizon=horizon, clock=self.clock)
        self._closers.append(Twins(alone._connections, self._runner).close)
        return Twins(alone, self._runner)

    def close(self) -> None:
        """Close all that was made here."""
        for close in self._closers:
            close()


@contextmanager
def office_of(store: str | MemoryStore, flavour: Flavour) -> Iterator[Office]:
    """An office, closed at the end."""
    with asyncio.Runner() as runner:
        office = Office(store, runner if flavour == "async" else None)
        try:
            yield office
        finally:
            office.close()


def every_office() -> list[tuple[str, Flavour]]:
    """Where an office can be, memory or a server by its name, and in which flavour it calls."""
    flavours: tuple[Flavour, ...] = ("sync", "async")
    return [(place, flavour) for place in ("memory", *(redis_names() or ["no server found"])) for flavour in flavours]


def emptied(server: RedisServer) -> str:
    """The URL of a server that was emptied."""
    server.flush()
    return server.url


def seconds_until(is_so: Callable[[], bool], *, at_most: float) -> float:
    """How long it takes until something becomes so."""
    started = time.monotonic()
    while not is_so():
        assert time.monotonic() - started < at_most, f"not so after {at_most} s"
        time.sleep(0.01)
    return time.monotonic() - started


def refused_after(call: Callable[[], object]) -> tuple[str, float]:
    """The reason word with which a call is refused (`GOOD` for none), and how many seconds that took."""
    started = time.perf_counter()
    reason = GOOD
    try:
        call()
    except (AuthError, Unavailable) as refusal:
        reason = refusal.reason
    return reason, time.perf_counter() - started
