"""Checks that threads ask for while others are under way go to Redis as one, and nobody's failure is another's."""

from __future__ import annotations

import itertools
import queue
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bearerguard import RedisStore, StoreUnavailable
from bearerguard.core.ports import run_sync
from bearerguard.stores.breaker import Breaker
from bearerguard.stores.layout import DEFAULT_PREFIX, KeyLayout
from bearerguard.stores.redis.departures import LEADING, SERVED, WAITING, Departures, Seat
from bearerguard.stores.redis.gathered import MOST_TOGETHER
from bearerguard.stores.redis.gathered_threads import MOST_UNDER_WAY, GatheredThreads
from bearerguard.stores.redis.lines import lines_to
from bearerguard.stores.redis.port import RedisPort
from bearerguard.stores.redis.server import ServerWatch
from bearerguard.stores.redis.sync_wire import SyncWire
from bearerguard.stores.redis.wire import SILENCE_SECONDS, Crowded, ReplyLate, ReplyNotAwaited
from tests.forking import in_a_child
from tests.scripted_redis import Command, Hangup, echoed, scripted_redis
from tests.servers import RedisServer

LONG = 20.0
"""More than any test takes: whoever waits so long is lost."""
BUSY = 0.5
"""By how much a busy machine is late."""

Failure = Callable[[], BaseException]


class Stop(BaseException):
    """Breaks a caller off, as KeyboardInterrupt and the time-outs of gevent do."""


def unavailable(cause: type[Exception] = TimeoutError, reason: str = "store_unavailable") -> StoreUnavailable:
    error = StoreUnavailable(reason)
    error.__cause__ = cause("scripted")
    return error


class Asked:
    """One read of the store, which waits for the test."""

    def __init__(self, number: int, names: Sequence[str], within: float) -> None:
        self.number, self.names, self.within = number, tuple(names), within
        self._fails: Failure | None = None
        self._ended = threading.Event()

    def end(self, fails: Failure | None = None) -> None:
        self._fails = fails
        self._ended.set()

    def brought(self) -> Sequence[str]:
        if not self._ended.wait(max(0.0, self.within)):
            raise unavailable(ReplyLate)
        if self._fails is not None:
            raise self._fails()
        return [f"{name} of read {self.number}" for name in self.names]


class Held:
    """A store whose reads end when, and as, the test says; a value tells which read it came from."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._news: queue.Queue[Asked] = queue.Queue()
        self._lock = threading.Lock()

    async def __call__(self, names: Sequence[str], *, within: float) -> Sequence[str | None]:
        with self._lock:
            asked = Asked(len(self.asked) + 1, names, within)
            self.asked.append(asked)
        self._news.put(asked)
        return asked.brought()

    def next(self) -> Asked:
        """The next read that goes out."""
        return self._news.get(timeout=LONG)

    def is_left_alone(self) -> bool:
        return self._news.empty()


class Crowd:
    """Threads that read, each of which is known to have gone as far as it can."""

    def __init__(self, pool: ThreadPoolExecutor, *, most: int = 1, patience: float = LONG) -> None:
        self.store = Held()
        self.gathered = GatheredThreads(self.store, most=most, patience=patience)
        self._pool = pool

    def sends(self, *names: str, within: float = LONG) -> tuple[Future[Sequence[str | None]], Asked]:
        """One who reads at once."""
        reader = self._begun(names, within)
        return reader, self.store.next()

    def lines_up(self, *names: str, within: float = LONG) -> Future[Sequence[str | None]]:
        """One who waits in line."""
        before = self.gathered.waiting
        reader = self._begun(names, within)
        until(lambda: self.gathered.waiting == before + 1)
        return reader

    def is_well(self) -> bool:
        """Whether nobody waits, and the next one reads at once."""
        reader, asked = self.sends("d:last")
        asked.end()
        return reader.result(LONG) == [f"d:last of read {asked.number}"] and self.gathered.waiting == 0

    def _begun(self, names: Sequence[str], within: float) -> Future[Sequence[str | None]]:
        return self._pool.submit(lambda: run_sync(self.gathered.read(names, within=within)))


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.fixture(name="pool")
def _pool() -> Any:
    with ThreadPoolExecutor(64) as pool:
        yield pool


def leads(departures: Departures, seat: Seat) -> bool:
    """Whether a seat that comes now leads at once."""
    departures.stand_in_line(seat)
    return seat.stage is LEADING


def failure_of(reader: Future[Any]) -> tuple[str, type[BaseException | None]]:
    """What a reader's failure says, and what it came from."""
    error = reader.exception(LONG)
    assert isinstance(error, StoreUnavailable)
    return error.reason, type(error.__cause__)


