"""Outbound HTTP keeps its bounds, in an event loop and in blocking code."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import httpcore
import httpx
import pytest

from bearerguard.core.ports import Fetch, HttpAnswer, HttpRequest, run_sync
from bearerguard.errors import ProviderUnavailable
from bearerguard.io.http import GATE_SECONDS, MOST_AT_ONCE, MOST_BODY_BYTES, MOST_WAITING, STEP_SECONDS
from bearerguard.io.http_async import AsyncFetch
from bearerguard.io.http_sync import SyncFetch
from tests.forking import in_a_child
from tests.heartbeats import heartbeat
from tests.scripted_provider import (
    Line,
    Play,
    ScriptedProvider,
    after,
    answer,
    chunked,
    dripped,
    dripped_body,
    dripped_headers,
    gzipped,
    hang_up,
    head,
    html,
    in_turn,
    raw,
    redirect,
    reset,
    silent,
    status,
    truncated,
    trusting_tls,
    unreachable,
    when,
)

SECRET = "hush-hush"
AT_ONCE = 0.5


@dataclass(frozen=True)
class Outcome:
    """What one call gave, and how long it took."""

    answer: HttpAnswer | None
    error: ProviderUnavailable | None
    seconds: float


async def _outcome(fetch: Fetch, request: HttpRequest, within: float) -> Outcome:
    began = time.monotonic()
    try:
        said = await fetch.send(request, within=within)
    except ProviderUnavailable as error:
        return Outcome(None, error, time.monotonic() - began)
    return Outcome(said, None, time.monotonic() - began)


class Calls(Protocol):
    """One flavour of `Fetch`, for a test that does not care which."""

    def all(self, requests: Sequence[HttpRequest], *, within: float = 2.0) -> list[Outcome]:
        """Send them all at once."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class LoopCalls:
    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._runner = asyncio.Runner()
        self._fetch = AsyncFetch(tls=tls)

    def all(self, requests: Sequence[HttpRequest], *, within: float = 2.0) -> list[Outcome]:
        return self._runner.run(self._all(requests, within))

    def close(self) -> None:
        self._runner.run(self._fetch.aclose())

    def end(self) -> None:
        self.close()
        self._runner.close()

    async def _all(self, requests: Sequence[HttpRequest], within: float) -> list[Outcome]:
        return await asyncio.gather(*(_outcome(self._fetch, request, within) for request in requests))


class ThreadCalls:
    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._fetch = SyncFetch(tls=tls)

    def all(self, requests: Sequence[HttpRequest], *, within: float = 2.0) -> list[Outcome]:
        start = threading.Barrier(len(requests))

        def call(request: HttpRequest) -> Outcome:
            start.wait()
            return run_sync(_outcome(self._fetch, request, within))

        with ThreadPoolExecutor(len(requests)) as threads:
            return [*threads.map(call, requests)]

    def close(self) -> None:
        self._fetch.close()

    end = close


Flavour = type[LoopCalls] | type[ThreadCalls]


@contextlib.contextmanager
def using(flavour: Flavour, tls: ssl.SSLContext | None = None) -> Generator[Calls]:
    """Calls of that flavour, ended afterwards."""
    made = flavour(tls)
    try:
        yield made
    finally:
        made.end()


@pytest.fixture(params=[LoopCalls, ThreadCalls], ids=["async", "sync"])
def flavour(request: pytest.FixtureRequest) -> Flavour:
    chosen: Flavour = request.param
    return chosen


@pytest.fixture
def calls(flavour: Flavour) -> Generator[Calls]:
    with using(flavour) as made:
        yield made


@pytest.fixture
def provider() -> Generator[ScriptedProvider]:
    with ScriptedProvider() as made:
        yield made


def only(calls: Calls, request: HttpRequest | str, *, within: float = 2.0) -> Outcome:
    """The outcome of a single call."""
    asked = HttpRequest(request) if isinstance(request, str) else request
    return calls.all([asked], within=within)[0]


def answered(calls: Calls, request: HttpRequest | str, *, within: float = 2.0) -> HttpAnswer:
    """The answer that must come."""
    outcome = only(calls, request, within=within)
    assert outcome.answer is not None, repr(outcome.error and outcome.error.__cause__)
    return outcome.answer


def takes_about(seconds: float, expected: float) -> bool:
    """Whether it took at least as long as expected, and not twice as long; a busy machine may lose half a second."""
    return 0.9 * expected <= seconds < max(2 * expected, expected + 0.5)


