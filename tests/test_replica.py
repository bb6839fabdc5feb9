"""A replica of the denylist: it answers at once, never from longer ago than its bound, and misses nothing."""

from __future__ import annotations

import gc
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from bearerguard import StoreUnavailable
from bearerguard.core.ports import run_sync
from bearerguard.rules.replica import ENDLESS, NO_LINE, Heard, Position, Told, heard, new_lines, why_lost
from bearerguard.stores import RedisStore
from bearerguard.stores.layout import KeyLayout
from bearerguard.stores.redis import follower, replica_marks
from bearerguard.stores.redis.lines import lines_to
from bearerguard.stores.redis.replica import BOUND_SECONDS, DenylistReplica
from bearerguard.stores.redis.replica_marks import Marks
from bearerguard.stores.redis.scripts import RAISE_MARK
from bearerguard.stores.redis.server import ServerWatch
from bearerguard.stores.redis.sync_wire import SyncWire
from tests.forking import in_a_child
from tests.servers import RedisServer
from tests.store_calls import WITHIN

LONG_ON_OTHER_SERVERS = True

STEM = "bearerguard:{bearerguard}:"
LOG = f"{STEM}log"
EPOCH = f"{STEM}epoch"

# What a busy machine may take for what takes milliseconds.
PATIENCE = 10.0


class Writer:
    """Another process of the fleet, which revokes."""

    def __init__(self, url: str, **options: Any) -> None:
        self._port = RedisStore(url, **options).sync_port()

    def found(self) -> str:
        return run_sync(self._port.found_epoch(None, trusted=True, within=WITHIN))

    def revoke(self, name: str, number: int = 7, *, keep_seconds: int = 600) -> None:
        run_sync(self._port.raise_mark(name, number, keep_seconds=keep_seconds, within=WITHIN))

    def read(self, *names: str) -> list[str | None]:
        return [*run_sync(self._port.read(names, within=WITHIN))]

    def close(self) -> None:
        self._port.close()


@contextmanager
def writer_to(url: str, **options: Any) -> Iterator[Writer]:
    writer = Writer(url, **options)
    try:
        yield writer
    finally:
        writer.close()


def new_replica(url: str, layout: KeyLayout, *, durable: bool = False, **options: Any) -> DenylistReplica:
    line = lines_to(url, layout.key("epoch")).sync_line(ServerWatch(is_durable=durable))
    return DenylistReplica(SyncWire(line), layout=layout, **options)


@contextmanager
def replica_of(
    url: str, told: Callable[[str], object] = lambda _: None, *, prefix: str = "bearerguard:", **options: Any
) -> Iterator[DenylistReplica]:
    replica = new_replica(url, KeyLayout(prefix), told=told, **options)
    try:
        yield replica
    finally:
        threads = replica_threads()
        replica.close()
        for thread in threads:
            thread.join(PATIENCE)


def replica_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "bearerguard replica"]


def eventually(holds: Callable[[], object], *, within: float = PATIENCE) -> None:
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.001)


def answer_of(replica: DenylistReplica, *names: str) -> list[str | None]:
    """What it answers, as soon as it does."""
    end = time.monotonic() + PATIENCE
    while (answer := replica.peek(names)) is None:
        assert time.monotonic() < end, "the replica gives no answer"
        time.sleep(0.001)
    return [*answer]


def knows(replica: DenylistReplica, *names: str) -> bool:
    values = replica.peek(names)
    return values is not None and None not in values


@pytest.fixture
def writer(redis_server: RedisServer) -> Iterator[Writer]:
    with writer_to(redis_server.url) as writer:
        yield writer


# --- The log that a revocation writes ---------------------------------------------------------------------------------


def test_writes_a_line_of_the_log_with_each_revocation(redis_server: RedisServer, writer: Writer) -> None:
    writer.revoke("u:one", 5, keep_seconds=60)
    writer.revoke("u:one", 3, keep_seconds=30)
    redis_server.cli("PERSIST", f"{STEM}u:one")
    writer.revoke("u:one", 9)
    lines = [fields for _, fields in _log_of(redis_server)]
    assert [(line[b"name"], line[b"value"]) for line in lines] == [
        (b"u:one", b"1|5"),
        (b"u:one", b"1|5"),
        (b"u:one", b"1|9"),
    ]
    assert [0 < int(line[b"life"]) <= 60_000 for line in lines] == [True, True, False]
    assert lines[-1][b"life"] == b"-1"