# --- Who reads, and for whom -----------------------------------------------------------------------------------------


def test_reads_at_once_and_alone_while_there_is_room(pool: ThreadPoolExecutor) -> None:
    crowd = Crowd(pool, most=3)
    begun = [crowd.sends("epoch", f"d:{number}") for number in range(3)]
    assert [asked.names for _, asked in begun] == [("epoch", f"d:{number}") for number in range(3)]
    for reader, asked in reversed(begun):
        asked.end()
        assert reader.result(LONG) == [f"{name} of read {asked.number}" for name in asked.names]


def test_asks_once_for_all_who_came_in_the_meantime(pool: ThreadPoolExecutor) -> None:
    crowd = Crowd(pool)
    first, under_way = crowd.sends("epoch", "d:0")
    others = [crowd.lines_up("epoch", f"d:{number}") for number in range(1, 5)]
    assert crowd.store.is_left_alone()
    under_way.end()
    assert first.result(LONG) == ["epoch of read 1", "d:0 of read 1"]
    together = crowd.store.next()
    assert together.names == ("epoch", "d:1", "d:2", "d:3", "d:4")
    together.end()
    assert [other.result(LONG) for other in others] == [
        ["epoch of read 2", f"d:{number} of read 2"] for number in range(1, 5)
    ]
    assert crowd.is_well()


def test_nobody_boards_a_read_that_is_on_its_way(pool: ThreadPoolExecutor) -> None:
    crowd = Crowd(pool)
    readers = [crowd.sends("d:1")[0]]
    for number in range(4):
        readers.append(crowd.lines_up("d:1"))
        crowd.store.asked[number].end()
        assert crowd.store.next().number == number + 2
    crowd.store.asked[4].end()
    assert [reader.result(LONG) for reader in readers] == [[f"d:1 of read {number}"] for number in range(1, 6)]


def test_a_read_has_no_more_callers_than_its_bound_and_they_go_as_they_came() -> None:
    departures = Departures(1)
    seats = [Seat((f"d:{number}",), time.monotonic() + LONG) for number in range(MOST_TOGETHER + 10)]
    assert [leads(departures, seat) for seat in seats] == [True] + [False] * (MOST_TOGETHER + 9)
    departures.go(seats[0])
    departures.depart(seats[1])
    assert [seats[1], *seats[1].party] == seats[1 : MOST_TOGETHER + 1]
    newcomer = Seat(("d:new",), time.monotonic() + LONG)
    assert not leads(departures, newcomer)
    departures.go(seats[1])
    assert seats[2].stage is LEADING
    assert [*departures.line] == [*seats[3:], newcomer]


def test_who_has_little_time_or_asks_nothing_asks_alone(pool: ThreadPoolExecutor) -> None:
    crowd = Crowd(pool)
    first, under_way = crowd.sends("d:1")
    hurried, alone = crowd.sends("d:2", within=SILENCE_SECONDS * 0.9)
    alone.end()
    idle, empty = crowd.sends()
    empty.end()
    assert hurried.result(LONG) == ["d:2 of read 2"]
    assert idle.result(LONG) == []
    under_way.end()
    assert first.result(LONG) == ["d:1 of read 1"]


# --- Nobody waits for ever -------------------------------------------------------------------------------------------


def test_a_read_that_does_not_come_back_holds_up_nobody_for_long(pool: ThreadPoolExecutor) -> None:
    crowd = Crowd(pool, patience=0.05)
    first, stuck = crowd.sends("d:0")
    others = [pool.submit(lambda: run_sync(crowd.gathered.read(("d:1",), within=LONG))) for _ in range(5)]
    while not all(other.done() for other in others):
        crowd.store.next().end()
        until(lambda: not crowd.store.is_left_alone() or all(other.done() for other in others))
    assert not first.done()
    stuck.end()
    assert first.result(LONG) == ["d:0 of read 1"]
    assert crowd.is_well()


