"""Guards and errors in real Starlette, FastAPI and Flask applications, and in plain ASGI and WSGI ones."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any

import flask
import flask.views
import pytest
import starlette.authentication
import werkzeug.exceptions
from fastapi import APIRouter, BackgroundTasks, Body, Depends, FastAPI, Query, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Host, Mount, Route, Router, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

import bearerguard.asgi
import bearerguard.fastapi
import bearerguard.wsgi
from bearerguard import (
    AuthError,
    InsufficientScope,
    InvalidToken,
    MissingToken,
    SettingsError,
    TokenExpired,
    Unavailable,
    Verifier,
    current_claims,
    requires_any_scope,
    requires_kind,
    requires_scope,
    requires_token,
    single_use,
)
from bearerguard.flask import init_app
from tests.doors import PATIENCE_SECONDS, Answer, Ask, ask_asgi, ask_wsgi, bearer, lifespan
from tests.houses import NOBODY_LISTENS, TWO_KINDS, settings, token
from tests.test_websockets import DENIAL, Socket

TENANT = "str_8k2m4n6p"
ORIGIN = ("Origin", "https://app.example.com")
PREFLIGHT = [ORIGIN, ("Access-Control-Request-Method", "POST")]


def verifier(**changes: Any) -> Verifier[Any]:
    return Verifier(settings(**changes))


def behind(app: Any, **options: Any) -> Any:
    """`app` with a door among its own middleware."""
    app.add_middleware(bearerguard.asgi.SessionTokenMiddleware, verifier=verifier(), **options)
    return app


def with_scope(scope: str = "", target: str = "/", method: str = "GET", body: bytes = b"") -> Ask:
    return Ask(target, [bearer(token(scope=scope)), ("Content-Type", "application/json")], method, body)


def statuses(app: Any, *scopes: str, target: str = "/", method: str = "GET") -> list[int]:
    """What requests with these scopes are answered."""
    return [ask_either(app, with_scope(scope, target, method)).status for scope in scopes]


def ask_either(app: Any, ask: Ask) -> Answer:
    """What an application of either sort answers."""
    return ask_wsgi(app, ask) if isinstance(app, flask.Flask) else ask_asgi(app, ask)


# --- Starlette -------------------------------------------------------------------------------------------------------


@requires_scope("a")
async def an_async_view(request: Request) -> Response:
    return PlainTextResponse(str(request.user.claims.tenant))


@requires_scope("a")
def a_view_in_a_thread(request: Request) -> Response:
    return PlainTextResponse(str(current_claims().tenant))


class Endpoint(HTTPEndpoint):
    """An endpoint whose methods ask for different scopes."""

    @requires_scope("a")
    async def get(self, request: Request) -> Response:
        return PlainTextResponse(str(current_claims().tenant))

    @requires_scope("b")
    def post(self, request: Request) -> Response:
        return PlainTextResponse(str(current_claims().tenant))

    async def put(self, request: Request) -> Response:
        return PlainTextResponse("put")


class Views:
    """Views that are methods."""

    @requires_scope("a")
    async def view(self, request: Request) -> Response:
        return PlainTextResponse(str(current_claims().tenant))

    async def bare(self, request: Request) -> Response:
        return PlainTextResponse(str(current_claims().tenant))


async def with_a_word(request: Request, word: str) -> Response:
    return PlainTextResponse(f"{current_claims().tenant}{word}")


class AsgiObject:
    """An ASGI application that is an object."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(str(current_claims().tenant))(scope, receive, send)


