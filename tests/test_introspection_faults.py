"""What both doors answer while the provider of opaque tokens fails: the rows of FAULTS.md, inside their bounds.

And many at once: one question for one token, 32 at a time for many, and floods of made-up tokens.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import itertools
import json
import logging
import socket
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

import bearerguard.asgi
import bearerguard.wsgi
from bearerguard import OpaqueTokens, Verifier
from tests.doors import Answer, Ask, WsgiApp, answer_of_asgi, ask_server, bearer, environ_of, run_wsgi
from tests.heartbeats import heartbeat
from tests.hostile import Clock
from tests.introspecting import CLIENT_ID, CLIENT_SECRET, ENDPOINT, fresh
from tests.opaque_houses import FarProvider, Place, Registrar, raw_jti
from tests.scripted_provider import (
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
    unreachable,
    when,
)
from tests.servers import RedisServer, gunicorn_server, uvicorn_server

PROVIDER_SECONDS = 2.0
"""The bound of FAULTS.md for a provider that fails; tests allow twice as much."""

STARTED = 1_000.0
MOST_CALLS = 32
MANY = 1000
RFC_8414 = "/.well-known/oauth-authorization-server"


@pytest.fixture
def own_store(redis_servers: Mapping[str, RedisServer]) -> Callable[[str], str]:
    """The address of an empty store; one Redis will do where it is not its version that counts."""

    def address(name: str) -> str:
        server = next(iter(redis_servers.values()))
        server.flush()
        return "memory://" if name == "memory" else server.url

    return address


# --- A door whose provider fails -------------------------------------------------------------------------------------


class Gatehouse(Protocol):
    """One application behind a door of either sort."""

    def ask(self, *texts: str, **headers: str) -> Answer:
        """What a request with these tokens is answered."""
        ...

    def ask_together(self, texts: Sequence[str]) -> list[Answer]:
        """What requests are answered that come at once."""
        ...

    def close(self) -> None:
        """Done."""


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("hello")(scope, receive, send)


def hello_wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def asking(text: str) -> Ask:
    return Ask(headers=[bearer(text)])


class AsgiGatehouse:
    def __init__(self, verifier: Verifier[OpaqueTokens], **options: Any) -> None:
        self.verifier = verifier
        self.door = bearerguard.asgi.IntrospectionMiddleware(hello, verifier, **options)
        self.runner = asyncio.Runner()

    def ask(self, *texts: str, **headers: str) -> Answer:
        sent = [*map(bearer, texts), *headers.items()]
        return self.runner.run(answer_of_asgi(self.door, Ask(headers=sent)))

    def ask_together(self, texts: Sequence[str]) -> list[Answer]:
        async def together() -> list[Answer]:
            return await asyncio.gather(*(answer_of_asgi(self.door, asking(text)) for text in texts))

        return self.runner.run(together())

    def close(self) -> None:
        self.runner.run(self.verifier.aclose())
        self.runner.close()


class WsgiGatehouse:
    def __init__(self, verifier: Verifier[OpaqueTokens], **options: Any) -> None:
        self.verifier = verifier
        self.door: WsgiApp = bearerguard.wsgi.IntrospectionMiddleware(hello_wsgi, verifier, **options)

    def ask(self, *texts: str, **headers: str) -> Answer:
        sent = [*map(bearer, texts), *headers.items()]
        return run_wsgi(self.door, environ_of(Ask(headers=sent)))

    def ask_together(self, texts: Sequence[str]) -> list[Answer]:
        barrier = threading.Barrier(len(texts))

        def at_once(text: str) -> Answer:
            barrier.wait(30)
            return self.ask(text)

        with ThreadPoolExecutor(len(texts)) as pool:
            return [*pool.map(at_once, texts)]

    def close(self) -> None:
        self.verifier.close()


GATEHOUSES: dict[str, Callable[..., Gatehouse]] = {"asgi": AsgiGatehouse, "wsgi": WsgiGatehouse}


class Scene:
    """A provider that tests spoil, clocks that they move, and doors that they ask."""

    def __init__(self, sort: str) -> None:
        self._build = GATEHOUSES[sort]
        self._stack = contextlib.ExitStack()
        self.provider = self._stack.enter_context(ScriptedProvider(status(404)))
        self.provider.play(ENDPOINT, Registrar())
        self.wall = Clock(time.time())
        self.monotonic = Clock(STARTED)

    def settings(self, **changes: Any) -> OpaqueTokens:
        return Place(provider=self.provider.url("")).settings(**changes)

    def gatehouse(
        self, *, store: str = "memory://", options: Any = None, real: bool = False, **changes: Any
    ) -> Gatehouse:
        """A door at these clocks, or at the machine's where they are to be `real`."""
        clocks: dict[str, Any] = {} if real else {"clock": self.wall, "monotonic": self.monotonic}
        built = self._build(Verifier(self.settings(**changes), store=store, **clocks), **(options or {}))
        self._stack.callback(built.close)
        return built

    @property
    def asked(self) -> int:
        return self.provider.count(ENDPOINT)

    def pass_seconds(self, seconds: float) -> None:
        """Let both clocks go."""
        self.wall.now += seconds
        self.monotonic.now += seconds

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(params=GATEHOUSES)
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    scene = Scene(request.param)
    yield scene
    scene.close()