def test_writes_no_line_for_a_token_that_is_spent(redis_server: RedisServer) -> None:
    port = RedisStore(redis_server.url).sync_port()
    run_sync(port.spend("s:one", "nonce", epoch=None, keep_seconds=60, within=WITHIN))
    port.close()
    assert redis_server.cli("EXISTS", LOG) == 0


def test_keeps_the_log_short(redis_server: RedisServer, writer: Writer) -> None:
    writer.revoke("d:first")
    with redis.Redis.from_url(redis_server.url) as client, client.pipeline(transaction=False) as pipe:
        for number in range(11_000):
            pipe.evalsha(RAISE_MARK.digest, 2, EPOCH, f"{STEM}d:{number % 10}", "5", "60", "incarnation")
        pipe.execute()
    assert 10_000 <= redis_server.cli("XLEN", LOG) <= 10_200


def test_revokes_nothing_where_the_log_cannot_be_written(redis_server: RedisServer, writer: Writer) -> None:
    writer.revoke("u:one", 5)
    before = redis_server.cli("GET", EPOCH)
    redis_server.cli("DEL", LOG)
    redis_server.cli("SET", LOG, "no stream")
    with pytest.raises(StoreUnavailable):
        writer.revoke("u:one", 9)
    assert writer.read("u:one") == ["1|5"]
    assert redis_server.cli("GET", EPOCH) == before


def test_revokes_nothing_where_its_user_may_not_write_the_log(own_redis_server: RedisServer) -> None:
    own_redis_server.cli("ACL", "SETUSER", "clerk", "on", ">secret", "~*", "+@all", "-xadd")
    with writer_to(own_redis_server.url.replace("//", "//clerk:secret@")) as clerk:
        with pytest.raises(StoreUnavailable):
            clerk.revoke("u:one", 9)
        assert clerk.read("u:one", "epoch") == [None, None]