# --- What is sent and what is taken ----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [200, 401, 404, 429, 500, 503])
def test_takes_an_answer_whatever_its_status(calls: Calls, provider: ScriptedProvider, code: int) -> None:
    url = provider.play("/", status(code, {"Retry-After": "3"}))
    said = answered(calls, url)
    assert (said.status, said.headers["retry-after"], said.body) == (code, "3", b'{"error": "scripted"}')


def test_sends_the_request_it_is_given(calls: Calls, provider: ScriptedProvider) -> None:
    headers = {"Authorization": "Basic abc", "Content-Type": "application/x-www-form-urlencoded"}
    answered(calls, HttpRequest(provider.url("/introspect?a=1"), "POST", headers, b"token=t%20t"))
    (request,) = provider.requests
    assert (request.method, request.target) == ("POST", "/introspect?a=1")
    assert request.form == {"token": "t t"}
    assert {name.lower(): value for name, value in headers.items()}.items() <= request.headers.items()


def test_asks_for_identity_whatever_the_caller_says(calls: Calls, provider: ScriptedProvider) -> None:
    answered(calls, HttpRequest(provider.url(), headers={"Accept-Encoding": "gzip"}))
    assert provider.requests[0].headers["accept-encoding"] == "identity"


def test_follows_no_redirect_and_keeps_no_cookie(calls: Calls, provider: ScriptedProvider) -> None:
    url = provider.play("/from", redirect(provider.url("/to")))
    assert answered(calls, url).status == 302
    answered(calls, provider.url("/later"))
    assert [request.path for request in provider.requests] == ["/from", "/later"]
    assert "cookie" not in provider.requests[1].headers


def test_uses_no_proxy_of_the_environment(
    calls: Calls, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedProvider(status(502)) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url())
        assert answered(calls, provider.url()).status == 200
        assert proxy.connections == 0


def test_takes_a_page_as_it_takes_any_body(calls: Calls, provider: ScriptedProvider) -> None:
    said = answered(calls, provider.play("/", html()))
    assert said.headers["content-type"] == "text/html"
    assert said.body.startswith(b"<!doctype html>")


@pytest.mark.parametrize(
    "play",
    [
        pytest.param(answer(b"x" * MOST_BODY_BYTES), id="its length stated"),
        pytest.param(chunked(MOST_BODY_BYTES), id="in chunks"),
        pytest.param(raw(head() + b"x" * MOST_BODY_BYTES), id="to the end of the connection"),
    ],
)
def test_takes_a_body_of_64_KiB(calls: Calls, provider: ScriptedProvider, play: Play) -> None:
    assert len(answered(calls, provider.play("/", play)).body) == MOST_BODY_BYTES


def test_speaks_tls(flavour: Flavour) -> None:
    with ScriptedProvider(tls=True) as provider, using(flavour, trusting_tls()) as calls:
        assert answered(calls, provider.url()).body == b"{}"
        assert answered(calls, provider.url()).body == b"{}"
        assert provider.connections == 1


# --- What ends a call at once ----------------------------------------------------------------------------------------


@pytest.mark.timed
@pytest.mark.parametrize(
    "play",
    [
        pytest.param(hang_up, id="no answer"),
        pytest.param(reset, id="reset"),
        pytest.param(truncated(), id="truncated"),
        pytest.param(raw(b"SSH-2.0-OpenSSH_9.6\r\n"), id="another protocol"),
        pytest.param(raw(head()[:-2] + b"x: " + b"x" * 200_000), id="a header of 200 kB"),
        pytest.param(gzipped(), id="gzip"),
        pytest.param(answer(headers={"content-encoding": "Identity, br"}), id="br after identity"),
        pytest.param(answer(b"x" * (MOST_BODY_BYTES + 1)), id="one byte too long"),
        pytest.param(chunked(MOST_BODY_BYTES + 1, chunk_bytes=1000), id="one byte too long, in chunks"),
        pytest.param(chunked(100_000_000), id="100 MB"),
        pytest.param(lambda line: _promise_100_MB(line), id="a promise of 100 MB"),
    ],
)
def test_gives_up_at_once(calls: Calls, provider: ScriptedProvider, play: Play) -> None:
    outcome = only(calls, provider.play("/", play))
    assert outcome.answer is None
    assert outcome.seconds < AT_ONCE
    provider.wait_for_ended(1)


def _promise_100_MB(line: Line) -> None:
    line.send(head(length=100_000_000))
    line.wait_for_hang_up()