class Log:
    """Everything that anything logs during a test, down to DEBUG."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def lines(self, level: int) -> list[str]:
        """What was said about components at that level; refusals are told apart."""
        return [
            record.getMessage()
            for record in self._caplog.records
            if record.levelno == level and record.name == "bearerguard" and "refused 5" not in record.getMessage()
        ]

    def text(self) -> str:
        return self._caplog.text

    def has_tracebacks(self) -> bool:
        return "Traceback" in self._caplog.text or any(record.exc_info for record in self._caplog.records)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Log]:
    with caplog.at_level(logging.DEBUG):
        yield Log(caplog)


def assert_unavailable(answered: Answer, text: str) -> None:
    """503, and "we could not find out" is all that it says."""
    assert answered.status == 503, answered.body
    assert 1 <= int(answered.header("retry-after") or 0) <= 5
    assert answered.header("cache-control") == "no-store"
    assert answered.header("www-authenticate") is None
    assert set(answered.json()) == {"error", "detail"}
    assert_says_nothing(answered.body.decode() + repr(answered.headers), text)


SECRETS = (
    CLIENT_SECRET,
    base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode(),
    CLIENT_SECRET.replace(" ", "+"),
    CLIENT_SECRET.replace(" ", "%20"),
)


def assert_says_nothing(said: str, *texts: str) -> None:
    """Neither a token, nor its id, nor a secret in any of its spellings."""
    for text in texts:
        assert text not in said
        assert raw_jti(text) not in said
    assert not [secret for secret in SECRETS if secret in said]


def timed(work: Callable[[], Answer]) -> tuple[Answer, float]:
    started = time.perf_counter()
    answered = work()
    return answered, time.perf_counter() - started


# --- The provider's rows ---------------------------------------------------------------------------------------------

WHOLE = json.dumps(
    {"active": True, "iss": "https://platform.example.com", "aud": "https://orders.example.com"}
).encode()

FAULTS: dict[str, Play] = {
    "500": status(500),
    "502, html": answer(b"<html>", 502),
    "503": status(503),
    "200 and 500 lines of it": raw(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 500),
    "reset": reset,
    "gone": hang_up,
    "html": html(),
    "truncated": truncated(WHOLE),
    "no active": json_answer({"sub": "ana"}),
    "active: 'true'": json_answer({"active": "true", "aud": "https://orders.example.com"}),
    "active: 1": json_answer({"active": 1}),
    "active twice": answer(b'{"active":false,"active":true}'),
    "deep": answer(b'{"active":true,"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}"),
    "gzip": gzipped(WHOLE),
    "100 MB in chunks": chunked(100_000_000),
    "100 MB promised": raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n" + WHOLE),
    "401": json_answer({"error": "invalid_client"}, 401),
    "hang": silent,
    "dripping head": dripped_headers(),
    "dripping body": dripped_body(),
}


@pytest.mark.timed
@pytest.mark.parametrize("name", FAULTS)
def test_says_503_in_time_while_the_provider_fails(scene: Scene, name: str, log: Log) -> None:
    gatehouse, seen, new = scene.gatehouse(), fresh("good"), fresh("good")
    assert gatehouse.ask(seen).status == 200
    scene.provider.play(ENDPOINT, FAULTS[name])
    answered, seconds = timed(lambda: gatehouse.ask(new))
    assert_unavailable(answered, new)
    assert seconds < 2 * PROVIDER_SECONDS
    level, other = (logging.ERROR, logging.WARNING) if name == "401" else (logging.WARNING, logging.ERROR)
    assert (len(log.lines(level)), log.lines(other)) == (1, [])
    answered, seconds = timed(lambda: gatehouse.ask(seen))
    assert (answered.status, seconds < 0.5) == (200, True)
    scene.provider.play(ENDPOINT, Registrar())
    scene.pass_seconds(31)
    assert gatehouse.ask(new).status == 200, "it is not well again"
    assert not log.has_tracebacks()
    assert_says_nothing(log.text(), seen, new)


@pytest.mark.parametrize("name", ["500", "reset", "html", "no active", "401"])
def test_says_503_where_a_token_is_optional_too(scene: Scene, name: str) -> None:
    scene.provider.play(ENDPOINT, FAULTS[name])
    gatehouse = scene.gatehouse(options={"optional": True})
    text = fresh("good")
    assert_unavailable(gatehouse.ask(text), text)
    assert gatehouse.ask().status == 200


@pytest.mark.parametrize("name", ["500", "gone", "html", "active: 'true'", "401"])
def test_keeps_what_it_knows_to_its_own_end_while_the_provider_fails(scene: Scene, name: str) -> None:
    gatehouse, texts = scene.gatehouse(cache_seconds=60), [fresh("good") for _ in range(20)]
    assert [answered.status for answered in gatehouse.ask_together(texts)] == [200] * 20
    scene.provider.play(ENDPOINT, FAULTS[name])
    scene.pass_seconds(59.5)
    assert [gatehouse.ask(text).status for text in texts] == [200] * 20
    scene.pass_seconds(0.6)
    assert [gatehouse.ask(text).status for text in texts] == [503] * 20
    assert gatehouse.ask(fresh("good")).status == 503


def test_lets_nothing_outlive_its_token_while_the_provider_fails(scene: Scene) -> None:
    now = int(scene.wall.now)
    facts = {"active": True, "aud": "https://orders.example.com", "exp": now + 10, "jti": "x"}
    scene.provider.play(ENDPOINT, in_turn(json_answer(facts), status(500)))
    gatehouse, text = scene.gatehouse(), fresh("good")
    assert gatehouse.ask(text).status == 200
    scene.pass_seconds(8)
    assert gatehouse.ask(text).status == 200
    scene.pass_seconds(3)
    assert gatehouse.ask(text).status in (401, 503)


@pytest.mark.parametrize(("code", "said", "seconds"), [(429, "7", 7), (429, "600", 30), (429, None, 1), (503, "7", 7)])
def test_leaves_a_busy_provider_alone(scene: Scene, code: int, said: str | None, seconds: int, log: Log) -> None:
    gatehouse, seen = scene.gatehouse(), fresh("good")
    assert gatehouse.ask(seen).status == 200
    busy = status(code, {"retry-after": said} if said else None)
    scene.provider.play(ENDPOINT, in_turn(busy, Registrar()))
    assert gatehouse.ask(fresh("good")).status == 503
    scene.pass_seconds(seconds - 0.1)
    for _ in range(20):
        text = fresh("good")
        answered, took = timed(lambda text=text: gatehouse.ask(text))  # type: ignore[misc]
        assert_unavailable(answered, text)
        assert took < 0.5
        assert gatehouse.ask(seen).status == 200
    assert scene.asked == 2
    scene.pass_seconds(0.2)
    assert gatehouse.ask(fresh("good")).status == 200
    assert not log.has_tracebacks()


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_follows_no_redirect(scene: Scene, code: int, log: Log) -> None:
    with ScriptedProvider(Registrar()) as other:
        to = {"location": other.url(ENDPOINT), "set-cookie": "a=b"}
        scene.provider.play(ENDPOINT, answer(b"", code, to))
        gatehouse, text = scene.gatehouse(), fresh("good")
        assert_unavailable(gatehouse.ask(text), text)
        scene.provider.play(ENDPOINT, redirect(f"{scene.provider.url(ENDPOINT)}?again"))
        assert_unavailable(gatehouse.ask(text), text)
        assert (other.connections, scene.asked) == (0, 2)
        assert not [request for request in scene.provider.requests if "cookie" in request.headers]
        assert_says_nothing(log.text(), text)


@pytest.mark.timed
def test_says_503_when_nobody_listens_or_takes_the_connection(scene: Scene) -> None:
    gatehouse, seen = scene.gatehouse(real=True), fresh("good")
    assert gatehouse.ask(seen).status == 200
    scene.provider.refuse()
    text = fresh("good")
    answered, seconds = timed(lambda: gatehouse.ask(text))
    assert_unavailable(answered, text)
    assert seconds < 1
    assert gatehouse.ask(seen).status == 200
    scene.provider.listen()
    assert gatehouse.ask(text).status == 200
    with unreachable() as url:
        answered, seconds = timed(lambda: scene.gatehouse(introspection_endpoint=url, real=True).ask(text))
        assert_unavailable(answered, text)
        assert seconds < 2 * PROVIDER_SECONDS


def test_blames_us_and_nobody_else_when_our_client_is_refused(scene: Scene, log: Log) -> None:
    for code, error in ((401, "invalid_client"), (403, "access_denied"), (400, "invalid_client")):
        scene.provider.play(ENDPOINT, json_answer({"error": error}, code))
        gatehouse, text = scene.gatehouse(name=f"kind{code}"), fresh("good")
        answered = gatehouse.ask(text)
        assert_unavailable(answered, text)
        assert answered.json()["error"] == "client_refused"
    assert ["client_secret" in line for line in log.lines(logging.ERROR)] == [True] * 3
    assert_says_nothing(log.text())


# --- Discovery -------------------------------------------------------------------------------------------------------


def metadata(scene: Scene, **changes: Any) -> Play:
    issuer = scene.provider.url("")
    return json_answer({"issuer": issuer, "introspection_endpoint": scene.provider.url(ENDPOINT), **changes})


def discovering(scene: Scene, **changes: Any) -> Gatehouse:
    return scene.gatehouse(issuer=scene.provider.url(""), introspection_endpoint=None, **changes)


def says_of(scene: Scene) -> Play:
    facts = {"active": True, "iss": scene.provider.url(""), "aud": "https://orders.example.com", "sub": "ana"}
    return json_answer({**facts, "exp": int(scene.wall.now) + 600, "jti": "5f7c0f5e"})


@pytest.mark.timed
@pytest.mark.parametrize("name", ["500", "reset", "html", "truncated", "gzip", "100 MB in chunks", "hang"])
def test_says_503_while_the_metadata_cannot_be_had(scene: Scene, name: str, log: Log) -> None:
    for path in (RFC_8414, "/.well-known/openid-configuration"):
        scene.provider.play(path, FAULTS[name])
    scene.provider.play(ENDPOINT, says_of(scene))
    gatehouse, text = discovering(scene), fresh("good")
    answered, seconds = timed(lambda: gatehouse.ask(text))
    assert_unavailable(answered, text)
    assert seconds < 2 * PROVIDER_SECONDS
    looked = scene.provider.count()
    for _ in range(10):
        answered, seconds = timed(lambda: gatehouse.ask(text))
        assert (answered.status, seconds < 0.5) == (503, True)
    assert scene.provider.count() == looked, "a look-up that failed is repeated without a pause"
    scene.provider.play(RFC_8414, metadata(scene))
    scene.pass_seconds(6)
    assert gatehouse.ask(text).status == 200
    assert not log.has_tracebacks()
    assert_says_nothing(log.text(), text)


def test_says_503_and_an_error_when_the_metadata_names_another_issuer(scene: Scene, log: Log) -> None:
    scene.provider.play(ENDPOINT, says_of(scene))
    for issuer in ("https://id.example.com", f"{scene.provider.url('')}/", None):
        scene.provider.play(RFC_8414, metadata(scene, issuer=issuer))
        gatehouse, text = discovering(scene), fresh("good")
        answered = gatehouse.ask(text)
        assert_unavailable(answered, text)
        assert answered.json()["error"] == "provider_mismatch"
    assert scene.asked == 0
    assert any("issuer=" in line for line in log.lines(logging.ERROR))


def test_tells_nothing_to_an_endpoint_of_another_origin(scene: Scene, log: Log) -> None:
    with ScriptedProvider(Registrar()) as other:
        scene.provider.play(RFC_8414, metadata(scene, introspection_endpoint=other.url(ENDPOINT)))
        gatehouse, text = discovering(scene), fresh("good")
        assert_unavailable(gatehouse.ask(text), text)
        assert other.connections == 0
        scene.pass_seconds(6)
        allowed = discovering(scene, endpoint_origins={other.url("")})
        scene.provider.play(ENDPOINT, says_of(scene))
        other.play(ENDPOINT, says_of(scene))
        assert allowed.ask(text).status == 200
        assert (other.count(ENDPOINT), scene.asked) == (1, 0)


def test_looks_the_metadata_up_once_for_many(scene: Scene) -> None:
    scene.provider.play(RFC_8414, after(0.1, metadata(scene)))
    scene.provider.play(ENDPOINT, says_of(scene))
    texts = [fresh("good") for _ in range(100)]
    statuses = Counter(answered.status for answered in discovering(scene).ask_together(texts))
    assert set(statuses) <= {200, 503}
    assert statuses[200] >= MOST_CALLS
    assert scene.provider.count(RFC_8414) == 1


# --- Many at once ----------------------------------------------------------------------------------------------------


def test_asks_once_for_500_requests_with_one_token(scene: Scene) -> None:
    scene.provider.play(ENDPOINT, after(0.3, Registrar()))
    # The longest deadline there is: on a busy machine 500 threads take their time.
    gatehouse, text = scene.gatehouse(real=True, deadline=4), fresh("good")
    assert Counter(answered.status for answered in gatehouse.ask_together([text] * 500)) == {200: 500}
    assert scene.asked == 1


@pytest.mark.parametrize("name", ["inactive", "down", "refused"])
def test_asks_once_for_100_requests_with_one_bad_token(scene: Scene, name: str) -> None:
    scene.provider.play(ENDPOINT, after(0.3, Registrar()))
    gatehouse, text = scene.gatehouse(real=True, deadline=4), fresh(name)
    expected = 401 if name == "inactive" else 503
    answers = gatehouse.ask_together([text] * 100)
    assert Counter(answered.status for answered in answers) == {expected: 100}
    # A thread that starts late finds no question under way any more, and asks one of its own.
    assert scene.asked <= 3
    assert len({(answered.header("www-authenticate"), answered.body) for answered in answers}) == 1


@pytest.mark.timed
def test_asks_no_more_than_32_questions_at_once(scene: Scene) -> None:
    scene.provider.play(ENDPOINT, after(0.05, Registrar()))
    gatehouse = scene.gatehouse(real=True)
    answers = gatehouse.ask_together([fresh("good") for _ in range(500)])
    statuses = Counter(answered.status for answered in answers)
    assert set(statuses) <= {200, 503}
    assert statuses[200] >= MOST_CALLS
    assert scene.provider.most_at_once <= MOST_CALLS
    for answered in answers:
        if answered.status == 503:
            assert_unavailable(answered, "opaque-")


@pytest.mark.parametrize("store", ["memory", "redis"])
def test_answers_a_thousand_mixed_requests_without_a_500(
    own_store: Callable[[str], str], scene: Scene, store: str
) -> None:
    gatehouse, seen = scene.gatehouse(real=True, store=own_store(store)), fresh("good")
    assert gatehouse.ask(seen).status == 200
    names = itertools.cycle(["good", "inactive", "down", "gone", "page", "foreign", "never"])
    texts = [seen if number % 4 == 0 else fresh(next(names)) for number in range(MANY)]
    asked_together = list[Answer]()
    size = MANY if isinstance(gatehouse, AsgiGatehouse) else 100
    for first in range(0, MANY, size):
        asked_together += gatehouse.ask_together(texts[first : first + size])
    statuses = Counter(answered.status for answered in asked_together)
    assert set(statuses) <= {200, 401, 503}
    assert scene.provider.most_at_once <= MOST_CALLS
    if store == "memory":
        assert {answered.status for text, answered in zip(texts, asked_together, strict=True) if text == seen} == {200}
    assert gatehouse.ask(seen).status == 200


# --- Whoever leads goes away -----------------------------------------------------------------------------------------


def test_serves_the_others_when_the_request_that_asked_is_cancelled() -> None:
    may_answer = threading.Event()
    with ScriptedProvider(when(may_answer, Registrar())) as provider:
        verifier = Verifier(Place(provider=provider.url("")).settings())
        door = bearerguard.asgi.IntrospectionMiddleware(hello, verifier)
        text = fresh("good")

        async def story() -> list[int]:
            leader = asyncio.create_task(answer_of_asgi(door, asking(text)))
            await asyncio.to_thread(provider.wait_for_requests, 1)
            followers = [asyncio.create_task(answer_of_asgi(door, asking(text))) for _ in range(20)]
            await asyncio.sleep(0)
            for gone in (leader, *followers[:10]):
                gone.cancel()
            await asyncio.wait({leader})
            may_answer.set()
            statuses = [(await follower).status for follower in followers[10:]]
            await verifier.aclose()
            assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
            return statuses

        assert asyncio.run(story()) == [200] * 10
        assert provider.count() == 1


def test_leaves_nothing_behind_when_all_go_away_again_and_again() -> None:
    with ScriptedProvider(Registrar(seconds=0.01)) as provider:
        verifier = Verifier(Place(provider=provider.url("")).settings())
        door = bearerguard.asgi.IntrospectionMiddleware(hello, verifier)

        async def story() -> None:
            for turns in range(0, 25, 2):
                waiting = [asyncio.create_task(answer_of_asgi(door, asking(fresh("good")))) for _ in range(10)]
                for _ in range(turns):
                    await asyncio.sleep(0)
                for task in waiting:
                    task.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)
                assert (await answer_of_asgi(door, asking(fresh("good")))).status in (200, 503)
            assert (await answer_of_asgi(door, asking(fresh("good")))).status == 200
            await verifier.aclose()
            assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

        asyncio.run(story())
        assert provider.most_at_once <= MOST_CALLS


@pytest.mark.parametrize("server", ["uvicorn", "gunicorn"])
def test_serves_the_others_when_the_client_that_came_first_hangs_up(server: str) -> None:
    may_answer = threading.Event()
    with ScriptedProvider(when(may_answer, Registrar())) as provider:
        env = Place(provider=provider.url("")).as_environment()
        started = {
            "uvicorn": lambda: uvicorn_server("tests.opaque_houses:asgi_town", env=env),
            "gunicorn": lambda: gunicorn_server("tests.opaque_houses:wsgi_town", "--threads", "16", env=env),
        }[server]()
        text = fresh("good")
        with started as app, ThreadPoolExecutor(10) as pool:
            with socket.create_connection(("127.0.0.1", app.port)) as leader:
                leader.sendall(f"GET /plain/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {text}\r\n\r\n".encode())
                provider.wait_for_requests(1)
            below = Ask("/plain/anything", [bearer(text)])
            followers = [pool.submit(ask_server, app.port, below) for _ in range(10)]
            may_answer.set()
            assert [follower.result().status for follower in followers] == [200] * 10
            assert provider.count() == 1
            assert "Traceback" not in app.log()


# --- A flood of made-up tokens ---------------------------------------------------------------------------------------


class Flood:
    """Made-up tokens, each with a request of its own, as many in a second as are asked for or the machine makes."""

    def __init__(self, door: Any, word: str, *, per_second: int = 10_000, at_once: int = MANY) -> None:
        self._door = door
        self._word = word
        self._per_second = per_second
        self._at_once = at_once
        self._under_way: set[asyncio.Task[None]] = set()
        self.statuses: Counter[int] = Counter()

    async def pour(self, seconds: float) -> None:
        """Send them evenly, and so many at once at most, as so many connections would."""
        loop = asyncio.get_running_loop()
        started, sent = loop.time(), 0
        while (passed := loop.time() - started) < seconds:
            due = max(0, min(20, int(passed * self._per_second) - sent, self._at_once - len(self._under_way)))
            for _ in range(due):
                task = asyncio.create_task(self._one())
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
            sent += due
            await asyncio.sleep(0.001)
        await asyncio.gather(*self._under_way)

    async def _one(self) -> None:
        self.statuses[(await answer_of_asgi(self._door, asking(fresh(self._word)))).status] += 1


class Regulars:
    """Requests with tokens that were seen before, again and again."""

    def __init__(self, door: Any, texts: Sequence[str]) -> None:
        self._door = door
        self._texts = texts
        self.is_over = False
        self.statuses: Counter[int] = Counter()
        self.seconds = list[float]()

    async def come(self) -> None:
        """Until it is over; not until this is cancelled, for Python 3.11's wait_for may swallow that."""
        for text in itertools.takewhile(lambda _: not self.is_over, itertools.cycle(self._texts)):
            started = time.perf_counter()
            self.statuses[(await answer_of_asgi(self._door, asking(text))).status] += 1
            self.seconds.append(time.perf_counter() - started)
            await asyncio.sleep(0.005)

    @property
    def slowest(self) -> float:
        return max(self.seconds)


