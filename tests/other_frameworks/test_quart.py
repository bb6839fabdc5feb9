"""Quart: views of every sort behind the door, and what Quart makes of refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from quart import Blueprint, Quart, request, websocket
from quart.views import MethodView

from bearerguard import (
    AuthError,
    InsufficientScope,
    SettingsError,
    Unavailable,
    Verifier,
    current_claims,
    requires_scope,
    requires_token,
    single_use,
)
from bearerguard.asgi import SessionTokenMiddleware
from bearerguard.platforms import whatalo
from tests.doors import Ask, bearer, lifespan
from tests.minting import SECRET
from tests.other_frameworks.asking import STORE, ask_any, token
from tests.test_websockets import DENIAL, Socket

VERIFIER = Verifier(whatalo.session_tokens(client_id="ours", client_secret=SECRET))


async def refused(error: AuthError | Unavailable) -> tuple[dict[str, str], int, dict[str, str]]:
    return error.body(), error.status, error.headers()


def quart(*, handles: bool = True, **options: Any) -> Quart:
    app = Quart(__name__)
    app.asgi_app = SessionTokenMiddleware(app.asgi_app, VERIFIER, **options)  # type: ignore[assignment, method-assign]
    if handles:
        app.register_error_handler(AuthError, refused)
        app.register_error_handler(Unavailable, refused)
    return app


@requires_scope("a")
async def in_the_loop() -> str:
    return str(current_claims().tenant)


@requires_scope("a")
def in_a_thread() -> str:
    return str(current_claims().tenant)


class Methods(MethodView):
    @requires_scope("a")
    async def get(self) -> str:
        return str(current_claims().tenant)

    @requires_scope("b")
    async def post(self) -> str:
        return str(current_claims().tenant)


class Decorated(MethodView):
    decorators = [requires_scope("a")]  # noqa: RUF012

    async def get(self) -> str:
        return str(current_claims().tenant)


VIEWS: dict[str, Callable[..., Any]] = {
    "coroutine": in_the_loop,
    "function": in_a_thread,
    "methods": Methods.as_view("methods"),
    "decorators": Decorated.as_view("decorators"),
    "guarded as_view": requires_scope("a")(Decorated.as_view("guarded")),
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("is_in_blueprint", [False, True], ids=["app", "blueprint"])
def test_guards_views_of_every_sort(name: str, is_in_blueprint: bool) -> None:
    app = quart()
    routes: Quart | Blueprint = Blueprint("shop", __name__) if is_in_blueprint else app
    routes.add_url_rule("/", endpoint="view", view_func=VIEWS[name])
    if isinstance(routes, Blueprint):
        app.register_blueprint(routes)
    answer = ask_any(app, Ask("/", [bearer(token("b"))]))
    assert (answer.status, answer.json()["error"]) == (403, "insufficient_scope")
    assert (answer.challenge or {})["scope"] == "a"
    answer = ask_any(app, Ask("/", [bearer(token("a"))]))
    assert (answer.status, answer.body.decode()) == (200, STORE)
    assert ask_any(app, Ask("/")).status == 401


@pytest.mark.parametrize("view", [in_the_loop, in_a_thread])
def test_takes_a_token_once(view: Callable[..., Any]) -> None:
    app = quart()
    app.add_url_rule("/", endpoint="view", view_func=single_use(view))
    once = Ask("/", [bearer(token("a"))])
    assert [ask_any(app, once).status for _ in range(3)] == [200, 401, 401]


def test_is_a_500_without_handlers_and_never_lets_anybody_in() -> None:
    app = quart(handles=False)
    app.add_url_rule("/", endpoint="view", view_func=in_the_loop)
    assert [ask_any(app, Ask("/", [bearer(token(scope))])).status for scope in ("a", "b")] == [200, 500]


def test_lets_a_blueprint_answer_its_own_refusals() -> None:
    async def own(_: Exception) -> tuple[str, int]:
        return "own", 499

    app, shop = quart(), Blueprint("shop", __name__)
    shop.register_error_handler(InsufficientScope, own)
    shop.add_url_rule("/shop", endpoint="view", view_func=in_the_loop)
    app.add_url_rule("/", endpoint="view", view_func=in_the_loop)
    app.register_blueprint(shop)
    assert [ask_any(app, Ask(path, [bearer(token("b"))])).status for path in ("/shop", "/")] == [499, 403]


def test_answers_what_views_refuse_themselves() -> None:
    app = quart(exempt=("/body",), realm="orders")

    @app.get("/elsewhere")
    @requires_token
    async def elsewhere() -> str:
        raise InsufficientScope

    @app.get("/body")
    async def body() -> str:
        return str((await VERIFIER.averify(request.headers["X-Token"])).tenant)

    answer = ask_any(app, Ask("/elsewhere", [bearer(token())]))
    assert (answer.status, (answer.challenge or {})["error"]) == (403, "insufficient_scope")
    statuses = [ask_any(app, Ask("/body", [("X-Token", text)])).status for text in (token(), "abc")]
    assert statuses == [200, 401]


def test_guards_websockets() -> None:
    app = quart()
    asgi: Any = app

    @app.websocket("/ws")
    @requires_scope("a")
    async def live() -> None:
        await websocket.accept()
        await websocket.send(str(current_claims().tenant))

    async def begun(*headers: tuple[str, str], **changes: Any) -> list[dict[str, Any]]:
        """The first two things that are said; then the server tells that nobody is there."""
        socket = Socket(asgi, *headers, path="/ws", **changes)
        told = [{**await socket.next()} for _ in range(2 if changes else 1)]
        socket.heard.put_nowait({"type": "websocket.disconnect", "code": 1006})
        await socket.rest()
        return told

    async def story() -> None:
        assert (await begun(bearer(token("a")), **DENIAL))[1]["text"] == STORE
        for headers, status in (([], 401), ([bearer(token("b"))], 403)):
            assert (await begun(*headers, **DENIAL))[0]["status"] == status
        (closed,) = await begun(bearer(token("b")))
        assert (closed["type"], closed["code"]) == ("websocket.close", 1000)

    asyncio.run(story())


def test_finds_a_guard_above_its_route() -> None:
    app = quart()

    @requires_scope("a")
    @app.get("/")
    async def view() -> str:
        return "unguarded"

    with pytest.raises(SettingsError, match="put the guard below"):
        ask_any(app, Ask("/", [bearer(token("a"))]))


def test_starts_and_ends_with_the_application() -> None:
    app, heard = quart(), list[str]()
    asgi: Any = app

    @app.before_serving
    async def start() -> None:
        heard.append("start")

    @app.after_serving
    async def end() -> None:
        heard.append("end")

    async def story() -> None:
        async with lifespan(asgi) as said:
            assert said["type"] == "lifespan.startup.complete"

    asyncio.run(story())
    assert heard == ["start", "end"]


def test_is_asked_by_quarts_own_client() -> None:
    app = quart()
    app.add_url_rule("/", endpoint="view", view_func=in_the_loop)

    async def story() -> list[int]:
        client = app.test_client()
        sent = [dict([bearer(token("a"))]), {}]
        return [(await client.get("/", headers=headers)).status_code for headers in sent]

    assert asyncio.run(story()) == [200, 401]
