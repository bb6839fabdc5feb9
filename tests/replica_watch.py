"""Processes that ask about tokens over and over, each by a replica of its own, and write down what they are told."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import redis

from bearerguard import RedisStore, SignedTokens, StoreUnavailable, TokenRevoked, Verifier
from tests.houses import settings, token
from tests.servers import RedisServer
from tests.store_calls import Flavour

STALENESS = 1.0
KILL_SECONDS = 0.03
AT_ONCE = 100
"""How many are asked about at a time while connections are killed; each costs a round trip while it is not known."""

FLAVOURS: Sequence[Flavour] = ("sync", "async", "sync", "async")
MOST_SECONDS = 60.0

_ROOT = Path(__file__).resolve().parent.parent
_PROGRAM = "import sys; from tests.replica_watch import watch; watch(*sys.argv[1:])"
_NAP_SECONDS = 0.0005
_REST = 2
"""They rest twice as long as they work, for they are several, and processors few."""


@dataclass(frozen=True)
class Sight:
    """When somebody asked who was let in last, and who was refused first; by the clock that all processes share."""

    let_in: float
    refused: float | None


@dataclass(frozen=True)
class Seen:
    """What one process saw of tokens, with the times at which their revocations were confirmed."""

    sights: Sequence[Sight]
    confirmed: Sequence[float]

    @property
    def missed(self) -> int:
        """How many were let in after the bound, or never refused."""
        both = zip(self.sights, self.confirmed, strict=True)
        return sum(sight.refused is None or sight.let_in > confirmed + STALENESS for sight, confirmed in both)

    @property
    def delays(self) -> Sequence[float]:
        """How many seconds it took until each of them was refused."""
        both = zip(self.sights, self.confirmed, strict=True)
        return [max(0.0, sight.refused - confirmed) for sight, confirmed in both if sight.refused is not None]


class Watchman:
    """Such a process, from outside."""

    def __init__(self, url: str, flavour: Flavour) -> None:
        command = [sys.executable, "-c", _PROGRAM, url, flavour]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT)

    def begin(self, tokens: Sequence[str]) -> None:
        """Tell it which tokens to ask about, each until it is refused."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(tokens) + "\n")
        self._process.stdin.flush()

    def await_readiness(self) -> None:
        """Come back once it was told of each token that it is good."""
        assert self._answer() == "ready"

    def sights(self) -> list[Sight]:
        """What it saw of each token, when all are refused or the time is over."""
        return [Sight(*sight) for sight in self._answer()]

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@contextmanager
def watchmen(url: str, flavours: Sequence[Flavour]) -> Iterator[Sequence[Watchman]]:
    """One process for each of the flavours."""
    with ExitStack() as stack:
        men = [Watchman(url, flavour) for flavour in flavours]
        for man in men:
            stack.callback(man.close)
        yield men


def seen_while_revoked(url: str, men: Sequence[Watchman], *, revocations: int, gap_seconds: float) -> Sequence[Seen]:
    """What each of them saw while as many tokens were revoked, one by one, by a process that has no replica."""
    tokens = [token() for _ in range(revocations)]
    for man in men:
        man.begin(tokens)
    for man in men:
        man.await_readiness()
    alone = Verifier(settings())
    known = [alone.verify(text) for text in tokens]
    with closing(Verifier(settings(), store=url)) as verifier:
        confirmed = [_confirmed_at(partial(verifier.denylist.revoke, claims), gap_seconds) for claims in known]
    return [Seen(man.sights(), confirmed) for man in men]


def _confirmed_at(revoke: Callable[[], object], gap_seconds: float) -> float:
    time.sleep(gap_seconds)
    while not is_confirmed(revoke):
        pass
    return time.monotonic()


def is_confirmed(call: Callable[[], object]) -> bool:
    """Whether the store did what a call asks for."""
    try:
        call()
    except StoreUnavailable:
        return False
    return True


# --- Connections that are killed -------------------------------------------------------------------------------------

IsHit = Callable[[Mapping[str, Any]], bool]


def is_of_a_replica(client: Mapping[str, Any]) -> bool:
    """Whether a client that the server lists follows the log."""
    return client["cmd"] in ("xread", "evalsha", "eval")


