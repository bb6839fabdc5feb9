"""Small applications that say what they see, each behind a door of its own; together a town, as ASGI and as WSGI.

A house is the first segment of the path, so every door here stands below a root_path or a SCRIPT_NAME.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import flask
import jwt
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

import bearerguard.asgi
import bearerguard.wsgi
from bearerguard import (
    SharedSecrets,
    SignedTokens,
    TokenExpired,
    Verifier,
    current_claims,
    requires_any_scope,
    requires_kind,
    requires_scope,
    requires_token,
    single_use,
)
from bearerguard.carriers import Cookie, Header, Query
from bearerguard.flask import init_app

ISSUER = "https://platform.example.com"
OTHER_ISSUER = "https://other.example.com"
AUDIENCE = "https://orders.example.com"
SECRET = "the platform's secret has more than thirty-two bytes"
OTHER_SECRET = "another platform's secret, no shorter than the first"
SCOPES = "read:orders write:orders"
STORES_VARIABLE = "BEARERGUARD_TEST_STORES"
NOBODY_LISTENS = "redis://127.0.0.1:1/0"
RETRY_HEADER = {"X-Retry-Invalid-Session": "1", "Access-Control-Expose-Headers": "X-Retry-Invalid-Session"}
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]

BEARER = Header("Authorization", scheme="Bearer")
COOKIE = Cookie("session", origins={"https://app.example.com", "http://localhost:3000"})
QUERY = Query("id_token")


# --- Tokens ----------------------------------------------------------------------------------------------------------


def settings(**changes: Any) -> SignedTokens:
    """The settings of most houses, but for what `changes`."""
    usual: dict[str, Any] = {
        "keys": SharedSecrets(SECRET),
        "algorithms": ("HS256",),
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "tenant": "tenant",
        "user": "sub",
        "assumed_lifetime": 3600,
    }
    return SignedTokens(**(usual | changes))


def token(*, key: str = SECRET, algorithm: str = "HS256", **changes: object) -> str:
    """A good token that was never seen before, but for what `changes`; None leaves a claim out."""
    now = int(time.time())
    usual: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "usr_7h3k9m2p",
        "tenant": "str_8k2m4n6p",
        "iat": now,
        "exp": now + 600,
        "jti": str(uuid.uuid4()),
    }
    claims = {name: value for name, value in (usual | changes).items() if value is not None}
    return jwt.encode(claims, key if algorithm != "none" else "", algorithm)


# --- Houses ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class House:
    """What verifier an application has, and which options its door."""

    kinds: tuple[SignedTokens, ...] = (settings(),)
    store: str = "memory://"
    options: Mapping[str, Any] = field(default_factory=dict)
    guards_name_their_kind: bool = False

    def verifier(self) -> Verifier[SignedTokens]:
        """A verifier for one application."""
        return Verifier(*self.kinds, store=self.store)


TWO_KINDS = (
    settings(name="platform.session"),
    settings(name="other.session", issuer=OTHER_ISSUER, keys=SharedSecrets(OTHER_SECRET)),
)

HOUSES: dict[str, House] = {
    "plain": House(),
    "realm": House(options={"realm": 'the "orders" \\ api'}),
    "optional": House(options={"optional": True}),
    "exempt": House(options={"exempt": ("/", "/health", "/static/*", "/verify")}),
    "strict": House(options={"preflight": "refuse"}),
    "header": House(kinds=(settings(carriers=(Header("X-Session-Token"),)),)),
    "scheme": House(kinds=(settings(carriers=(Header("Authorization", scheme="Shop-Token"),)),)),
    "cookie": House(kinds=(settings(carriers=(BEARER, COOKIE)),)),
    "query": House(kinds=(settings(carriers=(BEARER, QUERY)),)),
    "everywhere": House(kinds=(settings(carriers=(BEARER, COOKIE, QUERY)),)),
    "down": House(store=NOBODY_LISTENS),
    "down-optional": House(store=NOBODY_LISTENS, options={"optional": True, "exempt": ("/health",)}),
    "down-query": House(kinds=(settings(carriers=(BEARER, QUERY)),), store=NOBODY_LISTENS),
    "retry": House(kinds=(settings(refusal_headers={TokenExpired: RETRY_HEADER}),)),
    "kinds": House(kinds=TWO_KINDS, guards_name_their_kind=True),
}


def houses() -> Mapping[str, House]:
    """The houses of this process: one for each store that the environment names, else all of the above."""
    stores = os.environ.get(STORES_VARIABLE)
    return HOUSES if stores is None else {name: House(store=url) for name, url in json.loads(stores).items()}


def sight(attached: object, **seen: object) -> dict[str, object]:
    """What a view sees: the request, and who the claims say it is."""
    claims = current_claims(None)
    return {
        **seen,
        "claims": None if claims is None else claims.to_dict(),
        "kind": None if claims is None else claims.kind,
        "is_attached": attached is claims,
    }


# --- As ASGI ---------------------------------------------------------------------------------------------------------


def starlette_house(house: House, **more: Any) -> Starlette:
    """The application of a house, behind its door."""
    verifier = house.verifier()
    app = Starlette(routes=[*_asgi_routes(verifier, house.guards_name_their_kind), *_SOCKETS, _REPORT])
    app.add_middleware(bearerguard.asgi.BearerMiddleware, verifier=verifier, **house.options, **more)
    return app


async def _report(request: Request) -> Response:
    claims = current_claims(None)
    user_is_claims = request.user.claims is claims and request.user.is_authenticated is (claims is not None)
    scopes_are_claims = set(request.auth.scopes) == (set() if claims is None else claims.scopes)
    seen = sight(
        request.scope["bearerguard"] if user_is_claims and scopes_are_claims else object(),
        method=request.method,
        query=request.scope["query_string"].decode(),
        address=str(request.url),
        headers=dict(request.headers),
    )
    return JSONResponse(seen)


def _asgi_routes(verifier: Verifier[SignedTokens], named: bool) -> Iterable[Route]:
    async def done(request: Request) -> Response:
        return JSONResponse(sight(request.scope["bearerguard"]))

    async def verify(request: Request) -> Response:
        return JSONResponse((await verifier.averify(request.headers["x-body-token"])).to_dict())

    async def revoke(_: Request) -> Response:
        await verifier.denylist.arevoke(current_claims())
        return JSONResponse({})

    guarded: Mapping[str, Callable[..., Any]] = guards(done, named=named)
    yield Route("/verify", verify, methods=["GET", "POST"])
    yield Route("/revoke", revoke, methods=["POST"])
    for path, view in guarded.items():
        yield Route(path, view, methods=["GET", "POST"])


def guards(view: Callable[..., Any], *, named: bool) -> dict[str, Callable[..., Any]]:
    """`view` behind every guard, by path."""
    kind = requires_kind("platform.session") if named else _as_it_is
    return {
        "/guarded/token": kind(requires_token(view)),
        "/guarded/scope": kind(requires_scope("read:orders", "write:orders")(view)),
        "/guarded/any": kind(requires_any_scope("read:orders", "admin")(view)),
        "/guarded/once": kind(single_use(view)),
        "/guarded/once-too": kind(single_use(view)),
        "/guarded/once-scope": kind(single_use(requires_scope("admin")(view))),
        "/guarded/other": requires_kind("other.session")(view),
    }


def _as_it_is(view: Callable[..., Any]) -> Callable[..., Any]:
    return view


async def _echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json({"tenant": (claims := current_claims(None)) and claims.tenant})
    async for text in websocket.iter_text():
        await websocket.send_text(text)


@requires_scope("read:orders", kind="signed")
async def _scoped_echo(websocket: WebSocket) -> None:
    await _echo(websocket)


async def _flood(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.send_text("x" * 65536)
            await asyncio.sleep(0)
    finally:
        print("the flood has ended:", websocket.query_params["mark"], flush=True)


async def _listen(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        await websocket.receive_text()
    finally:
        print("the listener has ended:", websocket.query_params["mark"], flush=True)


_SOCKETS = [
    WebSocketRoute("/ws/echo", _echo),
    WebSocketRoute("/ws/scope", _scoped_echo),
    WebSocketRoute("/ws/flood", _flood),
    WebSocketRoute("/ws/listen", _listen),
]
_REPORT = Route("/{path:path}", _report, methods=METHODS)

SOCKET_HOUSES: dict[str, tuple[House, dict[str, Any]]] = {
    "ws": (House(kinds=(settings(leeway=1),)), {"recheck_seconds": 0.1}),
    "ws-calm": (House(kinds=(settings(leeway=1),)), {"recheck_seconds": 3600}),
    "ws-off": (House(kinds=(settings(leeway=1),)), {"recheck_seconds": None}),
    "ws-cookie": (House(kinds=(settings(carriers=(BEARER, COOKIE)),)), {}),
    "ws-down": (House(store=NOBODY_LISTENS), {}),
    "ws-optional": (House(kinds=(settings(leeway=1),), options={"optional": True}), {"recheck_seconds": 0.1}),
    "ws-exempt": (House(options={"exempt": ("/ws/echo",)}), {}),
}


class AsgiTown:
    """Every house at its own root_path; the process says its id in each answer."""

    def __init__(self) -> None:
        self._houses: dict[str, ASGIApp] = {name: starlette_house(house) for name, house in houses().items()}
        if STORES_VARIABLE not in os.environ:
            more = {name: starlette_house(house, **options) for name, (house, options) in SOCKET_HOUSES.items()}
            self._houses.update(more)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection."""
        if scope["type"] == "lifespan":
            await self._houses[next(iter(self._houses))](scope, receive, send)
            return
        root = scope.get("root_path", "")
        name = scope["path"].removeprefix(root).split("/")[1]
        scope["root_path"] = f"{root}/{name}"
        await self._houses[name](scope, receive, _with_pid(send))