@pytest.mark.timed
def test_who_rides_along_ends_in_time_though_the_leader_has_longer(pool: ThreadPoolExecutor) -> None:
    crowd = Crowd(pool)
    first, under_way = crowd.sends("d:0")
    leader = crowd.lines_up("d:1")
    started = time.monotonic()
    rider = crowd.lines_up("d:2", within=SILENCE_SECONDS)
    under_way.end()
    together = crowd.store.next()
    assert together.names == ("d:1", "d:2")
    assert failure_of(rider) == ("store_unavailable", ReplyNotAwaited)
    assert time.monotonic() - started < SILENCE_SECONDS + BUSY
    together.end()
    assert leader.result(LONG) == ["d:1 of read 2"]
    assert first.result(LONG)
    assert crowd.is_well()


def test_who_has_too_little_time_left_to_lead_asks_alone_and_the_next_one_leads(pool: ThreadPoolExecutor) -> None:
    crowd = Crowd(pool)
    first, under_way = crowd.sends("d:0")
    started = time.monotonic()
    late = crowd.lines_up("d:1", within=2 * SILENCE_SECONDS)
    others = [crowd.lines_up("d:2"), crowd.lines_up("d:3")]
    until(lambda: time.monotonic() - started > 1.2 * SILENCE_SECONDS)
    under_way.end()
    both = sorted([crowd.store.next(), crowd.store.next()], key=lambda asked: asked.names)
    assert [asked.names for asked in both] == [("d:1",), ("d:2", "d:3")]
    assert both[0].within < SILENCE_SECONDS
    for asked in both:
        asked.end()
    assert late.result(LONG) == [f"d:1 of read {both[0].number}"]
    assert [other.result(LONG) for other in others] == [[f"d:{n} of read {both[1].number}"] for n in (2, 3)]
    assert first.result(LONG)
    assert crowd.is_well()


def test_a_leader_whose_own_time_is_over_takes_nobody_down(pool: ThreadPoolExecutor) -> None:
    crowd = Crowd(pool)
    first, under_way = crowd.sends("d:0")
    leader, rider = crowd.lines_up("d:1"), crowd.lines_up("d:2")
    under_way.end()
    crowd.store.next().end(lambda: unavailable(Crowded))
    for asked in (crowd.store.next(), crowd.store.next()):
        asked.end(None if asked.names == ("d:2",) else lambda: unavailable(Crowded))
    assert failure_of(leader) == ("store_unavailable", Crowded)
    assert rider.result(LONG)[0] in ("d:2 of read 3", "d:2 of read 4")
    assert first.result(LONG)
    assert crowd.is_well()


# --- Failures --------------------------------------------------------------------------------------------------------


def test_each_caller_gets_a_failure_of_his_own(pool: ThreadPoolExecutor) -> None:
    crowd = Crowd(pool)
    first, under_way = crowd.sends("d:0")
    others = [crowd.lines_up("d:1") for _ in range(3)]
    under_way.end()
    crowd.store.next().end(lambda: unavailable(ReplyLate))
    assert [failure_of(other) for other in others] == [("store_unavailable", ReplyLate)] * 3
    assert len({id(other.exception()) for other in others}) == 3
    assert first.result(LONG)
    assert crowd.is_well()


def test_what_is_unreadable_for_one_is_not_for_the_others(pool: ThreadPoolExecutor) -> None:
    crowd = Crowd(pool)
    first, under_way = crowd.sends("d:0")
    others = [crowd.lines_up(f"d:{number}") for number in range(1, 4)]
    under_way.end()
    crowd.store.next().end(lambda: unavailable(reason="store_unreadable"))
    for asked in [crowd.store.next() for _ in range(3)]:
        asked.end((lambda: unavailable(reason="store_unreadable")) if asked.names == ("d:2",) else None)
    assert failure_of(others[1]) == ("store_unreadable", TimeoutError)
    assert [str(others[n].result(LONG)[0])[:3] for n in (0, 2)] == ["d:1", "d:3"]
    assert first.result(LONG)
    assert crowd.is_well()