def seen_while_connections_are_killed(
    server: RedisServer, men: Sequence[Watchman], *, revocations: int, is_hit: IsHit
) -> tuple[Sequence[Seen], Sequence[str]]:
    """The same while such connections are killed all the time; and the ids of those that were."""
    with _killing(server, is_hit) as kills:
        batches = [
            seen_while_revoked(server.url, men, revocations=AT_ONCE, gap_seconds=0.002)
            for _ in range(revocations // AT_ONCE)
        ]
    return [_put_together(parts) for parts in zip(*batches, strict=True)], kills


def _put_together(parts: Sequence[Seen]) -> Seen:
    sights = [sight for part in parts for sight in part.sights]
    return Seen(sights, [confirmed for part in parts for confirmed in part.confirmed])


@contextmanager
def _killing(server: RedisServer, is_hit: IsHit) -> Iterator[list[str]]:
    over, kills = threading.Event(), list[str]()
    with redis.Redis.from_url(server.url) as killer:
        own = killer.client_id()

        def kill() -> None:
            while not over.wait(KILL_SECONDS):
                for client in killer.client_list():
                    if int(client["id"]) != own and is_hit(client):
                        kills.extend([client["id"]] * int(killer.client_kill_filter(_id=client["id"])))

        thread = threading.Thread(target=kill)
        thread.start()
        try:
            yield kills
        finally:
            over.set()
            thread.join()


# --- Inside of it ----------------------------------------------------------------------------------------------------


def watch(url: str, flavour: Flavour) -> None:
    """Be such a process, until there is nothing more to do."""
    verifier = Verifier(settings(), store=RedisStore(url, replica=True, max_staleness=STALENESS))
    with asyncio.Runner() as runner:
        asked_about = _in_blocking_code(verifier) if flavour == "sync" else _in_a_loop(verifier, runner)
        for line in sys.stdin:
            _watch_all(json.loads(line), asked_about)
        runner.run(verifier.aclose())
    verifier.close()


Asking = Callable[[Sequence[str]], Sequence[tuple[str, Sight]]]
"""Ask about some tokens, and write down what was said of those about whom anything was said."""


def _watch_all(tokens: Sequence[str], asked_about: Asking) -> None:
    seen: dict[str, Sight] = {}
    waiting, is_ready, end = tokens, False, time.monotonic() + MOST_SECONDS
    while waiting and time.monotonic() < end:
        began = time.process_time()
        for text, sight in asked_about(waiting):
            seen[text] = sight if sight.refused is None else replace(seen[text], refused=sight.refused)
        if not is_ready and len(seen) == len(tokens):
            is_ready = True
            print(json.dumps("ready"), flush=True)
        waiting = [text for text in waiting if text not in seen or seen[text].refused is None]
        time.sleep(max(_NAP_SECONDS, _REST * (time.process_time() - began)))
    print(json.dumps([(seen[text].let_in, seen[text].refused) for text in tokens]), flush=True)


def _in_blocking_code(verifier: Verifier[SignedTokens]) -> Asking:
    def asked_about(tokens: Sequence[str]) -> Sequence[tuple[str, Sight]]:
        sights = []
        for text in tokens:
            asked = time.monotonic()
            with suppress(StoreUnavailable):
                try:
                    verifier.verify(text)
                    sights.append((text, Sight(asked, None)))
                except TokenRevoked:
                    sights.append((text, Sight(asked, time.monotonic())))
        return sights

    return asked_about


def _in_a_loop(verifier: Verifier[SignedTokens], runner: asyncio.Runner) -> Asking:
    async def asked_about(tokens: Sequence[str]) -> Sequence[tuple[str, Sight]]:
        sights = []
        for text in tokens:
            asked = time.monotonic()
            with suppress(StoreUnavailable):
                try:
                    await verifier.averify(text)
                    sights.append((text, Sight(asked, None)))
                except TokenRevoked:
                    sights.append((text, Sight(asked, time.monotonic())))
        return sights

    return lambda tokens: runner.run(asked_about(tokens))
