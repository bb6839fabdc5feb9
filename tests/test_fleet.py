"""Several processes over one real Redis: a token is taken once, and a revocation holds everywhere at once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack

import pytest

from bearerguard import Denylist
from tests.doors import Answer, Ask, ask_server, bearer
from tests.houses import ISSUER, STORES_VARIABLE, token
from tests.introspecting import kept_in
from tests.servers import NO_REDIS, AppServer, RedisServer, gunicorn_server, redis_names, uvicorn_server

PROCESSES = 4
WAVES = 20
NONE_FOUND = "no server found"

Fleet = Callable[[Ask, int], Sequence[Answer]]


def _started(stores: Mapping[str, str]) -> Mapping[str, AbstractContextManager[AppServer]]:
    env = {STORES_VARIABLE: json.dumps(stores)}
    return {
        "uvicorn": uvicorn_server("tests.houses:asgi_town", "--no-access-log", workers=PROCESSES, env=env),
        "gunicorn": gunicorn_server("tests.houses:wsgi_town", "--threads", "8", workers=PROCESSES, env=env),
    }


@pytest.fixture(scope="module")
def fleets(redis_servers: Mapping[str, RedisServer]) -> Iterator[Mapping[str, AppServer]]:
    """Two fleets that serve one house for each store; the stores are not emptied while they run."""
    stores = {f"store{number}": server.url for number, server in enumerate(redis_servers.values())}
    with ExitStack() as stack:
        yield {name: stack.enter_context(server) for name, server in _started(stores).items()}


@pytest.fixture(params=redis_names() or [NONE_FOUND])
def store(request: pytest.FixtureRequest, redis_servers: Mapping[str, RedisServer]) -> tuple[str, str]:
    """The house of one store, and the store's URL; here the fleets would take an emptied store for a lost memory."""
    if request.param == NONE_FOUND:
        pytest.fail(NO_REDIS)
    names = list(redis_servers)
    return f"store{names.index(request.param)}", redis_servers[request.param].url


def asking(server: AppServer, house: str) -> Fleet:
    """Asks the same thing many times at once."""

    def ask(what: Ask, times: int) -> Sequence[Answer]:
        below = Ask(f"/{house}{what.target}", what.headers, what.method)
        with ThreadPoolExecutor(50) as pool:
            return list(pool.map(lambda _: ask_server(server.port, below), range(times)))

    return ask


@pytest.fixture(params=["uvicorn", "gunicorn"])
def fleet(request: pytest.FixtureRequest, fleets: Mapping[str, AppServer], store: tuple[str, str]) -> Fleet:
    return asking(fleets[request.param], store[0])


def pids_of(answers: Sequence[Answer]) -> set[str | None]:
    return {answer.header("x-pid") for answer in answers}


def answers_of_all(fleet: Fleet, ask: Ask) -> Sequence[Answer]:
    """The answers of every process; the kernel chooses which one answers, so it is asked until all have."""
    answers = list[Answer]()
    for _ in range(WAVES):
        answers += fleet(ask, 50)
        if len(pids_of(answers)) == PROCESSES:
            return answers
    raise AssertionError(f"only {len(pids_of(answers))} processes answered")


def statuses_of(answers: Sequence[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


def test_lets_exactly_one_of_200_requests_pass(fleet: Fleet) -> None:
    answers_of_all(fleet, Ask("/anything", [bearer(token())]))
    for _ in range(WAVES):
        answers = fleet(Ask("/guarded/once", [bearer(token())]), 200)
        if statuses_of(answers)[503]:  # the machine is too slow to ask the store 200 times at once
            assert statuses_of(answers)[200] <= 1
            continue
        assert statuses_of(answers) == {200: 1, 401: 199}
        refused = [answer for answer in answers if answer.status == 401]
        assert all(
            (answer.challenge or {})["error_description"] == "the token has already been used" for answer in refused
        )
        if len(pids_of(answers)) == PROCESSES:
            return
    pytest.fail("no wave reached every process in time")


def test_refuses_everywhere_what_one_process_revoked(fleet: Fleet) -> None:
    ask = Ask("/anything", [bearer(token())])
    assert set(statuses_of(answers_of_all(fleet, ask))) == {200}
    (revoked,) = fleet(Ask("/revoke", ask.headers, "POST"), 1)
    assert revoked.status == 200
    assert set(statuses_of(answers_of_all(fleet, ask))) == {401}
    assert set(statuses_of(fleet(Ask("/anything", [bearer(token())]), 10))) == {200}


@pytest.mark.parametrize("what", ["tenant", "user", "id"])
def test_refuses_everywhere_what_a_process_without_the_secrets_revoked(
    fleet: Fleet, store: tuple[str, str], what: str
) -> None:
    named = f"{what}_{token()[-16:]}"
    claim = {"tenant": "tenant", "user": "sub", "id": "jti"}[what]
    ask = Ask("/anything", [bearer(token(**{claim: named}))])
    assert set(statuses_of(answers_of_all(fleet, ask))) == {200}
    denylist = Denylist(store[1], authority=ISSUER, horizon=3600)
    if what == "id":
        denylist.revoke_id(named, until=4_000_000_000)
    else:
        {"tenant": denylist.revoke_tenant, "user": denylist.revoke_user}[what](named)
    assert set(statuses_of(answers_of_all(fleet, ask))) == {401}
    assert set(statuses_of(fleet(Ask("/anything", [bearer(token())]), 10))) == {200}


def test_counts_a_token_spent_at_either_door(fleets: Mapping[str, AppServer], store: tuple[str, str]) -> None:
    for first, second in (("uvicorn", "gunicorn"), ("gunicorn", "uvicorn")):
        ask = Ask("/guarded/once", [bearer(token())])
        assert statuses_of(asking(fleets[first], store[0])(ask, 1)) == {200: 1}
        assert statuses_of(asking(fleets[second], store[0])(ask, 20)) == {401: 20}


def test_says_nothing_of_a_token_to_the_store(
    fleet: Fleet, store: tuple[str, str], redis_servers: Mapping[str, RedisServer]
) -> None:
    server = next(one for one in redis_servers.values() if one.url == store[1])
    text = token(jti="a-raw-jti-that-nobody-may-see", sub="usr_that_nobody_may_see")
    fleet(Ask("/guarded/once", [bearer(text)]), 1)
    fleet(Ask("/revoke", [bearer(text)], "POST"), 1)
    kept = str(kept_in(server))
    assert "nobody" not in kept
    assert text[-20:] not in kept