@pytest.mark.parametrize("failure", [Stop, KeyboardInterrupt, SystemExit, RuntimeError])
def test_the_next_one_leads_where_a_leader_is_broken_off(pool: ThreadPoolExecutor, failure: Failure) -> None:
    crowd = Crowd(pool)
    first, under_way = crowd.sends("d:0")
    others = [crowd.lines_up(f"d:{number}") for number in range(1, 5)]
    under_way.end()
    together = crowd.store.next()
    newcomer = crowd.lines_up("d:5")
    together.end(failure)
    again = crowd.store.next()
    assert again.names == ("d:2", "d:3", "d:4", "d:5")
    again.end()
    assert isinstance(others[0].exception(LONG), failure)  # type: ignore[arg-type]
    assert [other.result(LONG) for other in [*others[1:], newcomer]] == [[f"d:{n} of read 3"] for n in range(2, 6)]
    assert first.result(LONG)
    assert crowd.is_well()


def test_who_is_interrupted_in_line_leaves_it_to_the_others(pool: ThreadPoolExecutor) -> None:
    crowd = Crowd(pool)
    first, under_way = crowd.sends("d:0")

    def interrupt(*_: object) -> None:
        raise Stop

    before = signal.signal(signal.SIGUSR1, interrupt)
    main = threading.get_ident()
    others = [crowd.lines_up("d:1")]

    def interrupt_when_in_line() -> Future[Sequence[str | None]]:
        until(lambda: crowd.gathered.waiting == 2)
        behind = crowd.lines_up("d:3")
        signal.pthread_kill(main, signal.SIGUSR1)
        return behind

    behind = pool.submit(interrupt_when_in_line)
    try:
        with pytest.raises(Stop):
            run_sync(crowd.gathered.read(("d:2",), within=LONG))
    finally:
        signal.signal(signal.SIGUSR1, before)
    others.append(behind.result(LONG))
    assert crowd.gathered.waiting == 2
    under_way.end()
    together = crowd.store.next()
    assert together.names == ("d:1", "d:3")
    together.end()
    assert [other.result(LONG) for other in others] == [["d:1 of read 2"], ["d:3 of read 2"]]
    assert first.result(LONG)
    assert crowd.is_well()


def test_a_leader_who_was_struck_down_without_a_word_is_forgotten() -> None:
    departures = Departures(1)
    departures.free.pop().end = time.monotonic() - 1
    waits = Seat(("d:2",), time.monotonic() + LONG)
    assert not leads(departures, waits)
    departures.has_waited(waits)
    assert waits.stage is LEADING
    departures.go(waits)
    assert leads(departures, Seat(("d:3",), time.monotonic() + LONG))


@pytest.mark.parametrize(("failures", "commands"), [(1, 3), (9, 3)], ids=["once", "for ever"])
def test_a_shared_read_is_asked_again_once_and_counts_once(
    pool: ThreadPoolExecutor, failures: int, commands: int
) -> None:
    may_answer, hung_up = threading.Event(), itertools.count()

    def answer(command: Command) -> Any:
        if command[-1].endswith(b"first"):
            may_answer.wait(LONG)
        elif next(hung_up) < failures:
            raise Hangup
        yield echoed(command)

    with scripted_redis(answer) as server:
        breaker = Breaker(failures=3)
        wire = SyncWire(lines_to(server.url, "epoch").sync_line(ServerWatch()))
        port = RedisPort(wire, layout=KeyLayout(DEFAULT_PREFIX), breaker=breaker)
        gathered = GatheredThreads(port.read, most=1, patience=LONG)

        def read(name: str, within: float) -> Sequence[str | None]:
            return run_sync(gathered.read((name,), within=within))

        first = pool.submit(read, "first", 0.5 if failures == 1 else LONG)
        until(lambda: len(server.commands) == 1)
        others = []
        for number in range(10):
            others.append(pool.submit(read, str(number), LONG))
            until(lambda number=number: gathered.waiting == number + 1)  # type: ignore[misc]
        may_answer.set()
        assert first.result(LONG) == ["first"]
        if failures == 1:
            assert [other.result(LONG) for other in others] == [[str(number)] for number in range(10)]
        else:
            assert {failure_of(other)[0] for other in others} == {"store_unavailable"}
        assert len(server.commands) == commands
        assert breaker.admits()
        run_sync(wire.close())