@pytest.fixture(scope="module")
def far_provider() -> Iterator[FarProvider]:
    provider = FarProvider()
    yield provider
    provider.close()


def door_to(provider: FarProvider, store: str, **changes: Any) -> tuple[Any, Verifier[OpaqueTokens]]:
    verifier = Verifier(Place(provider=provider.url).settings(**changes), store=store)
    return bearerguard.asgi.IntrospectionMiddleware(hello, verifier), verifier


@dataclass(frozen=True)
class Aftermath:
    """What a flood did."""

    flood: Counter[int]
    regulars: Counter[int]
    slowest: float
    blocked: float
    calls: int
    calls_at_once: int


def flooded(provider: FarProvider, store: str, word: str, *, seconds: float) -> Aftermath:
    """Pour made-up tokens over a door to which regulars come."""
    door, verifier = door_to(provider, store)

    async def story() -> Aftermath:
        texts = [fresh("good") for _ in range(5)]
        for text in texts:
            assert (await answer_of_asgi(door, asking(text))).status == 200
        poured, regulars = Flood(door, word), Regulars(door, texts)
        provider.calls()
        async with verifier, heartbeat() as seen:
            coming = asyncio.create_task(regulars.come())
            await poured.pour(seconds)
            regulars.is_over = True
            await coming
        slowest = regulars.slowest
        return Aftermath(poured.statuses, regulars.statuses, slowest, seen.longest, *provider.calls())

    gc.collect()
    aftermath = asyncio.run(story())
    print(f"\n{word} over {store} for {seconds} s: {aftermath}")
    return aftermath


