"""WebSockets: refused before they open, watched while they are open, ended when their token ends."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NoReturn

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from bearerguard import Verifier, current_claims, requires_scope
from bearerguard.asgi import BearerMiddleware
from bearerguard.carriers import Query
from tests.doors import (
    PATIENCE_SECONDS,
    Ask,
    ask_server,
    bearer,
    challenge_parameters,
    eventually,
    open_server,
    scope_of,
)
from tests.houses import COOKIE, NOBODY_LISTENS, settings, token
from tests.servers import AppServer, RedisServer

LONG_ON_OTHER_SERVERS = True
SOON_SECONDS = 4.0
DENIAL: dict[str, Any] = {"extensions": {"websocket.http.response": {}}}
ANSWERS_503 = 1013
"""RULES.md gives 1008 to refusals; what could not be found out is no refusal, and clients may try again."""


# --- Over the wire ---------------------------------------------------------------------------------------------------


@pytest.fixture
def server(request: pytest.FixtureRequest) -> AppServer:
    return open_server("uvicorn", request.config)


Opening = Callable[..., ClientConnection]


@pytest.fixture
def opened(server: AppServer) -> Iterator[Opening]:
    """Opens WebSockets, and closes them after the test."""

    def opening(house: str, path: str = "/ws/echo", *headers: tuple[str, str], **options: Any) -> ClientConnection:
        url = f"ws://127.0.0.1:{server.port}/{house}{path}"
        limits: dict[str, Any] = {"ping_interval": None, "close_timeout": 0.1, "open_timeout": PATIENCE_SECONDS}
        opened = connect(url, additional_headers=headers, proxy=None, **limits, **options)
        connection: ClientConnection = stack.enter_context(opened)
        return connection

    with ExitStack() as stack:
        yield opening


def end_of(connection: ClientConnection) -> int | None:
    """The code that a WebSocket is closed with."""
    with pytest.raises(ConnectionClosed):
        listen(connection)
    return connection.close_code


def listen(connection: ClientConnection) -> NoReturn:
    """Hears all that is said until nobody is left to say it."""
    while True:
        connection.recv(timeout=PATIENCE_SECONDS)


def seconds_until(connection: ClientConnection) -> float:
    """How long it takes until a WebSocket is closed with 1008."""
    started = time.monotonic()
    assert end_of(connection) == 1008
    return time.monotonic() - started


@pytest.mark.parametrize(
    ("house", "path", "headers", "status", "error"),
    [
        pytest.param("ws", "/ws/echo", [], 401, None, id="no credentials"),
        pytest.param("ws", "/ws/echo", [("Authorization", "Basic eA==")], 401, None, id="another scheme"),
        pytest.param("ws", "/ws/echo", [("Authorization", "Bearer")], 400, "invalid_request", id="broken"),
        pytest.param("ws", "/ws/echo", [bearer("abc")], 401, "invalid_token", id="a bad token"),
        pytest.param("ws", "/ws/echo", [bearer(token(exp=1_600_000_000))], 401, "invalid_token", id="an expired token"),
        pytest.param("ws", "/ws/scope", [bearer(token())], 403, "insufficient_scope", id="a missing scope"),
        pytest.param("ws", "/no/such/path", [], 401, None, id="a path that nobody serves"),
        pytest.param("ws-down", "/ws/echo", [bearer(token())], 503, None, id="no store"),
        pytest.param(
            "ws-cookie", "/ws/echo", [("Cookie", f"session={token()}")], 403, None, id="a cookie of no origin"
        ),
        pytest.param("ws-optional", "/ws/scope", [], 401, None, id="a guard meets nobody"),
        pytest.param("ws-optional", "/ws/echo", [bearer("abc")], 401, "invalid_token", id="optional, a bad token"),
        pytest.param("query", f"/ws/echo?id_token={token()}", [], 400, "invalid_request", id="a token in the query"),
    ],
)
def test_denies_the_handshake(
    opened: Opening, house: str, path: str, headers: Sequence[tuple[str, str]], status: int, error: str | None
) -> None:
    with pytest.raises(InvalidStatus) as denied:
        opened(house, path, *headers)
    answer = denied.value.response
    assert answer.status_code == status
    assert answer.headers["Cache-Control"] == "no-store"
    if status == 503:
        assert "WWW-Authenticate" not in answer.headers
        assert answer.headers["Retry-After"]
    else:
        assert challenge_parameters(answer.headers["WWW-Authenticate"]).get("error") == error
    if "scope" not in path:
        assert answer.headers["Content-Type"] == "application/json"
        assert b'"error"' in answer.body


def test_opens_for_a_good_token(opened: Opening) -> None:
    with opened("ws", "/ws/echo", bearer(token(tenant="str_one"))) as connection:
        assert connection.recv() == '{"tenant":"str_one"}'
        for text in ("a", "b"):
            connection.send(text)
            assert connection.recv() == text


def test_opens_for_a_scope(opened: Opening) -> None:
    with opened("ws", "/ws/scope", bearer(token(scope="read:orders"))) as connection:
        assert connection.recv() == '{"tenant":"str_8k2m4n6p"}'


def test_opens_for_a_cookie_of_our_origin(opened: Opening) -> None:
    cookie = ("Cookie", f"session={token()}")
    with opened("ws-cookie", "/ws/echo", cookie, origin="https://app.example.com") as connection:
        assert connection.recv() == '{"tenant":"str_8k2m4n6p"}'
    with pytest.raises(InvalidStatus):
        opened("ws-cookie", "/ws/echo", cookie, origin="https://evil.example.com")


@pytest.mark.parametrize("house", ["ws-optional", "ws-exempt"])
def test_opens_for_nobody(opened: Opening, house: str) -> None:
    with opened(house) as connection:
        assert connection.recv() == '{"tenant":null}'


@pytest.mark.timed
@pytest.mark.parametrize("house", ["ws", "ws-calm", "ws-off", "ws-optional"])
def test_closes_when_the_token_ends(opened: Opening, house: str) -> None:
    ends = int(time.time())  # past already, but for the leeway of 1 s
    connection = opened(house, "/ws/echo", bearer(token(exp=ends, iat=ends - 60)))
    assert seconds_until(connection) < 2.5
    assert time.time() >= ends + 1


@pytest.mark.timed
def test_does_not_close_before_the_token_ends(opened: Opening) -> None:
    ends = int(time.time()) + 1
    connection = opened("ws", "/ws/echo", bearer(token(exp=ends)))
    connection.recv()
    answered = [0.0]
    with pytest.raises(ConnectionClosed):
        ask_on_and_on(connection, answered)
    assert connection.close_code == 1008
    assert ends + 0.5 < answered[-1] < ends + 2.5


def ask_on_and_on(connection: ClientConnection, answered: list[float]) -> NoReturn:
    """Notes when each answer came."""
    while True:
        connection.send("still there?")
        connection.recv()
        answered.append(time.time())


def revoke(server: AppServer, house: str, text: str) -> None:
    assert ask_server(server.port, Ask(f"/{house}/revoke", [bearer(text)], "POST")).status == 200


@pytest.mark.timed
@pytest.mark.parametrize("path", ["/ws/echo", "/ws/listen?mark=-", "/ws/flood?mark=-"])
def test_closes_after_a_revocation(server: AppServer, opened: Opening, path: str) -> None:
    text = token()
    connection = opened("ws", path, bearer(text))
    revoke(server, "ws", text)
    assert seconds_until(connection) < 0.1 + 1


@pytest.mark.parametrize("house", ["ws-calm", "ws-off"])
def test_keeps_a_revoked_one_open_until_the_next_look(server: AppServer, opened: Opening, house: str) -> None:
    text = token()
    connection = opened(house, "/ws/echo", bearer(text))
    connection.recv()
    revoke(server, house, text)
    connection.send("still there?")
    assert connection.recv() == "still there?"
    with pytest.raises(InvalidStatus):
        opened(house, "/ws/echo", bearer(text))


@pytest.mark.parametrize("path", ["/ws/listen", "/ws/flood"])
def test_ends_an_application_whose_client_does_nothing(server: AppServer, opened: Opening, path: str) -> None:
    mark, ends = uuid.uuid4().hex, int(time.time())
    opened("ws", f"{path}?mark={mark}", bearer(token(exp=ends, iat=ends - 60)), max_queue=1)
    assert eventually(lambda: f"ended: {mark}" in server.log(), within=5)


def test_writes_no_token_into_the_log(server: AppServer, opened: Opening) -> None:
    good, bad, marked = token(), token(exp=1_600_000_000), token()
    opened("ws", "/ws/echo", bearer(good)).recv()
    for path, headers in (("/ws/echo", [bearer(bad)]), (f"/ws/marked?id_token={marked}", [])):
        with pytest.raises(InvalidStatus):
            opened("query", path, *headers)
    assert eventually(lambda: "/ws/marked" in server.log())
    log = server.log()
    assert not [text for text in (good, bad, marked) if text in log]


# --- In this process -------------------------------------------------------------------------------------------------


class Socket:
    """The server's side of one WebSocket, played by the test."""

    def __init__(self, app: ASGIApp, *headers: tuple[str, str], blocks: Sequence[str] = (), **changes: Any) -> None:
        self.heard: asyncio.Queue[Message] = asyncio.Queue()
        self.said: asyncio.Queue[Message] = asyncio.Queue()
        self.held: asyncio.Queue[Message] = asyncio.Queue()
        self._blocks = blocks
        self.heard.put_nowait({"type": "websocket.connect"})
        scope = scope_of(Ask("/ws", headers), "websocket", **changes)
        self.app = asyncio.ensure_future(app(scope, self.heard.get, self._send))

    async def _send(self, message: Message) -> None:
        if message["type"] in self._blocks:
            self.held.put_nowait(message)
            await asyncio.get_running_loop().create_future()
        self.said.put_nowait(message)

    async def next(self) -> Message:
        """What the application says next."""
        return await asyncio.wait_for(self.said.get(), SOON_SECONDS)

    async def rest(self) -> list[Message]:
        """All that the application says until it ends."""
        await asyncio.wait_for(asyncio.gather(self.app, return_exceptions=True), SOON_SECONDS)
        return [self.said.get_nowait() for _ in range(self.said.qsize())]

    def hears(self, text: str) -> None:
        """The client sends a message."""
        self.heard.put_nowait({"type": "websocket.receive", "text": text})


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a test in a loop, and find that it leaves no task behind."""

    async def tidy() -> None:
        await work
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert left == []

    asyncio.run(tidy())


def behind(app: ASGIApp, *kinds: Any, recheck_seconds: float | None = 0.05, **options: Any) -> BearerMiddleware:
    verifier = Verifier(*(kinds or (settings(leeway=1),)), **options)
    return BearerMiddleware(app, verifier, recheck_seconds=recheck_seconds)


def ending_soon() -> tuple[str, str]:
    """A token that ends within a second."""
    now = int(time.time())
    return bearer(token(exp=now, iat=now - 60))


async def accepting(scope: Scope, receive: Receive, send: Send) -> None:
    """Accepts, and then listens until it is told that nobody is there."""
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


@pytest.mark.parametrize(
    ("headers", "options"),
    [
        pytest.param([], {}, id="no credentials"),
        pytest.param([bearer("abc")], {}, id="a bad token"),
        pytest.param([("Authorization", "Bearer")], {}, id="broken"),
        pytest.param([("Cookie", "session=abc")], {"carriers": (COOKIE,)}, id="a cookie of no origin"),
    ],
)
def test_closes_with_1008_where_the_server_cannot_deny(headers: Any, options: Mapping[str, Any]) -> None:
    async def story() -> None:
        servers: list[dict[str, Any]] = [{}, {"extensions": None}, {"extensions": {}}, {"extensions": {"tls": {}}}]
        for extensions in servers:
            socket = Socket(behind(accepting, settings(**options)), *headers, **extensions)
            (close,) = await socket.rest()
            assert (close["type"], close["code"]) == ("websocket.close", 1008)

    run(story())


def test_closes_with_another_code_where_we_could_not_find_out() -> None:
    async def story() -> None:
        socket = Socket(behind(accepting, store=NOBODY_LISTENS), bearer(token()))
        (close,) = await socket.rest()
        assert (close["type"], close["code"]) == ("websocket.close", ANSWERS_503)

    run(story())


def test_denies_in_one_piece() -> None:
    async def story() -> None:
        told = await Socket(behind(accepting), **DENIAL).rest()
        assert [message["type"] for message in told] == [
            "websocket.http.response.start",
            "websocket.http.response.body",
        ]
        assert told[0]["status"] == 401
        assert not told[1].get("more_body")

    run(story())


def test_never_lets_the_application_see_a_refused_handshake() -> None:
    async def app(*_: object) -> None:
        raise AssertionError("the application was called")

    async def story() -> None:
        await Socket(behind(app)).rest()
        await Socket(behind(app), bearer("abc"), **DENIAL).rest()

    run(story())


def reads_of(redis_server: RedisServer) -> int:
    """How often a server was asked for values."""
    stats = redis_server.cli("INFO", "commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("get", "mget", "eval", "evalsha"))


@pytest.mark.parametrize(("recheck_seconds", "asks_again"), [(0.05, True), (3600, False), (None, False)])
def test_asks_the_denylist_as_often_as_it_is_told(
    redis_server: RedisServer, recheck_seconds: float | None, asks_again: bool
) -> None:
    async def story() -> None:
        door = behind(accepting, recheck_seconds=recheck_seconds, store=redis_server.url)
        socket = Socket(door, ending_soon())
        await socket.next()
        asked = reads_of(redis_server)
        assert (await socket.next())["code"] == 1008
        assert (reads_of(redis_server) > asked) is asks_again
        await socket.rest()
        await close_all(door)

    run(story())


@pytest.mark.parametrize("recheck_seconds", [0.05, 3600, None])
def test_closes_once_and_tells_the_application_that_nobody_is_there(recheck_seconds: float | None) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accepting(scope, receive, send)
        assert (await receive())["type"] == "websocket.disconnect"
        with pytest.raises(OSError, match="closed"):
            await send({"type": "websocket.send", "text": "too late"})
        with pytest.raises(OSError, match="closed"):
            await send({"type": "websocket.close"})

    async def story() -> None:
        socket = Socket(behind(app, recheck_seconds=recheck_seconds), ending_soon())
        told = await socket.rest()
        assert [(message["type"], message.get("code")) for message in told] == [
            ("websocket.accept", None),
            ("websocket.close", 1008),
        ]
        assert socket.app.exception() is None

    run(story())


@pytest.mark.parametrize(
    "blocks", [["websocket.send"], ["websocket.send", "websocket.close"]], ids=["send", "close too"]
)
def test_ends_an_application_that_is_blocked_in_send(blocks: list[str]) -> None:
    ended = list[str]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            await send({"type": "websocket.send", "text": "nobody reads this"})
        finally:
            ended.append("ended")

    async def story() -> None:
        socket = Socket(behind(app), ending_soon(), blocks=blocks)
        await socket.rest()
        assert ended == ["ended"]

    run(story())


def test_hands_nothing_through_while_the_close_is_on_its_way() -> None:
    heard = list[str]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] != "websocket.disconnect":
            heard.append(message["text"])

    async def story() -> None:
        socket = Socket(behind(app), ending_soon(), blocks=["websocket.close"])
        socket.hears("in time")
        await asyncio.wait_for(socket.held.get(), SOON_SECONDS)
        socket.hears("too late")
        await socket.rest()
        assert heard == ["in time"]

    run(story())


def test_ends_when_the_client_leaves() -> None:
    async def story() -> None:
        socket = Socket(behind(accepting), bearer(token()))
        await socket.next()
        socket.heard.put_nowait({"type": "websocket.disconnect", "code": 1001})
        assert await socket.rest() == []

    run(story())


def test_ends_when_the_server_cancels() -> None:
    async def story() -> None:
        socket = Socket(behind(accepting), bearer(token()))
        await socket.next()
        socket.app.cancel()
        assert await socket.rest() == []
        assert socket.app.cancelled()

    run(story())


def test_says_nothing_more_when_the_application_has_closed() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4000})
        assert (await receive())["type"] == "websocket.connect"
        await receive()

    async def story() -> None:
        socket = Socket(behind(app), ending_soon())
        assert [(await socket.next())["type"] for _ in range(2)] == ["websocket.accept", "websocket.close"]
        await asyncio.sleep(2.1 - time.time() % 1)  # until the token has ended for certain
        socket.heard.put_nowait({"type": "websocket.disconnect", "code": 4000})
        assert await socket.rest() == []

    run(story())


async def verifying(websocket: WebSocket, verifier: Verifier[Any], *, closes: bool) -> None:
    await websocket.accept()
    try:
        await verifier.averify("abc")
    finally:
        if closes:
            await websocket.close(4001)


@pytest.mark.parametrize("closes", [False, True], ids=["left open", "closed by the application"])
@pytest.mark.parametrize("is_wrapped", [False, True], ids=["inside Starlette", "around Starlette"])
def test_closes_once_when_a_view_finds_a_bad_token(closes: bool, is_wrapped: bool) -> None:
    verifier = Verifier(settings())

    async def endpoint(websocket: WebSocket) -> None:
        await verifying(websocket, verifier, closes=closes)

    app = Starlette(routes=[WebSocketRoute("/ws", endpoint)])
    if not is_wrapped:
        app.add_middleware(BearerMiddleware, verifier=verifier)

    async def story() -> None:
        door = BearerMiddleware(app, verifier) if is_wrapped else app
        socket = Socket(door, bearer(token()), **DENIAL)
        told = [(message["type"], message.get("code")) for message in await socket.rest()]
        assert told == [("websocket.accept", None), ("websocket.close", 4001 if closes else 1008)]

    run(story())


def test_denies_when_a_view_finds_a_bad_token_before_it_accepts() -> None:
    verifier = Verifier(settings())

    async def endpoint(_: WebSocket) -> None:
        await verifier.averify("abc")

    async def story() -> None:
        door = BearerMiddleware(Starlette(routes=[WebSocketRoute("/ws", endpoint)]), verifier, exempt=("/ws",))
        start, _ = await Socket(door, **DENIAL).rest()
        assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)

    run(story())


def test_guards_a_websocket_in_a_mounted_application() -> None:
    @requires_scope("read:orders")
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(current_claims().tenant or "")
        await websocket.close()

    inner = Starlette(routes=[WebSocketRoute("/", endpoint)])
    app = Starlette(routes=[Mount("/ws", app=behind(inner))])

    async def story() -> None:
        denied = await Socket(app, bearer(token()), path="/ws/", **DENIAL).rest()
        assert denied[0]["status"] == 403
        told = await Socket(app, bearer(token(scope="read:orders")), path="/ws/", **DENIAL).rest()
        assert told[1]["text"] == "str_8k2m4n6p"

    run(story())


def test_tells_starlette_that_the_client_is_gone() -> None:
    codes = list[int]()

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            await websocket.receive_text()
        except WebSocketDisconnect as gone:
            codes.append(gone.code)
            raise

    async def story() -> None:
        socket = Socket(behind(Starlette(routes=[WebSocketRoute("/ws", endpoint)])), ending_soon())
        await socket.rest()
        assert codes == [1008]

    run(story())


# --- The store at a re-check -----------------------------------------------------------------------------------------


async def closed_within(socket: Socket, seconds: float) -> int:
    message = await asyncio.wait_for(socket.said.get(), seconds)
    assert message["type"] == "websocket.close"
    await socket.rest()
    return int(message["code"])


@pytest.mark.parametrize("fault", ["kill", "freeze"])
def test_closes_when_the_store_cannot_be_asked_again(own_redis_server: RedisServer, fault: str) -> None:
    async def story() -> None:
        door = behind(accepting, store=own_redis_server.url)
        socket = Socket(door, bearer(token()))
        await socket.next()
        getattr(own_redis_server, fault)()
        assert await closed_within(socket, 4) == ANSWERS_503
        await close_all(door)

    run(story())


@pytest.mark.timed
def test_closes_after_a_revocation_elsewhere(own_redis_server: RedisServer) -> None:
    async def story() -> None:
        door, text = behind(accepting, store=own_redis_server.url), token()
        socket = Socket(door, bearer(text))
        await socket.next()
        async with Verifier(settings(), store=own_redis_server.url) as elsewhere:
            await elsewhere.denylist.arevoke_user("usr_7h3k9m2p")
        assert await closed_within(socket, 0.05 + 1) == 1008
        await close_all(door)

    run(story())


async def close_all(door: BearerMiddleware) -> None:
    """What the application's lifespan does."""
    told: asyncio.Queue[Message] = asyncio.Queue()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        """An application that starts and ends."""

    door.app = app
    await door({"type": "lifespan"}, _never, told.put)


async def _never() -> Message:
    never: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
    return await never


def test_lets_an_unread_query_stay_with_a_websocket_that_passes() -> None:
    """A token in a WebSocket's query is refused, so the query of one that passes is not touched."""
    seen = list[Any]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["query_string"])
        await send({"type": "websocket.close"})

    async def story() -> None:
        kind = settings(carriers=(settings().carriers[0], Query("id_token")))
        await Socket(behind(app, kind), bearer(token()), query_string=b"a=1").rest()
        assert seen == [b"a=1"]

    run(story())