def _with_pid(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"].endswith("response.start"):
            message = {**message, "headers": [*message["headers"], (b"x-pid", b"%d" % os.getpid())]}
        await send(message)

    return sending


# --- As WSGI ---------------------------------------------------------------------------------------------------------


def flask_house(house: House) -> flask.Flask:
    """The application of a house, behind its door."""
    verifier = house.verifier()
    app = flask.Flask(__name__, static_folder=None)
    _add_flask_views(app, verifier, house.guards_name_their_kind)
    init_app(app, bearerguard.wsgi.BearerMiddleware, verifier=verifier, **house.options)
    return app


def _add_flask_views(app: flask.Flask, verifier: Verifier[SignedTokens], named: bool) -> None:
    def done() -> Any:
        return sight(flask.request.environ["bearerguard"])

    def verify() -> Any:
        return verifier.verify(flask.request.headers["X-Body-Token"]).to_dict()

    def revoke() -> Any:
        verifier.denylist.revoke(current_claims())
        return {}

    def report(rest: str = "") -> Any:
        request = flask.request
        return sight(
            request.environ["bearerguard"],
            method=request.method,
            query=request.query_string.decode(),
            address=" ".join((request.url, *(request.environ.get(name, "") for name in ("RAW_URI", "REQUEST_URI")))),
            headers={name.lower(): value for name, value in request.headers.items()},
        )

    app.add_url_rule("/verify", view_func=verify, methods=["GET", "POST"])
    app.add_url_rule("/revoke", view_func=revoke, methods=["POST"])
    for path, view in guards(done, named=named).items():
        app.add_url_rule(path, endpoint=path.replace("/", "_"), view_func=view, methods=["GET", "POST"])
    for rule in ("/", "/<path:rest>"):
        app.add_url_rule(rule, view_func=report, methods=METHODS, provide_automatic_options=False)


class WsgiTown:
    """Every house at its own SCRIPT_NAME; the process says its id in each answer."""

    def __init__(self) -> None:
        self._houses = {name: flask_house(house) for name, house in houses().items()}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """One request."""
        _, name, below = f"{environ['PATH_INFO']}/".split("/", 2)
        environ["SCRIPT_NAME"] += f"/{name}"
        environ["PATH_INFO"] = f"/{below}"[:-1]

        def starting(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return start_response(status, [*headers, ("X-Pid", str(os.getpid()))], *more)

        return self._houses[name](environ, starting)


def __getattr__(name: str) -> Any:
    """The towns are built where a server asks for them, and nowhere else."""
    towns: dict[str, Callable[[], Any]] = {"asgi_town": AsgiTown, "wsgi_town": WsgiTown}
    if name not in towns:
        raise AttributeError(name)
    globals()[name] = towns[name]()
    return globals()[name]