BUSY = 2
"""A machine that has other things to do may take so many times as long."""

LENGTHS = [pytest.param(0.6, id="short"), pytest.param(10.0, id="whole", marks=pytest.mark.long)]
FLOODS = ["never", "silent", *(pytest.param(word, marks=pytest.mark.long) for word in ("slow", "down"))]


@pytest.mark.timed
@pytest.mark.parametrize("seconds", LENGTHS)
@pytest.mark.parametrize("store", ["memory", "redis"])
@pytest.mark.parametrize("word", FLOODS)
def test_keeps_serving_regulars_in_a_flood_of_made_up_tokens(
    own_store: Callable[[str], str], far_provider: FarProvider, word: str, store: str, seconds: float
) -> None:
    assert_unharmed(flooded(far_provider, own_store(store), word, seconds=seconds))


def assert_unharmed(aftermath: Aftermath) -> None:
    assert set(aftermath.flood) <= {401, 503}
    assert aftermath.calls_at_once <= MOST_CALLS
    assert set(aftermath.regulars) == {200}
    assert aftermath.slowest < 0.5
    assert aftermath.blocked < BUSY * 0.1


def test_asks_nobody_about_what_does_not_fit_the_pattern(redis_server: RedisServer, far_provider: FarProvider) -> None:
    door, verifier = door_to(far_provider, redis_server.url, pattern="[a-z]{43}")
    far_provider.calls()
    poured, before = Flood(door, "never"), redis_server.cli("INFO", "stats")["total_commands_processed"]

    async def story() -> None:
        async with verifier:
            await poured.pour(0.5)

    asyncio.run(story())
    assert set(poured.statuses) == {401}
    assert far_provider.calls()[0] == 0
    assert redis_server.cli("INFO", "stats")["total_commands_processed"] - before < 20


