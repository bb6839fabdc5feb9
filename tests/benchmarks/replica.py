"""What the replica of the denylist costs, and how soon it knows: `python -m tests.benchmarks.replica`."""

from __future__ import annotations

import argparse
import gc
import os
import platform
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median, quantiles

import redis

from bearerguard import MemoryStore, RedisStore, SignedTokens, Verifier
from bearerguard.stores import StoreLike
from bearerguard.stores.redis.scripts import RAISE_MARK
from tests.houses import settings, token
from tests.marked_pages import DOCS, write_section
from tests.replica_watch import (
    FLAVOURS,
    Seen,
    is_of_a_replica,
    seen_while_connections_are_killed,
    seen_while_revoked,
    watchmen,
)
from tests.servers import RedisServer, redis_binaries, start_redis
from tests.site import plots

MARKER = "replica"
PAGE = DOCS / "reliability.md"

BATCHES = 15
REVOKED_PER_BATCH = 20
REVOKED_UNDER_FIRE = 1000
MARKS = 100_000
ROUNDS = 200
BLOCK = 50

_STEM = "bearerguard:{bearerguard}:"
_PATIENCE = 120.0


@dataclass(frozen=True)
class Figures:
    """What was measured."""

    delays: Sequence[float]
    missed: int
    kills: int
    nanoseconds: Mapping[str, float]
    bytes_here: float
    bytes_in_redis: float


# --- How soon it knows -----------------------------------------------------------------------------------------------


def delays_over_processes(server: RedisServer) -> Sequence[float]:
    """From each confirmed revocation to each process's first refusal, in seconds."""
    with watchmen(server.url, FLAVOURS) as men:
        batches = [
            seen_while_revoked(server.url, men, revocations=REVOKED_PER_BATCH, gap_seconds=0.01) for _ in range(BATCHES)
        ]
    return [delay for seen in batches for each in seen for delay in each.delays]


def missed_under_fire(server: RedisServer) -> tuple[int, int]:
    """How many revocations the processes missed while their connections were killed; and how many of these were."""
    with watchmen(server.url, FLAVOURS) as men:
        seen: Sequence[Seen]
        seen, kills = seen_while_connections_are_killed(
            server, men, revocations=REVOKED_UNDER_FIRE, is_hit=is_of_a_replica
        )
    return sum(each.missed for each in seen), len(kills)


# --- What a check costs ----------------------------------------------------------------------------------------------


def check_costs(server: RedisServer) -> Mapping[str, float]:
    """Nanoseconds for a token that was seen before, in blocking code; the stores take turns."""
    stores: Mapping[str, StoreLike] = {
        "MemoryStore": MemoryStore(),
        "RedisStore, replica": RedisStore(server.url, replica=True),
        "RedisStore": RedisStore(server.url),
    }
    with ExitStack() as stack:
        calls = {name: stack.enter_context(_repeat_check(store)) for name, store in stores.items()}
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(ROUNDS):
            for name, call in calls.items():
                times[name].append(_nanoseconds(call))
    return {name: median(own) for name, own in times.items()}


@contextmanager
def _repeat_check(store: StoreLike) -> Iterator[Callable[[], object]]:
    with closing(Verifier(settings(), store=store)) as verifier:
        # A store of which nothing is revoked at all would not be asked.
        verifier.denylist.revoke(verifier.verify(token()))
        text = token()
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            verifier.verify(text)
        yield lambda: verifier.verify(text)


def _nanoseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter_ns()
    for _ in range(BLOCK):
        call()
    return (time.perf_counter_ns() - started) / BLOCK


# --- What it holds ---------------------------------------------------------------------------------------------------


def bytes_per_entry(server: RedisServer) -> tuple[float, float]:
    """What an entry takes in a process and in Redis, its share of the log there with it."""
    with closing(_verifier_that_follows(server)) as verifier:
        before = _used_by(server)
        names = _revoked_in_bulk(server)
        in_redis = (_used_by(server) - before) / MARKS
        return _held_for(verifier, names) / MARKS, in_redis


def _verifier_that_follows(server: RedisServer) -> Verifier[SignedTokens]:
    return Verifier(settings(), store=RedisStore(server.url, replica=True))


def _revoked_in_bulk(server: RedisServer) -> Sequence[str]:
    names = [f"d:{number:043}" for number in range(MARKS)]
    with redis.Redis.from_url(server.url) as client, client.pipeline(transaction=False) as pipe:
        client.script_load(RAISE_MARK.text)
        for name in names:
            pipe.evalsha(RAISE_MARK.digest, 2, f"{_STEM}epoch", f"{_STEM}{name}", "1795283175", "900", "incarnation")
        pipe.execute()
    return names


def _held_for(verifier: Verifier[SignedTokens], names: Sequence[str]) -> int:
    port = verifier.connections.blocking().store
    gc.collect()
    tracemalloc.start()
    try:
        end = time.monotonic() + _PATIENCE
        while None in (port.peek((names[0], names[-1])) or [None]):
            if time.monotonic() > end:
                raise RuntimeError("there is no replica")
            time.sleep(0.05)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def _used_by(server: RedisServer) -> int:
    with redis.Redis.from_url(server.url) as client:
        return int(client.info("memory")["used_memory"])


# --- All of it -------------------------------------------------------------------------------------------------------


def measure() -> Figures:
    """Everything, on a server of its own."""
    server = start_redis(redis_binaries()[0])
    try:
        _tell("revocations")
        delays = delays_over_processes(server)
        _tell("revocations under fire")
        missed, kills = missed_under_fire(server)
        _tell("checks")
        nanoseconds = check_costs(server)
        server.flush()
        _tell("memory")
        here, in_redis = bytes_per_entry(server)
    finally:
        server.close()
    return Figures(delays, missed, kills, nanoseconds, here, in_redis)


def _tell(what: str) -> None:
    print(f"measuring {what}", file=sys.stderr)


def as_markdown(figures: Figures) -> str:
    """The table for the page."""
    percentiles = quantiles(figures.delays, n=100)
    costs = {f"a request with a token seen before, {name}": ns for name, ns in figures.nanoseconds.items()}
    rows = {
        f"from the confirmed revocation to the refusal, {len(figures.delays):,} times": (
            f"p50 {_milliseconds(percentiles[49])}, p99 {_milliseconds(percentiles[98])}, "
            f"most {_milliseconds(max(figures.delays))}"
        ),
        f"missed of {REVOKED_UNDER_FIRE:,}, with the connections killed every 30 ms ({figures.kills:,} of them)": (
            f"{figures.missed:,}"
        ),
        **{name: f"{ns / 1000:,.1f} us" for name, ns in costs.items()},
        f"an entry in each process, of {MARKS:,}": f"{figures.bytes_here:.0f} bytes",
        "the same in Redis": f"{figures.bytes_in_redis:.0f} bytes",
    }
    lines = [f"{_surroundings()}:", "", "| what | figure |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in rows.items())])


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _surroundings() -> str:
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    server = redis_binaries()[0].name
    return f"Four processes, {when}, {server}, Python {platform.python_version()}, {os.cpu_count()} processors"


def main() -> int:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.replica", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    options = parser.parse_args()
    section = as_markdown(measure())
    print(section)
    if options.write:
        write_section(PAGE, MARKER, section)
        plots.renew()
    return 0


if __name__ == "__main__":
    sys.exit(main())