def test_revokes_nothing_where_there_is_no_memory_for_the_log(own_redis_server: RedisServer) -> None:
    with writer_to(own_redis_server.url) as writer:
        writer.revoke("u:one", 5)
        before = _log_of(own_redis_server)
        own_redis_server.cli("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(StoreUnavailable):
            writer.revoke("u:one", 9)
        with pytest.raises(StoreUnavailable):
            writer.revoke("u:two", 9)
        assert writer.read("u:one", "u:two") == ["1|5", None]
        assert _log_of(own_redis_server) == before


def _log_of(server: RedisServer) -> list[tuple[bytes, dict[bytes, bytes]]]:
    with redis.Redis.from_url(server.url) as client:
        found: Any = client.xrange(LOG)
    lines: list[tuple[bytes, dict[bytes, bytes]]] = found
    return lines


# --- What it answers --------------------------------------------------------------------------------------------------


def test_answers_from_what_was_there_before_it(redis_server: RedisServer, writer: Writer) -> None:
    writer.revoke("d:one", 5)
    writer.revoke("u:one", 6)
    redis_server.cli("DEL", LOG)
    writer.revoke("t:one", 7)
    with replica_of(redis_server.url) as replica:
        assert replica.peek(["d:one"]) is None
        assert answer_of(replica, "d:one", "u:one", "t:one", "d:two") == ["1|5", "1|6", "1|7", None]


def test_answers_what_a_read_would(redis_server: RedisServer, writer: Writer) -> None:
    writer.found()
    with replica_of(redis_server.url) as replica:
        assert answer_of(replica, "d:one", "u:one", "t:one") == [None, None, None]
        for number in (5, 9, 7):
            writer.revoke("u:one", number)
            writer.revoke("d:one", number)
        eventually(lambda: replica.peek(["u:one", "d:one"]) == ["1|9", "1|9"])
        names = ("epoch", "d:one", "u:one", "t:one")
        eventually(lambda: replica.peek(names) == writer.read(*names))


@pytest.mark.parametrize("name", ["s:one", "i:one:two", "c:one:two", "log", "", "e", "epochs", "x"])
def test_answers_for_no_other_names(redis_server: RedisServer, writer: Writer, name: str) -> None:
    writer.revoke("d:one")
    with replica_of(redis_server.url) as replica:
        assert answer_of(replica, "d:one") == ["1|7"]
        assert replica.peek(["d:one", name]) is None
        assert replica.peek([name, "d:two"]) is None


def test_answers_nothing_for_a_store_without_an_epoch(redis_server: RedisServer, writer: Writer) -> None:
    told: list[str] = []
    with replica_of(redis_server.url, told.append) as replica:
        assert replica.peek(["d:one"]) is None
        eventually(lambda: b"cmd=eval" in _clients(redis_server))
        assert replica.peek(["d:one"]) is None
        founded = writer.found()
        assert answer_of(replica, "epoch", "d:one") == [founded, None]
    assert told == []


def test_hears_of_its_own_prefix_only(redis_server: RedisServer, writer: Writer) -> None:
    writer.found()
    with (
        writer_to(redis_server.url, prefix="a.b-c:") as other,
        replica_of(redis_server.url, prefix="a.b-c:") as replica,
    ):
        other.revoke("d:before")
        writer.revoke("d:strange")
        assert answer_of(replica, "d:before", "d:strange") == ["1|7", None]
        writer.revoke("d:stranger")
        other.revoke("d:after")
        eventually(lambda: knows(replica, "d:after"))
        assert answer_of(replica, "d:stranger") == [None]


def test_has_read_its_marks_page_by_page(redis_server: RedisServer, writer: Writer) -> None:
    writer.found()
    names = [f"{kind}:{number}" for kind in "dut" for number in range(1500)]
    with redis.Redis.from_url(redis_server.url) as client:
        client.mset({f"{STEM}{name}": "1|5" for name in names} | {f"other:{name}": "no" for name in names})
        client.hset(f"{STEM}d:hash", "of another", "type")
    with replica_of(redis_server.url) as replica:
        assert answer_of(replica, *names, "d:hash") == [*["1|5"] * len(names), None]


@pytest.mark.timed
def test_hears_of_a_revocation_at_once(redis_server: RedisServer, writer: Writer) -> None:
    writer.found()
    with replica_of(redis_server.url) as replica:
        answer_of(replica, "d:one")
        delays = []
        for number in range(100):
            writer.revoke(f"d:{number}")
            confirmed = time.monotonic()
            eventually(lambda name=f"d:{number}": knows(replica, name))  # type: ignore[misc]
            delays.append(time.monotonic() - confirmed)
    assert sorted(delays)[50] < 0.02
    assert max(delays) < BOUND_SECONDS


def test_shows_nothing_before_all_lines_are_in_that_one_poll_cannot_bring(
    redis_server: RedisServer, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bearerguard.stores.redis.log.MOST_LINES", 3)
    writer.revoke("d:first")
    with replica_of(redis_server.url) as replica:
        answer_of(replica, "d:first")
        with redis.Redis.from_url(redis_server.url) as client, client.pipeline() as pipe:
            for number in range(100):
                pipe.evalsha(RAISE_MARK.digest, 2, EPOCH, f"{STEM}d:{number}", "5", "60", "incarnation")
            pipe.execute()
        names = [f"d:{number}" for number in range(100)]
        while not knows(replica, *names):
            if (answer := replica.peek(("epoch", *names))) is not None:
                epoch, *values = answer
                # Nothing is shown before all is known that was written up to then.
                assert int(str(epoch).rpartition("|")[2]) - 1 <= len(values) - values.count(None)


def test_forgets_what_has_ended(redis_server: RedisServer, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_marks, "SLOT_SECONDS", 0.05)
    writer.revoke("d:long")
    with replica_of(redis_server.url) as replica:
        answer_of(replica, "d:long")
        writer.revoke("d:short", keep_seconds=1)
        eventually(lambda: knows(replica, "d:short"))
        eventually(lambda: replica.peek(["d:short"]) == (None,))
        assert writer.read("d:short") == [None]
        assert answer_of(replica, "d:long") == ["1|7"]


# --- Faults -----------------------------------------------------------------------------------------------------------


def test_misses_none_of_1000_while_its_connection_is_killed_every_30_ms(redis_server: RedisServer) -> None:
    with writer_to(redis_server.url) as writer, redis.Redis.from_url(redis_server.url) as killer:
        writer.found()
        spared = {client["id"] for client in killer.client_list()}
        with replica_of(redis_server.url) as replica:
            answer_of(replica, "d:one")
            over = threading.Event()
            kills: list[int] = []

            def kill() -> None:
                while not over.wait(0.03):
                    for client in killer.client_list():
                        if client["id"] not in spared:
                            kills.append(int(killer.client_kill_filter(_id=client["id"])))

            thread = threading.Thread(target=kill)
            thread.start()
            try:
                names = _revoked_while_asked(writer, replica)
                eventually(lambda: knows(replica, *names))
            finally:
                over.set()
                thread.join()
    assert sum(kills) >= 20


def _revoked_while_asked(writer: Writer, replica: DenylistReplica) -> list[str]:
    """A thousand names, revoked one by one; none of them is denied once the bound has passed."""
    confirmed: list[tuple[float, str]] = []
    asked = 0
    for number in range(1000):
        writer.revoke(f"d:{number}")
        confirmed.append((time.monotonic(), f"d:{number}"))
        time.sleep(0.002)
        while asked < number and confirmed[asked][0] < time.monotonic() - BOUND_SECONDS:
            assert replica.peek([confirmed[asked][1]]) in (None, ["1|7"])
            asked += 1
    assert asked > 0
    return [name for _, name in confirmed]


@pytest.mark.timed
def test_answers_nothing_when_its_bound_is_passed(own_redis_server: RedisServer) -> None:
    with writer_to(own_redis_server.url) as writer, replica_of(own_redis_server.url) as replica:
        writer.revoke("d:one")
        answer_of(replica, "d:one")
        own_redis_server.freeze()
        frozen = time.monotonic()
        eventually(lambda: replica.peek(["d:one"]) is None)
        assert BOUND_SECONDS / 2 < time.monotonic() - frozen < BOUND_SECONDS + 0.1
        own_redis_server.thaw()
        thawed = time.monotonic()
        assert answer_of(replica, "d:one") == ["1|7"]
        assert time.monotonic() - thawed < 2 * 1.0


def test_its_bound_counts_from_when_the_poll_was_sent(redis_server: RedisServer, writer: Writer) -> None:
    writer.revoke("d:one")
    with replica_of(redis_server.url, bound_seconds=0.0) as replica:
        replica.peek(["d:one"])
        eventually(lambda: b"cmd=xread" in _clients(redis_server))
        assert replica.peek(["d:one"]) is None


def _clients(server: RedisServer) -> bytes:
    with redis.Redis.from_url(server.url) as client:
        return str([each["cmd"] and f"cmd={each['cmd']}" for each in client.client_list()]).encode()


def _restarted_empty(server: RedisServer) -> None:
    server.restart(empty=True)


def _restarted_from_an_older_snapshot(server: RedisServer) -> None:
    server.restart(empty=False)


def _flushed(server: RedisServer) -> None:
    server.cli("FLUSHALL")


def _without_an_epoch(server: RedisServer) -> None:
    server.cli("DEL", EPOCH)


def _without_a_log(server: RedisServer) -> None:
    server.cli("DEL", LOG)


def _in_another_epoch(server: RedisServer) -> None:
    server.cli("SET", EPOCH, "1|5|another|999")


def _with_fewer_writes(server: RedisServer) -> None:
    _, since, incarnation, _ = server.cli("GET", EPOCH).decode().split("|")
    server.cli("SET", EPOCH, f"1|{since}|{incarnation}|1")


def _restarted_as_it_was(server: RedisServer) -> None:
    server.cli("SAVE")
    server.restart(empty=False)


@pytest.mark.parametrize(
    ("loses", "why"),
    [
        pytest.param(_restarted_empty, "no epoch", id="restarted empty"),
        pytest.param(_restarted_from_an_older_snapshot, "fewer writes", id="restarted from an older snapshot"),
        pytest.param(_restarted_as_it_was, "restarted", id="restarted with all that we have heard of"),
        pytest.param(_flushed, "no epoch", id="flushed"),
        pytest.param(_without_an_epoch, "no epoch", id="its epoch is gone"),
        pytest.param(_without_a_log, "shorter", id="its log is gone"),
        pytest.param(_in_another_epoch, "another epoch", id="another epoch"),
        pytest.param(_with_fewer_writes, "fewer writes", id="fewer writes"),
    ],
)
def test_is_dropped_when_the_store_shows_less_than_before(
    own_redis_server: RedisServer, loses: Callable[[RedisServer], None], why: str
) -> None:
    told: list[str] = []
    with writer_to(own_redis_server.url) as writer, replica_of(own_redis_server.url, told.append) as replica:
        writer.revoke("d:kept")
        own_redis_server.cli("SAVE")
        writer.revoke("d:lost")
        writer.revoke("d:lost")
        eventually(lambda: knows(replica, "d:kept", "d:lost"))
        loses(own_redis_server)
        eventually(lambda: told)
        assert why in told[0]
        with suppress(StoreUnavailable):
            writer.read("epoch")
        # A write tells what holds from now on; it is the first thing that both are sure to show.
        eventually(lambda: _revoked(writer, "d:new"))
        eventually(lambda: knows(replica, "d:new"))
        names = ("epoch", "d:kept", "d:lost", "d:new")
        assert answer_of(replica, *names) == writer.read(*names)
        assert len(told) == 1


def test_goes_on_after_a_restart_of_a_server_that_loses_nothing(own_redis_server: RedisServer) -> None:
    told: list[str] = []
    with (
        writer_to(own_redis_server.url) as writer,
        replica_of(own_redis_server.url, told.append, durable=True) as replica,
    ):
        writer.revoke("d:one")
        answer_of(replica, "d:one")
        _restarted_as_it_was(own_redis_server)
        eventually(lambda: _revoked(writer, "d:two"))
        eventually(lambda: knows(replica, "d:one", "d:two"))
    assert told == []


def _revoked(writer: Writer, name: str) -> bool:
    with suppress(StoreUnavailable):
        writer.revoke(name)
        return True
    return False


def test_reads_all_anew_when_lines_are_gone_that_it_has_not_read(redis_server: RedisServer, writer: Writer) -> None:
    told: list[str] = []
    with replica_of(redis_server.url, told.append) as replica:
        writer.revoke("d:one")
        answer_of(replica, "d:one")
        # In one step, so that no poll comes in between.
        with redis.Redis.from_url(redis_server.url) as client, client.pipeline(transaction=True) as pipe:
            for name in ("d:two", "d:three", "d:four"):
                pipe.evalsha(RAISE_MARK.digest, 2, EPOCH, f"{STEM}{name}", "5", "60", "incarnation")
            pipe.xtrim(LOG, maxlen=1, approximate=False)
            pipe.execute()
        eventually(lambda: knows(replica, "d:one", "d:two", "d:three", "d:four"))
    assert told == []


def test_misses_nothing_that_is_written_while_it_reads_all_anew(redis_server: RedisServer) -> None:
    names = [f"{kind}:{number}" for kind in "dut" for number in range(300)]
    confirmed: dict[str, int] = {}
    over = threading.Event()

    def write(share: Sequence[str]) -> None:
        numbers = iter(range(1, 10**9))
        with writer_to(redis_server.url) as writer:
            while not over.is_set():
                name, number = random.choice(share), next(numbers)
                writer.revoke(name, number)
                confirmed[name] = number

    shares = [names[first::3] for first in range(3)]
    threads = [threading.Thread(target=write, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: len(confirmed) > 200)
        for _ in range(6):
            with replica_of(redis_server.url, bound_seconds=0.2) as replica:
                _check_nothing_is_older(replica, confirmed)
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _check_nothing_is_older(replica: DenylistReplica, confirmed: dict[str, int]) -> None:
    for _ in range(3):
        least, names = dict(confirmed), tuple(dict(confirmed))
        # What is answered now may be as old as the bound, and no older.
        time.sleep(0.2)
        values = answer_of(replica, *names)
        older = [name for name, value in zip(names, values, strict=True) if int((value or "1|0")[2:]) < least[name]]
        assert older == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param(f"{STEM}d:one", "2|5", id="a mark of another version"),
        pytest.param(f"{STEM}d:one", "", id="an empty mark"),
        pytest.param(f"{STEM}d:one", b"1|\xff", id="a mark that is no text"),
        pytest.param(f"{STEM}d:o ne", "1|5", id="a name with a space"),
        pytest.param(EPOCH, "2|0|a|5", id="an epoch of another version"),
    ],
)
def test_answers_nothing_while_a_value_cannot_be_read(
    redis_server: RedisServer, writer: Writer, monkeypatch: pytest.MonkeyPatch, key: str, value: str | bytes
) -> None:
    monkeypatch.setattr(follower, "_HOPELESS_SECONDS", 0.02)
    writer.found()
    kept = redis_server.cli("GET", EPOCH)
    redis_server.cli("SET", key, value)
    told: list[str] = []
    with replica_of(redis_server.url, told.append) as replica:
        replica.peek(["d:two"])
        eventually(lambda: told)
        assert replica.peek(["d:two"]) is None
        redis_server.cli("DEL", key)
        redis_server.cli("SET", EPOCH, kept)
        assert answer_of(replica, "d:two") == [None]
    assert told == ["a value in the store cannot be read"]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(("name", "x:one", "value", "1|5", "life", "60"), id="a name of another kind"),
        pytest.param(("name", "d:one", "value", "2|5", "life", "60"), id="a value of another version"),
        pytest.param(("name", "d:one", "value", "1|5"), id="a field less"),
        pytest.param(("name", "d:one", "value", "1|5", "life", "60", "more", "1"), id="a field more"),
    ],
)
def test_does_not_answer_on_when_a_line_cannot_be_read(
    redis_server: RedisServer, writer: Writer, monkeypatch: pytest.MonkeyPatch, line: Sequence[str]
) -> None:
    monkeypatch.setattr(follower, "_HOPELESS_SECONDS", 0.02)
    told: list[str] = []
    writer.revoke("d:two")
    with replica_of(redis_server.url, told.append) as replica:
        answer_of(replica, "d:two")
        redis_server.cli("XADD", LOG, "*", *line)
        eventually(lambda: told)
        # What the marks say themselves can be read, and goes on from behind that line.
        assert answer_of(replica, "d:two") == ["1|7"]
        writer.revoke("d:three")
        eventually(lambda: knows(replica, "d:three"))
    assert told == ["a value in the store cannot be read"]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        pytest.param("-xread", "may not read", id="no waiting"),
        pytest.param("-evalsha", "may not read", id="no scripts"),
        pytest.param("-xrange", "refuses", id="no log"),
        pytest.param("-scan", "refuses", id="no marks"),
    ],
)
def test_tells_once_that_it_may_not_read(
    own_redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, command: str, why: str
) -> None:
    monkeypatch.setattr(follower, "_HOPELESS_SECONDS", 0.02)
    own_redis_server.cli("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@all", command)
    told: list[str] = []
    with (
        writer_to(own_redis_server.url) as writer,
        replica_of(own_redis_server.url.replace("//", "//reader:secret@"), told.append) as replica,
    ):
        writer.revoke("d:one")
        replica.peek(["d:one"])
        eventually(lambda: told)
        own_redis_server.cli("ACL", "SETUSER", "reader", "+@all")
        assert answer_of(replica, "d:one") == ["1|7"]
    assert len(told) == 1
    assert why in told[0]


