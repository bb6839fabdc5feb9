"""What the fleet serves: the same routes as an ASGI and as a WSGI app, over one Redis and one provider."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import bearerguard.asgi
import bearerguard.wsgi
from bearerguard import OpaqueTokens, SharedSecrets, SignedTokens, Verifier, requires_scope, single_use
from bearerguard.flask import init_app

from .oracle import AHEAD_SECONDS, CACHE_SECONDS, LEEWAY_SECONDS
from .tokens import (
    AUDIENCE,
    AUTHORITY,
    CLIENT_ID,
    CLIENT_SECRET,
    ISSUER,
    LONGEST_LIFE,
    PROVIDER_ISSUER,
    SCOPE,
    SECRET,
)

PLACE_VARIABLE = "BEARERGUARD_SOAK_PLACE"
REMEMBERED = 2000
CONTROL = "/control/revoke"


def verifier() -> Verifier[SignedTokens | OpaqueTokens]:
    """The verifier of one worker."""
    place = json.loads(os.environ[PLACE_VARIABLE])
    return Verifier(_signed(), _opaque(place["introspection"]), store=place["store"], any_kind=True)


def _signed() -> SignedTokens:
    return SignedTokens(
        name="session",
        authority=AUTHORITY,
        keys=SharedSecrets(SECRET),
        algorithms=("HS256",),
        issuer=ISSUER,
        audience=AUDIENCE,
        leeway=LEEWAY_SECONDS,
        iat_leeway=AHEAD_SECONDS,
        max_lifetime=LONGEST_LIFE,
        tenant="tenant",
        user="sub",
        remember_tokens=REMEMBERED,
    )


def _opaque(endpoint: str) -> OpaqueTokens:
    return OpaqueTokens(
        name="access",
        authority=AUTHORITY,
        issuer=PROVIDER_ISSUER,
        introspection_endpoint=endpoint,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        audience=AUDIENCE,
        iat_leeway=AHEAD_SECONDS,
        cache_seconds=CACHE_SECONDS,
        assumed_lifetime=LONGEST_LIFE,
        tenant="tenant",
        user="sub",
        remember_tokens=REMEMBERED,
    )


def _arguments(query: Mapping[str, str]) -> tuple[str, str, dict[str, Any]]:
    """What is revoked, its name, and until when."""
    until = {"until": float(query["until"])} if query["what"] == "id" else {}
    return query["what"], query["name"], until


def _marks(began_at: float) -> list[tuple[str, str]]:
    """Who answers, and how long it took him."""
    return [("X-Pid", str(os.getpid())), ("X-Took", f"{time.monotonic() - began_at:.4f}")]


# --- As ASGI ---------------------------------------------------------------------------------------------------------


def asgi() -> ASGIApp:
    """The app of a uvicorn worker."""
    verifies = verifier()

    async def revoke(request: Request) -> Response:
        what, name, until = _arguments(request.query_params)
        await getattr(verifies.denylist, f"arevoke_{what}")(name, **until)
        return JSONResponse({})

    routes = [
        Route("/plain", _done),
        Route("/scoped", requires_scope(SCOPE)(_done)),
        Route("/once", single_use(_done), methods=["POST"]),
        Route(CONTROL, revoke, methods=["POST"]),
    ]
    app = Starlette(routes=routes)
    app.add_middleware(bearerguard.asgi.BearerMiddleware, verifier=verifies, exempt=(CONTROL,))
    return _with_marks(app)


async def _done(_: Request) -> Response:
    return JSONResponse({})


def _with_marks(app: ASGIApp) -> ASGIApp:
    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        began_at = time.monotonic()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                marks = [(name.lower().encode(), value.encode()) for name, value in _marks(began_at)]
                message = {**message, "headers": [*message["headers"], *marks]}
            await send(message)

        await app(scope, receive, sending)

    return outer


# --- As WSGI ---------------------------------------------------------------------------------------------------------


def wsgi() -> Callable[..., Iterable[bytes]]:
    """The app of a gunicorn worker."""
    verifies = verifier()
    app = flask.Flask(__name__, static_folder=None)

    def done() -> dict[str, str]:
        return {}

    def revoke() -> dict[str, str]:
        what, name, until = _arguments(flask.request.args)
        getattr(verifies.denylist, f"revoke_{what}")(name, **until)
        return {}

    app.add_url_rule("/plain", "plain", done)
    app.add_url_rule("/scoped", "scoped", requires_scope(SCOPE)(done))
    app.add_url_rule("/once", "once", single_use(done), methods=["POST"])
    app.add_url_rule(CONTROL, "revoke", revoke, methods=["POST"])
    init_app(app, bearerguard.wsgi.BearerMiddleware, verifier=verifies, exempt=(CONTROL,))

    def outer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        began_at = time.monotonic()

        def starting(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return start_response(status, [*headers, *_marks(began_at)], *more)

        return app.wsgi_app(environ, starting)

    return outer


def __getattr__(name: str) -> Any:
    """The apps are built where a server asks for them, and nowhere else."""
    apps: dict[str, Callable[[], Any]] = {"asgi_app": asgi, "wsgi_app": wsgi}
    if name not in apps:
        raise AttributeError(name)
    globals()[name] = apps[name]()
    return globals()[name]
