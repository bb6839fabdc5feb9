"""Claims stay with the request that brought them: in threads, tasks, streams and nested doors."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

import bearerguard.asgi
import bearerguard.wsgi
from bearerguard import AuthError, MissingToken, Verifier, current_claims, requires_scope, requires_token
from tests.doors import (
    WORLDS,
    Answer,
    Ask,
    World,
    answer_of_asgi,
    ask_asgi,
    ask_wsgi,
    bearer,
    environ_of,
    run_wsgi,
    scope_of,
)
from tests.houses import settings, token

PREFLIGHT = [("Origin", "https://app.example.com"), ("Access-Control-Request-Method", "POST")]


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> World:
    return WORLDS[request.param]


def tenant() -> str | None:
    """Whose claims this code finds."""
    claims = current_claims(None)
    return None if claims is None else claims.tenant


def of(name: str, target: str = "/") -> Ask:
    """A request of one tenant."""
    return Ask(target, [bearer(token(tenant=name))])


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    yield
    assert tenant() is None


# --- current_claims() ------------------------------------------------------------------------------------------------


def test_gives_the_claims_of_the_request(world: World) -> None:
    ask = world(lambda: current_claims().to_dict())
    assert ask(of("str_one")).json()["tenant"] == "str_one"


def test_raises_where_no_door_is_around() -> None:
    with pytest.raises(RuntimeError, match=r"app\.add_middleware\(SessionTokenMiddleware, verifier=verifier\)"):
        current_claims()


def test_gives_none_where_no_door_is_around_if_asked_to() -> None:
    assert current_claims(None) is None


def test_answers_401_for_the_claims_of_nobody(world: World) -> None:
    answer = world(lambda: current_claims().tenant, optional=True)(Ask())
    assert answer.status == 401
    assert answer.challenge == {}


def test_gives_none_for_nobody_if_asked_to(world: World) -> None:
    assert world(lambda: current_claims(None), optional=True)(Ask()).json() is None


def test_lets_a_view_catch_that_nobody_is_there(world: World) -> None:
    def view() -> str:
        try:
            return str(current_claims().tenant)
        except MissingToken:
            return "nobody"

    ask = world(view, optional=True)
    assert [ask(Ask()).json(), ask(of("str_one")).json()] == ["nobody", "str_one"]


def test_gives_claims_that_nobody_can_change(world: World) -> None:
    def view() -> str:
        claims: Any = current_claims()
        for change in (
            lambda: claims.__setitem__("tenant", "str_evil"),
            lambda: setattr(claims, "tenant", "str_evil"),
            lambda: setattr(claims, "scopes", frozenset({"admin"})),
            lambda: claims["roles"].append("admin"),
            lambda: claims["nested"]["deep"].append("admin"),
            lambda: claims["nested"].update(deep=1),
            lambda: delattr(claims, "tenant"),
        ):
            with pytest.raises((TypeError, AttributeError)):
                change()
        claims.to_dict()["roles"].append("admin")
        return json.dumps(claims.to_dict())

    text = token(tenant="str_one", roles=["user"], nested={"deep": []})
    ask = world(view)
    for _ in range(2):
        assert "evil" not in ask(Ask(headers=[bearer(text)])).json()
        assert "admin" not in ask(Ask(headers=[bearer(text)])).json()


def test_gives_each_request_a_list_of_scopes_of_its_own() -> None:
    async def view(request: Request) -> Response:
        before = list(request.auth.scopes)
        request.auth.scopes.append("admin")
        return JSONResponse(before)

    app = Starlette(routes=[Route("/", view)])
    app.add_middleware(bearerguard.asgi.BearerMiddleware, verifier=Verifier(settings()))
    text = token(scope="a")
    assert [ask_asgi(app, Ask(headers=[bearer(text)])).json() for _ in range(2)] == [["a"], ["a"]]


# --- Passes without claims overwrite whatever is there ---------------------------------------------------------------

EVIL = object()
WITHOUT_CLAIMS = pytest.mark.parametrize(
    ("options", "ask"),
    [
        pytest.param({"exempt": ("/health",)}, Ask("/health"), id="exempt"),
        pytest.param({"exempt": ("/health",)}, of("str_one", "/health"), id="exempt with a token"),
        pytest.param({"optional": True}, Ask(), id="optional"),
        pytest.param({}, Ask(headers=PREFLIGHT, method="OPTIONS"), id="preflight"),
    ],
)


@WITHOUT_CLAIMS
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_overwrites_what_a_scope_brings(options: dict[str, Any], ask: Ask, kind: str) -> None:
    # A WebSocket has no preflight, so that one is let in as nobody.
    options = {"optional": True} if kind == "websocket" and not options else options
    seen = list[Any]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend([scope["bearerguard"], scope["user"].is_authenticated, scope["user"].claims, scope["auth"].scopes])
        seen.append(tenant())
        await send(
            {"type": "websocket.close"} if kind == "websocket" else {"type": "http.response.start", "status": 200}
        )

    async def send(_: object) -> None: ...

    door = bearerguard.asgi.BearerMiddleware(app, Verifier(settings()), **options)
    hostile = dict.fromkeys(("bearerguard", "bearerguard.access", "user", "auth"), EVIL)
    asyncio.run(door(scope_of(ask, kind, **hostile), lambda: asyncio.sleep(9), send))  # type: ignore[arg-type,return-value]
    assert seen == [None, False, None, [], None]


@WITHOUT_CLAIMS
def test_overwrites_what_an_environ_brings(options: dict[str, Any], ask: Ask) -> None:
    seen = list[Any]()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        seen.extend([environ["bearerguard"], tenant()])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b""]

    door = bearerguard.wsgi.BearerMiddleware(app, Verifier(settings()), **options)
    run_wsgi(door, environ_of(ask, **dict.fromkeys(("bearerguard", "bearerguard.access"), EVIL)))
    assert seen == [None, None]


@WITHOUT_CLAIMS
def test_overwrites_what_a_context_brings(world: World, options: dict[str, Any], ask: Ask) -> None:
    verifier = Verifier(settings())
    inner = world(tenant, verifier, **options)
    outer = world(lambda: [tenant(), contextvars.copy_context().run(inner_answer, inner, ask), tenant()], verifier)
    assert outer(of("str_outer")).json() == ["str_outer", None, "str_outer"]


def inner_answer(asking: Callable[[Ask], Answer], ask: Ask) -> Any:
    """What another application answers, asked from inside a view."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.copy_context().run, asking, ask).result().json()


