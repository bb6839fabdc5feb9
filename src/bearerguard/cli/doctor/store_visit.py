"""A visit to a store's server, step by step; where it cannot be reached, the rest is left out and said to be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from ...core.ports import run_sync
from ...errors import SettingsError, StoreUnavailable
from ...rules.epochs import epoch
from ...stores import RedisStore
from ...stores.redis.visit import RedisVisit
from ...stores.redis.wire import NotPermitted, WireError
from . import store as health
from .reachability import place_of_url, why_unreachable
from .rows import Row, fail, ok, skipped, warn

ROUND_TRIPS = 10
_LATER = ("latency", "eviction", "persistence", "rights", "clock", "memory")

Note = Callable[[Row], None]


def examine_store(store: RedisStore, note: Note) -> None:
    """Visit the server, in blocking code or in an event loop, as the store allows."""
    if store.policy.on_failure == "open":
        says = "while it cannot be asked, revoked tokens pass"
        note(warn("policies", health.STORE, says, 'leave on_failure="open" out, unless that is what you want'))
    try:
        visit = store.sync_visit()
    except SettingsError:
        asyncio.run(_visited_in_a_loop(store, note))
    else:
        run_sync(_visited(visit, store, note))


async def _visited_in_a_loop(store: RedisStore, note: Note) -> None:
    await _visited(store.async_visit(), store, note)


async def _visited(visit: RedisVisit, store: RedisStore, note: Note) -> None:
    try:
        if await _is_reached(visit, note):
            await _looked_at(visit, store, note)
    finally:
        await visit.close()


async def _is_reached(visit: RedisVisit, note: Note) -> bool:
    try:
        await visit.round_trip()
    except NotPermitted:
        note(fail("store", health.STORE, "its user may not even PING", "ACL SETUSER <user> +ping"))
    except WireError as error:
        note(fail("store", health.STORE, *_trouble(str(error), visit)))
    else:
        note(ok("store", health.STORE, f"{visit.shown} answers"))
        return True
    for check in _LATER:
        note(skipped(check, health.STORE, "the server could not be asked"))
    return False


def _trouble(error: str, visit: RedisVisit) -> tuple[str, str]:
    """Why the server could not be asked, and what to do about it."""
    if error in _TROUBLES:
        says, do = _TROUBLES[error]
        return f"{visit.shown} {says}", do
    place = place_of_url(visit.shown)
    if place is None:
        return (
            f"{visit.shown} could not be asked ({error})",
            "look whether its server runs, and at the path or the hosts",
        )
    return why_unreachable(*place)


_TROUBLES = {
    "AuthenticationError": (
        "refuses the user or the password",
        "correct them in the URL; percent-encode '/', '@', ':'",
    ),
    "TimeoutError": ("does not answer within a quarter of a second", "look whether it is frozen, or far away"),
    "BusyLoadingError": ("is loading its data", "wait, and try again"),
    "the server is a replica": ("is a replica", "look why no master was named"),
}


async def _looked_at(visit: RedisVisit, store: RedisStore, note: Note) -> None:
    await _noted(note, "latency", lambda: _latency(visit))
    await _noted(note, "eviction", lambda: _facts(visit, store))
    await _noted(note, "rights", lambda: _rights(visit, store))
    await _noted(note, "clock", lambda: _clock(visit))
    await _noted(note, "memory", lambda: _memory(visit))


async def _noted(note: Note, check: str, look: Callable[[], Any]) -> None:
    """Note what a look finds; one that cannot be had is skipped, and the others go on."""
    try:
        for row in await look():
            note(row)
    except NotPermitted:
        note(skipped(check, health.STORE, "its user may not ask"))
    except WireError as error:
        note(fail(check, health.STORE, f"the server stopped answering ({error})", "look whether it is busy or frozen"))
    except StoreUnavailable:
        do = "somebody else writes to this prefix; give bearerguard one of its own"
        note(fail(check, health.STORE, "what stands there is not bearerguard's", do))


async def _latency(visit: RedisVisit) -> Iterable[Row]:
    return [health.latency_row([await visit.round_trip() for _ in range(ROUND_TRIPS)])]


async def _facts(visit: RedisVisit, store: RedisStore) -> Iterable[Row]:
    facts = await visit.facts()
    if facts is None:
        return [health.watched_row(None), skipped("eviction", health.STORE, "its user may not ask (INFO)")]
    fsync = await visit.setting("appendfsync")
    rows = [
        health.watched_row(facts),
        health.version_row(facts),
        health.eviction_row(facts, refuses=store.on_eviction == "refuse"),
        health.room_row(facts),
        health.persistence_row(facts, fsync=fsync, is_durable=store.is_durable),
        *health.role_rows(facts, is_replicated=visit.is_replicated),
    ]
    return [row for row in rows if row is not None]


async def _rights(visit: RedisVisit, store: RedisStore) -> Iterable[Row]:
    return health.rights_rows(await visit.trial(follows=store.has_replica), visit.prefix)


async def _clock(visit: RedisVisit) -> Iterable[Row]:
    return [health.clock_row(await visit.server_time())]


async def _memory(visit: RedisVisit) -> Iterable[Row]:
    return [health.memory_of_store_row(epoch(await visit.epoch()))]
