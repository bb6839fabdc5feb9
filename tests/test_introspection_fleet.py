"""Four processes over one real Redis that share what one of them found out about an opaque token."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

import pytest

from tests.doors import Answer, Ask, ask_server, bearer, eventually
from tests.introspecting import CLIENT_SECRET, ENDPOINT, fresh, kept_in
from tests.opaque_houses import CACHE_SECONDS, Place, Registrar, raw_jti
from tests.scripted_provider import ScriptedProvider
from tests.servers import NO_REDIS, AppServer, RedisServer, gunicorn_server, redis_names, uvicorn_server

LONG_ON_OTHER_SERVERS = True
PROCESSES = 4
REQUESTS = 500
AT_ONCE = 64
WAVES = 20
CALL_SECONDS = 0.05
NONE_FOUND = "no server found"


def _started(place: Place) -> Mapping[str, AbstractContextManager[AppServer]]:
    env = place.as_environment()
    backlog = ("--backlog", "2048")
    return {
        "uvicorn": uvicorn_server(
            "tests.opaque_houses:asgi_town", "--no-access-log", *backlog, workers=PROCESSES, env=env
        ),
        "gunicorn": gunicorn_server("tests.opaque_houses:wsgi_town", *backlog, workers=PROCESSES, env=env),
    }


@dataclass(frozen=True)
class Town:
    """One provider, and two fleets that ask it: uvicorn's workers, and gunicorn's plain ones."""

    provider: ScriptedProvider
    registrar: Registrar
    servers: Mapping[str, AppServer]


@pytest.fixture(scope="module")
def town(redis_servers: Mapping[str, RedisServer]) -> Iterator[Town]:
    """The fleets serve two houses for each store; the stores are not emptied while they run."""
    stores = {f"store{number}": server.url for number, server in enumerate(redis_servers.values())}
    registrar = Registrar(seconds=CALL_SECONDS)
    with ExitStack() as stack:
        provider = stack.enter_context(ScriptedProvider())
        provider.play(ENDPOINT, registrar)
        place = Place(provider=provider.url(""), more_stores=stores)
        servers = {name: stack.enter_context(server) for name, server in _started(place).items()}
        yield Town(provider, registrar, servers)


@dataclass(frozen=True)
class Fleet:
    """One fleet over one store."""

    server: AppServer
    store: str

    def asked(self, what: Ask, times: int, *, house: str = "plain") -> Sequence[Answer]:
        """What so many requests are answered, of which many come at once."""
        below = Ask(f"/{self.store}-{house}{what.target}", what.headers, what.method)
        with ThreadPoolExecutor(min(times, AT_ONCE)) as pool:
            return list(pool.map(lambda _: ask_server(self.server.port, below), range(times)))

    def all_asked(self, what: Ask, *, house: str = "plain", times: int = AT_ONCE) -> Sequence[Answer]:
        """The answers of every process; the kernel chooses which one answers, so it is asked until all have."""
        answers = list[Answer]()
        for _ in range(WAVES):
            answers += self.asked(what, times, house=house)
            if len({answer.header("x-pid") for answer in answers}) == PROCESSES:
                return answers
        raise AssertionError("some processes have not answered")


@pytest.fixture(params=redis_names() or [NONE_FOUND])
def store(request: pytest.FixtureRequest, redis_servers: Mapping[str, RedisServer]) -> str:
    if request.param == NONE_FOUND:
        pytest.fail(NO_REDIS)
    return f"store{list(redis_servers).index(request.param)}"


@pytest.fixture(params=["uvicorn", "gunicorn"])
def fleet(request: pytest.FixtureRequest, town: Town, store: str) -> Fleet:
    return Fleet(town.servers[request.param], store)


def statuses_of(answers: Sequence[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


def calls_for_a_new_token(fleet: Fleet, town: Town) -> int:
    """How often the provider is asked about one new token that comes 500 times to all processes."""
    text = fresh("good")
    statuses = statuses_of(fleet.asked(Ask("/anything", [bearer(text)]), REQUESTS))
    # A machine that is too slow for all of them tells some to come again.
    assert set(statuses) <= {200, 503}
    assert statuses[200] > REQUESTS * 0.9
    return town.registrar.asked[text]


@pytest.mark.parametrize("runs", [pytest.param(2, id="few"), pytest.param(10, id="many", marks=pytest.mark.long)])
def test_asks_once_for_500_requests_in_four_processes_as_a_rule(fleet: Fleet, town: Town, runs: int) -> None:
    fleet.all_asked(Ask("/anything", [bearer(fresh("good"))]))  # the first call of a process takes its time
    calls = [calls_for_a_new_token(fleet, town) for _ in range(runs)]
    print(f"\ncalls for one new token: {sorted(calls)}")
    assert max(calls) <= PROCESSES
    assert calls.count(1) >= runs / 2


def test_refuses_everywhere_what_one_process_revoked(fleet: Fleet, town: Town) -> None:
    ask = Ask("/anything", [bearer(fresh("good"))])
    # Four processes that connect at once, on a machine that is busy with other tests, may be late the first time.
    assert eventually(lambda: set(statuses_of(fleet.all_asked(ask))) == {200})
    assert statuses_of(fleet.asked(Ask("/revoke", ask.headers, "POST"), 1)) == {200: 1}
    assert set(statuses_of(fleet.all_asked(ask))) == {401}
    assert set(statuses_of(fleet.asked(Ask("/anything", [bearer(fresh("good"))]), 10))) == {200}


def test_refuses_everywhere_what_the_provider_withdrew_when_the_cached_answer_ends(fleet: Fleet, town: Town) -> None:
    text = fresh("good")
    ask = Ask("/anything", [bearer(text)])
    assert set(statuses_of(fleet.all_asked(ask, house="brief"))) == {200}
    town.registrar.withdrawn.add(text)
    withdrawn = time.monotonic()
    assert eventually(lambda: statuses_of(fleet.asked(ask, 1, house="brief"))[401] == 1)
    # What is still under way was asked before; who asks from now on is refused, by whichever process.
    assert time.monotonic() - withdrawn < 2 * (CACHE_SECONDS + CALL_SECONDS)
    time.sleep(max(0.0, withdrawn + CACHE_SECONDS + 0.01 - time.monotonic()))
    assert set(statuses_of(fleet.all_asked(ask, house="brief", times=12))) == {401}


def test_takes_a_token_once_in_four_processes(fleet: Fleet) -> None:
    for name in ("good", "nameless"):
        for _ in range(WAVES):
            statuses = statuses_of(fleet.asked(Ask("/guarded/once", [bearer(fresh(name))]), 100))
            assert statuses[200] <= 1
            if not statuses[503]:  # the machine was fast enough to ask the store so often at once
                assert statuses == {200: 1, 401: 99}
                break
        else:
            pytest.fail("no wave was answered in time")


def test_asks_about_an_inactive_token_every_time_and_never_lets_it_pass(fleet: Fleet, town: Town) -> None:
    text = fresh("inactive")
    answers = fleet.asked(Ask("/anything", [bearer(text)]), 12)
    assert statuses_of(answers) == {401: 12}
    asked = town.registrar.asked[text]
    fleet.asked(Ask("/anything", [bearer(text)]), 1)
    assert town.registrar.asked[text] == asked + 1


def test_opens_no_route_of_one_process_by_what_another_found_out(fleet: Fleet) -> None:
    headers = [bearer(fresh("half"))]
    assert set(statuses_of(fleet.all_asked(Ask("/guarded/any", headers)))) == {200}
    assert set(statuses_of(fleet.all_asked(Ask("/guarded/scope", headers)))) == {403}


def test_lets_another_process_ask_when_the_one_that_led_fails(fleet: Fleet, town: Town) -> None:
    text = fresh("down")
    answers = fleet.asked(Ask("/anything", [bearer(text)]), 8)
    assert statuses_of(answers) == {503: 8}
    assert town.registrar.asked[text] <= 8
    assert set(statuses_of(fleet.asked(Ask("/anything", [bearer(fresh("good"))]), 10))) == {200}


def test_shares_between_the_fleets_of_both_doors(town: Town, store: str) -> None:
    text = fresh("good")
    for name in ("uvicorn", "gunicorn"):
        fleet = Fleet(town.servers[name], store)
        assert set(statuses_of(fleet.all_asked(Ask("/anything", [bearer(text)])))) == {200}
    assert town.registrar.asked[text] == 1


def test_tells_the_store_and_the_logs_nothing_of_a_token(
    fleet: Fleet, town: Town, store: str, redis_servers: Mapping[str, RedisServer]
) -> None:
    server = list(redis_servers.values())[int(store.removeprefix("store"))]
    texts = [fresh(name) for name in ("good", "inactive", "down", "foreign")]
    for text in texts:
        fleet.asked(Ask("/guarded/once", [bearer(text)]), 1)
    kept = str(kept_in(server))
    log = fleet.server.log()
    assert not [text for text in texts if text in kept or text in log]
    assert not [text for text in texts if raw_jti(text) in log]
    assert CLIENT_SECRET not in kept
    assert CLIENT_SECRET not in log
    assert "Traceback" not in log
