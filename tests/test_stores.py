"""The stores: what they keep, spelt how, for how long, and which settings they refuse."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from bearerguard.core.ports import Spent, run_sync
from bearerguard.errors import SettingsError, StoreUnavailable
from bearerguard.stores import MemoryStore, RedisStore, open_store
from bearerguard.stores.breaker import Breaker
from bearerguard.stores.layout import KeyLayout
from bearerguard.stores.redis.address import redis_address
from tests.servers import RedisServer
from tests.store_calls import Calls, Flavour, calls_to, store_of

EPOCH_KEY = "bearerguard:{bearerguard}:epoch"


def key(name: str) -> str:
    return f"bearerguard:{{bearerguard}}:{name}"


@pytest.fixture(params=["memory", "redis-sync", "redis-async"])
def port(request: pytest.FixtureRequest, redis_server: RedisServer) -> Iterator[Calls]:
    source, flavour = store_of(request.param, redis_server.url)
    with calls_to(source, flavour) as calls:
        yield calls


@pytest.fixture
def redis_port(flavour: Flavour, redis_server: RedisServer) -> Iterator[Calls]:
    with calls_to(RedisStore(redis_server.url), flavour) as calls:
        yield calls


# --- Every store -----------------------------------------------------------------------------------------------------


def test_reads_none_for_names_that_are_absent(port: Calls) -> None:
    port.raise_mark("t:present", 7)
    assert port.read("t:absent", "t:present", "d:absent") == [None, "1|7", None]
    assert port.read("t:absent", "d:absent") == [None, None]
    assert port.read() == []


@pytest.mark.parametrize(
    ("numbers", "kept"),
    [
        pytest.param([5], "1|5", id="first"),
        pytest.param([5, 9], "1|9", id="larger"),
        pytest.param([9, 5], "1|9", id="smaller"),
        pytest.param([9, 10], "1|10", id="compared as numbers"),
        pytest.param([1_700_000_000, 1_700_000_001], "1|1700000001", id="times"),
        pytest.param([0], "1|0", id="zero"),
        pytest.param([-3], "1|0", id="before all time"),
    ],
)
def test_keeps_the_larger_mark(port: Calls, numbers: list[int], kept: str) -> None:
    for number in numbers:
        port.raise_mark("u:one", number)
    assert port.read("u:one") == [kept]


def test_spends_a_name_once(port: Calls) -> None:
    assert port.spend("s:one", "first") is Spent.FIRST
    epoch = None if not port.port.keeps_epoch else port.read("epoch")[0]
    assert port.spend("s:one", "second", epoch=epoch) is Spent.REPLAYED
    assert port.read("s:one") == ["1|first"]


@pytest.mark.timed
def test_spends_a_name_once_among_many_who_try_at_once(port: Calls) -> None:
    epoch = port.found_epoch(None) if port.port.keeps_epoch else None

    def claim(number: int) -> Callable[[], Any]:
        return lambda: port.port.spend("s:one", f"n{number}", epoch=epoch, keep_seconds=60, within=5)

    outcomes = port.together([claim(number) for number in range(200)])
    assert outcomes.count(Spent.FIRST) == 1
    assert outcomes.count(Spent.REPLAYED) == 199


def test_cannot_raise_a_mark_over_a_value_that_is_none(port: Calls) -> None:
    port.spend("u:one", "nonce")
    with pytest.raises(StoreUnavailable) as caught:
        port.raise_mark("u:one", 5)
    assert caught.value.reason == "store_unreadable"
    assert port.read("u:one") == ["1|nonce"]


# --- Memory ----------------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_memory_forgets_at_the_end_and_never_before() -> None:
    clock = Clock()
    store = MemoryStore(monotonic=clock)
    calls = Calls(store, run_sync)
    calls.raise_mark("u:one", 5, keep_seconds=10)
    calls.raise_mark("u:one", 6, keep_seconds=3)
    clock.now += 9.9
    assert calls.read("u:one") == ["1|6"]
    clock.now += 0.1
    assert calls.read("u:one") == [None]
    calls.raise_mark("u:one", 4, keep_seconds=10)
    assert calls.read("u:one") == ["1|4"]


def test_memory_lets_an_ended_name_be_spent_again() -> None:
    clock = Clock()
    calls = Calls(MemoryStore(monotonic=clock), run_sync)
    assert calls.spend("s:one", "a", keep_seconds=10) is Spent.FIRST
    clock.now += 10
    assert calls.spend("s:one", "b", keep_seconds=10) is Spent.FIRST
    assert calls.read("s:one") == ["1|b"]


def test_memory_does_not_grow_with_what_has_ended() -> None:
    clock = Clock()
    store = MemoryStore(monotonic=clock)
    calls = Calls(store, run_sync)
    calls.raise_mark("u:kept", 1, keep_seconds=1_000_000)
    for number in range(10_000):
        calls.spend(f"s:{number}", "n", keep_seconds=5)
        calls.raise_mark("u:prolonged", number, keep_seconds=100)
        clock.now += 0.1
    assert len(store._entries) < 60
    assert len(store._ends) == len(store._entries)
    assert calls.read("u:kept", "u:prolonged") == ["1|1", "1|9999"]


def test_memory_never_drops_what_lives() -> None:
    calls = Calls(MemoryStore(monotonic=Clock()), run_sync)
    for number in range(20_000):
        calls.spend(f"s:{number}", "n", keep_seconds=60)
    assert all(value == "1|n" for number in range(20_000) for value in calls.read(f"s:{number}"))


def test_memory_keeps_no_epoch() -> None:
    store = MemoryStore()
    assert not store.keeps_epoch
    with pytest.raises(NotImplementedError):
        run_sync(store.found_epoch(None, trusted=True, within=1))


def test_memory_serves_async_code_and_stays_when_it_is_closed() -> None:
    store = MemoryStore()

    async def use() -> object:
        port = store.async_port()
        await port.raise_mark("u:one", 5, keep_seconds=60, within=1)
        await port.aclose()
        port.abandon()
        return await port.read(("u:one",), within=1)

    assert asyncio.run(use()) == ["1|5"]
    store.close()
    assert run_sync(store.read(("u:one",), within=1)) == ["1|5"]


_MEMORY_AFTER_FORK = """\
import logging, os, sys
from bearerguard.core.ports import run_sync
from bearerguard.stores import MemoryStore
logging.basicConfig(stream=sys.stderr, format="%(name)s %(levelname)s %(message)s")
met, unmet = MemoryStore(), MemoryStore()
run_sync(met.raise_mark("u:one", 5, keep_seconds=60, within=1))
met._lock.acquire()
if os.fork() == 0:
    assert run_sync(met.read(("u:one",), within=1)) == ["1|5"]
    run_sync(met.raise_mark("u:one", 6, keep_seconds=60, within=1))
    os._exit(0)
