"""The fault proxy breaks what it is told to break, and nothing else."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import httpx
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.fault_proxy import Ending, FaultProxy, flipped, replaced
from tests.scripted_provider import ScriptedProvider, json_answer
from tests.servers import RedisServer

GET = b"GET key\r\n"
VALUE = b"$5\r\nvalue\r\n"
SILENCE = 0.15


class Wire:
    """A raw connection to the proxy."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.socket = socket.create_connection(("127.0.0.1", proxy.port), timeout=5)

    def close(self) -> None:
        self.socket.close()

    def say(self, command: bytes) -> None:
        self.socket.sendall(command)

    def hear(self, size: int) -> bytes:
        """So many bytes, or what came before the end."""
        heard = b""
        while len(heard) < size and (chunk := self.socket.recv(size - len(heard))):
            heard += chunk
        return heard

    def ask(self, command: bytes = GET, size: int = len(VALUE)) -> bytes:
        self.say(command)
        return self.hear(size)

    def is_silent(self) -> bool:
        """Whether nothing comes for a while, not even the end."""
        self.socket.settimeout(SILENCE)
        try:
            self.socket.recv(1)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(5)
        return False

    def is_reset(self) -> bool:
        try:
            self.socket.recv(1)
        except ConnectionResetError:
            return True
        return False

    def is_closed(self) -> bool:
        return self.socket.recv(1) == b""


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[FaultProxy]:
    redis_server.cli("SET", "key", "value")
    with FaultProxy(redis_server.port) as proxy:
        yield proxy


@pytest.fixture
def wire(proxy: FaultProxy) -> Iterator[Wire]:
    """A connection that was open, and used, before any fault."""
    with closing(Wire(proxy)) as wire:
        assert wire.ask() == VALUE
        yield wire


def test_passes_everything_on(proxy: FaultProxy) -> None:
    with redis.Redis.from_url(proxy.url) as client:
        big = b"x" * 3_000_000
        assert client.set("big", big)
        assert client.get("big") == big
    assert (proxy.connections, proxy.struck) == (1, 0)
    proxy.wait_for_open_connections(0)


def test_passes_http_on() -> None:
    with ScriptedProvider(json_answer({"active": True})) as provider, FaultProxy(provider.port) as proxy:
        with httpx.Client(trust_env=False) as client:
            assert client.get(f"{proxy.http_url}/keys").json() == {"active": True}
            proxy.lose_replies(only=b"POST /introspect")
            assert client.get(f"{proxy.http_url}/keys").json() == {"active": True}
            with pytest.raises(httpx.ReadError):
                client.post(f"{proxy.http_url}/introspect")
        assert provider.count("/introspect") == 1


def test_a_server_that_is_down_is_a_reset(own_redis_server: RedisServer) -> None:
    own_redis_server.kill()
    with (
        FaultProxy(own_redis_server.port) as proxy,
        pytest.raises(ConnectionResetError),
        closing(Wire(proxy)) as wire,
    ):
        wire.hear(1)


def test_refuses_and_is_well_again(proxy: FaultProxy, wire: Wire) -> None:
    proxy.refuse()
    assert wire.is_reset()
    assert proxy.open_connections == 0
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            Wire(proxy)
    proxy.heal()
    with closing(Wire(proxy)) as another:
        assert another.ask() == VALUE


def test_refuses_only_new_ones_where_told_so(proxy: FaultProxy, wire: Wire) -> None:
    proxy.refuse(cut=False)
    assert wire.ask() == VALUE
    with pytest.raises(ConnectionRefusedError):
        Wire(proxy)


def test_resets_new_connections_and_leaves_the_open_ones(proxy: FaultProxy, wire: Wire) -> None:
    proxy.reset_new_connections(times=1)
    assert wire.ask() == VALUE
    with pytest.raises(ConnectionResetError), closing(Wire(proxy)) as another:
        another.hear(1)
    with closing(Wire(proxy)) as another:
        assert another.ask() == VALUE


def test_resets_open_connections_at_once(proxy: FaultProxy, wire: Wire) -> None:
    proxy.reset_connections()
    assert wire.is_reset()
    with closing(Wire(proxy)) as another:
        assert another.ask() == VALUE