# --- Forks, greenlets, closing ---------------------------------------------------------------------------------------


def test_a_forked_child_begins_anew(pool: ThreadPoolExecutor) -> None:
    crowd = Crowd(pool)
    first, under_way = crowd.sends("d:0")
    other = crowd.lines_up("d:1")

    async def read(names: Sequence[str], *, within: float) -> Sequence[str | None]:
        return ["of the child"]

    crowd.gathered._read = read
    assert in_a_child(lambda: str(run_sync(crowd.gathered.read(("d:2",), within=LONG)))) == "['of the child']"
    crowd.gathered._read = crowd.store
    under_way.end()
    crowd.store.next().end()
    assert other.result(LONG) == ["d:1 of read 2"]
    assert first.result(LONG)


_GREENLETS = """
from bearerguard.core.ports import run_sync
from bearerguard.stores.redis.gathered_threads import GatheredThreads

asked, ended = [], []

async def read(names, *, within):
    import gevent.event
    asked.append((names, gevent.getcurrent()))
    ended.append(gevent.event.Event())
    ended[-1].wait()
    return names

gathered = GatheredThreads(read, most=1, patience=60)

import gevent.monkey
gevent.monkey.patch_all()
import gevent

def reader(name):
    one = gevent.spawn(lambda: run_sync(gathered.read((name,), within=60)))
    gevent.sleep(0)
    return one

def names():
    return [list(name) for name, _ in asked]

readers = [reader(name) for name in "abcdefg"]
assert names() == [["a"]] and gathered.waiting == 6, names()
readers[3].kill(gevent.Timeout)
assert gathered.waiting == 5
readers[0].kill()
gevent.sleep(0)
assert names()[1:] == [["b", "c", "e", "f", "g"]], names()
readers[1].kill(gevent.Timeout)
gevent.sleep(0)
assert names()[2:] == [["c", "e", "f", "g"]], names()
readers[4].kill()
readers[2].kill()
gevent.sleep(0)
assert names()[3:] == [["f", "g"]], names()
ended[3].set()
gevent.joinall(readers, timeout=20)
assert [one.value for one in readers[5:]] == [["f"], ["g"]], [one.value for one in readers]
last = reader("h")
ended[4].set()
assert last.get(timeout=20) == ("h",)
print("well", end="")
"""


