"""Key sets behind a URL: floods, outages, rotations and broken documents, over real sockets and an own clock."""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import pytest

from bearerguard import AuthError, ClientCredentials, JwksKeys, SettingsError, SignedTokens, Unavailable, Verifier
from tests.hostile import GOOD, NOW, Clock, claims, key_of, sealed, settings, verdict
from tests.minting import base64url, mint, public_jwk
from tests.scripted_provider import (
    Line,
    Play,
    ScriptedProvider,
    after,
    answer,
    chunked,
    dripped_body,
    dripped_headers,
    gzipped,
    hang_up,
    html,
    in_turn,
    json_answer,
    raw,
    redirect,
    reset,
    silent,
    status,
    truncated,
)
from tests.servers import RedisServer

HALF_A_MINUTE = 30.0
WHAT_503_SAYS = ("keys_unavailable", "provider_unavailable")
FIVE_MILLISECONDS = 0.005

Judge = Verifier[SignedTokens]


def jwk(name: str, **members: Any) -> dict[str, Any]:
    """The public key of that name, under that name."""
    return public_jwk(key_of("EdDSA", name), **{"kid": name} | members)


def keys(*names: str, headers: dict[str, str] | None = None) -> Play:
    """A good answer with these keys."""
    return json_answer({"keys": [jwk(name) for name in names]}, headers=headers)


def token(name: str, kid: str | None = "", **changes: Any) -> str:
    """A good token under the key of that name, which it names unless it is told otherwise."""
    headers = {"kid": name} if kid == "" else {"kid": kid}
    return mint(claims(changes), key=key_of("EdDSA", name), alg="EdDSA", headers=headers)


_serial = itertools.count()


def fresh(name: str, kid: str | None = "") -> str:
    """Such a token that nobody has seen before."""
    return token(name, kid, jti=f"fresh {next(_serial)}")


def made_up(kid: str | None = "") -> str:
    """What an attacker sends in numbers: a well-formed token of a key that does not exist, under no signature."""
    number = next(_serial)
    header = {"alg": "EdDSA"} | ({} if kid is None else {"kid": kid or f"made up {number}"})
    payload = json.dumps({"jti": f"{number}"}).encode()
    return f"{base64url(json.dumps(header).encode())}.{base64url(payload)}.{base64url(number.to_bytes(64, 'big'))}"


def judge_of(
    url: str, clock: Callable[[], float], *, algorithms: tuple[str, ...] = ("EdDSA",), **options: Any
) -> Judge:
    """A verifier whose keys are at that address."""
    kind = settings(keys=JwksKeys(url, **options), algorithms=algorithms)
    return Verifier(kind, clock=lambda: NOW, monotonic=clock)


@contextmanager
def house(play: Play, **options: Any) -> Iterator[tuple[ScriptedProvider, Judge, Clock]]:
    """A provider, a verifier that asks it, and the clock that the verifier's patience goes by."""
    clock = Clock(1_000_000.0)
    with ScriptedProvider(play) as provider, judge_of(provider.url("/jwks"), clock, **options) as judge:
        yield provider, judge, clock


async def averdict(judge: Judge, text: str) -> str:
    """`verdict` in async code."""
    try:
        await judge.averify(text)
    except (AuthError, Unavailable) as refusal:
        return refusal.reason
    return GOOD


def in_async(judge: Judge, work: Callable[[], Any]) -> Any:
    """Run async work, and close what it opened."""

    async def run() -> Any:
        try:
            return await work()
        finally:
            await judge.aclose()

    return asyncio.run(run())


