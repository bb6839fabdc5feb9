"""Whose connections are whose: of loops, of threads, of forked processes; and when they are closed."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from bearerguard import Denylist, JwksKeys, MemoryStore, RedisStore, SignedTokens, TokenRevoked, Verifier
from tests.hostile import NOW, Clock, claims, settings
from tests.minting import mint, private_key, public_jwk
from tests.revoking import AUTHORITY, HORIZON, seconds_until, shop_settings, token
from tests.scripted_provider import ScriptedProvider, json_answer
from tests.servers import RedisServer

LONG_ON_OTHER_SERVERS = True
ROOT = Path(__file__).resolve().parent.parent


def verifier_at(store: Any) -> Verifier[SignedTokens]:
    return Verifier(shop_settings(), store=store, clock=Clock())


def ids_of(server: RedisServer) -> set[str]:
    """The ids of the connections that the server has, without the one that asks."""
    with redis.Redis.from_url(server.url) as client:
        own = client.client_id()
        return {str(each["id"]) for each in client.client_list() if int(each["id"]) != own}


@pytest.fixture(autouse=True)
def alone(request: pytest.FixtureRequest) -> None:
    """Connections of earlier tests are gone; those of a server that the environment names may be another's."""
    if "redis_server" in request.fixturenames:
        server = request.getfixturevalue("redis_server")
        seconds_until(lambda: not ids_of(server), at_most=5)


# --- Loops -----------------------------------------------------------------------------------------------------------


def test_one_verifier_serves_one_loop_after_another(redis_server: RedisServer) -> None:
    verifier = verifier_at(redis_server.url)
    met = set()
    for _ in range(4):
        assert asyncio.run(verifier.averify(token())).user == "ana"
        met |= ids_of(redis_server)
        assert len(ids_of(redis_server)) == 1
    assert len(met) == 4
    close_in_a_loop(verifier)
    gc.collect()


def close_in_a_loop(verifier: Verifier[SignedTokens]) -> None:
    """Close what the loops of before left, and what this one opens."""

    async def closed() -> None:
        await verifier.averify(token())
        await verifier.aclose()

    asyncio.run(closed())


def test_sockets_of_many_closed_loops_are_closed(redis_server: RedisServer) -> None:
    verifier = verifier_at(redis_server.url)

    async def revoke_at_once() -> None:  # writes, for checks go out together
        until = time.time() + 60
        await asyncio.gather(*(verifier.denylist.arevoke_id(str(number), until=until) for number in range(10)))

    for _ in range(5):
        asyncio.run(revoke_at_once())
    assert 1 < len(ids_of(redis_server)) <= 16
    close_in_a_loop(verifier)
    gc.collect()
    seconds_until(lambda: not ids_of(redis_server), at_most=2)


@pytest.mark.parametrize("how", ["close", "aclose"])
def test_closing_lets_go_of_loops_that_are_closed(redis_server: RedisServer, how: str) -> None:
    verifier = verifier_at(redis_server.url)
    asyncio.run(verifier.averify(token()))
    if how == "close":
        verifier.close()
    else:
        asyncio.run(verifier.aclose())
    try:
        seconds_until(lambda: not ids_of(redis_server), at_most=0.5)
    finally:
        close_in_a_loop(verifier)


def test_a_program_that_ends_leaves_nothing_open(redis_server: RedisServer) -> None:
    say = ran(_LOOPS, redis_server.url)
    assert "ResourceWarning" not in say.stderr
    assert say.stdout.split() == ["good", "good", "revoked", "revoked", "good"]


_HEAD = """\
import asyncio, gc, os, sys, threading, time
from bearerguard import BearerguardError, Denylist, MemoryStore, Verifier
from tests.hostile import Clock
from tests.revoking import AUTHORITY, shop_settings, token
url = sys.argv[1]
verifier = Verifier(shop_settings(), store=url, clock=Clock())
def verdict(text=token()):
    try:
        verifier.verify(text)
    except BearerguardError as error:
        return error.reason
    return "good"
async def averdict(text=token()):
    try:
        await verifier.averify(text)
    except BearerguardError as error:
        return error.reason
    return "good"
"""

_LOOPS = f"""{_HEAD}
print(asyncio.run(averdict()), asyncio.run(averdict()))
async def last():
    async with verifier:
        await verifier.denylist.arevoke_user("ana")
        print(await averdict())
with verifier:
    asyncio.run(last())
    print(verdict(), verdict(token(sub="bob")))
gc.collect()
"""