# --- Its thread -------------------------------------------------------------------------------------------------------


def test_asks_nobody_before_it_is_asked(redis_server: RedisServer) -> None:
    with replica_of(redis_server.url):
        assert replica_threads() == []


def test_has_one_thread_however_many_ask(redis_server: RedisServer, writer: Writer) -> None:
    writer.revoke("d:one")
    with replica_of(redis_server.url) as replica:
        askers = [threading.Thread(target=answer_of, args=(replica, "d:one")) for _ in range(20)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
        assert len(replica_threads()) == 1


def test_ends_when_it_is_closed_and_begins_anew_when_it_is_asked(redis_server: RedisServer, writer: Writer) -> None:
    writer.revoke("d:one")
    before = len(_connections(redis_server))
    with replica_of(redis_server.url) as replica:
        answer_of(replica, "d:one")
        threads = replica_threads()
        replica.close()
        for thread in threads:
            thread.join(PATIENCE)
        assert replica_threads() == []
        eventually(lambda: len(_connections(redis_server)) == before)
        assert replica.peek(["d:one"]) is None
        assert answer_of(replica, "d:one") == ["1|7"]


def test_ends_when_nobody_can_ask_it_any_more(redis_server: RedisServer, writer: Writer) -> None:
    writer.revoke("d:one")
    replica = new_replica(redis_server.url, KeyLayout())
    gone = weakref.ref(replica)
    answer_of(replica, "d:one")
    threads = replica_threads()
    del replica
    gc.collect()
    for thread in threads:
        thread.join(PATIENCE)
    assert gone() is None
    assert replica_threads() == []


def test_follows_the_store_in_a_forked_child(redis_server: RedisServer, writer: Writer) -> None:
    writer.revoke("d:one")
    with replica_of(redis_server.url) as replica:
        answer_of(replica, "d:one")

        def work() -> str:
            at_first = replica.peek(["d:one"])
            answer_of(replica, "d:one")
            with writer_to(redis_server.url) as own_writer:
                own_writer.revoke("d:two")
            eventually(lambda: knows(replica, "d:one", "d:two"))
            return f"{at_first} {len(replica_threads())}"

        assert in_a_child(work) == "None 1"
        eventually(lambda: knows(replica, "d:one", "d:two"))


def _connections(server: RedisServer) -> list[Any]:
    with redis.Redis.from_url(server.url) as client:
        return list(client.client_list())


# --- What it goes by --------------------------------------------------------------------------------------------------

FIVE = "1|0|abc|5"


def _told(*names: str) -> str:
    return "\n".join(f"{at} name {name} value 1|5 life 60" for at, name in (each.split(" ") for each in names))


@pytest.mark.parametrize(
    ("seen", "epoch", "ends", "lines", "outcome"),
    [
        pytest.param("7-0", FIVE, "3-0 7-0", ["7-0 d:a"], [], id="nothing new"),
        pytest.param("7-0", FIVE, "3-0 9-1", ["7-0 d:a", "9-1 d:b"], ["d:b"], id="a new line"),
        pytest.param("7-9", FIVE, "3-0 7-10", ["7-9 d:a", "7-10 d:b"], ["d:b"], id="ids are numbers"),
        pytest.param("7-0", "1|0|abc|6", "3-0 7-0", ["7-0 d:a"], [], id="more writes"),
        pytest.param("7-0", FIVE, "8-0 9-0", ["8-0 d:a", "9-0 d:b"], None, id="trimmed behind our place"),
        pytest.param(NO_LINE, FIVE, "0-0 0-0", [], [], id="no log yet"),
        pytest.param(NO_LINE, FIVE, "3-0 7-0", ["3-0 d:a", "7-0 d:b"], None, id="a log whose beginning we cannot know"),
        pytest.param("7-0", None, "3-0 7-0", ["7-0 d:a"], "no epoch", id="no epoch"),
        pytest.param("7-0", "1|0|abc|4", "3-0 7-0", ["7-0 d:a"], "fewer writes", id="fewer writes"),
        pytest.param("7-0", "1|9|other|9", "3-0 7-0", ["7-0 d:a"], "another epoch", id="another epoch"),
        pytest.param("7-0", FIVE, "0-0 0-0", [], "shorter", id="no log"),
        pytest.param("7-9", FIVE, "3-0 7-8", [], "shorter", id="a shorter log"),
        pytest.param("7-0", FIVE, "3-0 9-0", ["9-0 d:b"], "another than before", id="another log, as long by now"),
        pytest.param("7-0", FIVE, "6-9 9-0", ["9-0 d:b"], "another than before", id="a log without our place"),
    ],
)
def test_knows_what_an_answer_means(
    seen: str, epoch: str | None, ends: str, lines: Sequence[str], outcome: list[str] | str | None
) -> None:
    first, last = ends.split(" ")
    now = heard(epoch, first, last, _told(*lines))
    lost = why_lost(Position(FIVE, seen), now)
    if isinstance(outcome, str):
        assert lost is not None
        assert outcome in lost
        return
    assert lost is None
    found = new_lines(Position(FIVE, seen), now)
    assert (None if found is None else [told.name for _, told in found]) == outcome


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param(("1|0|abc", "0-0", "0-0", ""), id="an epoch cut short"),
        pytest.param((FIVE, "0", "0-0", ""), id="a first line that is none"),
        pytest.param((FIVE, "0-0", "x-0", ""), id="a last line that is none"),
        pytest.param((FIVE, "1-0", "1-0", "0-1 x\n1-0 name d:a value 1|5 life x"), id="a life that is none"),
        pytest.param((FIVE, "1-0", "1-0", "0-1 x\n1-0 name d:a value 1|1234567890123456 life 5"), id="a long number"),
        pytest.param((FIVE, "1-0", "1-0", "0-1 x\n1-0 name d:a value 1|\u0665 life 5"), id="a digit of another script"),
    ],
)
def test_takes_no_answer_that_it_cannot_read(parts: tuple[str, str, str, str]) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        heard(*parts)
    assert caught.value.reason == "store_unreadable"