MOST_BYTES_LEFT = 256 * 1024


@pytest.mark.timed
@pytest.mark.parametrize("seconds", LENGTHS)
@pytest.mark.parametrize(
    ("word", "store"), [pytest.param("never", "memory", marks=pytest.mark.long), ("silent", "redis")]
)
def test_remembers_nothing_of_made_up_tokens(
    own_store: Callable[[str], str], far_provider: FarProvider, word: str, store: str, seconds: float
) -> None:
    """Memory is flat: what thousands of tokens leave behind, once they are answered, does not grow with them."""
    door, verifier = door_to(far_provider, own_store(store))

    async def story() -> int:
        async with verifier:
            await Flood(door, word).pour(0.6)
            before = await settled()
            await Flood(door, word).pour(seconds)
            return await settled() - before

    async def settled() -> int:
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        left = asyncio.run(story())
    finally:
        tracemalloc.stop()
    print(f"\n{left} bytes are left")
    assert left < MOST_BYTES_LEFT


def test_keeps_nothing_of_made_up_tokens_in_redis_for_long(
    redis_server: RedisServer, far_provider: FarProvider
) -> None:
    door, verifier = door_to(far_provider, redis_server.url)

    async def story() -> None:
        async with verifier:
            for word in ("never", "down"):
                await Flood(door, word, at_once=100).pour(0.2)

    asyncio.run(story())
    kept = [key for key in redis_server.cli("KEYS", "*") if b"epoch" not in key]
    assert all(redis_server.cli("PTTL", key) <= 60_000 and redis_server.cli("PTTL", key) != -1 for key in kept)
    assert not [key for key in kept if b"never" in key or b"down" in key]