def test_resets_at_the_next_command_which_is_not_done(proxy: FaultProxy, wire: Wire, redis_server: RedisServer) -> None:
    proxy.reset()
    wire.say(b"INCR count\r\n")
    assert wire.is_reset()
    assert redis_server.cli("GET", "count") is None


def test_a_black_hole_swallows_everything(proxy: FaultProxy, wire: Wire, redis_server: RedisServer) -> None:
    proxy.black_hole()
    with closing(Wire(proxy)) as another:
        for one in (wire, another):
            one.say(b"INCR count\r\n")
            assert one.is_silent()
    proxy.heal()
    wire.say(GET)
    assert wire.is_silent(), "a connection with a hole in it went on"
    assert redis_server.cli("GET", "count") is None
    with closing(Wire(proxy)) as another:
        assert another.ask() == VALUE


def test_a_black_hole_hides_that_the_server_died(own_redis_server: RedisServer) -> None:
    with FaultProxy(own_redis_server.port) as proxy, closing(Wire(proxy)) as wire:
        assert wire.ask(b"PING\r\n", 7) == b"+PONG\r\n"
        proxy.black_hole()
        own_redis_server.kill()
        assert wire.is_silent()


def test_delays_each_answer(proxy: FaultProxy, wire: Wire) -> None:
    proxy.delay(0.2)
    begun = time.monotonic()
    assert wire.ask() == VALUE
    assert time.monotonic() - begun >= 0.2


def test_what_is_delayed_comes_at_once_when_it_heals(proxy: FaultProxy, wire: Wire) -> None:
    proxy.delay(60)
    wire.say(GET)
    proxy.wait_until_struck(1)
    assert wire.is_silent()
    proxy.heal()
    assert wire.hear(len(VALUE)) == VALUE


def test_what_is_delayed_is_lost_when_it_gets_worse(proxy: FaultProxy, wire: Wire) -> None:
    proxy.delay(60)
    wire.say(GET)
    proxy.wait_until_struck(1)
    proxy.black_hole()
    assert wire.is_silent()
    proxy.reset_connections()
    assert wire.is_reset()


def test_a_delayed_command_is_done_though_its_client_has_gone(
    proxy: FaultProxy, wire: Wire, redis_server: RedisServer
) -> None:
    proxy.delay(60, of="commands")
    wire.say(b"LPUSH done yes\r\n")
    proxy.wait_until_struck(1)
    wire.close()
    assert redis_server.cli("EXISTS", "done") == 0
    proxy.heal()
    assert redis_server.cli("BLPOP", "done", 5) == (b"done", b"yes")


def test_drips(proxy: FaultProxy, wire: Wire) -> None:
    proxy.drip(every=0.01)
    wire.say(GET)
    begun = time.monotonic()
    assert wire.socket.recv(100) == VALUE[:1]
    assert wire.hear(len(VALUE) - 1) == VALUE[1:]
    assert time.monotonic() - begun >= 0.01 * (len(VALUE) - 2)


def test_what_drips_comes_at_once_when_it_heals(proxy: FaultProxy, wire: Wire) -> None:
    proxy.drip(size=3, every=0.05)
    wire.say(GET)
    assert wire.hear(3) == VALUE[:3]
    proxy.drip(every=60)
    proxy.heal()
    assert wire.hear(len(VALUE) - 3) == VALUE[3:]


ENDINGS: list[tuple[Ending, Callable[[Wire], bool]]] = [
    ("close", Wire.is_closed),
    ("reset", Wire.is_reset),
    ("silence", Wire.is_silent),
]
endings = pytest.mark.parametrize(("then", "is_so"), ENDINGS, ids=[then for then, _ in ENDINGS])


@endings
@pytest.mark.parametrize("after", [0, 1, 6])
def test_truncates_answers(
    proxy: FaultProxy, wire: Wire, after: int, then: Ending, is_so: Callable[[Wire], bool]
) -> None:
    proxy.truncate(after, then=then)
    assert wire.ask(size=after) == VALUE[:after]
    assert is_so(wire)