async def asgi_function(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(str(current_claims().tenant))(scope, receive, send)


STARLETTE_ROUTES: dict[str, Callable[[], Any]] = {
    "async function": lambda: Route("/", an_async_view),
    "function in a thread": lambda: Route("/", a_view_in_a_thread),
    "endpoint": lambda: Route("/", Endpoint),
    "method": lambda: Route("/", Views().view),
    "guarded bound method": lambda: Route("/", requires_scope("a")(Views().bare)),
    "guarded partial": lambda: Route("/", requires_scope("a")(functools.partial(with_a_word, word=""))),
    "partial of a guarded view": lambda: Route("/", functools.partial(requires_scope("a")(with_a_word), word="")),
    "guarded application in a route": lambda: Route("/", requires_scope("a")(AsgiObject())),
    "mounted function": lambda: Mount("/", app=requires_scope("a")(asgi_function)),
    "mounted object": lambda: Mount("/", app=requires_scope("a")(AsgiObject())),
    "route in a mount": lambda: Mount("/", routes=[Route("/", an_async_view)]),
    "route in a host": lambda: Host("orders.example.com", app=Router([Route("/", an_async_view)])),
    "route with middleware": lambda: Route("/", an_async_view, middleware=[Middleware(CORSMiddleware)]),
}


@pytest.mark.parametrize("name", STARLETTE_ROUTES)
def test_guards_in_starlette(name: str) -> None:
    app = behind(Starlette(routes=[STARLETTE_ROUTES[name]()]))
    assert statuses(app, "b", "a") == [403, 200]
    assert ask_asgi(app, with_scope("a")).body.decode() == TENANT


def test_guards_each_method_of_an_endpoint_alone() -> None:
    app = behind(Starlette(routes=[Route("/", Endpoint)]))
    assert statuses(app, "a", "b", method="GET") == [200, 403]
    assert statuses(app, "a", "b", method="HEAD") == [200, 403]
    assert statuses(app, "a", "b", method="POST") == [403, 200]
    assert statuses(app, "", method="PUT") == [200]


@pytest.mark.parametrize("where", ["route", "mount", "around"])
def test_guards_behind_a_door_anywhere(where: str) -> None:
    door = functools.partial(bearerguard.asgi.SessionTokenMiddleware, verifier=verifier())
    apps: dict[str, Callable[[], ASGIApp]] = {
        "route": lambda: Starlette(routes=[Route("/", an_async_view, middleware=[Middleware(door)])]),
        "mount": lambda: Starlette(routes=[Mount("/", app=door(Router([Route("/", an_async_view)])))]),
        "around": lambda: door(Starlette(routes=[Route("/", an_async_view)])),
    }
    app = apps[where]()
    assert statuses(app, "b", "a") == [403, 200]
    assert ask_asgi(app, Ask()).status == 401


def test_lets_starlettes_own_guard_work() -> None:
    @starlette.authentication.requires(["a", "b"])
    async def view(request: Request) -> Response:
        return PlainTextResponse(request.user.display_name)

    app = behind(Starlette(routes=[Route("/", view)]), optional=True)
    assert statuses(app, "a", "a b", "a b c") == [403, 200, 200]
    assert ask_asgi(app, Ask()).status == 403


def test_gives_a_user_that_starlette_knows() -> None:
    async def view(request: Request) -> Response:
        user = request.user
        claims = None if user.claims is None else dict(user.claims.to_dict())
        return JSONResponse([user.is_authenticated, user.display_name, claims and claims["sub"], request.auth.scopes])

    app = behind(Starlette(routes=[Route("/", view)]), optional=True)
    assert ask_asgi(app, with_scope("b a")).json() == [True, "usr_7h3k9m2p", "usr_7h3k9m2p", ["a", "b"]]
    assert ask_asgi(app, Ask()).json() == [False, "", None, []]


class Echo(WebSocketEndpoint):
    """A WebSocket endpoint whose steps are guarded."""

    encoding = "text"

    @requires_scope("a")
    async def on_connect(self, websocket: WebSocket) -> None:
        await websocket.accept()

    @requires_scope("b")
    async def on_receive(self, websocket: WebSocket, data: str) -> None:
        await websocket.send_text(f"{current_claims().tenant}{data}")


def test_guards_the_steps_of_a_websocket_endpoint() -> None:
    async def story() -> None:
        app = behind(Starlette(routes=[WebSocketRoute("/ws", Echo)]))
        denied = await Socket(app, bearer(token(scope="b")), **DENIAL).rest()
        assert denied[0]["status"] == 403
        socket = Socket(app, bearer(token(scope="a b")), **DENIAL)
        assert (await socket.next())["type"] == "websocket.accept"
        socket.hears("!")
        assert (await socket.next())["text"] == f"{TENANT}!"
        socket.heard.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await socket.rest()
        socket = Socket(app, bearer(token(scope="a")), **DENIAL)
        assert (await socket.next())["type"] == "websocket.accept"
        socket.hears("!")
        close = await socket.next()
        assert (close["type"], close["code"]) == ("websocket.close", 1008)
        await socket.rest()

    asyncio.run(story())


# --- Plain applications ----------------------------------------------------------------------------------------------


def wsgi_function(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(current_claims().tenant).encode()]


def wsgi_generator(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield str(current_claims().tenant).encode()


class WsgiObject:
    """A WSGI application that is an object."""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        return wsgi_function(environ, start_response)


@pytest.mark.parametrize("app", [wsgi_function, wsgi_generator, WsgiObject()], ids=["function", "generator", "object"])
def test_guards_plain_wsgi(app: Any) -> None:
    door = bearerguard.wsgi.SessionTokenMiddleware(single_use(requires_scope("a")(app)), verifier())
    refused = ask_wsgi(door, with_scope("b"))
    assert (refused.status, (refused.challenge or {})["scope"]) == (403, "a")
    once = with_scope("a")
    assert [(answer.status, answer.body.decode()) for answer in [ask_wsgi(door, once)]] == [(200, TENANT)]
    assert ask_wsgi(door, once).status == 401


@pytest.mark.parametrize("app", [asgi_function, AsgiObject()], ids=["function", "object"])
def test_guards_plain_asgi(app: Any) -> None:
    door = bearerguard.asgi.SessionTokenMiddleware(single_use(requires_scope("a")(app)), verifier())
    refused = ask_asgi(door, with_scope("b"))
    assert (refused.status, (refused.challenge or {})["scope"]) == (403, "a")
    once = with_scope("a")
    assert [(answer.status, answer.body.decode()) for answer in [ask_asgi(door, once)]] == [(200, TENANT)]
    assert ask_asgi(door, once).status == 401


def test_lets_other_connections_pass() -> None:
    seen = list[str]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    door = bearerguard.asgi.SessionTokenMiddleware(app, verifier())
    asyncio.run(door({"type": "webtransport"}, None, None))  # type: ignore[arg-type]
    assert seen == ["webtransport"]


# --- FastAPI ---------------------------------------------------------------------------------------------------------


def fast(*, responses: Mapping[int | str, dict[str, Any]] | None = None, **options: Any) -> FastAPI:
    app: FastAPI = behind(FastAPI(responses={**(responses or {})}), **options)
    return app


class Methods:
    """Views that are methods."""

    @requires_scope("a")
    async def view(self, page: int = 1) -> str:
        return str(current_claims().tenant)

    def bare(self) -> str:
        return str(current_claims().tenant)


def a_word(word: str = "") -> str:
    return f"{current_claims().tenant}{word}"


class CallableView:
    """A view that is an object."""

    async def __call__(self, page: int = 1) -> str:
        return str(current_claims().tenant)


@requires_scope("a")
async def in_the_loop() -> str:
    return str(current_claims().tenant)


@requires_scope("a")
def in_a_thread() -> str:
    return str(current_claims().tenant)


@requires_scope("a")
async def with_parameters(request: Request, page: Annotated[int, Query(ge=1)] = 1) -> str:
    assert request.user.claims is current_claims()
    return str(current_claims().tenant)


@requires_scope("a")
async def streaming_in_fastapi() -> StreamingResponse:
    return StreamingResponse(str(current_claims().tenant) for _ in range(1))


FAST_VIEWS: dict[str, Callable[[], Any]] = {
    "async": lambda: in_the_loop,
    "sync": lambda: in_a_thread,
    "with parameters": lambda: with_parameters,
    "streaming": lambda: streaming_in_fastapi,
    "guarded method": lambda: Methods().view,
    "guarded bound method": lambda: requires_scope("a")(Methods().bare),
    "guarded partial": lambda: requires_scope("a")(functools.partial(a_word, word="")),
    "partial of a guarded view": lambda: functools.partial(requires_scope("a")(a_word), word=""),
    "guarded object": lambda: requires_scope("a")(CallableView()),
}


@pytest.mark.parametrize("name", FAST_VIEWS)
@pytest.mark.parametrize("is_routed", [False, True], ids=["app", "routers"])
def test_guards_in_fastapi(name: str, is_routed: bool) -> None:
    app, outer, inner = fast(), APIRouter(prefix="/one"), APIRouter(prefix="/two")
    (inner if is_routed else app).add_api_route("/view", FAST_VIEWS[name]())
    outer.include_router(inner)
    app.include_router(outer)
    target = "/one/two/view" if is_routed else "/view"
    assert statuses(app, "b", "a", target=target) == [403, 200]
    assert TENANT in ask_asgi(app, with_scope("a", target)).body.decode()
    assert scopes_in_openapi(app, target) == ["a"]
    assert "bearerguard" not in json.dumps(app.openapi())


def test_guards_routes_that_are_added_to_a_router_later() -> None:
    app, router = fast(), APIRouter()
    app.include_router(router)
    app.add_api_route("/view", in_the_loop)
    assert statuses(app, "b", "a", target="/view") == [403, 200]


def streams_from_views() -> bool:
    """Whether this FastAPI takes views that are generators."""
    try:
        import fastapi.sse  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.mark.skipif(not streams_from_views(), reason="this FastAPI takes no generators as views")
@pytest.mark.parametrize("is_async", [True, False])
def test_guards_generators_in_fastapi(is_async: bool) -> None:
    app = fast()

    @app.get("/async")
    @requires_scope("a")
    async def numbers() -> AsyncIterator[str]:
        for _ in range(2):
            yield str(current_claims().tenant)

    @app.get("/sync")
    @requires_scope("a")
    def numbers_in_a_thread() -> Iterator[str]:
        for _ in range(2):
            yield str(current_claims().tenant)

    target = "/async" if is_async else "/sync"
    assert statuses(app, "b", "a", target=target) == [403, 200]
    lines = ask_asgi(app, with_scope("a", target)).body.decode().split()
    assert [json.loads(line) for line in lines] == [TENANT, TENANT]


@pytest.mark.skipif(not streams_from_views(), reason="this FastAPI takes no generators as views")
def test_takes_a_token_once_at_a_generator_in_fastapi() -> None:
    app = fast()

    @app.get("/")
    @single_use
    def numbers() -> Iterator[str]:
        yield "one"

    once = with_scope()
    assert [ask_asgi(app, once).status for _ in range(2)] == [200, 401]


def test_guards_websockets_in_fastapi() -> None:
    app = fast()
    router = APIRouter(prefix="/ws")

    @router.websocket("/{room}")
    @requires_scope("a")
    async def chat(websocket: WebSocket, room: str) -> None:
        await websocket.accept()
        await websocket.send_text(f"{room} {current_claims().tenant}")
        await websocket.close()

    app.include_router(router)

    async def story() -> None:
        denied = await Socket(app, bearer(token(scope="b")), path="/ws/lobby", **DENIAL).rest()
        assert denied[0]["status"] == 403
        told = await Socket(app, bearer(token(scope="a")), path="/ws/lobby", **DENIAL).rest()
        assert told[1]["text"] == f"lobby {TENANT}"

    asyncio.run(story())


@requires_scope("a")
async def shop(page: int = 1) -> str | None:
    return current_claims().tenant


def test_guards_a_dependency() -> None:
    app = fast()

    @app.get("/")
    async def view(tenant: Annotated[str, Depends(shop)]) -> str:
        return tenant

    assert statuses(app, "b", "a") == [403, 200]
    assert scopes_in_openapi(app, "/") == ["a"]


def test_spends_a_token_once_though_two_dependencies_ask() -> None:
    app = fast()

    @single_use
    def first() -> None: ...

    @single_use
    def second() -> None: ...

    @app.get("/", dependencies=[Depends(first), Depends(second)])
    @single_use
    async def view() -> str:
        return "done"

    once = with_scope()
    assert [ask_asgi(app, once).status for _ in range(2)] == [200, 401]


def test_lets_background_tasks_of_fastapi_see_the_claims() -> None:
    app, seen = fast(), list[str | None]()

    @app.get("/")
    @requires_token
    async def view(tasks: BackgroundTasks) -> str:
        tasks.add_task(lambda: seen.append(current_claims().tenant))
        return "done"

    ask_asgi(app, with_scope())
    assert seen == [TENANT]


@pytest.mark.parametrize("is_async", [True, False])
def test_refuses_before_the_body_is_looked_at(is_async: bool) -> None:
    app = fast()

    @requires_scope("a")
    async def view(item: Annotated[dict[str, int], Body()], page: int) -> str:
        return "done"

    @requires_scope("a")
    def view_in_a_thread(item: Annotated[dict[str, int], Body()], page: int) -> str:
        return "done"

    app.add_api_route("/", view if is_async else view_in_a_thread, methods=["POST"])
    for body in (b"{}", b'{"x": "no number"}', b"[]"):
        assert ask_asgi(app, with_scope("b", "/?page=x", "POST", body)).status == 403
    assert ask_asgi(app, with_scope("a", "/?page=x", "POST", b"{}")).status == 422
    assert ask_asgi(app, with_scope("a", "/?page=1", "POST", b'{"x": 1}')).status == 200


def test_spends_nothing_on_a_body_that_is_not_taken() -> None:
    app = fast()

    @app.post("/")
    @single_use
    async def view(item: dict[str, int]) -> str:
        return "done"

    text = bearer(token())
    bodies = (b'{"x": "no number"}', b'{"x": 1}', b'{"x": 1}')
    asks = [Ask("/", [text, ("Content-Type", "application/json")], "POST", body) for body in bodies]
    assert [ask_asgi(app, ask).status for ask in asks] == [422, 200, 401]


# --- FastAPI's OpenAPI -----------------------------------------------------------------------------------------------


def operation(app: FastAPI, path: str, method: str = "get") -> dict[str, Any]:
    found: dict[str, Any] = app.openapi()["paths"][path][method]
    return found


def scopes_in_openapi(app: FastAPI, path: str) -> list[str]:
    """The scopes of the one security requirement of a route."""
    (requirement,) = operation(app, path)["security"]
    (scopes,) = requirement.values()
    return sorted(scopes)


def documented() -> FastAPI:
    app = FastAPI(responses={**bearerguard.fastapi.RESPONSES})

    @app.get("/open")
    async def open_to_all() -> str:
        return "open"

    @app.get("/token")
    @requires_token
    async def with_token() -> str:
        return "token"

    @app.get("/scopes/{item}")
    @requires_scope("b")
    @single_use
    @requires_any_scope("c", "d")
    @requires_scope("a", "b")
    async def with_scopes(item: int, page: int = 1) -> str:
        return "scopes"

    @app.get("/sync")
    @requires_scope("a")
    def in_a_thread() -> str:
        return "sync"

    return app


def test_shows_the_lock_and_the_scopes() -> None:
    app = documented()
    assert "security" not in operation(app, "/open")
    assert scopes_in_openapi(app, "/token") == []
    assert scopes_in_openapi(app, "/scopes/{item}") == ["a", "b", "c", "d"]
    assert scopes_in_openapi(app, "/sync") == ["a"]


def test_shows_one_scheme_for_all() -> None:
    schemes = documented().openapi()["components"]["securitySchemes"]
    assert [(scheme["type"], scheme["scheme"]) for scheme in schemes.values()] == [("http", "bearer")]
    (name,) = schemes
    assert all(
        name in requirement for path in ("/token", "/sync") for requirement in operation(documented(), path)["security"]
    )


def test_shows_no_parameter_of_its_own() -> None:
    text = json.dumps(documented().openapi())
    assert "bearerguard" not in text
    assert [one["name"] for one in operation(documented(), "/scopes/{item}")["parameters"]] == ["item", "page"]
    assert "requestBody" not in operation(documented(), "/scopes/{item}")


def test_shows_the_answers_of_refusals() -> None:
    responses = operation(documented(), "/token")["responses"]
    assert {"200", "401", "403", "503"} <= set(responses)
    schema = responses["401"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) == {"error", "detail"}


def test_shows_a_scheme_of_the_users_own_beside_ours_once() -> None:
    app, own = FastAPI(), HTTPBearer(auto_error=False)

    @app.get("/", dependencies=[Security(own)])
    @requires_scope("a")
    @requires_scope("b")
    async def view() -> str:
        return "done"

    security = operation(app, "/")["security"]
    assert len(security) == len({tuple(requirement) for requirement in security}) == 2


def test_shows_the_scopes_of_websockets_nowhere() -> None:
    app = FastAPI()

    @app.websocket("/ws")
    @requires_scope("a")
    async def view(websocket: WebSocket) -> None: ...

    assert app.openapi()["paths"] == {}


IMPORTED_LATER = """
import sys
from bearerguard import requires_scope
@requires_scope("read:orders")
async def orders(page: int = 1): return {"page": page}
assert "fastapi" not in sys.modules and "starlette" not in sys.modules
import json
from fastapi import FastAPI
app = FastAPI()
app.get("/orders")(orders)
json.dump(app.openapi()["paths"]["/orders"]["get"], sys.stdout)
"""


def test_documents_a_view_that_was_guarded_before_fastapi_was_there() -> None:
    ran = subprocess.run([sys.executable, "-c", IMPORTED_LATER], capture_output=True, check=True, timeout=60)
    shown = json.loads(ran.stdout)
    assert [list(requirement.values()) for requirement in shown["security"]] == [[["read:orders"]]]
    assert [parameter["name"] for parameter in shown["parameters"]] == ["page"]


# --- Flask -----------------------------------------------------------------------------------------------------------


def flask_app(**options: Any) -> flask.Flask:
    app = flask.Flask(__name__, static_folder=None)
    init_app(
        app, bearerguard.wsgi.SessionTokenMiddleware, verifier=options.pop("verifier", None) or verifier(), **options
    )
    return app


class View(flask.views.MethodView):
    """A view class whose methods ask for different scopes."""

    @requires_scope("a")
    def get(self) -> str:
        return str(current_claims().tenant)

    @requires_scope("b")
    async def post(self) -> str:
        return str(current_claims().tenant)

    def put(self) -> str:
        return str(current_claims().tenant)


class Decorated(flask.views.MethodView):
    """A view class that is guarded as a whole."""

    decorators = [requires_scope("a")]  # noqa: RUF012

    def get(self) -> str:
        return str(current_claims().tenant)


def plain_view() -> str:
    return str(current_claims().tenant)


async def async_view() -> str:
    await asyncio.sleep(0)
    return str(current_claims().tenant)


def stream() -> flask.Response:
    return flask.Response(str(current_claims().tenant)[number] for number in range(len(TENANT)))


def stream_with_context() -> flask.Response:
    def pieces() -> Iterator[str]:
        yield flask.request.method.removeprefix("GET")
        yield str(current_claims().tenant)

    return flask.Response(flask.stream_with_context(pieces()))


def generator() -> Iterator[str]:
    yield str(current_claims().tenant)


FLASK_VIEWS: dict[str, Callable[[], Any]] = {
    "function": lambda: requires_scope("a")(plain_view),
    "async function": lambda: requires_scope("a")(async_view),
    "MethodView": lambda: View.as_view("view"),
    "decorated MethodView": lambda: Decorated.as_view("view"),
    "guarded as_view": lambda: requires_scope("a")(Decorated.as_view("view")),
    "stream": lambda: requires_scope("a")(stream),
    "stream with context": lambda: requires_scope("a")(stream_with_context),
    "generator": lambda: requires_scope("a")(generator),
    "partial": lambda: requires_scope("a")(functools.partial(plain_view)),
    "object": lambda: requires_scope("a")(FlaskObject()),
}


class FlaskObject:
    """A view that is an object."""

    def __call__(self) -> str:
        return str(current_claims().tenant)


@pytest.mark.parametrize("name", FLASK_VIEWS)
@pytest.mark.parametrize("is_in_blueprint", [False, True], ids=["app", "blueprint"])
def test_guards_in_flask(name: str, is_in_blueprint: bool) -> None:
    app = flask_app()
    routes: flask.Flask | flask.Blueprint = flask.Blueprint("shop", __name__) if is_in_blueprint else app
    routes.add_url_rule("/", endpoint="view", view_func=FLASK_VIEWS[name]())
    if isinstance(routes, flask.Blueprint):
        app.register_blueprint(routes)
    assert statuses(app, "b", "a") == [403, 200]
    assert ask_wsgi(app, with_scope("a")).body.decode() == TENANT


def test_guards_each_method_of_a_method_view_alone() -> None:
    app = flask_app()
    app.add_url_rule("/", view_func=View.as_view("view"))
    assert statuses(app, "a", "b") == [200, 403]
    assert statuses(app, "a", "b", method="HEAD") == [200, 403]
    assert statuses(app, "a", "b", method="POST") == [403, 200]
    assert statuses(app, "", method="PUT") == [200]


@pytest.mark.parametrize("view", [plain_view, async_view, generator])
def test_takes_a_token_once_in_flask(view: Callable[[], Any]) -> None:
    app = flask_app()
    app.add_url_rule("/", endpoint="view", view_func=single_use(view))
    once = with_scope()
    assert [ask_wsgi(app, once).status for _ in range(3)] == [200, 401, 401]


def test_wraps_the_application_of_flask() -> None:
    app = flask_app(exempt=("/health",), realm="orders")
    app.add_url_rule("/health", view_func=lambda: "well", endpoint="health")
    assert ask_wsgi(app, Ask("/health")).body == b"well"
    assert ask_wsgi(app, Ask("/")).challenge == {"realm": "orders"}
    assert app.test_client().get("/health").status_code == 200
    assert app.test_client().get("/").status_code == 401


def test_works_where_other_middleware_stands_around() -> None:
    app = flask_app()
    app.add_url_rule("/", view_func=requires_scope("a")(plain_view))
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    assert statuses(app, "b", "a") == [403, 200]


# --- A guard that stands too high ------------------------------------------------------------------------------------


def above_in_starlette(app: Starlette) -> None:
    async def view(_: Request) -> Response:
        return PlainTextResponse("unguarded")

    app.add_route("/", view)
    requires_scope("a")(view)


def above_in_starlette_endpoint(app: Starlette) -> None:
    async def socket(_: WebSocket) -> None: ...

    app.routes.append(WebSocketRoute("/ws", socket))
    requires_scope("a")(socket)


def above_in_a_mount(app: Starlette) -> None:
    async def view(_: Request) -> Response:
        return PlainTextResponse("unguarded")

    app.mount("/", Router([Mount("/deep", routes=[Route("/", view)]), Route("/", view)]))
    requires_token(view)


def above_in_a_host(app: Starlette) -> None:
    async def view(_: Request) -> Response:
        return PlainTextResponse("unguarded")

    app.host("orders.example.com", Router([Route("/", view)]))
    requires_token(view)


def above_behind_middleware(app: Starlette) -> None:
    async def view(_: Request) -> Response:
        return PlainTextResponse("unguarded")

    app.routes.append(Route("/", view, middleware=[Middleware(CORSMiddleware)]))
    requires_token(view)


def above_in_a_wrapped_mount(app: Starlette) -> None:
    async def view(_: Request) -> Response:
        return PlainTextResponse("unguarded")

    app.mount("/", CORSMiddleware(CORSMiddleware(Starlette(routes=[Route("/", view)]))))
    requires_token(view)


def below_and_above(app: Starlette) -> None:
    @requires_scope("b")
    async def view(_: Request) -> Response:
        return PlainTextResponse("half guarded")

    app.add_route("/", view)
    requires_scope("a")(view)


def above_another_decorator(app: Starlette) -> None:
    async def view(_: Request) -> Response:
        return PlainTextResponse("unguarded")

    def other(view: Callable[..., Any]) -> Callable[..., Any]:
        return functools.wraps(view)(lambda *args: view(*args))

    app.add_route("/", view)
    requires_scope("a")(other(view))


def above_in_fastapi(app: FastAPI) -> None:
    @requires_scope("a")
    @app.get("/")
    async def view() -> str:
        return "unguarded"


def between_two_routes(app: FastAPI) -> None:
    @app.get("/guarded")
    @requires_scope("a")
    @app.get("/")
    async def view() -> str:
        return "unguarded"


def in_a_module(text: str) -> Callable[[FastAPI], None]:
    """A module that is run with an application."""

    def mistake(app: FastAPI) -> None:
        exec(text, {"app": app, "requires_scope": requires_scope, "__name__": "shop"})

    return mistake


def kept_alive(app: FastAPI) -> None:
    @requires_scope("a")
    @app.get("/")
    async def view() -> str:
        return "unguarded"

    app.state.view = view


def by_a_decorator_of_ones_own(app: FastAPI) -> None:
    def admin(view: Callable[..., Any]) -> Callable[..., Any]:
        return requires_scope("a")(view)

    @admin
    @app.get("/")
    async def view() -> str:
        return "unguarded"

    app.state.view = view


above_in_a_module = in_a_module("""
@requires_scope("a")
@app.get("/")
async def view(): return "unguarded"
""")
between_in_a_module = in_a_module("""
@app.get("/guarded")
@requires_scope("a")
@app.get("/")
async def view(): return "unguarded"
""")
above_in_a_class = in_a_module("""
class Views:
    @requires_scope("a")
    @app.get("/")
    async def view(): return "unguarded"
""")
above_two_routes = in_a_module("""
@requires_scope("a")
@app.get("/")
@app.get("/too")
async def view(): return "unguarded"
""")


def above_in_a_router(app: FastAPI) -> None:
    inner, outer = APIRouter(), APIRouter()

    @requires_scope("a")
    @inner.get("/")
    def view() -> str:
        return "unguarded"

    outer.include_router(inner)
    app.include_router(outer)


def above_a_websocket(app: FastAPI) -> None:
    router = APIRouter()

    @requires_scope("a")
    @router.websocket("/ws")
    async def view(websocket: WebSocket) -> None: ...

    app.include_router(router)


def above_in_a_mounted_fastapi(app: FastAPI) -> None:
    mounted = FastAPI()
    above_in_a_router(mounted)
    app.mount("/", mounted)


STARLETTE_MISTAKES: tuple[Callable[[Starlette], None], ...] = (
    above_in_starlette,
    above_in_starlette_endpoint,
    above_in_a_mount,
    above_in_a_host,
    above_behind_middleware,
    above_in_a_wrapped_mount,
    below_and_above,
    above_another_decorator,
)
FAST_MISTAKES: dict[str, Callable[[FastAPI], None]] = {
    "in a function": above_in_fastapi,
    "between two routes in a function": between_two_routes,
    "in a function that goes on": kept_alive,
    "by a decorator of one's own": by_a_decorator_of_ones_own,
    "in a router": above_in_a_router,
    "a websocket": above_a_websocket,
    "in a mounted FastAPI": above_in_a_mounted_fastapi,
    "in a module": above_in_a_module,
    "between two routes in a module": between_in_a_module,
    "above two routes": above_two_routes,
    "in a class": above_in_a_class,
}
Mistake = Callable[[Any], None]
asgi_mistakes = pytest.mark.parametrize(
    ("app", "mistake"),
    [
        *(pytest.param(Starlette, mistake, id=mistake.__name__) for mistake in STARLETTE_MISTAKES),
        *(pytest.param(FastAPI, mistake, id=name) for name, mistake in FAST_MISTAKES.items()),
    ],
)


def around(app: ASGIApp) -> ASGIApp:
    return bearerguard.asgi.SessionTokenMiddleware(app, verifier())


doors_of_asgi = pytest.mark.parametrize("door", [behind, around], ids=["inside", "around"])


@asgi_mistakes
@doors_of_asgi
def test_finds_a_guard_above_its_route_at_start(app: Callable[[], Any], mistake: Mistake, door: Any) -> None:
    mistaken = app()
    mistake(mistaken)
    gc.collect()

    async def story() -> None:
        async with lifespan(door(mistaken)) as said:
            assert said["type"] == "lifespan.startup.failed"
            assert "put the guard below" in said["message"]

    asyncio.run(story())


@asgi_mistakes
@doors_of_asgi
def test_finds_a_guard_above_its_route_on_every_request(app: Callable[[], Any], mistake: Mistake, door: Any) -> None:
    mistaken = app()
    mistake(mistaken)
    gc.collect()
    guarded = door(mistaken)
    for ask in (with_scope("a"), with_scope(), Ask("/"), Ask("/nothing/here")):
        with pytest.raises(SettingsError, match=r"put the guard below: first @app\.get"):
            ask_asgi(guarded, ask)


def test_finds_a_guard_above_its_route_behind_what_cannot_be_looked_through() -> None:
    inner = Starlette()
    above_in_starlette(inner)
    door = around(inner)

    async def opaque(scope: Scope, receive: Receive, send: Send) -> None:
        await door(scope, receive, send)

    app = Starlette(routes=[Mount("/", app=opaque)])
    with pytest.raises(SettingsError, match="put the guard below"):
        ask_asgi(app, with_scope("a"))


def above_in_flask(app: flask.Flask) -> None:
    @requires_scope("a")
    @app.get("/")
    def view() -> str:
        return "unguarded"


def above_in_a_blueprint(app: flask.Flask) -> None:
    outer, inner = flask.Blueprint("outer", __name__), flask.Blueprint("inner", __name__)

    @requires_scope("a")
    @inner.route("/")
    async def view() -> str:
        return "unguarded"

    outer.register_blueprint(inner)
    app.register_blueprint(outer)


def above_a_method_view(app: flask.Flask) -> None:
    view = View.as_view("view")
    app.add_url_rule("/", view_func=view)
    requires_scope("a")(view)


FLASK_MISTAKES: dict[str, Mistake] = {
    mistake.__name__: mistake for mistake in (above_in_flask, above_in_a_blueprint, above_a_method_view)
}


def through(app: Any) -> Callable[..., Any]:
    """Middleware that nobody can look through."""
    return lambda environ, start_response: app(environ, start_response)


def opaque_then_door(app: flask.Flask) -> Any:
    app.wsgi_app = through(app.wsgi_app)  # type: ignore[method-assign]
    init_app(app, bearerguard.wsgi.SessionTokenMiddleware, verifier=verifier())
    return app


def proxy_then_door(app: flask.Flask) -> Any:
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    init_app(app, bearerguard.wsgi.SessionTokenMiddleware, verifier=verifier())
    return app


def door_inside(app: flask.Flask) -> Any:
    init_app(app, bearerguard.wsgi.SessionTokenMiddleware, verifier=verifier())
    return app


def door_around(app: flask.Flask) -> Any:
    return bearerguard.wsgi.SessionTokenMiddleware(app, verifier())


def door_around_several(app: flask.Flask) -> Any:
    return bearerguard.wsgi.SessionTokenMiddleware(DispatcherMiddleware(wsgi_function, {"/shop": app}), verifier())


FLASK_DOORS = {
    door.__name__: door for door in (door_inside, door_around, door_around_several, proxy_then_door, opaque_then_door)
}


@pytest.mark.parametrize("mistake", FLASK_MISTAKES)
@pytest.mark.parametrize("door", FLASK_DOORS)
@pytest.mark.parametrize("is_first", [True, False], ids=["routes first", "door first"])
def test_finds_a_guard_above_its_route_in_flask(mistake: str, door: str, is_first: bool) -> None:
    app = flask.Flask(__name__)
    if is_first:
        FLASK_MISTAKES[mistake](app)
    guarded = FLASK_DOORS[door](app)
    if not is_first:
        FLASK_MISTAKES[mistake](app)
    target = "/shop/" if door == "door_around_several" else "/"
    for ask in (with_scope("a", target), with_scope("", target), Ask(target), Ask("/shop/nothing/here")):
        with pytest.raises(SettingsError, match=r"put the guard below: first @app\.get"):
            ask_wsgi(guarded, ask)


def test_finds_an_unnamed_guard_under_several_kinds_at_start() -> None:
    app = Starlette(routes=[Route("/", an_async_view)])
    app.add_middleware(bearerguard.asgi.BearerMiddleware, verifier=Verifier(*TWO_KINDS))

    async def story() -> None:
        async with lifespan(app) as said:
            assert said["type"] == "lifespan.startup.failed"
            assert "kind=" in said["message"]

    asyncio.run(story())


class SlottedEndpoint:
    """An ASGI application that cannot be referred to weakly."""

    __slots__ = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("done")(scope, receive, send)


class UnhashableEndpoint:
    """An ASGI application without a hash."""

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = None  # type: ignore[assignment]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("done")(scope, receive, send)


@pytest.mark.parametrize("endpoint", [SlottedEndpoint(), UnhashableEndpoint()], ids=["slotted", "unhashable"])
@pytest.mark.parametrize("kinds", [TWO_KINDS[:1], TWO_KINDS], ids=["one kind", "two kinds"])
def test_looks_at_views_of_every_shape(endpoint: Any, kinds: Any) -> None:
    app = Starlette(routes=[Route("/", endpoint)])
    app.add_middleware(bearerguard.asgi.BearerMiddleware, verifier=Verifier(*kinds))
    assert statuses(app, "") == [200]


def test_takes_a_guarded_view_of_a_module_that_another_route_guards_further() -> None:
    def once() -> FastAPI:
        app = fast()
        app.add_api_route("/", single_use(in_the_loop), methods=["POST"])
        return app

    text = bearer(token(scope="a"))
    assert [ask_asgi(app, Ask("/", [text], "POST")).status for app in [once()]] == [200]
    gc.collect()
    plain = fast()
    plain.add_api_route("/", in_the_loop)
    assert statuses(plain, "b", "a") == [403, 200]


def test_opens_when_every_guard_stands_right() -> None:
    app = fast()
    app.add_api_route("/", in_the_loop)

    async def story() -> None:
        async with lifespan(app) as said:
            assert said["type"] == "lifespan.startup.complete"

    asyncio.run(story())


def test_closes_its_clients_with_the_lifespan() -> None:
    closed = list[str]()
    one = verifier()
    app = Starlette(routes=[Route("/", an_async_view)])
    app.add_middleware(bearerguard.asgi.SessionTokenMiddleware, verifier=one)

    async def story() -> None:
        async with lifespan(app) as said:
            assert said["type"] == "lifespan.startup.complete"
            before = one.connections.of_this_loop(), one.connections.blocking()
        after = one.connections.of_this_loop(), one.connections.blocking()
        closed.extend("port" for old, new in zip(before, after, strict=True) if old is not new)

    asyncio.run(story())
    assert closed == ["port", "port"]


def test_closes_nothing_before_the_application_has_shut_down() -> None:
    statuses_at_shutdown = list[str]()
    one = verifier()

    @contextlib.asynccontextmanager
    async def living(_: Starlette) -> AsyncIterator[None]:
        yield
        statuses_at_shutdown.append((await one.averify(token())).tenant or "")

    app = Starlette(routes=[Route("/", an_async_view)], lifespan=living)
    app.add_middleware(bearerguard.asgi.SessionTokenMiddleware, verifier=one)

    async def story() -> None:
        async with lifespan(app):
            pass

    asyncio.run(story())
    assert statuses_at_shutdown == [TENANT]


# --- Handlers of the application -------------------------------------------------------------------------------------


async def asgi_handler(_: Request, error: Exception) -> Response:
    known = isinstance(error, HTTPException) and isinstance(error, AuthError)
    headers: Any = error.headers if isinstance(error, HTTPException) else None
    return JSONResponse({"ours": known}, status_code=499, headers={**(headers or {})})


ASGI_HANDLED: dict[str, Any] = {
    "AuthError": AuthError,
    "InsufficientScope": InsufficientScope,
    "HTTPException": HTTPException,
    "403": 403,
}


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
@pytest.mark.parametrize("handled", ASGI_HANDLED)
def test_lets_handlers_of_starlette_answer(framework: Any, handled: str) -> None:
    app = behind(framework(exception_handlers={ASGI_HANDLED[handled]: asgi_handler}))
    app.add_route("/", an_async_view)
    answer = ask_asgi(app, with_scope("b"))
    assert (answer.status, answer.json()) == (499, {"ours": True})
    assert (answer.challenge or {})["error"] == "insufficient_scope"


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
@pytest.mark.parametrize(("handled", "status"), [(MissingToken, 401), (401, 401), (AuthError, 401)], ids=str)
def test_lets_handlers_of_starlette_answer_for_nobody(framework: Any, handled: Any, status: int) -> None:
    app = behind(framework(exception_handlers={handled: asgi_handler}), optional=True)
    app.add_route("/", an_async_view)
    assert ask_asgi(app, Ask()).status == 499


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
def test_lets_the_nearest_handler_of_starlette_answer(framework: Any) -> None:
    async def other(*_: object) -> Response:
        raise AssertionError("the wrong handler")

    app = behind(framework(exception_handlers={HTTPException: other, AuthError: asgi_handler}))
    app.add_route("/", an_async_view)
    assert ask_asgi(app, with_scope("b")).status == 499


def test_gives_the_default_handlers_what_they_need() -> None:
    for framework in (Starlette, FastAPI):
        app = behind(framework())
        app.add_route("/", an_async_view)
        answer = ask_asgi(app, with_scope("b"))
        assert answer.status == 403
        assert (answer.challenge or {})["scope"] == "a"
        assert "no-store" in (answer.header("cache-control") or "")


def test_leaves_other_errors_of_fastapi_alone() -> None:
    async def invalid(*_: object) -> Response:
        return PlainTextResponse("invalid", 400)

    app = fast()
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_api_route("/", with_parameters)
    assert statuses(app, "a", target="/?page=seven") == [400]


FLASK_HANDLED: dict[str, Any] = {
    "AuthError": AuthError,
    "InsufficientScope": InsufficientScope,
    "Forbidden": werkzeug.exceptions.Forbidden,
    "HTTPException": werkzeug.exceptions.HTTPException,
    "403": 403,
}


def flask_handler(error: Exception) -> Any:
    is_both = isinstance(error, werkzeug.exceptions.HTTPException) and isinstance(error, AuthError)
    return {"ours": is_both}, 499


def flask_with_view(**options: Any) -> flask.Flask:
    app = flask_app(**options)
    app.add_url_rule("/", view_func=requires_scope("a")(plain_view))
    return app


@pytest.mark.parametrize("handled", FLASK_HANDLED)
@pytest.mark.parametrize("is_first", [True, False], ids=["handler first", "door first"])
def test_lets_handlers_of_flask_answer(handled: str, is_first: bool) -> None:
    app = flask.Flask(__name__)
    if is_first:
        app.register_error_handler(FLASK_HANDLED[handled], flask_handler)
    init_app(app, bearerguard.wsgi.SessionTokenMiddleware, verifier=verifier())
    if not is_first:
        app.register_error_handler(FLASK_HANDLED[handled], flask_handler)
    app.add_url_rule("/", view_func=requires_scope("a")(plain_view))
    answer = ask_wsgi(app, with_scope("b"))
    assert (answer.status, answer.json()) == (499, {"ours": True})


@pytest.mark.parametrize("handled", FLASK_HANDLED)
def test_lets_handlers_of_a_blueprint_answer(handled: str) -> None:
    app, shop = flask_app(), flask.Blueprint("shop", __name__)
    shop.register_error_handler(FLASK_HANDLED[handled], flask_handler)
    shop.add_url_rule("/", view_func=requires_scope("a")(plain_view))
    app.register_blueprint(shop)
    assert ask_wsgi(app, with_scope("b")).status == 499


@pytest.mark.parametrize("handled", [401, MissingToken, werkzeug.exceptions.Unauthorized, AuthError], ids=str)
def test_lets_handlers_of_flask_answer_for_nobody(handled: Any) -> None:
    app = flask_with_view(optional=True)
    app.register_error_handler(handled, flask_handler)
    assert ask_wsgi(app, Ask()).status == 499


@pytest.mark.parametrize("handled", [503, Unavailable, werkzeug.exceptions.ServiceUnavailable], ids=str)
def test_lets_handlers_of_flask_answer_where_we_could_not_find_out(handled: Any) -> None:
    unsure = Verifier(settings(), store=NOBODY_LISTENS)
    app = flask_app(verifier=unsure, exempt=("/",))
    app.add_url_rule("/", endpoint="view", view_func=lambda: unsure.verify(token()).to_dict())
    app.register_error_handler(handled, flask_handler)
    assert ask_wsgi(app, Ask()).status == 499


@pytest.mark.parametrize("handled", FLASK_HANDLED)
def test_lets_handlers_of_a_nested_blueprint_answer(handled: str) -> None:
    app, outer, inner = flask_app(), flask.Blueprint("outer", __name__), flask.Blueprint("inner", __name__)
    inner.add_url_rule("/inner", view_func=requires_scope("a")(plain_view))
    outer.add_url_rule("/outer", view_func=requires_scope("a")(async_view))
    inner.register_error_handler(FLASK_HANDLED[handled], flask_handler)
    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    assert [ask_wsgi(app, with_scope("b", target)).status for target in ("/inner", "/outer")] == [499, 403]


@pytest.mark.parametrize("handled", [503, Unavailable, werkzeug.exceptions.ServiceUnavailable], ids=str)
def test_lets_handlers_of_a_blueprint_answer_where_we_could_not_find_out(handled: Any) -> None:
    unsure, shop = Verifier(settings(), store=NOBODY_LISTENS), flask.Blueprint("shop", __name__)
    app = flask_app(verifier=unsure, exempt=("/",))
    shop.add_url_rule("/", endpoint="view", view_func=lambda: unsure.verify(token()).to_dict())
    shop.register_error_handler(handled, flask_handler)
    app.register_blueprint(shop)
    assert ask_wsgi(app, Ask()).status == 499


@pytest.mark.parametrize("trap", ["TRAP_HTTP_EXCEPTIONS", "PROPAGATE_EXCEPTIONS", "TESTING"])
def test_answers_in_flask_whatever_is_trapped(trap: str) -> None:
    app = flask_with_view()
    app.config[trap] = True
    assert ask_wsgi(app, with_scope("b")).status == 403


def test_answers_in_flask_before_a_handler_of_every_exception() -> None:
    app = flask_with_view()
    app.register_error_handler(Exception, lambda _: ("broken", 500))
    answer = ask_wsgi(app, with_scope("b"))
    assert (answer.status, (answer.challenge or {})["scope"]) == (403, "a")


def test_lets_the_nearest_handler_of_flask_answer() -> None:
    def other(_: Exception) -> Any:
        raise AssertionError("the wrong handler")

    app = flask_with_view()
    app.register_error_handler(werkzeug.exceptions.HTTPException, other)
    app.register_error_handler(AuthError, flask_handler)
    assert ask_wsgi(app, with_scope("b")).status == 499


def test_answers_in_flask_as_the_door_does() -> None:
    answer = ask_wsgi(flask_with_view(realm="orders"), with_scope("b"))
    assert answer.status == 403
    assert answer.json() == {"error": "insufficient_scope", "detail": "the token lacks a scope that the route needs"}
    assert (answer.challenge or {})["scope"] == "a"
    assert (answer.challenge or {})["realm"] == "orders"


# --- Errors that views raise -----------------------------------------------------------------------------------------


def verifying_starlette(one: Verifier[Any]) -> Starlette:
    async def body(request: Request) -> Response:
        return JSONResponse((await one.averify((await request.body()).decode())).to_dict())

    def body_in_a_thread(request: Request) -> Response:
        return JSONResponse(one.verify(request.headers["x-token"]).to_dict())

    async def streaming(_: Request) -> Response:
        async def pieces() -> AsyncIterator[str]:
            yield "begun"
            await one.averify("abc")

        return StreamingResponse(pieces())

    routes = [
        Route("/connect", body, methods=["POST"]),
        Route("/thread", body_in_a_thread),
        Route("/stream", streaming),
    ]
    return Starlette(routes=routes)


EXEMPT: dict[str, Any] = {"exempt": ("/connect", "/thread", "/stream")}


@pytest.mark.parametrize("where", ["inside", "around", "around and inside"])
@pytest.mark.parametrize("options", [{}, EXEMPT, {"optional": True}], ids=["token", "exempt", "optional"])
@pytest.mark.parametrize("target", ["/connect", "/thread"])
def test_answers_errors_that_views_raise(where: str, options: Any, target: str) -> None:
    one = verifier()
    app: Any = verifying_starlette(one)
    if "inside" in where:
        app.add_middleware(bearerguard.asgi.SessionTokenMiddleware, verifier=one, **options)
    if "around" in where:
        app = bearerguard.asgi.SessionTokenMiddleware(app, verifier=one, **options)
    sent = [bearer(token())] if options == {} else []
    for text, status in ((token(), 200), (token(exp=1_600_000_000), 401), ("abc", 401)):
        headers = [*sent, ("X-Token", text)]
        answer = ask_asgi(app, Ask(target, headers, "POST" if target == "/connect" else "GET", text.encode()))
        assert answer.status == status
        assert status == 200 or (answer.challenge or {})["error"] == "invalid_token"


def test_raises_what_comes_after_the_answer_has_begun() -> None:
    door = bearerguard.asgi.SessionTokenMiddleware(verifying_starlette(verifier()), verifier(), **EXEMPT)
    with pytest.raises((AuthError, RuntimeError)):
        ask_asgi(door, Ask("/stream"))


@pytest.mark.parametrize("text", ["abc", ""])
def test_answers_without_a_door(text: str) -> None:
    app = verifying_starlette(verifier())
    app.add_exception_handler(AuthError, bearerguard.asgi.answer)
    answer = ask_asgi(app, Ask("/connect", method="POST", body=text.encode()))
    assert answer.status == 401
    assert answer.header("content-type") == "application/json"
    assert answer.header("cache-control") == "no-store"
    assert answer.challenge is not None


def test_answers_503_without_a_door() -> None:
    app = verifying_starlette(Verifier(settings(), store=NOBODY_LISTENS))
    app.add_exception_handler(Unavailable, bearerguard.asgi.answer)
    answer = ask_asgi(app, Ask("/connect", method="POST", body=token().encode()))
    assert (answer.status, answer.challenge) == (503, None)
    assert answer.header("retry-after")


def test_leaves_a_websocket_to_the_handler_without_a_door() -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        raise InvalidToken("malformed")

    async def story() -> None:
        app = Starlette(routes=[WebSocketRoute("/ws", endpoint)])
        app.add_exception_handler(AuthError, bearerguard.asgi.answer)
        told = await Socket(app).rest()
        assert [(message["type"], message.get("code")) for message in told][1:] == [("websocket.close", 1008)]

    asyncio.run(story())


@pytest.mark.parametrize(
    "error", [TokenExpired(), InvalidToken("malformed"), MissingToken()], ids=lambda one: one.reason
)
@pytest.mark.parametrize("is_exempt", [True, False])
def test_answers_errors_that_views_of_flask_raise(error: AuthError, is_exempt: bool) -> None:
    def view() -> str:
        raise error

    app = flask_app(exempt=("/",) if is_exempt else ())
    app.add_url_rule("/", view_func=view)
    answer = ask_wsgi(app, Ask() if is_exempt else with_scope())
    assert answer.status == 401
    assert answer.json()["error"] == error.error
    assert (answer.challenge or {}).get("error") == error.code


def test_answers_errors_that_plain_wsgi_raises() -> None:
    one = verifier()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        one.verify("abc")
        return []

    answer = ask_wsgi(bearerguard.wsgi.SessionTokenMiddleware(app, one, exempt=("/",)), Ask())
    assert (answer.status, (answer.challenge or {})["error"]) == (401, "invalid_token")


def test_answers_with_the_werkzeug_answer_without_a_door() -> None:
    app = flask.Flask(__name__)
    app.register_error_handler(AuthError, bearerguard.wsgi.answer)
    app.add_url_rule("/", endpoint="view", view_func=lambda: verifier().verify("abc"))
    answer = ask_wsgi(app, Ask())
    assert (answer.status, answer.json()["error"]) == (401, "invalid_token")


# --- CORS ------------------------------------------------------------------------------------------------------------

CORS: dict[str, Any] = {
    "allow_origins": ["https://app.example.com"],
    "allow_methods": ["*"],
    "allow_headers": ["Authorization"],
}


def with_cors(*, is_outside: bool, **options: Any) -> Starlette:
    app = Starlette(routes=[Route("/", an_async_view, methods=["GET", "POST"])])
    layers: list[tuple[Any, dict[str, Any]]] = [
        (bearerguard.asgi.SessionTokenMiddleware, {"verifier": verifier(), **options}),
        (CORSMiddleware, CORS),
    ]
    for layer, arguments in layers if is_outside else reversed(layers):
        app.add_middleware(layer, **arguments)
    return app


@pytest.mark.parametrize("is_outside", [True, False], ids=["CORS outside", "CORS inside"])
def test_lets_cors_answer_preflights(is_outside: bool) -> None:
    answer = ask_asgi(with_cors(is_outside=is_outside), Ask("/", PREFLIGHT, "OPTIONS"))
    assert answer.status == 200
    assert answer.header("access-control-allow-origin") == "https://app.example.com"


def test_lets_cors_answer_preflights_that_the_door_would_refuse() -> None:
    app = with_cors(is_outside=True, preflight="refuse")
    assert ask_asgi(app, Ask("/", PREFLIGHT, "OPTIONS")).status == 200
    inside = with_cors(is_outside=False, preflight="refuse")
    assert ask_asgi(inside, Ask("/", PREFLIGHT, "OPTIONS")).status == 401


@pytest.mark.parametrize("ask", [Ask("/", [ORIGIN]), Ask("/", [ORIGIN, bearer("abc")])], ids=["nobody", "bad token"])
def test_carries_the_headers_of_cors_where_it_stands_outside(ask: Ask) -> None:
    answer = ask_asgi(with_cors(is_outside=True), ask)
    assert answer.status == 401
    assert answer.header("access-control-allow-origin") == "https://app.example.com"


# --- Paths below a root ----------------------------------------------------------------------------------------------


async def anything(_: Request) -> Response:
    claims = current_claims(None)
    return PlainTextResponse("nobody" if claims is None else "somebody")


def rooted(**scope: Any) -> list[int]:
    """What is answered of exempt and other paths below a root."""
    app = behind(Starlette(routes=[Route("/{path:path}", anything)]), exempt=("/health",))
    root = scope.get("root_path", "")
    return [ask_asgi(app, Ask(target), **scope).status for target in (f"{root}/health", f"{root}/admin")]


@pytest.mark.parametrize("root", ["", "/api", "/api/v1", "/health"])
def test_exempts_paths_below_the_root(root: str) -> None:
    assert rooted(root_path=root) == [200, 401]


@pytest.mark.parametrize(
    ("root", "path"),
    [
        pytest.param("/api", "/api/api/health", id="the root twice"),
        pytest.param("/api", "/apihealth", id="a path that begins like the root"),
        pytest.param("/api", "/api//health", id="an empty segment"),
        pytest.param("/api/", "/api//health", id="a root that ends with a slash"),
        pytest.param("/x", "/x", id="the root itself"),
        pytest.param("", "/api/health", id="no root"),
    ],
)
def test_exempts_no_other_path_because_of_a_root(root: str, path: str) -> None:
    app = behind(Starlette(routes=[Route("/{path:path}", anything)]), exempt=("/health", "/"))
    assert ask_asgi(app, Ask(path), root_path=root).status == 401


def test_exempts_paths_below_a_mounted_door() -> None:
    inner = Starlette(routes=[Route("/{path:path}", anything)])
    door = bearerguard.asgi.SessionTokenMiddleware(inner, verifier(), exempt=("/health",))
    app = Starlette(routes=[Mount("/shop", app=Mount("/deep", app=door))])
    targets = ("/shop/deep/health", "/shop/deep/admin", "/shop/deep/shop/deep/health")
    assert [ask_asgi(app, Ask(target)).status for target in targets] == [200, 401, 401]


def test_exempts_paths_below_a_script_name() -> None:
    app = flask_app(exempt=("/health",))
    app.add_url_rule("/health", endpoint="health", view_func=lambda: "well")
    mounted = DispatcherMiddleware(wsgi_function, {"/shop": app})
    targets = ("/shop/health", "/shop/admin", "/shop/shop/health")
    assert [ask_wsgi(mounted, Ask(target)).status for target in targets] == [200, 401, 401]


@pytest.mark.parametrize(
    "header", ["Host", "X-Forwarded-Host", "X-Forwarded-Prefix", "X-Original-URL", "X-Rewrite-URL"]
)
def test_matches_paths_whatever_headers_say(header: str) -> None:
    app = behind(Starlette(routes=[Route("/{path:path}", anything)]), exempt=("/health",))
    for value in ("a/health?", "/health", "x.example/health#"):
        ask = Ask("/admin", [(header, value)])
        assert ask_asgi(app, ask, headers=[(header.lower().encode(), value.encode())]).status == 401


def test_waits_for_nobody() -> None:
    """The patience of these tests is long; what they ask is answered at once."""
    assert PATIENCE_SECONDS >= 5
    assert isinstance(ask_asgi(behind(Starlette()), Ask()), Answer)


def test_names_kinds_at_a_route() -> None:
    app = Starlette(routes=[Route("/", requires_kind("signed")(anything))])
    assert statuses(behind(app), "") == [200]