def ran(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What a program says that has a process of its own; a warning is said, too, and it must end well."""
    command = [sys.executable, "-X", "dev", "-W", "always", "-c", script, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done


def test_loops_of_several_threads_each_have_their_own(redis_server: RedisServer) -> None:
    verifier = verifier_at(redis_server.url)
    together = threading.Barrier(4)
    met: list[set[str]] = []

    async def check() -> None:
        await verifier.averify(token())
        together.wait(timeout=10)
        met.append(ids_of(redis_server))
        together.wait(timeout=10)
        await verifier.aclose()

    with ThreadPoolExecutor(4) as pool:
        for outcome in [pool.submit(asyncio.run, check()) for _ in range(4)]:
            outcome.result()
    assert all(len(ids) >= 4 for ids in met)


@contextmanager
def threads_that_change_often() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def test_loops_that_come_and_go_in_many_threads_do_not_disturb_each_other() -> None:
    """As in Flask, whose async views each run in a thread and a loop of their own."""
    verifier = verifier_at(MemoryStore())
    wrong: list[BaseException] = []

    def check_often() -> None:
        for number in range(40):
            try:
                asyncio.run(verifier.averify(token(jti=f"j{number}")))
            except Exception as error:
                wrong.append(error)

    with threads_that_change_often():
        threads = [threading.Thread(target=check_often) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [repr(error) for error in wrong] == []


# A loop that was closed before its connections leaves asyncio complaining of them, although they are ended.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_keys_are_fetched_over_the_connections_of_each_loop_which_end_with_it() -> None:
    minutes = Clock(0)
    with ScriptedProvider() as provider:
        url = provider.play("/keys", json_answer({"keys": [public_jwk(private_key("RS256"), kid="k")]}))
        verifier = Verifier(settings(keys=JwksKeys(url), algorithms=("RS256",)), clock=Clock(), monotonic=minutes)
        text = mint(claims(), key=private_key("RS256"), alg="RS256", headers={"kid": "k"})
        for number in range(1, 4):
            assert asyncio.run(verifier.averify(text)).subject == "ana"
            minutes.now += 3700
            provider.wait_for_requests(number)
        asyncio.run(checked_and_closed(verifier, text))
        assert provider.count("/keys") == provider.connections == 4
        provider.wait_for_ended(4)
        gc.collect()


async def checked_and_closed(verifier: Verifier[SignedTokens], text: str) -> None:
    """One more check, and everything is closed."""
    async with verifier:
        await verifier.averify(text)


# --- Threads ---------------------------------------------------------------------------------------------------------


def test_threads_share_the_connections_of_their_process(redis_server: RedisServer) -> None:
    verifier = verifier_at(redis_server.url)
    with ThreadPoolExecutor(16) as pool:
        subjects = [*pool.map(lambda number: verifier.verify(token(jti=f"j{number}")).subject, range(200))]
    assert subjects == ["ana"] * 200
    assert 1 <= len(ids_of(redis_server)) <= 16
    verifier.close()
    seconds_until(lambda: not ids_of(redis_server), at_most=2)


def test_threads_that_come_first_at_the_same_time_share_them_too(redis_server: RedisServer) -> None:
    for _ in range(20):
        verifier, barrier = verifier_at(redis_server.url), threading.Barrier(16)

        def first_use(_: int, barrier: threading.Barrier = barrier, verifier: Verifier[Any] = verifier) -> int:
            barrier.wait(10)
            return id(verifier.connections.blocking())

        with ThreadPoolExecutor(16) as pool:
            assert len({*pool.map(first_use, range(16))}) == 1


def test_every_thread_refuses_what_one_has_revoked(redis_server: RedisServer) -> None:
    verifier = verifier_at(redis_server.url)
    with ThreadPoolExecutor(8) as pool:
        assert {*pool.map(lambda _: verifier.verify(token()).user, range(50))} == {"ana"}
        pool.submit(verifier.denylist.revoke_user, "ana").result()
        outcomes = [pool.submit(verifier.verify, token()) for _ in range(50)]
        assert {type(outcome.exception()) for outcome in outcomes} == {TokenRevoked}
    verifier.close()


# --- Closing ---------------------------------------------------------------------------------------------------------


def test_closing_is_not_final_in_blocking_code(redis_server: RedisServer) -> None:
    verifier = verifier_at(redis_server.url)
    verifier.close()
    for _ in range(3):
        verifier.verify(token())
        assert len(ids_of(redis_server)) == 1
        verifier.close()
        verifier.close()
        seconds_until(lambda: not ids_of(redis_server), at_most=2)


def test_closing_is_not_final_in_async_code(redis_server: RedisServer) -> None:
    verifier = verifier_at(redis_server.url)

    async def use() -> None:
        await verifier.aclose()
        for _ in range(3):
            await verifier.averify(token())
            assert len(ids_of(redis_server)) == 1
            await verifier.aclose()
            await verifier.aclose()
            seconds_until(lambda: not ids_of(redis_server), at_most=2)

    asyncio.run(use())


def test_each_way_of_closing_closes_its_own(redis_server: RedisServer) -> None:
    verifier = verifier_at(redis_server.url)

    async def use() -> None:
        verifier.verify(token())
        await verifier.averify(token())
        assert len(ids_of(redis_server)) == 2
        verifier.close()
        seconds_until(lambda: len(ids_of(redis_server)) == 1, at_most=2)
        await verifier.aclose()
        seconds_until(lambda: not ids_of(redis_server), at_most=2)

    asyncio.run(use())


def test_a_verifier_is_a_context_manager_both_ways(redis_server: RedisServer) -> None:
    verifier = verifier_at(redis_server.url)

    async def use() -> None:
        async with verifier as entered:
            assert entered is verifier
            await entered.averify(token())
        seconds_until(lambda: not ids_of(redis_server), at_most=2)

    with verifier as entered:
        assert entered is verifier
        entered.verify(token())
    seconds_until(lambda: not ids_of(redis_server), at_most=2)
    asyncio.run(use())
    assert verifier.verify(token()).user == "ana"
    verifier.close()


def test_a_context_manager_lets_errors_pass_and_closes(redis_server: RedisServer) -> None:
    verifier = verifier_at(redis_server.url)

    async def fail() -> None:
        async with verifier:
            await verifier.averify(token())
            raise LookupError

    with pytest.raises(LookupError):
        fail_in_blocking_code(verifier)
    with pytest.raises(LookupError):
        asyncio.run(fail())
    seconds_until(lambda: not ids_of(redis_server), at_most=2)


def fail_in_blocking_code(verifier: Verifier[SignedTokens]) -> None:
    with verifier:
        verifier.verify(token())
        raise LookupError


def test_closing_forgets_nothing() -> None:
    verifier = verifier_at("memory://")
    verifier.denylist.revoke_user("ana")
    for close in (verifier.close, lambda: asyncio.run(verifier.aclose())):
        close()
        with pytest.raises(TokenRevoked):
            verifier.verify(token())


def test_building_opens_nothing() -> None:
    Verifier(shop_settings(), store="redis://nowhere.invalid:1/0")
    Denylist("redis://nowhere.invalid:1/0", authority="a")
    settings(keys=JwksKeys("https://nowhere.invalid/keys"), algorithms=("RS256",))


def test_a_denylist_alone_can_be_closed_too(redis_server: RedisServer) -> None:
    alone: Any = Denylist(redis_server.url, authority=AUTHORITY, horizon=HORIZON)

    async def use() -> None:
        await alone.arevoke_user("ana")
        await alone.aclose()

    try:
        alone.revoke_user("ana")
        alone.close()
        seconds_until(lambda: not ids_of(redis_server), at_most=2)
        asyncio.run(use())
        seconds_until(lambda: not ids_of(redis_server), at_most=2)
    finally:
        alone._connections.close()


# --- Clients of the user's own ---------------------------------------------------------------------------------------


def test_a_client_passed_in_is_never_closed(redis_server: RedisServer) -> None:
    client = redis.Redis.from_url(
        redis_server.url, socket_timeout=0.25, socket_connect_timeout=0.25, retry=Retry(NoBackoff(), 0)
    )
    mine = str(client.client_id())
    with verifier_at(RedisStore(client)) as verifier:
        verifier.verify(token())
        assert mine in ids_of(redis_server)
    verifier.close()
    assert mine in ids_of(redis_server)
    assert str(client.client_id()) == mine
    client.close()


def test_an_async_client_passed_in_is_never_closed(redis_server: RedisServer) -> None:
    async def use() -> None:
        client = redis.asyncio.Redis.from_url(
            redis_server.url, socket_timeout=0.25, socket_connect_timeout=0.25, retry=AsyncRetry(NoBackoff(), 0)
        )
        mine = await client.client_id()
        async with verifier_at(RedisStore(client)) as verifier:
            await verifier.averify(token())
        await verifier.aclose()
        assert str(mine) in ids_of(redis_server)
        assert await client.client_id() == mine
        await client.aclose()

    asyncio.run(use())


# --- Forks -----------------------------------------------------------------------------------------------------------

_FORKS = f"""{_HEAD}
import redis
def ids():
    with redis.Redis.from_url(url) as client:
        own = client.client_id()
        return {{each["id"] for each in client.client_list() if int(each["id"]) != own}}
def in_child(work):
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    try:
        work()
        sys.stdout.flush()
        os._exit(0)
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
def ended(*children):
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""

_FORK_OF_BLOCKING_CODE = f"""{_FORKS}
assert verdict() == "good"
inherited = ids()
def child():
    for number in range(100):
        assert verdict(token(jti=f"c{{number}}", sub="bob")) == "good"
    assert ids() > inherited
    verifier.denylist.revoke_user("ana")
    verifier.close()
    time.sleep(0.05)
    assert ids() >= inherited
children = [in_child(child) for _ in range(3)]
for number in range(100):
    assert verdict(token(jti=f"p{{number}}", sub="carl")) == "good"
ended(*children)
assert verdict() == "revoked"
ends_at = time.monotonic() + 5
while ids() != inherited:
    assert time.monotonic() < ends_at
verifier.close()
"""

_FORK_OF_ASYNC_CODE = f"""{_FORKS}
assert asyncio.run(averdict()) == "good"
def child():
    assert asyncio.run(averdict()) == "good"
    assert verdict(token(jti="c")) == "good"
    asyncio.run(verifier.denylist.arevoke_user("ana"))
    with verifier:
        asyncio.run(last())
async def last():
    async with verifier:
        return await averdict()
ended(in_child(child))
assert asyncio.run(averdict()) == "revoked"
assert asyncio.run(last()) == "revoked"
gc.collect()
"""

_FORK_INSIDE_A_LOOP = f"""{_FORKS}
import multiprocessing
def child():
    assert verdict() == "good"
    assert asyncio.run(averdict()) == "good"
    verifier.denylist.revoke_user("ana")
async def main():
    async with verifier:
        assert await averdict() == "good"
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        await asyncio.to_thread(process.join)
        assert process.exitcode == 0
        assert await averdict() == "revoked"
        assert await averdict(token(sub="bob")) == "good"
asyncio.run(main())
"""


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(_FORK_OF_BLOCKING_CODE, id="blocking"),
        pytest.param(_FORK_OF_ASYNC_CODE, id="async"),
        pytest.param(_FORK_INSIDE_A_LOOP, id="inside a loop"),
    ],
)
def test_a_fork_after_use_gets_right_answers(redis_server: RedisServer, script: str) -> None:
    redis_server.cli("PING")
    without_dev_mode = [sys.executable, "-c", script, redis_server.url]
    done = subprocess.run(without_dev_mode, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


_FORK_OF_MEMORY = f"""{_FORKS}
import logging
logging.basicConfig(stream=sys.stdout, format="%(name)s %(levelname)s %(message)s")
verifier.denylist.revoke_user("ana")
def child():
    assert [verdict(), verdict(token(sub="bob"))] == ["revoked", "good"]
    verifier.denylist.revoke_user("bob")
    assert verdict(token(sub="bob")) == "revoked"
ended(in_child(child))
assert [verdict(), verdict(token(sub="bob"))] == ["revoked", "good"]
"""

_FORK_OF_MEMORY_UNUSED = f"""{_FORKS}
import logging
logging.basicConfig(stream=sys.stdout, format="%(name)s %(levelname)s %(message)s")
assert verdict() == "good"
ended(in_child(lambda: None))
ended(in_child(lambda: [verdict() for _ in range(3)]))
"""


@pytest.mark.parametrize("script", [_FORK_OF_MEMORY, _FORK_OF_MEMORY_UNUSED], ids=["written to", "read"])
def test_a_memory_met_again_after_a_fork_warns_once(script: str) -> None:
    (line,) = ran(script, "memory://").stdout.splitlines()
    assert line.startswith("bearerguard WARNING a MemoryStore was taken over by a forked process")


def seconds_of(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


@pytest.mark.timed
def test_a_closed_verifier_costs_no_more_than_a_new_connection(redis_server: RedisServer) -> None:
    verifier = verifier_at(redis_server.url)
    verifier.verify(token())
    verifier.close()
    assert seconds_of(lambda: verifier.verify(token(iat=NOW - 5))) < 0.5
    verifier.close()


_LIFESPAN = """
import asyncio, sys
from bearerguard import OpaqueTokens, SharedSecrets, SignedTokens, Verifier
from bearerguard.asgi import BearerMiddleware

OPAQUE = OpaqueTokens(issuer="https://id.example.com", client_id="api", client_secret="s" * 32, audience="api")
SIGNED = SignedTokens(keys=SharedSecrets("s" * 32), algorithms=["HS256"], issuer="i", audience="api")

async def app(scope, receive, send):
    print("httpx" in sys.modules)

kind = OPAQUE if sys.argv[1] == "opaque" else SIGNED
asyncio.run(BearerMiddleware(app, Verifier(kind))({"type": "lifespan"}, None, None))
"""


@pytest.mark.parametrize(("kind", "is_there"), [("opaque", "True"), ("signed", "False")])
def test_brings_in_an_http_client_at_start_where_requests_will_need_one(kind: str, is_there: str) -> None:
    assert ran(_LIFESPAN, kind).stdout.split() == [is_there]