@endings
def test_loses_the_reply_of_what_was_done(
    proxy: FaultProxy, wire: Wire, redis_server: RedisServer, then: Ending, is_so: Callable[[Wire], bool]
) -> None:
    proxy.lose_replies(only=b"INCR", times=1, then=then)
    assert wire.ask() == VALUE
    wire.say(b"INCR count\r\n")
    assert is_so(wire)
    proxy.wait_until_struck(1)
    assert redis_server.cli("GET", "count") == b"1"
    with closing(Wire(proxy)) as another:
        assert another.ask(b"INCR count\r\n", 4) == b":2\r\n"


def test_corrupts(proxy: FaultProxy, wire: Wire) -> None:
    proxy.corrupt(flipped(), times=1)
    assert wire.ask() == bytes([VALUE[0] ^ 0xFF]) + VALUE[1:]
    assert wire.ask() == VALUE
    proxy.corrupt(replaced(b"value", b"wrong"))
    assert wire.ask() == b"$5\r\nwrong\r\n"
    proxy.corrupt(flipped(at=99))
    assert wire.ask() == VALUE


def test_answers_in_the_place_of_the_server(proxy: FaultProxy, redis_server: RedisServer) -> None:
    proxy.answer(b"-LOADING Redis is loading the dataset in memory\r\n", only=b"INCR")
    with redis.Redis.from_url(proxy.url, retry=Retry(NoBackoff(), 0)) as client:
        with pytest.raises(redis.BusyLoadingError):
            client.incr("count")
        assert client.get("key") == b"value"
    assert redis_server.cli("GET", "count") is None


def test_strikes_only_the_next_so_many_that_it_is_meant_for(proxy: FaultProxy) -> None:
    proxy.lose_replies(only=b"EVALSHA", times=2)
    with redis.Redis.from_url(proxy.url, retry=Retry(NoBackoff(), 0)) as client:
        one = client.register_script("return redis.call('INCR', 'count')")
        client.script_load(one.script)
        for _ in range(2):
            assert client.get("key") == b"value"
            with pytest.raises(redis.ConnectionError):
                one()
        assert one() == 3
    assert proxy.struck == 2


def test_finds_what_it_is_meant_for_in_a_command_that_comes_in_parts(proxy: FaultProxy, wire: Wire) -> None:
    proxy.answer(b"+GOT IT\r\n", only=b"GET key")
    wire.say(b"GET")
    wire.say(b" key\r\n")
    assert wire.hear(9) == b"+GOT IT\r\n"


def test_counts_connections(proxy: FaultProxy) -> None:
    wires = [Wire(proxy) for _ in range(5)]
    proxy.wait_for_connections(5)
    assert proxy.open_connections == 5
    for wire in wires:
        wire.close()
    proxy.wait_for_open_connections(0)
    assert proxy.connections == 5


def test_is_switched_by_any_thread_under_load(proxy: FaultProxy) -> None:
    ended, answered = threading.Event(), threading.Event()
    answers: set[object] = set()

    def ask() -> None:
        with redis.Redis.from_url(proxy.url, socket_timeout=1, retry=Retry(NoBackoff(), 0)) as client:
            while not ended.is_set():
                with suppress(redis.RedisError):
                    answers.add(client.get("key"))
                    answered.set()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        proxy.refuse()
        for switch in (FaultProxy.reset, lambda proxy: proxy.truncate(3)):
            switch(proxy)
            proxy.wait_until_struck(proxy.struck + 1)
        answered.clear()
        proxy.heal()
        assert answered.wait(5)
    ended.set()
    for thread in threads:
        thread.join()
    assert answers == {b"value"}
    proxy.wait_for_open_connections(0)


def test_leaves_nothing_behind_when_it_is_closed(redis_server: RedisServer) -> None:
    threads = threading.active_count()
    with FaultProxy(redis_server.port) as proxy:
        wires = [Wire(proxy) for _ in range(3)]
        proxy.wait_for_connections(3)
        proxy.delay(60)
        wires[0].say(GET)
        proxy.wait_until_struck(1)
    proxy.close()
    assert all(wire.is_reset() for wire in wires)
    for wire in wires:
        wire.close()
    with pytest.raises(ConnectionRefusedError):
        Wire(proxy)
    assert threading.active_count() == threads