def test_does_not_read_again_what_it_has_heard() -> None:
    now = heard(FIVE, "1-0", "2-0", "1-0 of another version\n2-0 name d:a value 1|5 life 60")
    assert new_lines(Position(FIVE, "1-0"), now) == [("2-0", Told("d:a", "1|5", 60))]


def test_a_store_without_an_epoch_gives_no_place_to_go_on_from() -> None:
    assert Heard(None, NO_LINE, NO_LINE, "", []).position() is None
    assert Heard(FIVE, NO_LINE, "7-0", "", []).position() == Position(FIVE, "7-0")


@pytest.mark.parametrize("longer", [300_000, ENDLESS], ids=["for longer", "for ever"])
def test_keeps_a_mark_that_was_told_again(longer: int) -> None:
    marks = Marks()
    marks.take([Told("d:a", "1|5", 1000), Told("d:a", "1|6", longer), Told("d:b", "1|5", 1000)], now=1000.0)
    marks.sweep(1001.0 + replica_marks.SLOT_SECONDS)
    assert {name: mark.value for name, mark in marks.by_name.items()} == {"d:a": "1|6"}


NAMES = st.sampled_from(["d:a", "d:b", "u:c"])
LIVES = st.one_of(st.just(ENDLESS), st.integers(1, 200_000))
STEPS = st.lists(st.tuples(st.floats(0, 90), NAMES, LIVES), max_size=40)


@given(STEPS)
def test_forgets_no_mark_before_its_end_and_each_soon_after(steps: Sequence[tuple[float, str, int]]) -> None:
    marks, now, ends = Marks(), 1000.0, dict[str, float]()
    for number, (seconds, name, milliseconds) in enumerate(steps):
        now += seconds
        marks.sweep(now)
        for each, end in ends.items():
            assert each in marks.by_name or end <= now
            assert each not in marks.by_name or end > now - replica_marks.SLOT_SECONDS
        marks.take([Told(name, f"1|{number}", milliseconds)], now=now)
        ends[name] = float("inf") if milliseconds == ENDLESS else now + milliseconds / 1000
        assert marks.by_name[name].value == f"1|{number}"
