"""Doors on single routes, mounts and routers of Starlette, each with a verifier of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from bearerguard import (
    AuthError,
    SettingsError,
    Verifier,
    current_claims,
    requires_scope,
    requires_token,
    single_use,
)
from bearerguard.asgi import BearerMiddleware, SessionTokenMiddleware
from tests.doors import Ask, ask_asgi, bearer, lifespan
from tests.houses import OTHER_ISSUER, OTHER_SECRET, TWO_KINDS, settings, token
from tests.test_websockets import DENIAL, Socket

NAME_IT = "does not say which one"


def door(**options: Any) -> Middleware:
    """A door of its own for one place, with a verifier of its own."""
    return Middleware(SessionTokenMiddleware, verifier=Verifier(settings()), **options)


def door_of_two_kinds() -> Middleware:
    return Middleware(BearerMiddleware, verifier=Verifier(*TWO_KINDS))


async def whoever(_: Request) -> Response:
    claims = current_claims(None)
    return JSONResponse(None if claims is None else claims.kind)


@requires_scope("a")
async def with_scope(_: Request) -> Response:
    return JSONResponse(current_claims().kind)


@requires_scope("a", kind="platform.session")
async def of_one_kind(_: Request) -> Response:
    return JSONResponse(current_claims().kind)


@requires_token
@single_use
def once(_: Request) -> Response:
    return JSONResponse(current_claims().kind)


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(current_claims().kind)
    await websocket.close()


def statuses(app: Any, target: str, *tokens: str | None, method: str = "GET") -> list[int]:
    """What an application answers to each of these tokens."""
    asks = [Ask(target, [] if text is None else [bearer(text)], method) for text in tokens]
    return [ask_asgi(app, ask).status for ask in asks]


PLACES: dict[str, BaseRoute] = {
    "route": Route("/guarded", with_scope, middleware=[door()]),
    "mount": Mount("/guarded", routes=[Route("/", with_scope)], middleware=[door()]),
    "mounted application": Mount("/guarded", app=Starlette(routes=[Route("/", with_scope)], middleware=[door()])),
    "mounted FastAPI": Mount("/guarded", app=FastAPI(routes=[Route("/", with_scope)], middleware=[door()])),
    "router": Mount("/guarded", app=Router([Route("/", with_scope)], middleware=[door()])),
    "mount in a mount": Mount(
        "/guarded", routes=[Mount("/", routes=[Route("/", with_scope)], middleware=[door()])]
    ),
    "second of two middlewares": Mount(
        "/guarded", routes=[Route("/", with_scope)], middleware=[Middleware(CORSMiddleware), door()]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_stands_in_one_place_of_an_application(name: str) -> None:
    app = Starlette(routes=[PLACES[name], Route("/open", whoever)])
    target = "/guarded" if name == "route" else "/guarded/"
    good, weak, expired = token(scope="a"), token(scope="b"), token(exp=1_600_000_000)
    assert statuses(app, target, None, "abc", expired, weak, good) == [401, 401, 401, 403, 200]
    assert ask_asgi(app, Ask("/open", [bearer(good)])).json() is None
    assert statuses(app, "/open", None, "abc") == [200, 200]


def test_takes_a_token_once_behind_a_door_on_a_route() -> None:
    app = Starlette(routes=[Route("/once", once, methods=["POST"], middleware=[door()])])
    text = token()
    assert statuses(app, "/once", text, text, method="POST") == [200, 401]


def test_guards_a_websocket_route_alone() -> None:
    app = Starlette(routes=[WebSocketRoute("/ws", socket, middleware=[door()])])

    async def story() -> None:
        assert (await Socket(app, path="/ws", **DENIAL).rest())[0]["status"] == 401
        told = await Socket(app, bearer(token()), path="/ws", **DENIAL).rest()
        assert told[1]["text"] == "signed"

    asyncio.run(story())


@pytest.mark.parametrize("handled", [AuthError, 403], ids=str)
def test_lets_the_applications_handlers_answer_a_guard_behind_a_door_on_a_route(handled: Any) -> None:
    async def handler(_: Request, error: Exception) -> Response:
        return JSONResponse({"ours": isinstance(error, AuthError)}, 499)

    app = Starlette(routes=[PLACES["route"], PLACES["mount"]], exception_handlers={handled: handler})
    assert statuses(app, "/guarded", token(scope="b"), None) == [499, 401]


def test_exempts_paths_of_a_mount_below_the_mount_and_of_a_route_in_full() -> None:
    exempt = door(exempt=("/health",))
    routes = [
        Mount("/shop", routes=[Route("/{path:path}", whoever)], middleware=[exempt]),
        Route("/{path:path}", whoever, middleware=[exempt]),
    ]
    app = Starlette(routes=routes)
    answered = {path: statuses(app, path, None) for path in ("/shop/health", "/shop/shop/health", "/health", "/x")}
    assert answered == {"/shop/health": [200], "/shop/shop/health": [401], "/health": [200], "/x": [401]}


def test_asks_for_a_token_in_one_place_behind_an_outer_door_that_lets_nobody_pass() -> None:
    app = Starlette(
        routes=[Mount("/inner", routes=[Route("/", whoever)], middleware=[door()]), Route("/", whoever)],
        middleware=[door(optional=True)],
    )
    assert statuses(app, "/", None, token()) == [200, 200]
    assert statuses(app, "/inner/", None, token()) == [401, 200]


def test_takes_fewer_kinds_in_one_place_than_the_outer_door() -> None:
    app = Starlette(
        routes=[Mount("/inner", routes=[Route("/", whoever)], middleware=[door()]), Route("/", whoever)],
        middleware=[door_of_two_kinds()],
    )
    one, other = token(), token(iss=OTHER_ISSUER, key=OTHER_SECRET)
    assert [ask_asgi(app, Ask("/", [bearer(text)])).json() for text in (one, other)] == [
        "platform.session",
        "other.session",
    ]
    assert statuses(app, "/inner/", one, other) == [200, 401]


# --- Which guards must name a kind -----------------------------------------------------------------------------------


class Opaque:
    """Middleware that nobody can look through."""

    def __init__(self, app: ASGIApp) -> None:
        self._inner = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._inner(scope, receive, send)


def two_shops(**options: Any) -> Starlette:
    """One place for tokens of one kind, whose guards need not name it, and one for two kinds, whose guards do."""
    return Starlette(
        routes=[
            Mount("/one", routes=[Route("/", with_scope)], middleware=[door()]),
            Mount("/two", routes=[Route("/", of_one_kind)], middleware=[door_of_two_kinds()]),
            Route("/alone", of_one_kind, middleware=[door_of_two_kinds()]),
            Mount("/opaque", routes=[Route("/", of_one_kind)], middleware=[door_of_two_kinds(), Middleware(Opaque)]),
        ],
        **options,
    )


def test_asks_guards_for_a_kind_only_where_their_own_door_takes_several() -> None:
    app, text = two_shops(), token(scope="a")
    for target in ("/two/", "/alone", "/opaque/", "/one/"):
        assert statuses(app, target, text) == [200]


def test_asks_no_guard_for_a_kind_that_has_a_nearer_door_of_one_kind() -> None:
    one = Starlette(routes=[Route("/", with_scope)], middleware=[door()])
    routes = [
        Mount("/one", routes=[Route("/", with_scope)], middleware=[door()]),
        Mount("/application", app=one),
        Mount("/router", app=Router([Route("/", with_scope)], middleware=[door()])),
        Route("/alone", with_scope, middleware=[door()]),
    ]
    app = Starlette(routes=routes, middleware=[door_of_two_kinds()])
    text = token(scope="a")
    for target in ("/one/", "/application/", "/router/", "/alone"):
        assert statuses(app, target, text) == [200]

    async def story() -> None:
        async with lifespan(app) as said:
            assert said["type"] == "lifespan.startup.complete"

    asyncio.run(story())


UNNAMED: dict[str, BaseRoute] = {
    "mount": Mount("/", routes=[Route("/", with_scope)], middleware=[door_of_two_kinds()]),
    "route": Route("/", with_scope, middleware=[door_of_two_kinds()]),
    "router": Mount("/", app=Router([Route("/", with_scope)], middleware=[door_of_two_kinds()])),
    "behind what cannot be looked through": Mount(
        "/", routes=[Route("/", with_scope)], middleware=[door_of_two_kinds(), Middleware(Opaque)]
    ),
}


@pytest.mark.parametrize("name", UNNAMED)
def test_refuses_to_serve_a_place_of_two_kinds_whose_guard_names_none(name: str) -> None:
    app = Starlette(routes=[UNNAMED[name]])
    other = token(scope="a", iss=OTHER_ISSUER, key=OTHER_SECRET)
    for text in (token(scope="a"), other):
        with pytest.raises(SettingsError, match=NAME_IT):
            ask_asgi(app, Ask("/", [bearer(text)]))


def test_finds_an_unnamed_guard_at_start_behind_what_cannot_be_looked_through() -> None:
    app = Starlette(routes=[Route("/", with_scope)], middleware=[door_of_two_kinds(), Middleware(Opaque)])

    async def story() -> None:
        async with lifespan(app) as said:
            assert said["type"] == "lifespan.startup.failed"
            assert NAME_IT in said["message"]

    asyncio.run(story())
