"""Litestar: handlers of every sort behind the door, and what Litestar makes of refusals by itself."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

import pytest
from litestar import Controller, Litestar, Request, Response, Router, WebSocket, get, websocket
from litestar.di import NamedDependency, Provide
from litestar.exceptions import ImproperlyConfiguredException
from litestar.middleware import DefineMiddleware

from bearerguard import (
    AuthError,
    Claims,
    InsufficientScope,
    Unavailable,
    Verifier,
    current_claims,
    requires_scope,
    requires_token,
)
from bearerguard.asgi import SessionTokenMiddleware
from bearerguard.platforms import whatalo
from tests.doors import Ask, bearer, lifespan
from tests.minting import SECRET
from tests.other_frameworks.asking import STORE, ask_any, token
from tests.test_websockets import DENIAL, Socket

# Guards show FastAPI what they ask, and must not show it to Litestar in the same process.
importlib.import_module("fastapi")

VERIFIER = Verifier(whatalo.session_tokens(client_id="ours", client_secret=SECRET))


@get("/async")
@requires_scope("a")
async def in_the_loop() -> str:
    return str(current_claims().tenant)


@get("/sync", sync_to_thread=True)
@requires_scope("a")
def in_a_thread() -> str:
    return str(current_claims().tenant)


@get("/blocking", sync_to_thread=False)
@requires_scope("a")
def in_the_way() -> str:
    return str(current_claims().tenant)


@get("/request")
@requires_scope("a")
async def with_its_request(request: Request[Any, Any, Any]) -> str:
    assert request.scope["bearerguard"] is current_claims()  # type: ignore[typeddict-item]
    return str(request.user.claims.tenant)


class Orders(Controller):
    path = "/controller"

    @get()
    @requires_scope("a")
    async def orders(self) -> str:
        return str(current_claims().tenant)


async def claims_of_the_request() -> Claims:
    return current_claims()


@get("/provided", dependencies={"claims": Provide(claims_of_the_request)})
@requires_scope("a")
async def provided(claims: NamedDependency[Claims]) -> str:
    return str(claims.tenant)


@get("/elsewhere")
@requires_token
async def granted_elsewhere() -> str:
    raise InsufficientScope


@get("/whoever")
async def whoever() -> str:
    return str(current_claims().tenant)


@get("/body")
async def body(request: Request[Any, Any, Any]) -> str:
    return str((await VERIFIER.averify(request.headers["x-token"])).tenant)


@websocket("/ws")
@requires_scope("a")
async def live(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    await socket.send_text(str(current_claims().tenant))
    await socket.close()


HANDLERS: list[Any] = [
    in_the_loop,
    in_a_thread,
    in_the_way,
    with_its_request,
    Orders,
    provided,
    granted_elsewhere,
    whoever,
    body,
    live,
]
GUARDED = ("/async", "/sync", "/blocking", "/request", "/controller", "/provided")


def refused(_: Request[Any, Any, Any], error: AuthError | Unavailable) -> Response[dict[str, str]]:
    return Response(error.body(), status_code=error.status, headers=error.headers())


def litestar(**options: Any) -> Litestar:
    return Litestar([Router("/", route_handlers=HANDLERS)], **options)


def behind(**options: Any) -> SessionTokenMiddleware:
    app = litestar(exception_handlers={AuthError: refused, Unavailable: refused})
    return SessionTokenMiddleware(app, VERIFIER, **options)


@pytest.mark.parametrize("target", GUARDED)
def test_guards_handlers_of_every_sort(target: str) -> None:
    app = behind()
    answer = ask_any(app, Ask(target, [bearer(token("b"))]))
    assert (answer.status, answer.json()["error"]) == (403, "insufficient_scope")
    assert (answer.challenge or {})["scope"] == "a"
    answer = ask_any(app, Ask(target, [bearer(token("a"))]))
    assert (answer.status, answer.body.decode()) == (200, STORE)
    assert ask_any(app, Ask(target)).status == 401


def test_shows_litestar_no_parameter_of_its_own() -> None:
    schema = str(litestar().openapi_schema.to_schema())
    assert "bearerguard" not in schema
    assert "/controller" in schema


@pytest.mark.parametrize("target", GUARDED)
def test_keeps_status_and_challenge_without_a_handler(target: str) -> None:
    answer = ask_any(SessionTokenMiddleware(litestar(), VERIFIER), Ask(target, [bearer(token("b"))]))
    assert (answer.status, (answer.challenge or {})["scope"]) == (403, "a")


def test_answers_what_handlers_refuse_themselves() -> None:
    app = behind(exempt=("/body", "/whoever"))
    answer = ask_any(app, Ask("/elsewhere", [bearer(token())]))
    assert (answer.status, (answer.challenge or {})["error"]) == (403, "insufficient_scope")
    assert ask_any(app, Ask("/whoever")).status == 401
    statuses = [ask_any(app, Ask("/body", [("X-Token", text)])).status for text in (token(), "abc")]
    assert statuses == [200, 401]


def test_may_stand_among_litestars_middleware() -> None:
    """There it sees neither the start of the application nor paths that nobody serves."""
    door: Any = SessionTokenMiddleware
    app = litestar(middleware=[DefineMiddleware(door, verifier=VERIFIER)], exception_handlers={AuthError: refused})
    asks = [Ask("/async", [bearer(token(scope))]) for scope in ("a", "b")]
    assert [ask_any(app, ask).status for ask in (*asks, Ask("/async"), Ask("/nowhere"))] == [200, 403, 401, 404]


def test_guards_websockets() -> None:
    async def story() -> None:
        app = behind()
        told = await Socket(app, bearer(token("a")), path="/ws", **DENIAL).rest()
        assert told[1]["text"] == STORE
        assert (await Socket(app, path="/ws", **DENIAL).rest())[0]["status"] == 401
        (closed,) = await Socket(app, bearer(token("b")), path="/ws", **DENIAL).rest()
        assert (closed["type"], closed["code"]) == ("websocket.close", 4500)

    asyncio.run(story())


def test_starts_and_ends_with_the_application() -> None:
    heard = list[str]()
    app = SessionTokenMiddleware(
        litestar(on_startup=[lambda: heard.append("start")], on_shutdown=[lambda: heard.append("end")]), VERIFIER
    )

    async def story() -> None:
        async with lifespan(app) as said:
            assert said["type"] == "lifespan.startup.complete"

    asyncio.run(story())
    assert heard == ["start", "end"]


def test_is_refused_by_litestar_above_the_route_decorator() -> None:
    above = requires_scope("a")(in_the_loop)
    with pytest.raises(ImproperlyConfiguredException, match="decorate it first"):
        Litestar([above])
