"""What several callers want at once is done once, among tasks and among threads."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import queue
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from bearerguard.core.ports import run_sync
from bearerguard.errors import Challenge, InvalidToken, ProviderUnavailable
from bearerguard.io.flights import AsyncFlight, SyncFlight
from tests.forking import in_a_child

SECRET = "hush-hush"
PATIENCE = 10.0

Work = Callable[[], Coroutine[Any, Any, Any]]


class Stop(BaseException):
    """Breaks work off, as KeyboardInterrupt and the time-outs of gevent do."""


class LoopCallers:
    """Callers in one event loop, which runs in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._flight = AsyncFlight()

    def once(self, key: str, work: Work, *, within: float = PATIENCE, most: int | None = None) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(self._flight.once(key, work, within=within, most=most), self._loop)

    def behind(self, key: str, work: Work) -> None:
        async def start() -> None:
            self._flight.behind(key, work)

        asyncio.run_coroutine_threadsafe(start(), self._loop).result(PATIENCE)

    def until_waiting(self, callers: int) -> None:
        """Callers wait as soon as their first step has run, and steps run in order."""
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), self._loop).result(PATIENCE)

    async def pause(self, event: threading.Event) -> None:
        """What work does while a test holds it."""
        assert await asyncio.to_thread(event.wait, PATIENCE)

    def end(self) -> None:
        asyncio.run_coroutine_threadsafe(self._flight.aclose(), self._loop).result(PATIENCE)
        asyncio.run_coroutine_threadsafe(self._loop.shutdown_default_executor(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()


class ThreadCallers:
    """Callers in threads."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(32)
        self._flight = SyncFlight()

    def once(self, key: str, work: Work, *, within: float = PATIENCE, most: int | None = None) -> Future[Any]:
        return self._threads.submit(lambda: run_sync(self._flight.once(key, work, within=within, most=most)))

    def behind(self, key: str, work: Work) -> None:
        self._flight.behind(key, work)

    def until_waiting(self, callers: int) -> None:
        """Nothing announces that a thread waits, so its stack is looked at."""
        ends_at = time.monotonic() + PATIENCE
        while sum("arrival" in _functions(frame) for frame in sys._current_frames().values()) < callers:
            assert time.monotonic() < ends_at, "the callers do not wait"
            time.sleep(0.001)

    async def pause(self, event: threading.Event) -> None:
        """What work does while a test holds it."""
        assert event.wait(PATIENCE)

    def end(self) -> None:
        self._threads.shutdown()


def _functions(frame: Any) -> set[str]:
    return {step.name for step in traceback.extract_stack(frame)}


Callers = LoopCallers | ThreadCallers


@pytest.fixture(params=[LoopCallers, ThreadCallers], ids=["tasks", "threads"])
def callers(request: pytest.FixtureRequest) -> Generator[Callers]:
    made: Callers = request.param()
    yield made
    made.end()


class Held:
    """Work that runs until a test lets it go, and counts its runs."""

    def __init__(self, callers: Callers, *endings: object) -> None:
        self.started = threading.Event()
        self.go = threading.Event()
        self.runs = 0
        self._callers = callers
        self._endings = endings or ("done",)

    async def __call__(self) -> object:
        self.runs += 1
        ending = self._endings[min(self.runs, len(self._endings)) - 1]
        self.started.set()
        await self._callers.pause(self.go)
        if isinstance(ending, BaseException):
            raise ending
        return ending

    def led(self, key: str = "key", *, within: float = PATIENCE) -> Future[Any]:
        """A caller who leads."""
        leader = self._callers.once(key, self, within=within)
        assert self.started.wait(PATIENCE)
        return leader

    def followed(self, count: int, *, within: float = PATIENCE) -> list[Future[Any]]:
        """Callers who follow."""
        followers = [self._callers.once("key", self, within=within) for _ in range(count)]
        self._callers.until_waiting(count)
        return followers


async def at_once() -> str:
    return "at once"


def test_does_the_work_once_for_all_who_ask_while_it_runs(callers: Callers) -> None:
    held = Held(callers)
    everybody = [held.led(), *held.followed(8)]
    held.go.set()
    assert [caller.result(PATIENCE) for caller in everybody] == ["done"] * 9
    assert held.runs == 1


def test_does_it_again_for_whoever_asks_later(callers: Callers) -> None:
    held = Held(callers, "first", "second")
    held.go.set()
    assert callers.once("key", held).result(PATIENCE) == "first"
    assert callers.once("key", held).result(PATIENCE) == "second"


def test_lets_the_work_of_another_key_pass(callers: Callers) -> None:
    held = Held(callers)
    leader = held.led()
    assert callers.once("another key", at_once).result(PATIENCE) == "at once"
    held.go.set()
    assert leader.result(PATIENCE) == "done"


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ProviderUnavailable("keys_unavailable"), id="ours"),
        pytest.param(InvalidToken("unknown_key"), id="a refusal"),
        pytest.param(OSError(2, "no such file"), id="one with its own fields"),
        pytest.param(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad byte"), id="one that wants arguments"),
    ],
)
def test_gives_every_caller_the_error_as_its_own(callers: Callers, error: Exception) -> None:
    error.__cause__ = ValueError("the cause")
    held = Held(callers, error)
    everybody = [held.led(), *held.followed(4)]
    held.go.set()
    errors = [caller.exception(PATIENCE) for caller in everybody]
    assert len({id(one) for one in errors}) == len(errors)
    for one in errors:
        assert one is not None
        assert type(one) is type(error)
        assert one.args == error.args
        assert vars(one) == vars(error)
        assert one.__cause__ is error.__cause__
    assert len({len(traceback.extract_tb(one.__traceback__)) for one in errors if one}) <= 2


def test_keeps_the_answers_of_two_doors_apart(callers: Callers) -> None:
    held = Held(callers, InvalidToken("unknown_key"))
    everybody = [held.led(), *held.followed(1)]
    held.go.set()
    one, other = (caller.exception(PATIENCE) for caller in everybody)
    assert isinstance(one, InvalidToken)
    assert isinstance(other, InvalidToken)
    one.answer_with(Challenge(realm="one"), {})
    assert "realm" not in other.challenge()


def test_begins_no_more_than_so_many_at_a_time_and_lets_everybody_join(callers: Callers) -> None:
    go, begun = threading.Event(), threading.Semaphore(0)

    async def held() -> str:
        begun.release()
        await callers.pause(go)
        return "done"

    flying = [callers.once(key, held, most=2) for key in "ab"]
    assert all(begun.acquire(timeout=PATIENCE) for _ in flying)
    with pytest.raises(ProviderUnavailable):
        callers.once("c", held, most=2).result(PATIENCE)
    joined, unbounded = callers.once("a", held, most=2), callers.once("d", held)
    assert begun.acquire(timeout=PATIENCE)
    go.set()
    assert [one.result(PATIENCE) for one in (*flying, joined, unbounded)] == ["done"] * 4
    assert callers.once("c", at_once, most=1).result(PATIENCE) == "at once"


@pytest.mark.timed
def test_lets_a_follower_wait_only_so_long(callers: Callers) -> None:
    held = Held(callers)
    leader = held.led()
    began = time.monotonic()
    error = callers.once("key", held, within=0.2).exception(PATIENCE)
    assert isinstance(error, ProviderUnavailable)
    assert 0.2 <= time.monotonic() - began < 2 * 0.2
    held.go.set()
    assert leader.result(PATIENCE) == "done"


def test_lets_one_follower_lead_anew_where_the_work_was_broken_off(callers: Callers) -> None:
    held = Held(callers, Stop(), "done")
    leader, followers = held.led(), held.followed(8)
    held.go.set()
    assert [follower.result(PATIENCE) for follower in followers] == ["done"] * 8
    assert isinstance(leader.exception(PATIENCE), Stop | ProviderUnavailable)
    assert held.runs >= 2


def test_never_passes_a_break_off_on(callers: Callers) -> None:
    held = Held(callers, Stop())
    leader = held.led()
    follower = held.followed(1, within=0.3)[0]
    held.go.set()
    leader.exception(PATIENCE)
    # This follower leads anew, and its own work is broken off.
    assert isinstance(follower.exception(PATIENCE), ProviderUnavailable if isinstance(callers, LoopCallers) else Stop)
    assert held.runs == 2


def test_does_work_behind_its_callers_once(callers: Callers) -> None:
    held = Held(callers)
    callers.behind("key", held)
    callers.behind("key", held)
    assert held.started.wait(PATIENCE)
    callers.behind("key", held)
    followers = held.followed(2)
    held.go.set()
    assert [follower.result(PATIENCE) for follower in followers] == ["done"] * 2
    assert held.runs == 1


def test_starts_nothing_behind_while_a_caller_leads(callers: Callers) -> None:
    held = Held(callers)
    leader = held.led()
    callers.behind("key", held)
    held.go.set()
    assert leader.result(PATIENCE) == "done"
    assert held.runs == 1


@pytest.fixture
def told() -> Generator[queue.Queue[logging.LogRecord]]:
    """What is logged for debugging, as it comes."""
    records: queue.Queue[logging.LogRecord] = queue.Queue()
    listening = logging.Handler()
    listening.emit = records.put  # type: ignore[assignment, method-assign]
    logger = logging.getLogger("bearerguard")
    logger.addHandler(listening)
    logger.setLevel(logging.DEBUG)
    yield records
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(listening)


@pytest.mark.parametrize("error", [RuntimeError(SECRET), Stop(SECRET)], ids=["error", "break-off"])
def test_swallows_what_goes_wrong_behind_and_tells_only_its_class(
    callers: Callers,
    caplog: pytest.LogCaptureFixture,
    told: queue.Queue[logging.LogRecord],
    error: BaseException,
) -> None:
    held = Held(callers, error, "done")
    held.go.set()
    callers.behind("key", held)
    record = told.get(timeout=PATIENCE)
    assert type(error).__name__ in record.getMessage()
    assert (record.levelno, record.exc_info) == (logging.DEBUG, None)
    assert callers.once("key", held).result(PATIENCE) == "done"
    gc.collect()
    assert SECRET not in caplog.text


def test_hides_the_request_of_whoever_asked_from_work_behind(callers: Callers) -> None:
    seen: Future[str] = Future()

    async def look() -> None:
        seen.set_result(whose.get("nobody"))

    whose.set("the first caller")
    callers.behind("key", look)
    assert seen.result(PATIENCE) == "nobody"


whose: contextvars.ContextVar[str] = contextvars.ContextVar("whose")


def test_brings_no_http_client_in() -> None:
    code = "import sys, bearerguard.io.flights as _; sys.exit('httpx' in sys.modules or 'anyio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- Among tasks -----------------------------------------------------------------------------------------------------


def test_serves_the_others_when_a_caller_is_cancelled() -> None:
    async def story() -> None:
        flight, go, runs = AsyncFlight(), asyncio.Event(), []

        async def work() -> str:
            runs.append(1)
            await go.wait()
            return "done"

        leader, follower, other = (asyncio.ensure_future(flight.once("key", work, within=5)) for _ in range(3))
        await asyncio.sleep(0)
        leader.cancel()
        follower.cancel()
        await asyncio.wait({leader, follower})
        assert leader.cancelled()
        assert follower.cancelled()
        go.set()
        assert await other == "done"
        assert len(runs) == 1

    asyncio.run(story())


def test_lets_a_follower_lead_anew_when_the_work_is_cancelled() -> None:
    async def story() -> None:
        flight, runs = AsyncFlight(), []

        async def work() -> str:
            runs.append(1)
            await asyncio.sleep(0)
            if len(runs) == 1:
                raise asyncio.CancelledError
            return "done"

        callers = [asyncio.ensure_future(flight.once("key", work, within=5)) for _ in range(4)]
        await asyncio.wait(callers)
        assert isinstance(callers[0].exception(), ProviderUnavailable)
        assert [caller.result() for caller in callers[1:]] == ["done"] * 3
        assert len(runs) == 2

    asyncio.run(story())


def test_ends_work_that_always_breaks_off_without_spinning() -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    async def story() -> None:
        with pytest.raises(ProviderUnavailable):
            await AsyncFlight().once("key", work, within=5)

    asyncio.run(asyncio.wait_for(story(), PATIENCE))


def test_logs_nothing_of_work_that_fails_when_everybody_has_gone(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        flight, go = AsyncFlight(), asyncio.Event()

        async def work() -> None:
            await go.wait()
            raise RuntimeError(SECRET)

        caller = asyncio.ensure_future(flight.once("key", work, within=5))
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.wait({caller})
        go.set()
        await flight.aclose()

    with caplog.at_level(logging.INFO):
        asyncio.run(story())
        gc.collect()
    assert caplog.records == []


def test_hides_the_request_of_the_leader_from_the_work() -> None:
    async def look() -> str:
        return whose.get("nobody")

    async def story() -> str:
        whose.set("the leader")
        return await AsyncFlight().once("key", look, within=5)

    assert asyncio.run(story()) == "nobody"


def test_lets_work_land_when_it_is_closed() -> None:
    landed = []

    async def story() -> None:
        flight = AsyncFlight()

        async def work() -> None:
            await asyncio.sleep(0.01)
            landed.append(True)

        flight.behind("key", work)
        await flight.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(story())
    assert landed == [True]


# --- Among threads ---------------------------------------------------------------------------------------------------


def test_leads_anew_in_a_forked_child() -> None:
    flight, started, go = SyncFlight(), threading.Event(), threading.Event()

    async def work() -> str:
        started.set()
        go.wait(PATIENCE)
        return "of the parent"

    async def work_of_the_child() -> str:
        return "of the child"

    with ThreadPoolExecutor(1) as threads:
        leader = threads.submit(lambda: run_sync(flight.once("key", work, within=5)))
        assert started.wait(PATIENCE)
        assert in_a_child(lambda: run_sync(flight.once("key", work_of_the_child, within=0.5))) == "of the child"
        go.set()
        assert leader.result(PATIENCE) == "of the parent"


def test_lets_go_of_work_for_which_no_thread_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    flight = SyncFlight()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", full)
        flight.behind("key", at_once)
    assert run_sync(flight.once("key", at_once, within=1)) == "at once"