@pytest.mark.timed
def test_gives_up_at_once_where_nobody_listens_and_is_well_again_when_somebody_does(
    calls: Calls, provider: ScriptedProvider
) -> None:
    answered(calls, provider.url())
    provider.refuse()
    outcome = only(calls, provider.url())
    assert isinstance(outcome.error, ProviderUnavailable)
    assert outcome.seconds < AT_ONCE
    provider.listen()
    answered(calls, provider.url())


@pytest.mark.timed
@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://", "http://127.0.0.1:99999/", "no url", "http://a\nb/"])
def test_gives_up_at_once_on_what_cannot_be_asked(calls: Calls, url: str) -> None:
    outcome = only(calls, url)
    assert outcome.error is not None
    assert outcome.seconds < AT_ONCE


def test_believes_no_unknown_certificate(calls: Calls) -> None:
    with ScriptedProvider(tls=True) as provider:
        outcome = only(calls, provider.url())
        assert outcome.error is not None
        assert "CERTIFICATE_VERIFY_FAILED" in str(outcome.error.__cause__)
        assert provider.count() == 0


# --- What ends a call at a bound -------------------------------------------------------------------------------------


@pytest.mark.timed
@pytest.mark.parametrize(
    ("play", "within"),
    [
        pytest.param(dripped_headers(), 2.0, id="dripped headers"),
        pytest.param(dripped_body(), 0.4, id="dripped body"),
        pytest.param(dripped(b"HTTP/1.1 100 Continue\r\n\r\n", every=0.001), 0.4, id="no end of 100 Continue"),
    ],
)
def test_ends_a_dripping_call_at_its_deadline(
    calls: Calls, provider: ScriptedProvider, play: Play, within: float
) -> None:
    outcome = only(calls, provider.play("/", play), within=within)
    assert outcome.error is not None
    assert takes_about(outcome.seconds, within)
    provider.wait_for_ended(1)


@pytest.mark.timed
@pytest.mark.parametrize("play", [silent, after(5, answer())], ids=["silent", "slow"])
def test_waits_a_second_for_the_next_bytes(calls: Calls, provider: ScriptedProvider, play: Play) -> None:
    assert takes_about(only(calls, provider.play("/", play)).seconds, STEP_SECONDS)
    assert takes_about(only(calls, provider.url("/"), within=0.3).seconds, 0.3)


@pytest.mark.timed
def test_waits_a_second_for_a_connection(calls: Calls) -> None:
    with unreachable() as url:
        assert takes_about(only(calls, url).seconds, STEP_SECONDS)
        assert takes_about(only(calls, url, within=0.3).seconds, 0.3)


@pytest.mark.timed
def test_ends_at_its_deadline_however_many_dead_addresses_a_name_has(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    with unreachable() as url:
        port = httpx.URL(url).port
        dead = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))
        resolve = socket.getaddrinfo

        def resolved(host: Any, *rest: Any, **options: Any) -> Any:
            return [dead] * 5 if host in ("dead.example", b"dead.example") else resolve(host, *rest, **options)

        monkeypatch.setattr(socket, "getaddrinfo", resolved)
        outcome = only(calls, f"http://dead.example:{port}/", within=1.5)
    assert outcome.error is not None
    assert outcome.seconds < 2 * 1.5


@pytest.mark.timed
@pytest.mark.parametrize(
    "unasked",
    [
        pytest.param(silent, id="silent"),
        pytest.param(dripped(b"\x16\x03\x03\x40\x00" + bytes(10_000), every=0.01), id="dripping"),
    ],
)
def test_ends_a_tls_handshake_at_the_deadline(calls: Calls, unasked: Play) -> None:
    with ScriptedProvider(unasked=unasked) as provider:
        outcome = only(calls, provider.url().replace("http:", "https:"), within=0.4)
    assert outcome.error is not None
    assert takes_about(outcome.seconds, 0.4)


# --- Many calls at once ----------------------------------------------------------------------------------------------


def test_uses_a_connection_again(calls: Calls, provider: ScriptedProvider) -> None:
    for _ in range(3):
        answered(calls, provider.url())
    assert provider.connections == 1


def test_uses_no_connection_again_that_was_left_in_the_middle(calls: Calls, provider: ScriptedProvider) -> None:
    url = provider.play("/", in_turn(answer(), after(0.3, answer(b"late")), gzipped(), answer(b"good")))
    answered(calls, url)
    assert only(calls, url, within=0.1).error is not None
    assert only(calls, url).error is not None
    assert answered(calls, url).body == b"good"
    assert provider.connections == 3