async def until(come: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    for _ in range(5000):
        if come():
            return
        await asyncio.sleep(0.001)
    raise TimeoutError("what the test waits for has not come")


def settle(provider: ScriptedProvider, judge: Judge, requests: int) -> None:
    """Wait until a fetch that nobody waits for has come in."""
    provider.wait_for_requests(requests)
    for thread in threading.enumerate():
        if thread.name != "scripted provider" and thread is not threading.current_thread():
            thread.join(2)


# --- One fetch for many ----------------------------------------------------------------------------------------------


def test_asks_once_for_500_unknown_kids_at_once_in_async_code() -> None:
    with house(after(0.2, keys("k1"))) as (provider, judge, clock):

        async def storm() -> list[set[str]]:
            rounds = []
            for _ in range(2):
                rounds.append(set(await asyncio.gather(*(averdict(judge, made_up()) for _ in range(500)))))
                clock.now += 31
            return rounds

        assert in_async(judge, storm) == [{"unknown_key"}, {"unknown_key"}]
        assert provider.count() == 2


def test_asks_once_for_500_unknown_kids_at_once_in_threads() -> None:
    # The longest deadline there is: on a busy machine 500 threads take their time.
    with (
        house(after(0.2, keys("k1")), deadline=5) as (provider, judge, clock),
        ThreadPoolExecutor(500) as pool,
    ):
        for asked in (1, 2):
            barrier = threading.Barrier(500)

            def work(barrier: threading.Barrier = barrier) -> str:
                barrier.wait(10)
                return verdict(judge, made_up())

            assert {future.result() for future in [pool.submit(work) for _ in range(500)]} == {"unknown_key"}
            assert provider.count() == asked
            clock.now += 31


def test_asks_once_for_known_and_unknown_kids_together() -> None:
    with house(after(0.2, keys("k1"))) as (provider, judge, _):

        async def storm() -> list[str]:
            tokens = [fresh("k1") if number % 2 else made_up() for number in range(200)]
            return await asyncio.gather(*(averdict(judge, one) for one in tokens))

        assert in_async(judge, storm) == ["unknown_key", GOOD] * 100
        assert provider.count() == 1


def test_asks_no_more_than_once_for_each_flavour_when_both_come_at_once() -> None:
    with house(after(0.3, keys("k1"))) as (provider, judge, _), ThreadPoolExecutor(2) as pool:

        async def storm() -> list[str]:
            return await asyncio.gather(*(averdict(judge, fresh("k1")) for _ in range(20)))

        sync = pool.submit(lambda: [verdict(judge, fresh("k1")) for _ in range(20)])
        assert set(in_async(judge, storm)) == {GOOD}
        assert set(sync.result()) == {GOOD}
        assert provider.count() <= 2


def test_serves_the_others_when_the_first_to_ask_is_cancelled() -> None:
    with house(after(0.2, keys("k1"))) as (provider, judge, _):

        async def storm() -> list[str]:
            leader = asyncio.create_task(averdict(judge, fresh("k1")))
            await asyncio.sleep(0)
            followers = [asyncio.create_task(averdict(judge, fresh("k1"))) for _ in range(10)]
            await asyncio.sleep(0)
            leader.cancel()
            return await asyncio.gather(*followers)

        assert in_async(judge, storm) == [GOOD] * 10
        assert provider.count() == 1


def test_begins_again_in_a_new_loop_when_the_first_was_closed_in_the_middle() -> None:
    with house(in_turn(silent, keys("k1"))) as (provider, judge, _):

        async def broken_off() -> None:
            task = asyncio.create_task(averdict(judge, fresh("k1")))
            await until(lambda: provider.count() > 0)
            task.cancel()

        asyncio.run(broken_off())
        assert in_async(judge, lambda: averdict(judge, fresh("k1"))) == GOOD


# --- Nobody waits for a key that is known ----------------------------------------------------------------------------


def median_of(seconds: list[float]) -> float:
    return statistics.median(seconds)


def spent(judge: Judge, text: str) -> float:
    started = time.perf_counter()
    assert verdict(judge, text) == GOOD
    return time.perf_counter() - started


async def aspent(judge: Judge, text: str) -> float:
    started = time.perf_counter()
    assert await averdict(judge, text) == GOOD
    return time.perf_counter() - started


@pytest.mark.timed
@pytest.mark.parametrize("age", [31, 3599])
def test_serves_a_known_kid_while_a_slow_fetch_runs(age: float) -> None:
    with house(in_turn(keys("k1"), after(0.8, keys("k1")))) as (provider, judge, clock), ThreadPoolExecutor(1) as pool:
        seen = fresh("k1")
        assert verdict(judge, seen) == GOOD
        clock.now += age
        waiting = pool.submit(verdict, judge, made_up())
        provider.wait_for_requests(2)
        assert median_of([spent(judge, fresh("k1")) for _ in range(40)]) < FIVE_MILLISECONDS
        assert median_of([spent(judge, seen) for _ in range(40)]) < FIVE_MILLISECONDS
        assert not waiting.done()
        assert waiting.result() == "unknown_key"
        assert provider.count() == 2


@pytest.mark.timed
@pytest.mark.parametrize("age", [31, 3599])
def test_serves_a_known_kid_while_a_slow_fetch_runs_in_async_code(age: float) -> None:
    with house(in_turn(keys("k1"), after(0.8, keys("k1")))) as (provider, judge, clock):

        async def work() -> None:
            seen = fresh("k1")
            assert await averdict(judge, seen) == GOOD
            clock.now += age
            waiting = asyncio.create_task(averdict(judge, made_up()))
            await until(lambda: provider.count() == 2)
            assert median_of([await aspent(judge, fresh("k1")) for _ in range(40)]) < FIVE_MILLISECONDS
            assert median_of([await aspent(judge, seen) for _ in range(40)]) < FIVE_MILLISECONDS
            assert not waiting.done()
            assert await waiting == "unknown_key"

        in_async(judge, work)
        assert provider.count() == 2


@pytest.mark.timed
@pytest.mark.parametrize(
    "outage", [silent, hang_up, reset, status(503), dripped_body()], ids=["silent", "gone", "reset", "503", "slow"]
)
def test_serves_a_known_kid_while_the_endpoint_is_down(outage: Play) -> None:
    with house(in_turn(keys("k1"), outage), deadline=0.5) as (provider, judge, clock):
        seen = fresh("k1")
        assert verdict(judge, seen) == GOOD
        for age in (250, 301, 1000, 3599):
            clock.now = 1_000_000.0 + age
            assert median_of([spent(judge, fresh("k1")) for _ in range(20)]) < FIVE_MILLISECONDS
            assert median_of([spent(judge, seen) for _ in range(20)]) < FIVE_MILLISECONDS
        settle(provider, judge, 2)


@pytest.mark.timed
def test_serves_a_known_kid_while_nobody_listens() -> None:
    with house(keys("k1")) as (provider, judge, clock):
        seen = fresh("k1")
        assert verdict(judge, seen) == GOOD
        provider.refuse()
        for age in (31, 301, 1000, 3599):
            clock.now = 1_000_000.0 + age
            assert verdict(judge, made_up()) == "keys_unavailable"
            assert median_of([spent(judge, fresh("k1")) for _ in range(20)]) < FIVE_MILLISECONDS
            assert median_of([spent(judge, seen) for _ in range(20)]) < FIVE_MILLISECONDS
        provider.listen()
        clock.now += 31
        assert verdict(judge, made_up()) == "unknown_key"


# --- The cool-down ---------------------------------------------------------------------------------------------------


def test_cools_down_after_a_good_fetch() -> None:
    with house(in_turn(keys("k1"), keys("k1", "k2"))) as (provider, judge, clock):
        assert verdict(judge, fresh("k1")) == GOOD
        for age in (0, 1, 15, 29.9):
            clock.now = 1_000_000.0 + age
            assert verdict(judge, fresh("k2")) == "unknown_key"
            assert verdict(judge, fresh("k2", "k1")) == "bad_signature"
            assert verdict(judge, fresh("k2", None)) == "bad_signature"
        assert provider.count() == 1
        clock.now = 1_000_000.0 + 30
        assert verdict(judge, fresh("k2")) == GOOD
        assert provider.count() == 2


@pytest.mark.parametrize(
    "failure", [status(500), html(), hang_up, json_answer({"keys": []})], ids=["500", "html", "gone", "empty"]
)
def test_cools_down_after_a_failed_fetch(failure: Play) -> None:
    with house(in_turn(keys("k1"), failure, keys("k1", "k2"))) as (provider, judge, clock):
        assert verdict(judge, fresh("k1")) == GOOD
        clock.now += 31
        assert verdict(judge, fresh("k2")) == "keys_unavailable"
        assert provider.count() == 2
        for age in (0, 1, 15, 29.9):
            clock.now = 1_000_031.0 + age
            assert verdict(judge, fresh("k2")) == "keys_unavailable"
            assert verdict(judge, made_up()) == "keys_unavailable"
            assert verdict(judge, fresh("k2", "k1")) == "bad_signature"
            assert verdict(judge, fresh("k1")) == GOOD
        assert provider.count() == 2
        clock.now = 1_000_031.0 + 30
        assert verdict(judge, fresh("k2")) == GOOD
        assert provider.count() == 3


def test_says_401_of_an_unknown_kid_only_while_the_last_good_fetch_is_young() -> None:
    with house(in_turn(keys("k1"), status(500), keys("k1"), status(500))) as (provider, judge, clock):
        rows = [
            (0, "unknown_key", 1),
            (29, "unknown_key", 1),
            (31, "keys_unavailable", 2),
            (60, "keys_unavailable", 2),
            (61, "unknown_key", 3),
            (90, "unknown_key", 3),
            (92, "keys_unavailable", 4),
            (121, "keys_unavailable", 4),
        ]
        for age, reason, asked in rows:
            clock.now = 1_000_000.0 + age
            assert (verdict(judge, made_up()), provider.count()) == (reason, asked)


@pytest.mark.parametrize(
    ("kid", "later"),
    [
        pytest.param("", keys("k1"), id="made-up kids, well"),
        pytest.param("", status(500), id="made-up kids, failing"),
        pytest.param("k1", hang_up, id="a known kid, gone"),
        pytest.param(None, status(500), id="no kid, failing"),
    ],
)
def test_asks_twice_in_30_seconds_at_most_for_10_000_made_up_tokens(kid: str | None, later: Play) -> None:
    asked_at: list[float] = []
    clock = Clock(0.0)

    def counting(line: Line) -> None:
        asked_at.append(clock.now)
        (keys("k1") if len(asked_at) == 1 else later)(line)

    with ScriptedProvider(counting) as provider, judge_of(provider.url("/jwks"), clock) as judge:
        seen = fresh("k1")
        assert verdict(judge, seen) == GOOD
        for number in range(10_000):
            clock.now = number * 0.009
            assert verdict(judge, made_up(kid)) in ("unknown_key", "bad_signature", "keys_unavailable")
            if number % 250 == 0:
                assert (verdict(judge, seen), verdict(judge, fresh("k1"))) == (GOOD, GOOD)
    assert len(asked_at) <= 4
    for start in asked_at:
        assert sum(start <= at < start + HALF_A_MINUTE for at in asked_at) <= 2


def test_asks_once_for_each_step_of_patience_while_nothing_was_ever_loaded() -> None:
    asked_at: list[float] = []
    clock = Clock(0.0)

    def failing(line: Line) -> None:
        asked_at.append(clock.now)
        status(500)(line)

    with ScriptedProvider(failing) as provider, judge_of(provider.url("/jwks"), clock) as judge:
        for number in range(4000):
            clock.now = number * 0.05
            assert verdict(judge, made_up() if number % 2 else token("k1")) == "keys_unavailable"
    gaps = [later - earlier for earlier, later in itertools.pairwise(asked_at)]
    assert all(later >= earlier - 0.06 for earlier, later in itertools.pairwise(gaps))
    assert min(gaps) >= 0.99
    assert max(gaps) <= 30.1
    assert gaps[-1] >= 29.9
    assert sum(at < 31 for at in asked_at) <= 6


class HeldUp:
    """A clock that stands still, and holds one thread up when that thread looks at it for the nth time."""

    def __init__(self, look: int) -> None:
        self._look = look
        self._own = threading.local()
        self.is_held_up = threading.Event()
        self.may_go_on = threading.Event()

    def __call__(self) -> float:
        looks = self._own.looks = getattr(self._own, "looks", -1000) + 1
        if looks == self._look:
            self.is_held_up.set()
            self.may_go_on.wait(5)
        return 1_000_031.0

    def hold_up(self, work: Callable[[], Any]) -> Any:
        """Do `work` in this thread, which is the one to be held up."""
        self._own.looks = 0
        try:
            return work()
        finally:
            self._own.looks = -1000
            self.is_held_up.set()


@pytest.mark.parametrize("look", range(1, 8))
def test_asks_once_whatever_the_moment_at_which_a_thread_is_held_up(look: int) -> None:
    """A thread that found the set wanting may wake up after another has fetched it: it must not fetch it again."""
    clock = HeldUp(look)
    with (
        ScriptedProvider(keys("k1")) as provider,
        judge_of(provider.url("/jwks"), clock) as judge,
        ThreadPoolExecutor(2) as pool,
    ):
        late = pool.submit(clock.hold_up, lambda: verdict(judge, made_up()))
        clock.is_held_up.wait(5)
        early = pool.submit(verdict, judge, made_up())
        wait([early], timeout=0.3)
        clock.may_go_on.set()
        assert (late.result(), early.result()) == ("unknown_key", "unknown_key")
        assert provider.count() == 1


# --- Stale keys ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_stale", [300, 3600])
def test_trusts_stale_keys_to_their_end_and_no_longer(max_stale: int) -> None:
    with house(in_turn(keys("k1"), status(500)), max_stale=max_stale) as (provider, judge, clock):
        seen = fresh("k1")
        assert verdict(judge, seen) == GOOD
        clock.now += max_stale
        assert (verdict(judge, seen), verdict(judge, fresh("k1"))) == (GOOD, GOOD)
        settle(provider, judge, 2)
        for later in (1, 15, 31, 3600):
            clock.now = 1_000_000.0 + max_stale + later
            for text in (seen, fresh("k1"), made_up(), fresh("k2", "k1"), token("k1", exp=NOW - 3600)):
                assert verdict(judge, text) == "keys_unavailable"
        provider.play("/jwks", keys("k1"))
        clock.now += 31
        assert (verdict(judge, seen), verdict(judge, fresh("k1"))) == (GOOD, GOOD)


def test_counts_the_age_of_the_keys_from_the_last_good_fetch() -> None:
    with house(in_turn(keys("k1"), keys("k1"), status(500))) as (provider, judge, clock):
        assert verdict(judge, fresh("k1")) == GOOD
        clock.now += 3000
        assert verdict(judge, made_up()) == "unknown_key"
        assert provider.count() == 2
        clock.now += 3600
        assert verdict(judge, fresh("k1")) == GOOD
        settle(provider, judge, 3)
        clock.now += 1
        assert verdict(judge, fresh("k1")) == "keys_unavailable"


def test_answers_503_and_not_401_while_it_has_no_keys() -> None:
    with house(status(500)) as (_, judge, clock):
        for text in (fresh("k1"), made_up(), made_up(None), token("k1", exp=NOW - 3600), token("k1", iss="x")):
            clock.now += 31
            with pytest.raises(Unavailable) as caught:
                judge.verify(text)
            assert (caught.value.status, caught.value.reason) == (503, "keys_unavailable")
            assert 1 <= int(caught.value.headers()["Retry-After"]) <= 5


def test_refuses_what_is_no_token_without_asking_for_keys() -> None:
    with house(keys("k1")) as (provider, judge, _):
        for text in ("a.b.c", "", "x" * 9000, mint(claims()), mint(claims(), headers={"crit": []}), fresh("k1") + "="):
            assert verdict(judge, text) not in (GOOD, "keys_unavailable")
        assert provider.count() == 0


@pytest.mark.parametrize("cool_down", [1, 30])
def test_outlives_an_outage_of_a_thousand_fetches(cool_down: int) -> None:
    with house(status(500), cool_down=cool_down) as (provider, judge, clock):
        for _ in range(1100):
            clock.now += 31
            assert verdict(judge, fresh("k1")) == "keys_unavailable"
        assert provider.count() == 1100
        assert verdict(judge, fresh("k1")) == "keys_unavailable"
        assert provider.count() == 1100
        provider.play("/jwks", keys("k1"))
        clock.now += 31
        assert verdict(judge, fresh("k1")) == GOOD


# --- How long a set is fresh -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cache_control", "not_before", "not_after"),
    [
        pytest.param(None, 150, 300, id="nothing said"),
        pytest.param("max-age=600", 300, 600, id="ten minutes"),
        pytest.param("public, max-age=600, must-revalidate", 300, 600, id="ten minutes, among others"),
        pytest.param("MAX-AGE=600", 300, 600, id="ten minutes, in capitals"),
        pytest.param('max-age="600"', 300, 600, id="ten minutes, in quotes"),
        pytest.param("max-age=0", 31, 60, id="none"),
        pytest.param("max-age=1", 31, 60, id="a second"),
        pytest.param("max-age=86400", 1800, 3600, id="a day"),
        pytest.param("max-age=99999999999999999999", 1800, 3600, id="for ever"),
        pytest.param("max-age=-5", 31, 300, id="a time ago"),
        pytest.param("max-age=soon", 150, 300, id="soon"),
        pytest.param("max-age=", 150, 300, id="empty"),
        pytest.param("s-maxage=3600", 150, 300, id="for proxies"),
        pytest.param("x-max-age=3600", 150, 300, id="another word"),
        pytest.param("no-store", 31, 300, id="not to be stored"),
    ],
)
def test_fetches_ahead_of_the_end_and_not_too_soon(
    cache_control: str | None, not_before: float, not_after: float
) -> None:
    headers = {} if cache_control is None else {"cache-control": cache_control}
    with house(keys("k1", headers=headers)) as (provider, judge, clock):

        async def work() -> None:
            assert await averdict(judge, fresh("k1")) == GOOD
            clock.now = 1_000_000.0 + not_before - 1
            assert await averdict(judge, fresh("k1")) == GOOD
            assert len(asyncio.all_tasks()) == 1, "a fetch was begun too soon"
            clock.now = 1_000_000.0 + not_after
            assert await averdict(judge, fresh("k1")) == GOOD
            assert len(asyncio.all_tasks()) > 1, "no fetch was begun in time"
            await until(lambda: len(asyncio.all_tasks()) == 1)

        in_async(judge, work)
        assert provider.count() == 2