def test_greenlets_that_are_killed_harm_nobody_though_gevent_patched_late() -> None:
    ran = subprocess.run([sys.executable, "-c", _GREENLETS], capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout == "well", ran.stderr


def test_closing_the_port_harms_nobody_who_waits(own_redis_server: RedisServer, pool: ThreadPoolExecutor) -> None:
    port = RedisStore(own_redis_server.url).sync_port()
    done = threading.Event()

    def read_until_done() -> int:
        count = 0
        while not done.is_set():
            assert run_sync(port.read(("u:one",), within=LONG)) == [None]
            count += 1
        return count

    readers = [pool.submit(read_until_done) for _ in range(4 * MOST_UNDER_WAY)]
    for _ in range(50):
        port.close()
        assert run_sync(port.read(("u:two",), within=LONG)) == [None]
    done.set()
    assert sum(reader.result(LONG) for reader in readers) > 0
    port.close()


def test_threads_that_wait_for_redis_share_a_command(pool: ThreadPoolExecutor) -> None:
    may_answer = threading.Event()

    def answer(command: Command) -> Any:
        may_answer.wait(LONG)
        yield echoed(command)

    with scripted_redis(answer) as server:
        port = RedisStore(server.url).sync_port()
        gathered = GatheredThreads(port._read_alone, patience=LONG)

        def read(number: int) -> Sequence[str | None]:
            return run_sync(gathered.read((str(number),), within=LONG))

        readers = [pool.submit(read, number) for number in range(50)]
        until(lambda: gathered.waiting == 50 - MOST_UNDER_WAY)
        may_answer.set()
        assert [reader.result(LONG) for reader in readers] == [[str(number)] for number in range(50)]
        # Each of those who come back lets one go on, and whoever leaves first takes all along who stand in line.
        assert len(server.commands) <= 2 * MOST_UNDER_WAY
        port.close()


# --- Every schedule --------------------------------------------------------------------------------------------------


@given(st.integers(1, 3), st.lists(st.tuples(st.sampled_from("ndasgwp"), st.integers(0, 30)), max_size=60))
def test_no_order_of_events_loses_anybody(most: int, events: list[tuple[str, int]]) -> None:
    departures, seats = Departures(most), list[Seat]()

    def here() -> list[Seat]:
        return [seat for seat in seats if seat.stage.value != "gone"]

    def do(event: str, seat: Seat) -> None:
        if event == "w":
            departures.has_waited(seat)
        elif event == "g":
            departures.go(seat)
        elif event == "d" and seat.stage is LEADING and not seat.party:
            departures.depart(seat)
        elif event in "as":
            for one in seat.party if event == "a" else seat.party[:1]:
                one.arrive({})

    for event, number in events:
        if event == "n" or not here():
            seats.append(Seat((), time.monotonic() + LONG))
            departures.stand_in_line(seats[-1])
        else:
            do(event, here()[number % len(here())])
        waiting = [seat for seat in seats if seat.stage is WAITING]
        assert len(waiting) == len(departures.line)
        assert not waiting or not departures.free, "somebody waits although there is a place"
        assert all(seat.turn.locked() for seat in waiting)
        assert not any(seat.turn.locked() for seat in seats if seat.stage is SERVED)
    for seat in here():
        departures.go(seat)
    assert not departures.line
    assert len({*departures.free}) == len(departures.free) == most


class Moody:
    """A store that answers, fails, hangs, hurries its callers or breaks them off, as chance will have it."""

    def __init__(self, seed: int, ticks: itertools.count[int]) -> None:
        self._chance = random.Random(seed)
        self._ticks = ticks
        self._lock = threading.Lock()
        self.calm = False

    async def __call__(self, names: Sequence[str], *, within: float) -> Sequence[str | None]:
        with self._lock:
            mood, tick = self._chance.random(), next(self._ticks)
        if self.calm or mood < 0.7:
            threading.Event().wait(mood / 200)
            return [f"{name} {tick}" for name in names]
        if mood < 0.8:
            raise unavailable(ReplyLate)
        if mood < 0.85:
            raise unavailable(Crowded)
        if mood < 0.9:
            raise unavailable(reason="store_unreadable")
        if mood < 0.97:
            raise Stop
        threading.Event().wait(min(within, 0.1))
        raise unavailable(ReplyLate)


@pytest.mark.timed
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("most", [1, MOST_UNDER_WAY])
def test_every_caller_is_answered_in_time_and_from_after_he_asked(
    pool: ThreadPoolExecutor, seed: int, most: int
) -> None:
    ticks = itertools.count()
    store = Moody(seed, ticks)
    gathered = GatheredThreads(store, most=most, patience=0.01)

    def caller(number: int) -> list[str]:
        chance, wrong = random.Random(seed * 1000 + number), list[str]()
        for _ in range(40):
            within, names = chance.choice([0.1, 0.26, 0.3, 0.5]), ("epoch", f"d:{number}")
            asked_at, started = next(ticks), time.monotonic()
            try:
                values = run_sync(gathered.read(names, within=within))
            except (StoreUnavailable, Stop):
                values = []
            if time.monotonic() - started > within + BUSY:
                wrong.append("late")
            for name, value in zip(names, values, strict=False):
                said, tick = str(value).split()
                if said != name or int(tick) < asked_at:
                    wrong.append(f"{name} asked at {asked_at} heard {value}")
        return wrong

    assert [*itertools.chain(*pool.map(caller, range(32)))] == []
    store.calm = True
    assert gathered.waiting == 0
    assert str(run_sync(gathered.read(("d:1",), within=0.5))[0]).startswith("d:1 ")