@pytest.mark.timed
def test_sends_32_at_once_and_lets_the_others_wait(calls: Calls, provider: ScriptedProvider) -> None:
    go = threading.Event()
    url = provider.play("/", when(go, answer()))
    with ThreadPoolExecutor(1) as aside:
        outcomes = aside.submit(calls.all, [HttpRequest(url)] * (MOST_AT_ONCE + 8))
        provider.wait_for_requests(MOST_AT_ONCE)
        go.set()
        assert all(outcome.answer for outcome in outcomes.result())
    assert provider.most_at_once == MOST_AT_ONCE


@pytest.mark.timed
def test_waits_at_the_gate_for_half_a_second(calls: Calls, provider: ScriptedProvider) -> None:
    url = provider.play("/", silent)
    outcomes = calls.all([HttpRequest(url)] * (MOST_AT_ONCE + 8))
    seconds = sorted(outcome.seconds for outcome in outcomes)
    assert all(takes_about(waited, GATE_SECONDS) for waited in seconds[:8])
    assert all(takes_about(waited, STEP_SECONDS) for waited in seconds[8:])
    assert provider.count() == MOST_AT_ONCE


@pytest.mark.timed
def test_lets_256_wait_and_refuses_more_at_once(calls: Calls, provider: ScriptedProvider) -> None:
    url = provider.play("/", silent)
    outcomes = calls.all([HttpRequest(url)] * (MOST_AT_ONCE + MOST_WAITING + 100))
    assert not any(outcome.answer for outcome in outcomes)
    refused = [outcome for outcome in outcomes if _why(outcome) == "256 calls wait already"]
    # Threads take a while to come, so some of those in front have gone when the last ones do.
    assert 1 <= len(refused) <= 100
    provider.play("/", answer())
    answered(calls, url)


def _why(outcome: Outcome) -> str:
    return str(outcome.error and outcome.error.__cause__)


def test_can_be_used_again_after_it_was_closed(calls: Calls, provider: ScriptedProvider) -> None:
    answered(calls, provider.url())
    calls.close()
    provider.wait_for_ended(1)
    answered(calls, provider.url())


# --- What a failure tells --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "play",
    [
        pytest.param(raw(f"HTTP/1.1 200 OK\r\n{SECRET}\r\n\r\n".encode()), id="a header that is none"),
        pytest.param(raw(f"{SECRET}\r\n\r\n".encode()), id="no status"),
        pytest.param(answer(SECRET.encode(), headers={"content-encoding": SECRET}), id="an encoding"),
        pytest.param(hang_up, id="no answer"),
        pytest.param(reset, id="reset"),
        pytest.param(silent, id="silence"),
    ],
)
@pytest.mark.parametrize(
    "header", [SECRET, f"{SECRET}\n", f"{SECRET}\N{SNOWMAN}"], ids=["good", "line feed", "snowman"]
)
def test_tells_no_secret_when_it_fails(calls: Calls, provider: ScriptedProvider, play: Play, header: str) -> None:
    url = provider.play("/", play)
    request = HttpRequest(f"{url}?token={SECRET}", "POST", {"authorization": header}, SECRET.encode())
    error = only(calls, request, within=0.2).error
    assert error is not None
    assert SECRET not in "".join(traceback.format_exception(error))


def test_names_the_kind_of_failure(calls: Calls, provider: ScriptedProvider) -> None:
    provider.refuse()
    error = only(calls, provider.url()).error
    assert error is not None
    assert isinstance(error.__cause__, httpx.ConnectError | httpcore.ConnectError)


# --- In an event loop ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("kept", [True, False], ids=["on a kept connection", "on a new connection"])
def test_leaves_no_busy_connection_wherever_it_is_cancelled(kept: bool, tls: bool) -> None:
    play = answer() if kept else answer(headers={"connection": "close"})

    async def cancelled_after(steps: int, fetch: AsyncFetch, url: str) -> None:
        call = asyncio.ensure_future(fetch.send(HttpRequest(url), within=2))
        for _ in range(steps):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait({call})

    async def story(url: str) -> None:
        fetch = AsyncFetch(tls=trusting_tls())
        for steps in [*range(80)] * 2:
            await cancelled_after(steps, fetch, url)
        while fetch._exchanges:
            await asyncio.wait(fetch._exchanges)
        assert fetch._transport is not None
        pool: Any = fetch._transport._pool
        kept = [one for idle in pool._idle._by_origin.values() for one in idle]
        assert all(connection.is_idle() for connection in kept)
        assert len(fetch._transport.backend._open) == len(kept)
        assert (await fetch.send(HttpRequest(url), within=2)).status == 200
        await fetch.aclose()

    with ScriptedProvider(play, tls=tls) as provider:
        asyncio.run(story(provider.url()))