# --- Documents -------------------------------------------------------------------------------------------------------

GOOD_SET = json.dumps({"keys": [jwk("k1")]}).encode()
BROKEN = {
    "204": answer(b"", 204),
    "206": answer(GOOD_SET, 206),
    "304": answer(b"", 304),
    "404": answer(GOOD_SET, 404),
    "500": answer(GOOD_SET, 500),
    "503": status(503, {"retry-after": "3600"}),
    "another place": redirect("/other"),
    "html": html(),
    "nothing": answer(b""),
    "an empty object": json_answer({}),
    "an array": json_answer([jwk("k1")]),
    "a key": json_answer(jwk("k1")),
    "null": json_answer(None),
    "no keys": json_answer({"keys": []}),
    "null for keys": json_answer({"keys": None}),
    "an object for keys": json_answer({"keys": {"k1": jwk("k1")}}),
    "a text for keys": json_answer({"keys": "k1"}),
    "other keys only": json_answer({"keys": [public_jwk(key_of("ES256"), kid="k1")]}),
    "a key for encryption": json_answer({"keys": [jwk("k1", use="enc")]}),
    "a key for another algorithm": json_answer({"keys": [jwk("k1", alg="ES256")]}),
    "a shared key": json_answer({"keys": [{"kty": "oct", "k": "AAAA", "kid": "k1"}]}),
    "a private key": json_answer({"keys": [jwk("k1", d="AAAA")]}),
    "257 keys": json_answer({"keys": [jwk("k1")] * 257}),
    "keys twice": answer(GOOD_SET[:-1] + b',"keys":[]}'),
    "a name twice in a key": answer(GOOD_SET.replace(b'"kid"', b'"kid": "k0", "kid"')),
    "NaN": answer(GOOD_SET[:-1] + b',"x":NaN}'),
    "1e999": answer(GOOD_SET[:-1] + b',"x":1e999}'),
    "a BOM": answer(b"\xef\xbb\xbf" + GOOD_SET),
    "UTF-16": answer(GOOD_SET.decode().encode("utf-16")),
    "no UTF-8": answer(GOOD_SET[:-1] + b',"x":"\xff"}'),
    "a lone high surrogate": answer(GOOD_SET[:-1] + b',"x":"\\ud800"}'),
    "a lone low surrogate": answer(GOOD_SET[:-1] + b',"x":"\\udc00"}'),
    "deep": answer(b'{"keys":' + b"[" * 9000),
    "deep and whole": answer(GOOD_SET[:-1] + b',"x":' + b"[" * 9000 + b"]" * 9000 + b"}"),
    "a long number": answer(GOOD_SET[:-1] + b',"x":' + b"9" * 9000 + b"}"),
    "cut short": answer(GOOD_SET[:-1]),
    "truncated": truncated(GOOD_SET),
    "twice": answer(GOOD_SET * 2),
    "compressed": gzipped(GOOD_SET),
    "large": answer(GOOD_SET + b" " * 65_536),
    "large, in chunks": chunked(1_000_000),
    "no HTTP": raw(b"hello\r\n\r\n"),
    "a wrong length": raw(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n" + GOOD_SET),
    "gone": hang_up,
    "reset": reset,
    "silent": silent,
    "a dripping head": dripped_headers(),
    "a dripping body": dripped_body(),
}


@pytest.mark.timed
@pytest.mark.parametrize("name", BROKEN)
def test_takes_a_broken_document_for_a_failed_fetch(name: str) -> None:
    with house(in_turn(BROKEN[name], keys("k1"), BROKEN[name]), deadline=0.4) as (provider, judge, clock):
        provider.play("/other", keys("k1"))
        started = time.perf_counter()
        assert verdict(judge, fresh("k1")) in WHAT_503_SAYS
        assert time.perf_counter() - started < 1
        clock.now += 31
        assert verdict(judge, fresh("k1")) == GOOD
        clock.now += 31
        assert verdict(judge, made_up()) in WHAT_503_SAYS
        assert verdict(judge, fresh("k1")) == GOOD
        assert (provider.count("/jwks"), provider.count("/other")) == (3, 0)


@pytest.mark.parametrize("name", BROKEN)
def test_takes_a_broken_document_for_a_failed_fetch_in_async_code(name: str) -> None:
    with house(BROKEN[name], deadline=0.4) as (provider, judge, _):
        assert in_async(judge, lambda: averdict(judge, fresh("k1"))) in WHAT_503_SAYS
        assert provider.count("/other") == 0


def each(*values: Any) -> tuple[Any, ...]:
    return values


BAD_KEYS: list[Any] = [
    *(None, True, 5, 1.5, "k1", [], [[]], {}, [jwk("k1")]),
    *({"kty": value} for value in each(None, 5, [], {}, "EC", "OKP", "RSA", "oct", "AKP", "x" * 1000)),
    *({"kty": "EC", "crv": value, "x": "AA", "y": "AA"} for value in each(None, 5, [], {}, "P-256", "secp256k1")),
    *({"kty": "OKP", "crv": value, "x": "AA"} for value in each(None, 5, [], {}, "Ed25519", "Ed448", "X25519")),
    *(
        {"kty": "RSA", "n": value, "e": "AQAB"}
        for value in each(None, 5, [], {}, "", "AA", "AQ", "!", "\u00e9", "A" * 40_000)
    ),
    *({"kty": "RSA", "n": "x" * 342, "e": value} for value in each(None, 5, [], {}, "", "AA", "AQ", "Aw", "A" * 1000)),
    *(jwk("k1") | {"kid": value} for value in each(5, [], {}, True, "", "x" * 300)),
    *(jwk("k1") | {"alg": value} for value in each(5, [], {}, True, "", "none", "HS256")),
    *(jwk("k1") | {"use": value} for value in each(5, [], {}, True, "", "enc", None)),
    *(jwk("k1") | {"key_ops": value} for value in each(5, [], {}, True, "", "verify", None, [[]], [{}], [None])),
    *(jwk("k1") | {name: "AA"} for name in ("d", "k")),
    public_jwk(key_of("ES256"), crv="P-384"),
    public_jwk(key_of("ES256"), y=public_jwk(key_of("ES256"))["x"]),
    jwk("k1", x=base64url(bytes(32))),
    jwk("k1", x=base64url(bytes([255] * 32))),
    jwk("k1", x=base64url(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"))),
]


@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize("bad", BAD_KEYS, ids=[f"bad key {number}" for number, _ in enumerate(BAD_KEYS)])
def test_lets_no_bad_key_kill_the_set(bad: Any, place: int) -> None:
    members = [bad, jwk("good")] if place == 0 else [jwk("good"), bad]
    with house(json_answer({"keys": members}), algorithms=("EdDSA", "ES256", "RS256")) as (provider, judge, _):
        assert verdict(judge, fresh("good")) == GOOD
        assert verdict(judge, fresh("k1")) == "unknown_key"
        assert provider.count() == 1


def test_takes_256_keys() -> None:
    names = [f"key {number}" for number in range(256)]
    with house(keys(*names)) as (provider, judge, _):
        for name in (names[0], names[15], names[16], names[255]):
            assert verdict(judge, fresh(name)) == GOOD
        assert verdict(judge, fresh(names[15], None)) == GOOD
        assert verdict(judge, fresh(names[16], None)) == "bad_signature"
        assert provider.count() == 1


@pytest.mark.timed
def test_holds_the_loop_up_for_no_more_than_a_tenth_of_a_second_while_it_reads_a_set() -> None:
    names = [f"key {number}" for number in range(250)]
    with house(keys(*names)) as (_, judge, _clock):

        async def longest_pause() -> float:
            asking, pauses, last = asyncio.create_task(averdict(judge, fresh(names[0]))), [], time.perf_counter()
            while not asking.done():
                await asyncio.sleep(0)
                now = time.perf_counter()
                pauses.append(now - last)
                last = now
            assert asking.result() == GOOD
            return max(pauses)

        assert in_async(judge, longest_pause) < 0.1


# --- Rotation --------------------------------------------------------------------------------------------------------


def refetched(provider: ScriptedProvider, judge: Judge, clock: Clock, play: Play) -> None:
    """Let the provider change its keys, and the verifier notice."""
    asked = provider.count()
    provider.play("/jwks", play)
    clock.now += 31
    verdict(judge, made_up())
    assert provider.count() == asked + 1


def test_takes_the_seen_tokens_of_a_key_that_left() -> None:
    with house(keys("k1", "k2")) as (provider, judge, clock):
        first, second = fresh("k1"), fresh("k2")
        for _ in range(2):
            assert (verdict(judge, first), verdict(judge, second)) == (GOOD, GOOD)
        refetched(provider, judge, clock, keys("k2"))
        for _ in range(2):
            assert (verdict(judge, first), verdict(judge, second)) == ("unknown_key", GOOD)
        refetched(provider, judge, clock, keys("k1"))
        for _ in range(2):
            assert (verdict(judge, first), verdict(judge, second)) == (GOOD, "unknown_key")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        pytest.param([jwk("k2", kid="k1")], "bad_signature", id="another key of that kid"),
        pytest.param([jwk("k1", kid="K1")], "unknown_key", id="another kid"),
        pytest.param([jwk("k1", kid=None)], "unknown_key", id="no kid"),
        pytest.param([jwk("k1", use="enc"), jwk("k2")], "unknown_key", id="for encryption"),
        pytest.param([jwk("k1", alg="ES256"), jwk("k2")], "unknown_key", id="for another algorithm"),
        pytest.param([jwk("k1", key_ops=["sign"]), jwk("k2")], "unknown_key", id="not to verify with"),
        pytest.param([jwk("k1", d="AA"), jwk("k2")], "unknown_key", id="with its private half"),
    ],
)
def test_takes_the_seen_tokens_of_a_key_that_changed(changed: list[Any], reason: str) -> None:
    with house(keys("k1")) as (provider, judge, clock):
        seen = fresh("k1")
        assert verdict(judge, seen) == GOOD
        members = [{name: value for name, value in member.items() if value is not None} for member in changed]
        refetched(provider, judge, clock, json_answer({"keys": members}))
        assert (verdict(judge, seen), verdict(judge, fresh("k1"))) == (reason, reason)


def test_finds_a_new_key_under_an_old_kid() -> None:
    with house(in_turn(keys("k1"), json_answer({"keys": [jwk("k2", kid="k1")]}))) as (provider, judge, clock):
        assert verdict(judge, fresh("k1")) == GOOD
        assert verdict(judge, fresh("k2", "k1")) == "bad_signature"
        clock.now += 31
        assert verdict(judge, fresh("k2", "k1")) == GOOD
        assert verdict(judge, fresh("k1")) == "bad_signature"
        assert provider.count() == 2


def test_finds_a_new_key_for_a_token_without_a_kid() -> None:
    with house(in_turn(keys("k1"), keys("k1", "k2"))) as (provider, judge, clock):
        assert verdict(judge, fresh("k1", None)) == GOOD
        assert verdict(judge, fresh("k2", None)) == "bad_signature"
        clock.now += 31
        assert verdict(judge, fresh("k2", None)) == GOOD
        assert provider.count() == 2


def test_keeps_the_seen_tokens_while_the_keys_stay_the_same() -> None:
    asked: list[object] = []
    clock = Clock(0.0)

    def check(values: object) -> bool:
        asked.append(values)
        return True

    with ScriptedProvider(in_turn(keys("k1", "k2"), keys("k2", "k1"))) as provider:
        kind = settings(keys=JwksKeys(provider.url("/jwks")), algorithms=("EdDSA",), checks=(check,))
        with Verifier(kind, clock=lambda: NOW, monotonic=clock) as judge:
            seen = fresh("k1")
            assert verdict(judge, seen) == GOOD
            clock.now += 31
            assert verdict(judge, made_up()) == "unknown_key"
            assert (verdict(judge, seen), len(asked), provider.count()) == (GOOD, 1, 2)


@pytest.mark.parametrize("look", range(1, 10))
def test_says_of_a_seen_token_what_it_says_of_a_stranger_when_two_fetches_cross(look: int) -> None:
    """Two doors of one verifier fetch at once, and the provider changes its keys in between."""
    clock = HeldUp(look)
    with (
        ScriptedProvider(in_turn(keys("k1"), keys("k2"))) as provider,
        judge_of(provider.url("/jwks"), clock) as judge,
        ThreadPoolExecutor(1) as pool,
    ):
        first = pool.submit(clock.hold_up, lambda: in_async(judge, lambda: averdict(judge, fresh("k1"))))
        clock.is_held_up.wait(5)
        seen = fresh("k2")
        was_taken = verdict(judge, seen) == GOOD
        clock.may_go_on.set()
        first.result()
        if was_taken:
            assert verdict(judge, seen) == verdict(judge, fresh("k2"))


# --- What is not asked for -------------------------------------------------------------------------------------------


def test_refuses_a_shared_secret_that_the_set_would_make_known() -> None:
    with house(json_answer({"keys": [jwk("k1"), {"kty": "oct", "k": "AAAA", "kid": "k2"}]})) as (provider, judge, _):
        assert verdict(judge, mint(claims(), key=b"\x00\x00\x00", headers={"kid": "k2"})) == "bad_algorithm"
        header = base64url(b'{"alg":"EdDSA","kid":"k2"}')
        assert verdict(judge, sealed(header, base64url(b"{}"), key=b"\x00\x00\x00")) == "unknown_key"
        assert provider.count() == 1


def test_asks_for_nothing_but_the_document() -> None:
    with house(keys("k1")) as (provider, judge, _):
        assert verdict(judge, fresh("k1")) == GOOD
        (request,) = provider.requests
        assert (request.method, request.target, request.body) == ("GET", "/jwks", b"")
        assert not {"authorization", "cookie", "x-forwarded-for"} & set(request.headers)
        assert request.headers["accept-encoding"] == "identity"


def test_does_nothing_before_the_first_token() -> None:
    with house(keys("k1")) as (provider, _, _clock):
        assert provider.connections == 0


# --- Key sets that are not public ------------------------------------------------------------------------------------


def granting(line: Line) -> None:
    """An access token that names the number of the request that it is the answer to."""
    json_answer({"access_token": f"at-{next(_serial)}", "expires_in": 3600})(line)


def for_holders(play: Play, *, but: Callable[[str], bool] = lambda _: False) -> Play:
    """This play for who has an access token, unless it is one of these."""

    def judged(line: Line) -> None:
        token = line.request.headers.get("authorization", "").removeprefix("Bearer ")
        (play if token.startswith("at-") and not but(token) else status(401))(line)

    return judged


@contextmanager
def private_house(play: Play, **options: Any) -> Iterator[tuple[ScriptedProvider, Judge, Clock]]:
    """A house whose key set is for holders of an access token."""
    clock = Clock(1_000_000.0)
    with ScriptedProvider(play) as provider:
        url = provider.play("/token", granting)
        auth = ClientCredentials(
            client_id="c", client_secret="s" * 40, token_url=url, origins={provider.url("")}, monotonic=clock
        )
        with judge_of(provider.url("/jwks"), clock, auth=auth, **options) as judge:
            yield provider, judge, clock


def counts(provider: ScriptedProvider) -> tuple[int, int]:
    """How many access tokens and how many key sets were asked for."""
    return provider.count("/token"), provider.count("/jwks")


def of_either(judge: Judge, flavour: str, text: str) -> str:
    return verdict(judge, text) if flavour == "sync" else str(in_async(judge, lambda: averdict(judge, text)))


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_fetches_a_key_set_with_an_access_token(flavour: str) -> None:
    with private_house(for_holders(keys("k1"))) as (provider, judge, clock):
        for _ in range(3):
            assert of_either(judge, flavour, fresh("k1")) == GOOD
        assert counts(provider) == (1, 1)
        clock.now += 31
        assert of_either(judge, flavour, made_up()) == "unknown_key"
        assert counts(provider) == (1, 2)


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_fetches_once_more_where_the_access_token_is_refused(flavour: str) -> None:
    seen: list[str] = []

    def first(token: str) -> bool:
        seen.append(token)
        return token == seen[0]

    with private_house(for_holders(keys("k1"), but=first)) as (provider, judge, _):
        assert of_either(judge, flavour, fresh("k1")) == GOOD
        assert counts(provider) == (2, 2)
        assert len(set(seen)) == 2


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_takes_an_endpoint_that_refuses_every_access_token_for_down(flavour: str) -> None:
    with private_house(in_turn(for_holders(keys("k1")), status(401))) as (provider, judge, clock):
        assert of_either(judge, flavour, fresh("k1")) == GOOD
        clock.now += 31
        assert of_either(judge, flavour, made_up()) == "keys_unavailable"
        assert counts(provider) == (2, 3)
        assert of_either(judge, flavour, fresh("k1")) == GOOD
        clock.now += 29
        assert of_either(judge, flavour, made_up()) == "keys_unavailable"
        assert counts(provider) == (2, 3)


@pytest.mark.parametrize("flavour", ["sync", "async"])
@pytest.mark.parametrize("play", [status(500), status(401), html()], ids=["500", "refused", "html"])
def test_takes_an_endpoint_for_down_where_no_access_token_can_be_had(flavour: str, play: Play) -> None:
    with private_house(for_holders(keys("k1"))) as (provider, judge, clock):
        provider.play("/token", play)
        assert of_either(judge, flavour, fresh("k1")) == "keys_unavailable"
        assert counts(provider) == (1, 0)
        provider.play("/token", granting)
        clock.now += 2
        assert of_either(judge, flavour, fresh("k1")) == GOOD


@pytest.mark.timed
@pytest.mark.parametrize("flavour", ["sync", "async"])
@pytest.mark.parametrize("path", ["/token", "/jwks"])
def test_gives_up_on_both_endpoints_in_four_seconds(flavour: str, path: str) -> None:
    with private_house(for_holders(keys("k1"))) as (provider, judge, _):
        provider.play(path, after(0.8, status(401)) if path == "/jwks" else silent)
        started = time.perf_counter()
        assert of_either(judge, flavour, fresh("k1")) == "keys_unavailable"
        assert time.perf_counter() - started < 4


def test_asks_once_for_500_unknown_kids_with_an_access_token() -> None:
    with private_house(after(0.1, for_holders(keys("k1")))) as (provider, judge, _):

        async def storm() -> set[str]:
            return set(await asyncio.gather(*(averdict(judge, made_up()) for _ in range(500))))

        assert in_async(judge, storm) == {"unknown_key"}
        assert counts(provider) == (1, 1)


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_shares_the_access_token_in_the_store_of_its_own(flavour: str, redis_server: RedisServer) -> None:
    clock = Clock(1_000_000.0)
    with ScriptedProvider(for_holders(keys("k1"))) as provider:
        url = provider.play("/token", granting)
        for _ in range(2):
            auth = ClientCredentials(
                client_id="c",
                client_secret="s" * 40,
                token_url=url,
                origins={provider.url("")},
                monotonic=clock,
                store=redis_server.url,
            )
            with judge_of(provider.url("/jwks"), clock, auth=auth) as judge:
                if flavour == "sync":
                    assert verdict(judge, fresh("k1")) == GOOD
                else:
                    asyncio.run(judged_and_closed(judge, auth))
            auth.close()
        assert counts(provider) == (1, 2)


async def judged_and_closed(judge: Judge, auth: ClientCredentials) -> None:
    """A good token is taken, and what that opened is closed."""
    assert await averdict(judge, fresh("k1")) == GOOD
    await judge.aclose()
    await auth.aclose()


def test_sends_no_access_token_where_it_may_not_go() -> None:
    auth = ClientCredentials(
        client_id="c", client_secret="hush", token_url="https://id.example.com/token", origins={"https://a.example.com"}
    )
    JwksKeys("https://a.example.com/keys", auth=auth)
    with pytest.raises(SettingsError, match="origins="):
        JwksKeys("https://b.example.com/keys", auth=auth)
    assert "hush" not in repr(JwksKeys("https://a.example.com/keys", auth))


@pytest.mark.parametrize("auth", ["Bearer abc", ("user", "password"), object()])
def test_takes_nothing_but_access_tokens_for_a_key_set(auth: Any) -> None:
    with pytest.raises(SettingsError, match="ClientCredentials"):
        JwksKeys("https://a.example.com/keys", auth=auth)
