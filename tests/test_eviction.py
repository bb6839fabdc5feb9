"""A server that drops keys for want of memory: said at first contact and whenever it changes, or not used at all."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bearerguard import RedisStore, SettingsError, StoreUnavailable, Verifier
from bearerguard.asgi import BearerMiddleware
from bearerguard.events import Event, StoreEvicts
from bearerguard.sinks import add_sink
from bearerguard.stores.redis.server import ASK_AGAIN_SECONDS, OnEviction, ServerWatch
from tests import houses
from tests.doors import WORLDS, Ask, World, bearer, lifespan
from tests.hostile import GOOD, Clock
from tests.redis_fleets import fill_to_oom, set_policy
from tests.revoking import HORIZON, STEM, Desk, Office, office_of, seconds_until, shop_settings, token
from tests.servers import RedisServer, free_port, redis_binaries, start_redis, uvicorn_server
from tests.store_calls import Flavour

LONG_ON_OTHER_SERVERS = True

STORE_VARIABLE = "BEARERGUARD_TEST_EVICTING"
WELL_AGAIN = 2 * 1.0
LRU = StoreEvicts(policy="allkeys-lru")
EVICTING = ("allkeys-lru", "allkeys-random", "volatile-ttl")


@pytest.fixture
def heard() -> Iterator[list[Event]]:
    """What is told of eviction."""
    told: list[Event] = []
    stop = add_sink(lambda event: told.append(event) if isinstance(event, StoreEvicts) else None)
    yield told
    stop()


@pytest.fixture
def server(own_redis_server: RedisServer) -> RedisServer:
    """A server whose settings this test may change."""
    return own_redis_server


@pytest.fixture
def office(flavour: Flavour, server: RedisServer) -> Iterator[Office]:
    with office_of(server.url, flavour) as office:
        office.clock.now = int(time.time())
        yield office


def issued(office: Office, jti: str = "known") -> str:
    return token(iat=office.clock.now - 60, exp=office.clock.now + HORIZON, jti=jti)


def watch_of(verifier: Verifier[Any]) -> ServerWatch:
    watch: ServerWatch = vars(verifier.connections.store)["_watch"]
    return watch


def at_own_clock(desk: Desk) -> Clock:
    """The clock by which the desk's store asks its server again; it stands still until it is moved.

    It shows whole seconds, for then 30 more are 30 more: floats round where they pass a power of two.
    """
    clock = Clock(int(time.monotonic()))
    vars(watch_of(desk.itself))["_monotonic"] = clock
    return clock


# --- At first contact ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", EVICTING)
def test_says_at_first_contact_that_a_server_evicts(
    office: Office, server: RedisServer, heard: list[Event], caplog: pytest.LogCaptureFixture, policy: str
) -> None:
    office.desk().verify(issued(office))
    assert heard == []
    caplog.clear()
    set_policy(server, policy)
    desk = office.desk()
    for number in range(3):
        assert desk.verdict(issued(office, f"{number}")) == GOOD
    assert heard == [StoreEvicts(policy=policy)]
    # That a token lives long is told, too, but only so often in one process.
    (line,) = [line for line in caplog.records if "assumed_lifetime" not in line.getMessage()]
    assert line.levelname == "WARNING"
    assert f"set maxmemory-policy noeviction (it is {policy})" in line.getMessage()


def test_a_denylist_alone_says_so_when_it_revokes(office: Office, server: RedisServer, heard: list[Event]) -> None:
    set_policy(server, "allkeys-lru")
    office.denylist().revoke_user("ana")
    assert heard == [LRU]


def app_with(verifier: Verifier[Any]) -> BearerMiddleware:
    async def view(request: Request) -> Response:
        return JSONResponse("done")

    return BearerMiddleware(Starlette(routes=[Route("/", view)]), verifier)


async def started(app: Any, ask: Callable[[], object] = lambda: None) -> dict[str, Any]:
    """What an application says of its start; `ask` happens while it runs."""
    async with lifespan(app) as message:
        ask()
        return dict(message)


def test_says_when_the_app_starts_and_before_any_request_that_a_server_evicts(
    server: RedisServer, heard: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    set_policy(server, "allkeys-lru")
    app = app_with(Verifier(shop_settings(), store=server.url))
    assert (heard, caplog.records) == ([], [])
    at_start: list[Event] = []
    assert asyncio.run(started(app, lambda: at_start.extend(heard)))["type"] == "lifespan.startup.complete"
    assert at_start == heard == [LRU]
    assert "set maxmemory-policy noeviction" in caplog.text


def test_a_good_server_is_met_at_start_without_a_word(
    server: RedisServer, heard: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    app = app_with(Verifier(shop_settings(), store=RedisStore(server.url, on_eviction="refuse")))
    assert asyncio.run(started(app))["type"] == "lifespan.startup.complete"
    assert (heard, caplog.records) == ([], [])
    assert server.cli("INFO", "commandstats")["cmdstat_ping"]["calls"] >= 1


@pytest.mark.parametrize("on_eviction", ["warn", "refuse"])
def test_an_app_starts_although_its_store_cannot_be_asked(on_eviction: OnEviction) -> None:
    store = RedisStore(f"redis://127.0.0.1:{free_port()}", on_eviction=on_eviction)
    app = app_with(Verifier(shop_settings(), store=store))
    assert asyncio.run(started(app))["type"] == "lifespan.startup.complete"


# --- When it changes -------------------------------------------------------------------------------------------------


def test_notices_within_half_a_minute_that_a_server_evicts_from_now_on(
    office: Office, server: RedisServer, heard: list[Event]
) -> None:
    desk = office.desk()
    clock = at_own_clock(desk)
    assert desk.verdict(issued(office)) == GOOD
    set_policy(server, "allkeys-lru")
    clock.now += ASK_AGAIN_SECONDS - 1
    assert (desk.verdict(issued(office)), heard) == (GOOD, [])
    clock.now += 1
    assert (desk.verdict(issued(office)), heard) == (GOOD, [LRU])


def test_says_so_once_for_each_change(office: Office, server: RedisServer, heard: list[Event]) -> None:
    desk = office.desk()
    clock = at_own_clock(desk)
    for policy in ("noeviction", "allkeys-lru", "allkeys-lru", "volatile-ttl", "noeviction", "volatile-ttl"):
        set_policy(server, policy)
        clock.now += ASK_AGAIN_SECONDS
        assert desk.verdict(issued(office)) == GOOD
    assert heard == [LRU, *[StoreEvicts(policy="volatile-ttl")] * 2]


# --- Refused ---------------------------------------------------------------------------------------------------------


def test_an_app_does_not_start_over_a_server_that_evicts_where_that_is_refused(
    server: RedisServer, heard: list[Event]
) -> None:
    set_policy(server, "allkeys-lru")
    app = app_with(Verifier(shop_settings(), store=RedisStore(server.url, on_eviction="refuse")))
    message = asyncio.run(started(app))
    assert message["type"] == "lifespan.startup.failed"
    assert heard == [LRU]


def test_what_it_says_then_tells_what_to_do(server: RedisServer) -> None:
    set_policy(server, "allkeys-lru")
    app = app_with(Verifier(shop_settings(), store=RedisStore(server.url, on_eviction="refuse")))
    assert "maxmemory-policy noeviction" in asyncio.run(started(app))["message"]


async def _get_ready(verifier: Verifier[Any]) -> None:
    async with verifier:
        await verifier.aget_ready()


def test_getting_ready_raises_a_settings_error(server: RedisServer) -> None:
    set_policy(server, "allkeys-lru")
    verifier = Verifier(shop_settings(), store=RedisStore(server.url, on_eviction="refuse"))
    with pytest.raises(SettingsError):
        asyncio.run(_get_ready(verifier))
    set_policy(server, "noeviction")
    asyncio.run(_get_ready(verifier))


def refusing_app() -> BearerMiddleware:
    """For a process of its own."""
    store = RedisStore(os.environ[STORE_VARIABLE], on_eviction="refuse")
    return app_with(Verifier(houses.settings(), store=store))


def test_a_real_server_does_not_start_either() -> None:
    server = start_redis(redis_binaries()[0], "--maxmemory-policy", "allkeys-lru")
    try:
        with (
            pytest.raises(RuntimeError, match="the settings refuse such a store"),
            uvicorn_server("tests.test_eviction:refusing_app", "--factory", env={STORE_VARIABLE: server.url}),
        ):
            pytest.fail("it has started")
    finally:
        server.close()


def test_nobody_passes_and_nothing_is_revoked_over_a_server_that_evicts_where_that_is_refused(
    office: Office, server: RedisServer, heard: list[Event]
) -> None:
    set_policy(server, "allkeys-lru")
    desk = office.desk(on_eviction="refuse")
    with pytest.raises(StoreUnavailable) as caught:
        desk.verify(issued(office))
    assert (caught.value.reason, caught.value.status) == ("store_evicts", 503)
    with pytest.raises(StoreUnavailable):
        desk.denylist.revoke_user("ana")
    assert desk.spend(issued(office)) == "store_evicts"
    assert heard == [LRU]
    assert server.cli("KEYS", f"{STEM}*") == []


def test_goes_on_saying_why_nobody_passes(office: Office, server: RedisServer) -> None:
    """It has answered each time: there is nothing to be spared by asking no more."""
    set_policy(server, "allkeys-lru")
    desk = office.desk(on_eviction="refuse")
    assert {desk.verdict(issued(office)) for _ in range(20)} == {"store_evicts"}


def test_is_well_again_without_a_restart_when_the_policy_is_set_back(office: Office, server: RedisServer) -> None:
    set_policy(server, "allkeys-lru")
    desk = office.desk(on_eviction="refuse")
    assert desk.verdict(issued(office)) == "store_evicts"
    set_policy(server, "noeviction")
    seconds_until(lambda: desk.verdict(issued(office)) == GOOD, at_most=WELL_AGAIN)


def test_a_server_that_begins_to_evict_is_refused_within_half_a_minute(
    office: Office, server: RedisServer, heard: list[Event]
) -> None:
    desk = office.desk(on_eviction="refuse")
    clock = at_own_clock(desk)
    assert desk.verdict(issued(office)) == GOOD
    set_policy(server, "volatile-lru")
    clock.now += ASK_AGAIN_SECONDS
    assert [desk.verdict(issued(office)) for _ in range(3)] == ["store_evicts"] * 3
    set_policy(server, "noeviction")
    seconds_until(lambda: desk.verdict(issued(office)) == GOOD, at_most=WELL_AGAIN)
    assert heard == [StoreEvicts(policy="volatile-lru")]


@pytest.mark.parametrize("sort", ["asgi", "wsgi"])
def test_either_door_answers_503_and_says_when_to_try_again(server: RedisServer, sort: str) -> None:
    set_policy(server, "allkeys-lru")
    verifier = Verifier(houses.settings(), store=RedisStore(server.url, on_eviction="refuse"))
    world: World = WORLDS[sort]
    with verifier:
        answer = world(lambda: "done", verifier)(Ask(headers=[bearer(houses.token())]))
    assert (answer.status, answer.json()["error"]) == (503, "store_evicts")
    assert (answer.challenge, answer.header("retry-after")) == (None, "1")


# --- What eviction does ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "on_eviction", "verdict"),
    [
        pytest.param("noeviction", "warn", "revoked", id="noeviction"),
        pytest.param("volatile-ttl", "warn", GOOD, id="what was revoked passes, as the WARNING says"),
        pytest.param("volatile-ttl", "refuse", "store_evicts", id="refused"),
    ],
)
def test_a_full_server_that_evicts_drops_revocations(
    office: Office, server: RedisServer, policy: str, on_eviction: OnEviction, verdict: str
) -> None:
    """The epoch has no TTL and stays, so nothing tells of the loss; where keys without TTL go, it may go or stay."""
    desk = office.desk()
    desk.denylist.revoke(desk.verify(issued(office)))
    assert desk.verdict(issued(office)) == "revoked"
    fill_to_oom(server, policy=policy)
    assert office.desk(on_eviction=on_eviction).verdict(issued(office)) == verdict
    assert server.cli("EXISTS", f"{STEM}epoch") == 1