def test_overwrites_the_claims_of_somebody_else_with_ours() -> None:
    async def view(request: Request) -> Response:
        return JSONResponse([request.user.claims.tenant, request.scope["bearerguard"].tenant])

    door = bearerguard.asgi.BearerMiddleware(Starlette(routes=[Route("/", view)]), Verifier(settings()))
    answer = ask_asgi(door, of("str_one"), bearerguard=EVIL, user=EVIL, auth=EVIL)
    assert answer.json() == ["str_one", "str_one"]


# --- Doors inside doors ----------------------------------------------------------------------------------------------


def other_verifier() -> Verifier[Any]:
    """Tokens in a header of their own."""
    from bearerguard.carriers import Header

    return Verifier(settings(name="inner", carriers=(Header("X-Inner"),)))


def nested_asgi(seen: list[str | None], **options: Any) -> ASGIApp:
    """An application behind two doors, with a look between them before and after."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(tenant())
        await Response("done")(scope, receive, send)
        seen.append(tenant())

    inner = bearerguard.asgi.BearerMiddleware(app, other_verifier(), **options)

    async def between(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(tenant())
        await inner(scope, receive, send)
        seen.append(tenant())

    return bearerguard.asgi.BearerMiddleware(between, Verifier(settings()))


def nested_wsgi(seen: list[str | None], **options: Any) -> Callable[..., Iterable[bytes]]:
    """The same, for WSGI."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        seen.append(tenant())
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"done"
        seen.append(tenant())

    inner = bearerguard.wsgi.BearerMiddleware(app, other_verifier(), **options)

    def between(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        seen.append(tenant())
        answered = inner(environ, start_response)
        body = list(answered)
        answered.close()  # type: ignore[attr-defined]
        seen.append(tenant())
        return body

    return bearerguard.wsgi.BearerMiddleware(between, Verifier(settings()))


@pytest.mark.parametrize("sort", ["asgi", "wsgi"])
@pytest.mark.parametrize(
    ("options", "headers", "inside"),
    [
        pytest.param({}, [("X-Inner", token(tenant="str_inner"))], "str_inner", id="with claims"),
        pytest.param({"optional": True}, [], None, id="as nobody"),
        pytest.param({"exempt": ("/",)}, [("X-Inner", token(tenant="str_inner"))], None, id="exempt"),
    ],
)
def test_shows_each_door_its_own_claims(sort: str, options: Any, headers: Any, inside: str | None) -> None:
    seen = list[str | None]()
    ask = Ask("/", [*of("str_outer").headers, *headers])
    if sort == "asgi":
        ask_asgi(nested_asgi(seen, **options), ask)
    else:
        ask_wsgi(nested_wsgi(seen, **options), ask)
    assert seen == ["str_outer", inside, inside, "str_outer"]


def test_gives_the_outer_claims_back_when_the_inner_door_refuses(world: World) -> None:
    def between() -> list[Any]:
        status = inner_status(world)
        return [status, tenant()]

    assert world(between)(of("str_outer")).json() == [401, "str_outer"]


def inner_status(world: World) -> int:
    """How another door answers a request without a token, asked from inside a view."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.copy_context().run, world(tenant), Ask()).result().status


# --- Streams ---------------------------------------------------------------------------------------------------------


def streaming_wsgi(_: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Says at each piece whose it is."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    for _number in range(3):
        yield f"{tenant()} ".encode()


def test_keeps_the_claims_while_an_answer_is_streamed() -> None:
    door = bearerguard.wsgi.BearerMiddleware(streaming_wsgi, Verifier(settings()))
    assert ask_wsgi(door, of("str_one")).body == b"str_one str_one str_one "
    assert tenant() is None


@pytest.mark.parametrize("is_async", [True, False], ids=["async generator", "generator in threads"])
def test_keeps_the_claims_while_starlette_streams(is_async: bool) -> None:
    async def pieces() -> AsyncIterator[str]:
        for _ in range(3):
            await asyncio.sleep(0)
            yield f"{tenant()} "

    async def view(_: Request) -> Response:
        return StreamingResponse(pieces() if is_async else (f"{tenant()} " for _ in range(3)))

    door = bearerguard.asgi.BearerMiddleware(Starlette(routes=[Route("/", view)]), Verifier(settings()))
    assert ask_asgi(door, of("str_one")).body == b"str_one str_one str_one "


def start(door: Callable[..., Any], ask: Ask) -> tuple[Any, Iterator[bytes]]:
    """A WSGI answer of which one piece was taken."""
    answered = door(environ_of(ask), lambda *_: lambda _: None)
    pieces = iter(answered)
    return answered, pieces


def test_forgets_a_stream_that_nobody_closed() -> None:
    door = bearerguard.wsgi.BearerMiddleware(streaming_wsgi, Verifier(settings()), optional=True)
    abandoned, pieces = start(door, of("str_one"))
    assert next(pieces) == b"str_one "
    assert run_wsgi(door, environ_of(Ask())).body == b"None None None "
    assert run_wsgi(door, environ_of(of("str_two"))).body == b"str_two str_two str_two "
    del abandoned, pieces


@pytest.mark.parametrize("how", ["closed", "collected"])
def test_keeps_the_next_requests_claims_when_an_older_stream_ends(how: str) -> None:
    door = bearerguard.wsgi.BearerMiddleware(streaming_wsgi, Verifier(settings()))
    older, older_pieces = start(door, of("str_one"))
    next(older_pieces)
    newer, newer_pieces = start(door, of("str_two"))
    assert next(newer_pieces) == b"str_two "
    if how == "closed":
        older.close()
    del older, older_pieces
    gc.collect()
    assert [*newer_pieces] == [b"str_two "] * 2
    newer.close()


def test_leaves_nothing_behind_when_streams_end_in_the_wrong_order() -> None:
    door = bearerguard.wsgi.BearerMiddleware(streaming_wsgi, Verifier(settings()), optional=True)
    streams = [start(door, ask) for ask in (of("str_one"), Ask(), of("str_two"))]
    for answered, pieces in streams:
        next(pieces)
        answered.close()
    assert tenant() is None
    assert run_wsgi(door, environ_of(Ask())).body == b"None None None "


def test_leaves_nothing_behind_when_one_request_is_asked_twice() -> None:
    """As middleware does that shows an error page of the same application."""
    door = bearerguard.wsgi.BearerMiddleware(streaming_wsgi, Verifier(settings()))
    environ = environ_of(of("str_one"))
    for _ in range(2):
        assert run_wsgi(door, environ).body == b"str_one str_one str_one "
        assert tenant() is None


@pytest.mark.parametrize("fails", ["at once", "while it streams"])
def test_leaves_nothing_behind_when_an_application_fails(fails: str) -> None:
    def failing(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if fails == "at once":
            raise ZeroDivisionError
        return failing_pieces(start_response)

    def failing_pieces(start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"x"
        raise ZeroDivisionError

    door = bearerguard.wsgi.BearerMiddleware(failing, Verifier(settings()))
    with pytest.raises(ZeroDivisionError):
        run_wsgi(door, environ_of(of("str_one")))
    assert tenant() is None


def test_leaves_nothing_behind_when_an_asgi_application_fails() -> None:
    async def failing(*_: Any) -> None:
        raise ZeroDivisionError

    async def asked() -> str | None:
        door = bearerguard.asgi.BearerMiddleware(failing, Verifier(settings()))
        with pytest.raises(ZeroDivisionError):
            await answer_of_asgi(door, of("str_one"))
        return tenant()

    assert asyncio.run(asked()) is None


def test_leaves_nothing_behind_when_a_request_is_cancelled() -> None:
    async def asked() -> list[str | None]:
        inside = asyncio.Event()
        seen = list[str | None]()

        async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
            inside.set()
            try:
                await asyncio.Event().wait()
            finally:
                seen.append(tenant())

        door = bearerguard.asgi.BearerMiddleware(waiting, Verifier(settings()))
        task = asyncio.create_task(answer_of_asgi(door, of("str_one")))
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return [*seen, tenant()]

    assert asyncio.run(asked()) == ["str_one", None]


# --- Threads and tasks -----------------------------------------------------------------------------------------------


def test_keeps_threads_apart(world: World) -> None:
    meet = threading.Barrier(8)

    def view() -> list[str | None]:
        before = tenant()
        meet.wait(10)
        return [before, tenant()]

    ask = world(view)
    names = [f"str_{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            answers = list(pool.map(lambda name: ask(of(name)).json(), names))
            assert answers == [[name, name] for name in names]


def test_keeps_requests_of_one_loop_apart() -> None:
    async def asked() -> list[Any]:
        meet = asyncio.Barrier(20)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            before = tenant()
            await meet.wait()
            await JSONResponse([before, tenant()])(scope, receive, send)

        door = bearerguard.asgi.BearerMiddleware(app, Verifier(settings()), optional=True)
        asks = [of(f"str_{number}") if number % 2 else Ask() for number in range(20)]
        return [answer.json() for answer in await asyncio.gather(*(answer_of_asgi(door, ask) for ask in asks))]

    expected = [f"str_{number}" if number % 2 else None for number in range(20)]
    assert asyncio.run(asked()) == [[name, name] for name in expected]


def test_lets_a_thread_pool_endpoint_see_its_request() -> None:
    thread_of_loop = threading.get_ident()

    @requires_token
    def view(request: Request) -> Response:
        return JSONResponse([tenant(), request.user.claims.tenant, threading.get_ident() != thread_of_loop])

    door = bearerguard.asgi.BearerMiddleware(Starlette(routes=[Route("/", view)]), Verifier(settings()))
    assert ask_asgi(door, of("str_one")).json() == ["str_one", "str_one", True]


@pytest.mark.parametrize("is_async", [True, False], ids=["async task", "task in a thread"])
def test_lets_a_background_task_see_its_request_and_no_other(is_async: bool) -> None:
    seen = list[str | None]()

    async def later() -> None:
        seen.append(tenant())

    async def view(_: Request) -> Response:
        return Response("done", background=BackgroundTask(later if is_async else lambda: seen.append(tenant())))

    async def asked() -> None:
        door = bearerguard.asgi.BearerMiddleware(
            Starlette(routes=[Route("/", view)]), Verifier(settings()), optional=True
        )
        for ask in (of("str_one"), Ask(), of("str_two")):
            await answer_of_asgi(door, ask)

    asyncio.run(asked())
    assert seen == ["str_one", None, "str_two"]


def test_guards_a_background_task() -> None:
    seen = list[str]()

    @requires_scope("write:orders")
    async def later() -> None:
        seen.append("ran")

    async def view(_: Request) -> Response:
        return Response("done", background=BackgroundTask(later))

    door = bearerguard.asgi.BearerMiddleware(Starlette(routes=[Route("/", view)]), Verifier(settings()))
    ask_asgi(door, Ask(headers=[bearer(token(scope="write:orders"))]))
    assert seen == ["ran"]
    with pytest.raises((AuthError, RuntimeError)):  # Starlette's, as the answer has begun
        ask_asgi(door, Ask(headers=[bearer(token())]))
    assert seen == ["ran"]


def test_lets_a_task_of_a_view_keep_its_claims_when_the_next_request_comes() -> None:
    async def asked() -> str | None:
        go, seen = asyncio.Event(), list[asyncio.Task[str | None]]()

        async def later() -> str | None:
            await go.wait()
            return tenant()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(asyncio.create_task(later()))
            await Response("done")(scope, receive, send)

        door = bearerguard.asgi.BearerMiddleware(app, Verifier(settings()))
        await answer_of_asgi(door, of("str_one"))
        await answer_of_asgi(door, of("str_two"))
        go.set()
        return await seen[0]

    assert asyncio.run(asked()) == "str_one"


def test_shows_the_claims_through_middleware_with_tasks_of_its_own() -> None:
    async def view(_: Request) -> Response:
        return StreamingResponse(f"{tenant()} " for _ in range(2))

    app = Starlette(routes=[Route("/", view)])
    app.add_middleware(BaseHTTPMiddleware, dispatch=lambda request, call_next: call_next(request))
    app.add_middleware(bearerguard.asgi.BearerMiddleware, verifier=Verifier(settings()))
    assert ask_asgi(app, of("str_one")).body == b"str_one str_one "