_, status = os.wait()
assert run_sync(met.read(("u:one",), within=1)) == ["1|5"]
sys.exit(os.waitstatus_to_exitcode(status))
"""


def _run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=30)


def test_memory_met_again_after_a_fork_warns_once() -> None:
    done = _run(_MEMORY_AFTER_FORK)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("bearerguard WARNING a MemoryStore was taken over by a forked process")
    assert 'store="redis://' in lines[0]


# --- Redis: keys and lives -------------------------------------------------------------------------------------------


def test_redis_keys_share_one_hash_tag(redis_port: Calls, redis_server: RedisServer) -> None:
    redis_port.raise_mark("u:one", 5)
    redis_port.spend("s:one", "nonce", epoch=redis_port.read("epoch")[0])
    keys = redis_server.cli("KEYS", "*")
    assert sorted(keys) == [key(name).encode() for name in ("epoch", "log", "s:one", "u:one")]


def test_prefixes_do_not_see_each_other(redis_server: RedisServer, flavour: Flavour) -> None:
    with (
        calls_to(RedisStore(redis_server.url, prefix="a:"), flavour) as one,
        calls_to(RedisStore(redis_server.url, prefix="b:"), flavour) as other,
    ):
        one.raise_mark("u:one", 5)
        assert other.read("u:one", "epoch") == [None, None]
    assert redis_server.cli("EXISTS", "a:{a}:u:one", "a:{a}:epoch") == 2


@pytest.mark.parametrize(
    ("lives", "at_least", "at_most"),
    [
        pytest.param([100], 99, 100, id="first"),
        pytest.param([100, 500], 499, 500, id="prolonged"),
        pytest.param([500, 100], 499, 500, id="never shortened"),
        pytest.param([0], 0, 1, id="at least a second"),
    ],
)
def test_marks_live_as_long_as_the_longest_asked_for(
    redis_port: Calls, redis_server: RedisServer, lives: list[int], at_least: int, at_most: int
) -> None:
    for seconds in lives:
        redis_port.raise_mark("u:one", 5, keep_seconds=seconds)
    assert at_least * 1000 <= redis_server.cli("PTTL", key("u:one")) <= at_most * 1000


def test_a_mark_without_an_end_keeps_none(redis_port: Calls, redis_server: RedisServer) -> None:
    redis_server.cli("SET", key("u:one"), "1|5")
    redis_port.raise_mark("u:one", 9, keep_seconds=10)
    assert redis_port.read("u:one") == ["1|9"]
    assert redis_server.cli("TTL", key("u:one")) == -1


def test_a_spent_name_and_the_epoch_live_as_they_should(redis_port: Calls, redis_server: RedisServer) -> None:
    redis_port.spend("s:one", "nonce", keep_seconds=100)
    assert 99 <= redis_server.cli("TTL", key("s:one")) <= 100
    assert redis_server.cli("TTL", EPOCH_KEY) == -1


# --- Redis: the epoch ------------------------------------------------------------------------------------------------


def test_the_first_write_begins_an_epoch_and_every_write_raises_it(redis_port: Calls) -> None:
    redis_port.raise_mark("u:one", 5)
    (first,) = redis_port.read("epoch")
    assert first is not None
    version, since, incarnation, seq = first.split("|")
    assert (version, since, seq) == ("1", "0", "1")
    redis_port.raise_mark("u:one", 4)
    assert redis_port.read("epoch") == [f"1|0|{incarnation}|2"]
    redis_port.spend("s:one", "nonce", epoch=first)
    assert redis_port.read("epoch") == [f"1|0|{incarnation}|3"]
    redis_port.spend("s:one", "again", epoch=first)
    assert redis_port.read("epoch") == [f"1|0|{incarnation}|3"]


@pytest.mark.parametrize(
    ("stands", "was_read", "outcome", "stands_after"),
    [
        pytest.param("1|5|a|3", "1|5|a|3", Spent.FIRST, "1|5|a|4", id="the same"),
        pytest.param("1|5|a|7", "1|5|a|3", Spent.FIRST, "1|5|a|8", id="written to since"),
        pytest.param("1|5|a|10", "1|5|a|9", Spent.FIRST, "1|5|a|11", id="compared as numbers"),
        pytest.param("1|5|a|2", "1|5|a|3", Spent.OTHER_EPOCH, "1|5|a|2", id="an older snapshot"),
        pytest.param("1|5|b|3", "1|5|a|3", Spent.OTHER_EPOCH, "1|5|b|3", id="another incarnation"),
        pytest.param("1|6|a|3", "1|5|a|3", Spent.OTHER_EPOCH, "1|6|a|3", id="another since"),
        pytest.param(None, "1|5|a|3", Spent.OTHER_EPOCH, None, id="lost"),
        pytest.param("1|5|a|3", None, Spent.OTHER_EPOCH, "1|5|a|3", id="begun since"),
    ],
)
def test_spends_only_in_the_epoch_that_was_read(
    redis_port: Calls,
    redis_server: RedisServer,
    stands: str | None,
    was_read: str | None,
    outcome: Spent,
    stands_after: str | None,
) -> None:
    if stands is not None:
        redis_server.cli("SET", EPOCH_KEY, stands)
    assert redis_port.spend("s:one", "nonce", epoch=was_read) is outcome
    assert redis_port.read("epoch", "s:one") == [stands_after, "1|nonce" if outcome is Spent.FIRST else None]


def test_spends_in_a_store_that_was_and_is_empty(redis_port: Calls) -> None:
    assert redis_port.spend("s:one", "nonce", epoch=None) is Spent.FIRST
    (epoch,) = redis_port.read("epoch")
    assert epoch is not None
    assert epoch.startswith("1|0|")
    assert epoch.endswith("|1")


def test_founds_a_trusted_epoch_that_was_always(redis_port: Calls) -> None:
    epoch = redis_port.found_epoch(None, trusted=True)
    assert epoch.startswith("1|0|")
    assert epoch.endswith("|0")
    assert redis_port.read("epoch") == [epoch]


@pytest.mark.parametrize("observed", [None, "1|5|a|3"], ids=["empty", "standing"])
def test_founds_an_untrusted_epoch_that_begins_now(
    redis_port: Calls, redis_server: RedisServer, observed: str | None
) -> None:
    if observed is not None:
        redis_server.cli("SET", EPOCH_KEY, observed)
    before = int(time.time())
    version, since, incarnation, seq = redis_port.found_epoch(observed, trusted=False).split("|")
    assert (version, seq) == ("1", "0")
    assert before <= int(since) <= time.time()
    assert incarnation != "a"


@pytest.mark.parametrize("observed", [None, "1|5|a|3"], ids=["met empty", "met another"])
def test_leaves_an_epoch_that_another_process_founded(
    redis_port: Calls, redis_server: RedisServer, observed: str | None
) -> None:
    redis_server.cli("SET", EPOCH_KEY, "1|6|b|0")
    assert redis_port.found_epoch(observed, trusted=True) == "1|6|b|0"
    assert redis_port.read("epoch") == ["1|6|b|0"]


def test_never_trusts_an_epoch_that_vanished(redis_port: Calls) -> None:
    assert not redis_port.found_epoch("1|5|a|3", trusted=True).startswith("1|0|")


def test_founds_one_epoch_among_many_who_try_at_once(redis_port: Calls) -> None:
    found = redis_port.together([lambda: redis_port.port.found_epoch(None, trusted=True, within=5)] * 100)
    assert len(set(found)) == 1
    assert [*set(found)] == redis_port.read("epoch")


# --- Redis: what cannot be read --------------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", ["", "1", "1|5|a", "2|5|a|3", "1|x|a|3", "1|5||3", "1|5|a|x", "1|5|a|3|", "gone"])
@pytest.mark.parametrize("write", ["raise_mark", "spend"])
def test_does_not_write_under_an_epoch_it_cannot_read(
    redis_port: Calls, redis_server: RedisServer, epoch: str, write: str
) -> None:
    redis_server.cli("SET", EPOCH_KEY, epoch)
    with pytest.raises(StoreUnavailable) as caught:
        _write(redis_port, write, epoch)
    assert caught.value.reason == "store_unreadable"
    assert redis_port.read("epoch", "x:one") == [epoch, None]


def _write(calls: Calls, method: str, epoch: str | None = None) -> None:
    if method == "raise_mark":
        calls.raise_mark("x:one", 5)
    elif method == "spend":
        calls.spend("x:one", "nonce", epoch=epoch)
    else:
        calls.found_epoch(epoch)


@pytest.mark.parametrize("write", ["raise_mark", "spend", "found_epoch"])
def test_does_not_write_over_an_epoch_of_another_type(redis_port: Calls, redis_server: RedisServer, write: str) -> None:
    redis_server.cli("LPUSH", EPOCH_KEY, "1|5|a|3")
    with pytest.raises(StoreUnavailable) as caught:
        _write(redis_port, write, "1|5|a|3")
    assert caught.value.reason == "store_unreadable"


def test_does_not_overwrite_an_entry_of_another_type(redis_port: Calls, redis_server: RedisServer) -> None:
    redis_server.cli("LPUSH", key("u:one"), "5")
    with pytest.raises(StoreUnavailable) as caught:
        redis_port.raise_mark("u:one", 5)
    assert caught.value.reason == "store_unreadable"
    assert redis_port.spend("u:one", "nonce", epoch=None) is Spent.REPLAYED
    assert redis_port.read("u:one", "epoch") == [None, None]


def test_does_not_read_what_is_no_text(redis_port: Calls, redis_server: RedisServer) -> None:
    redis_server.cli("SET", key("u:one"), b"1|\xff")
    with pytest.raises(StoreUnavailable) as caught:
        redis_port.read("u:two", "u:one")
    assert caught.value.reason == "store_unreadable"


def test_sends_a_script_anew_when_the_server_forgot_it(redis_port: Calls, redis_server: RedisServer) -> None:
    for number in (5, 6):
        redis_port.raise_mark("u:one", number)
        redis_server.cli("SCRIPT", "FLUSH")
    assert redis_port.spend("s:one", "nonce", epoch=redis_port.read("epoch")[0]) is Spent.FIRST
    assert redis_port.read("u:one") == ["1|6"]


# --- Redis: addresses ------------------------------------------------------------------------------------------------


def test_reaches_a_database_by_number_and_by_unix_socket(own_redis_server: RedisServer, flavour: Flavour) -> None:
    for url in (own_redis_server.url, own_redis_server.unix_url, own_redis_server.url.replace("redis://", "valkey://")):
        with calls_to(RedisStore(url), flavour) as calls:
            calls.raise_mark("u:one", 5)
            assert calls.read("u:one") == ["1|5"]
    with calls_to(RedisStore(own_redis_server.url.removesuffix("/0") + "/3"), flavour) as calls:
        assert calls.read("u:one") == [None]
        calls.raise_mark("u:one", 7)
    with redis.Redis(port=own_redis_server.port, db=3) as client:
        assert client.get(key("u:one")) == b"1|7"


def test_logs_in(own_redis_server: RedisServer, flavour: Flavour) -> None:
    own_redis_server.cli("ACL", "SETUSER", "bearer", "on", ">p@ss/w:rd#", "~bearerguard:*", "+@all")
    url = own_redis_server.url.replace("redis://", "redis://bearer:p%40ss%2Fw%3Ard%23@")
    with calls_to(RedisStore(url), flavour) as calls:
        calls.raise_mark("u:one", 5)
        assert calls.read("u:one") == ["1|5"]


@pytest.mark.parametrize(
    ("url", "kind", "arguments"),
    [
        pytest.param("redis://", "tcp", {"host": "localhost", "port": 6379, "db": 0}, id="nothing said"),
        pytest.param("redis://h:1/2", "tcp", {"host": "h", "port": 1, "db": 2}, id="all said"),
        pytest.param("REDIS://h", "tcp", {"host": "h", "port": 6379, "db": 0}, id="scheme in any case"),
        pytest.param("valkey://h?db=3", "tcp", {"host": "h", "port": 6379, "db": 3}, id="valkey"),
        pytest.param("redis://[::1]:1", "tcp", {"host": "::1", "port": 1, "db": 0}, id="IPv6"),
        pytest.param(
            "redis://u:p%20w@h",
            "tcp",
            {"host": "h", "port": 6379, "db": 0, "username": "u", "password": "p w"},
            id="login",
        ),
        pytest.param(
            "redis://:pw@h?client_name=x",
            "tcp",
            {"host": "h", "port": 6379, "db": 0, "password": "pw", "client_name": "x"},
            id="password and name",
        ),
        pytest.param("rediss://h", "tls", {"host": "h", "port": 6379, "db": 0, "ssl_check_hostname": True}, id="TLS"),
        pytest.param(
            "valkeys://h?ssl_cert_reqs=none",
            "tls",
            {"host": "h", "port": 6379, "db": 0, "ssl_check_hostname": False, "ssl_cert_reqs": "none"},
            id="TLS unchecked",
        ),
        pytest.param(
            "rediss://h?ssl_ca_certs=/ca.pem&ssl_check_hostname=no",
            "tls",
            {"host": "h", "port": 6379, "db": 0, "ssl_check_hostname": False, "ssl_ca_certs": "/ca.pem"},
            id="TLS of our own",
        ),
        pytest.param(
            "unix:///run/a%20b.sock?db=1&password=pw",
            "unix",
            {"path": "/run/a b.sock", "db": 1, "password": "pw"},
            id="unix",
        ),
    ],
)
def test_reads_a_redis_url(url: str, kind: str, arguments: dict[str, Any]) -> None:
    address = redis_address(url)
    assert (address.kind, address.arguments) == (kind, arguments)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        pytest.param("redis://h?socket_timeout=30", "'socket_timeout'", id="timeout"),
        pytest.param("redis://h?socket_connect_timeout=30", "'socket_connect_timeout'", id="connect timeout"),
        pytest.param("redis://h?retry_on_timeout=1", "'retry_on_timeout'", id="retry"),
        pytest.param(
            "redis://h?health_check_interval=1&max_connections=9", "'health_check_interval', 'max_con", id="two"
        ),
        pytest.param("redis://h?protocol=3", "'protocol'", id="protocol"),
        pytest.param("redis://h?decode_responses=1", "'decode_responses'", id="decoding"),
        pytest.param("redis://h?ssl_cert_reqs=none", "'ssl_cert_reqs'", id="TLS option without TLS"),
        pytest.param("redis://h?password=s3cret", "'password'", id="password as an option"),
        pytest.param("redis://h?db=1&db=2", "twice", id="twice"),
        pytest.param("redis://h/zero", "whole number", id="database by name"),
        pytest.param("redis://h/-1", "whole number", id="database below zero"),
        pytest.param("redis://h/1?db=1", "whole number", id="database twice"),
        pytest.param("redis://:s3cret#x@h", "'#'", id="raw number sign"),
        pytest.param("redis://:s3cret@h:port", "cannot be read", id="port by name"),
        pytest.param("redis://:s3cret@h:99999", "cannot be read", id="port too large"),
        pytest.param("redis://:s3cret@h:0", "cannot be read", id="port zero"),
        pytest.param("redis://:s3cret@[h", "cannot be read", id="half a bracket"),
        pytest.param("unix://run/s3cret.sock", "unix:///path", id="two slashes"),
        pytest.param("unix://", "unix:///path", id="no path"),
        pytest.param("rediss://h?ssl_cert_reqs=optional", "ssl_cert_reqs=required", id="half checked"),
        pytest.param("redis+sentinel://:s3cret@h:26379", "names no service", id="sentinel without a service"),
        pytest.param("redis+sentinel://:s3cret@h,/m", "a host that cannot be read", id="sentinel without a host"),
        pytest.param("redis+sentinel://:s3cret@h:0/m", "a host that cannot be read", id="sentinel at port zero"),
        pytest.param("redis+sentinel://:s3cret@h/m/one", "whole number", id="sentinel's database by name"),
        pytest.param("redis+sentinel://h/m?socket_timeout=9", "'socket_timeout'", id="sentinel's timeout"),
        pytest.param("redis+cluster://:s3cret@h/1", "database 0 alone", id="cluster's database"),
        pytest.param("redis+cluster://h?sentinel_password=s3cret", "'sentinel_password'", id="cluster's sentinel"),
        pytest.param("unix+sentinel://:s3cret@h/m", "cannot be read", id="sentinel over a socket"),
        pytest.param("http://h", "cannot be read", id="another scheme"),
    ],
)
def test_refuses_a_redis_url_and_does_not_quote_it(url: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        RedisStore(url)
    assert said in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:s3cret@h:1/2", "RedisStore('redis://h:1/2', prefix='bearerguard:')"),
        ("valkeys://:s3cret@[::1]", "RedisStore('valkeys://[::1]:6379/0', prefix='bearerguard:')"),
        ("unix:///s.sock?password=s3cret", "RedisStore('unix:///s.sock?db=0', prefix='bearerguard:')"),
    ],
)
def test_never_shows_the_password(url: str, shown: str) -> None:
    assert repr(RedisStore(url)) == shown
    assert "s3cret" not in repr(redis_address(url))


# --- Redis: a client of the user's own -------------------------------------------------------------------------------


def _client(flavour: Flavour, url: str, **options: Any) -> Any:
    kind, retry = (redis.Redis, Retry) if flavour == "sync" else (redis.asyncio.Redis, AsyncRetry)
    given = {"socket_timeout": 0.25, "socket_connect_timeout": 0.25, "retry": retry(NoBackoff(), 0), **options}
    return kind.from_url(url, **given)


@pytest.mark.parametrize("decoded", [False, True], ids=["bytes", "text"])
def test_serves_from_a_client_of_the_users_own_and_leaves_it_open(
    redis_server: RedisServer, flavour: Flavour, decoded: bool
) -> None:
    client = _client(flavour, redis_server.url, decode_responses=decoded)
    store = RedisStore(client)
    with calls_to(store, flavour) as calls:
        calls.raise_mark("u:one", 5)
        assert calls.spend("s:one", "nonce", epoch=calls.read("epoch")[0]) is Spent.FIRST
        assert calls.read("u:one", "u:two", "s:one") == ["1|5", None, "1|nonce"]
        redis_server.cli("SET", key("u:one"), b"\xff")
        with pytest.raises(StoreUnavailable):
            calls.read("u:one")
        (connection,) = client.connection_pool._available_connections
        calls.run(_closed(calls.port))
        assert connection.is_connected if flavour == "async" else connection._sock is not None
        if flavour == "async":
            calls.run(client.aclose())
    if flavour == "sync":
        client.close()


async def _closed(port: Any) -> None:
    if hasattr(port, "aclose"):
        await port.aclose()
    else:
        port.close()


def test_names_the_flavour_that_a_client_cannot_serve() -> None:
    with pytest.raises(SettingsError, match=r"redis\.asyncio\.Redis"):
        RedisStore(_client("sync", "redis://h")).async_port()
    with pytest.raises(SettingsError, match=r"a URL, or a redis\.Redis"):
        RedisStore(_client("async", "redis://h")).sync_port()


def test_refuses_an_async_client_in_a_second_loop() -> None:
    store = RedisStore(_client("async", "redis://h"))

    async def port() -> object:
        store.async_port()
        return store.async_port()

    asyncio.run(port())
    with pytest.raises(SettingsError, match="second event loop"):
        asyncio.run(port())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param({"socket_timeout": None}, "longer than 1 s", id="no timeout"),
        pytest.param({"socket_timeout": 1.5}, "longer than 1 s", id="long timeout"),
        pytest.param({"socket_timeout": 0}, "longer than 1 s", id="zero timeout"),
        pytest.param({"socket_connect_timeout": 5}, "longer than 1 s", id="long connect timeout"),
        pytest.param({"retry": Retry(NoBackoff(), 1)}, "retries", id="retry"),
        pytest.param({"retry": Retry(NoBackoff(), -1)}, "retries", id="retry without end"),
        pytest.param({"retry": None, "retry_on_timeout": True}, "retries", id="retry on timeout"),
        pytest.param({"retry": None, "retry_on_error": [OSError]}, "retries", id="retry on error"),
    ],
)
def test_refuses_a_client_that_waits_or_retries(flavour: Flavour, options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        RedisStore(_client(flavour, "redis://:s3cret@h", **options))
    assert "Retry(NoBackoff(), 0)" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_accepts_a_client_whose_connect_timeout_is_its_timeout(flavour: Flavour) -> None:
    RedisStore(_client(flavour, "redis://h", socket_connect_timeout=None))


def _sentinel_client(role: str) -> object:
    sentinel: Any = Sentinel([("h", 1)])  # type: ignore[no-untyped-call]
    options = {"socket_timeout": 0.25, "socket_connect_timeout": 0.25, "retry": Retry(NoBackoff(), 0)}
    return getattr(sentinel, role)("m", **options)


def _blocking_pool_client() -> object:
    pool: Any = redis.BlockingConnectionPool
    pool = pool(timeout=20, socket_timeout=0.25, socket_connect_timeout=0.25)
    return redis.Redis(connection_pool=pool)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(lambda: redis.Redis(), "retries|longer than", id="redis-py's defaults"),
        pytest.param(lambda: redis.asyncio.Redis(), "retries|longer than", id="redis-py's async defaults"),
        pytest.param(lambda: _sentinel_client("slave_for"), "replicas", id="replica"),
        pytest.param(lambda: redis.asyncio.RedisCluster("h"), "'redis\\+cluster://host:6379,host:6379'", id="cluster"),
        pytest.param(_blocking_pool_client, "longer than 1 s", id="pool that waits"),
        pytest.param(lambda: object(), "not a object", id="no client"),
        pytest.param(lambda: 7, "not a int", id="a number"),
    ],
)
def test_refuses_a_client_it_cannot_depend_on(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        RedisStore(make())


def test_refuses_a_client_with_a_single_connection(redis_server: RedisServer) -> None:
    sync = _client("sync", redis_server.url, single_connection_client=True)
    async_ = _client("async", redis_server.url, single_connection_client=True)
    for client in (sync, async_):
        with pytest.raises(SettingsError, match="single connection"):
            RedisStore(client)
    sync.close()


def test_refuses_a_client_that_caches() -> None:
    from redis.cache import CacheConfig

    client = _client("sync", "redis://h", protocol=3, cache_config=CacheConfig())
    with pytest.raises(SettingsError, match="caches"):
        RedisStore(client)


# --- What a setting names --------------------------------------------------------------------------------------------


def test_opens_what_a_setting_names() -> None:
    assert isinstance(open_store("memory://"), MemoryStore)
    assert isinstance(open_store("redis://h"), RedisStore)
    assert isinstance(open_store("Valkeys://h"), RedisStore)
    for store in (MemoryStore(), RedisStore("redis://h")):
        assert open_store(store) is store


def test_opens_a_memory_with_the_clock_it_is_given() -> None:
    clock = Clock()
    calls = Calls(open_store("memory://", monotonic=clock).sync_port(), run_sync)
    calls.raise_mark("u:one", 5, keep_seconds=10)
    clock.now += 10
    assert calls.read("u:one") == [None]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("redis+sentinels://h/m", "'redis+sentinel://'"),
        ("memory", "'memory://'"),
        ("memory://x", "'memory://'"),
        ("localhost:6379", "'redis://localhost:6379/0'"),
        ("", "'memory://'"),
        (None, "NoneType"),
        (redis.Redis(), "RedisStore(client)"),
    ],
)
def test_refuses_what_names_no_store(where: Any, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        open_store(where)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("prefix", "spelt"),
    [
        ("bearerguard:", "bearerguard:{bearerguard}:n"),
        ("shop", "shop{shop}:n"),
        ("a:b:", "a:b:{a:b}:n"),
        (":a", ":a{:a}:n"),
        ("A-z_0.9::", "A-z_0.9::{A-z_0.9}:n"),
    ],
)
def test_spells_a_key(prefix: str, spelt: str) -> None:
    assert KeyLayout(prefix).key("n") == spelt


@pytest.mark.parametrize("prefix", ["", ":", "::", "a b", "a{b}", "a\n", "ä", "x" * 65, "a*"])
def test_refuses_a_prefix_that_is_not_plain(prefix: str) -> None:
    with pytest.raises(SettingsError, match="prefix"):
        RedisStore("redis://h", prefix=prefix)


def test_does_not_load_redis_before_it_is_needed() -> None:
    done = _run("import sys, bearerguard.stores as s; s.open_store('memory://'); sys.exit('redis' in sys.modules)")
    assert done.returncode == 0, done.stderr


# --- The breaker -----------------------------------------------------------------------------------------------------


def _breaker_after(steps: str) -> tuple[Breaker, Clock]:
    """The breaker after steps: f fails, s succeeds, a is let in, r is refused, a digit is tenths of a second."""
    clock = Clock()
    breaker = Breaker(monotonic=clock)
    for number, step in enumerate(steps):
        if step == "f":
            breaker.failed()
        elif step == "s":
            breaker.succeeded()
        elif step in "ar":
            assert breaker.admits() is (step == "a"), f"step {number} of {steps}"
        else:
            clock.now += int(step) / 10
    return breaker, clock


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param("a", id="new"),
        pytest.param("ffffa", id="four failures"),
        pytest.param("fffffr", id="five failures"),
        pytest.param("ffffsffffa", id="a success in between"),
        pytest.param("fffff4r", id="half a second is not over"),
        pytest.param("fffff5ar", id="one probe"),
        pytest.param("fffff5afr5ar", id="a probe that fails"),
        pytest.param("fffff5asaaa", id="a probe that succeeds"),
        pytest.param("fffff5ar5ar", id="a probe that nobody reports on"),
        pytest.param("fffff3fff2ar", id="failures of before do not prolong it"),
        pytest.param("fffff5a4f1ar", id="a slow probe does not delay the next"),
        pytest.param("fffffsaffffa", id="well again begins at nought"),
    ],
)
def test_breaker_lets_in(steps: str) -> None:
    _breaker_after(steps)


# --- Forks -----------------------------------------------------------------------------------------------------------

_REDIS_AFTER_FORK = """\
import os, sys
from bearerguard.core.ports import run_sync
from bearerguard.stores import RedisStore
store = RedisStore(sys.argv[1])
port = store.sync_port()
assert run_sync(port.read(("u:one",), within=5)) == ["1|parent"]
for _ in range(9):
    store._breaker.failed()
children = []
for number in range(4):
    child = os.fork()
    if child == 0:
        sound = store.sync_port() is port
        for _ in range(300):
            sound = sound and run_sync(port.read((f"u:{number}",), within=5)) == [f"1|{number}"]
        os._exit(0 if sound else 1)
    children.append(child)
store._breaker.succeeded()
for _ in range(300):
    assert run_sync(port.read(("u:one",), within=5)) == ["1|parent"]
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
assert run_sync(port.read(("u:one",), within=5)) == ["1|parent"]
port.close()
sys.exit(any(codes))
"""


def test_a_forked_child_shares_no_socket_with_its_parent(redis_server: RedisServer) -> None:
    redis_server.cli("SET", key("u:one"), "1|parent")
    for number in range(4):
        redis_server.cli("SET", key(f"u:{number}"), f"1|{number}")
    done = _run(_REDIS_AFTER_FORK, redis_server.url)
    assert done.returncode == 0, done.stderr