def test_lets_a_call_end_whose_caller_has_gone(provider: ScriptedProvider) -> None:
    go = threading.Event()
    url = provider.play("/", in_turn(when(go, answer()), answer()))

    async def story() -> None:
        fetch = AsyncFetch()
        call = asyncio.ensure_future(fetch.send(HttpRequest(url), within=2))
        await asyncio.to_thread(provider.wait_for_requests, 1)
        call.cancel()
        await asyncio.wait({call})
        assert call.cancelled()
        go.set()
        await fetch.aclose()
        await fetch.send(HttpRequest(url), within=2)
        await fetch.aclose()

    asyncio.run(story())
    provider.wait_for_ended(2)


def test_logs_nothing_about_a_call_whose_caller_has_gone(
    provider: ScriptedProvider, caplog: pytest.LogCaptureFixture
) -> None:
    url = provider.play("/", after(0.05, truncated()))

    async def story() -> None:
        fetch = AsyncFetch()
        call = asyncio.ensure_future(fetch.send(HttpRequest(url), within=2))
        await asyncio.to_thread(provider.wait_for_requests, 1)
        call.cancel()
        await asyncio.wait({call})
        await fetch.aclose()

    with caplog.at_level(logging.INFO):
        asyncio.run(story())
        gc.collect()
    assert caplog.records == []


@pytest.mark.timed
def test_keeps_the_loop_free_while_1000_calls_wait(provider: ScriptedProvider) -> None:
    async def story() -> tuple[list[Outcome], float]:
        fetch = AsyncFetch()
        await fetch.send(HttpRequest(provider.url()), within=2)
        async with heartbeat() as seen:
            outcomes = await asyncio.gather(*(_outcome(fetch, HttpRequest(provider.url()), 2) for _ in range(1000)))
        await fetch.aclose()
        return outcomes, seen.longest

    outcomes, longest = asyncio.run(story())
    assert sum(outcome.answer is not None for outcome in outcomes) >= MOST_AT_ONCE
    assert provider.most_at_once <= MOST_AT_ONCE
    assert longest < 0.1


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_ends_the_connections_of_a_loop_that_is_gone(provider: ScriptedProvider) -> None:
    fetch = AsyncFetch()
    asyncio.run(fetch.send(HttpRequest(provider.url()), within=2))
    assert provider.ended == 0
    fetch.abandon()
    provider.wait_for_ended(1)
    del fetch
    gc.collect()


# --- In blocking code ------------------------------------------------------------------------------------------------


def test_shares_no_connection_with_a_forked_child(provider: ScriptedProvider) -> None:
    fetch = SyncFetch()

    def ask(path: str) -> str:
        return str(run_sync(fetch.send(HttpRequest(provider.url(path)), within=2)).status)

    assert ask("/parent") == "200"
    assert in_a_child(lambda: ask("/child") + ask("/child")) == "200200"
    assert ask("/parent") == "200"
    used = {(request.path, request.connection) for request in provider.requests}
    assert used == {("/parent", 1), ("/child", 2)}
    fetch.close()


def test_leaves_its_full_gate_behind_when_it_forks(provider: ScriptedProvider) -> None:
    fetch = SyncFetch()
    go = threading.Event()
    busy = HttpRequest(provider.play("/busy", when(go, answer())))
    with ThreadPoolExecutor(MOST_AT_ONCE) as threads:
        waiting = [threads.submit(run_sync, fetch.send(busy, within=5)) for _ in range(MOST_AT_ONCE)]
        provider.wait_for_requests(MOST_AT_ONCE)
        free = HttpRequest(provider.url("/free"))
        assert in_a_child(lambda: str(run_sync(fetch.send(free, within=2)).status)) == "200"
        go.set()
        assert {call.result().status for call in waiting} == {200}
    fetch.close()


def test_httpx_keeps_its_connections_where_we_put_ours() -> None:
    assert isinstance(httpx.HTTPTransport()._pool, httpcore.ConnectionPool)
    assert isinstance(httpx.AsyncHTTPTransport()._pool, httpcore.AsyncConnectionPool)