@pytest.mark.timed
@pytest.mark.parametrize("store", ["memory", "redis"])
def test_keeps_serving_regulars_in_a_flood_in_threads(
    own_store: Callable[[str], str], far_provider: FarProvider, store: str
) -> None:
    verifier = Verifier(Place(provider=far_provider.url).settings(), store=own_store(store))
    door: WsgiApp = bearerguard.wsgi.IntrospectionMiddleware(hello_wsgi, verifier)
    seen, over = fresh("good"), threading.Event()

    def asked(text: str) -> Answer:
        return run_wsgi(door, environ_of(asking(text)))

    def made_up(_: int) -> Counter[int]:
        return Counter(asked(fresh("slow")).status for _ in iter(over.is_set, True))

    assert asked(seen).status == 200
    statuses, slowest = Counter[int](), 0.0
    far_provider.calls()
    with ThreadPoolExecutor(64) as pool:
        flooding = [pool.submit(made_up, number) for number in range(64)]
        ends_at = time.monotonic() + 1
        while time.monotonic() < ends_at:
            answered, seconds = timed(lambda: asked(seen))
            statuses[answered.status] += 1
            slowest = max(slowest, seconds)
        over.set()
    poured = sum((done.result() for done in flooding), Counter[int]())
    verifier.close()
    print(f"\nflood {dict(poured)}; regular {dict(statuses)}, slowest {slowest:.3f} s")
    assert set(poured) <= {401, 503}
    assert set(statuses) == {200}
    assert slowest < 0.5
    assert far_provider.calls()[1] <= MOST_CALLS
