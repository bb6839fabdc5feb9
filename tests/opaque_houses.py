"""Small applications that take opaque tokens, each behind a door of its own; together a town, as ASGI and as WSGI.

They ask one provider, which reads from the first word of a token what there is to say of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

import bearerguard.asgi
import bearerguard.wsgi
from bearerguard import InvalidToken, OpaqueTokens, ProtectedResource, Verifier, current_claims, requires_scope
from bearerguard.flask import init_app
from tests.houses import (
    AUDIENCE,
    BEARER,
    COOKIE,
    ISSUER,
    METHODS,
    NOBODY_LISTENS,
    QUERY,
    RETRY_HEADER,
    SCOPES,
    AsgiTown,
    WsgiTown,
    guards,
    settings,
    sight,
)
from tests.introspecting import CLIENT_ID, CLIENT_SECRET, ENDPOINT, inactive
from tests.scripted_provider import Line, Play, ScriptedProvider, after, html, json_answer, reset, silent, status

PLACE_VARIABLE = "BEARERGUARD_TEST_PLACE"
_ROOT = Path(__file__).resolve().parent.parent
RESOURCE = ProtectedResource(resource=AUDIENCE)
CACHE_SECONDS = 1.0
"""For how long the houses that are called "brief" remember an answer."""


# --- The provider ----------------------------------------------------------------------------------------------------


class Registrar:
    """What the provider plays at its introspection endpoint; some tokens it withdraws while it is asked."""

    def __init__(self, *, seconds: float = 0) -> None:
        self.seconds = seconds
        self.asked: Counter[str] = Counter()
        self.withdrawn: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, line: Line) -> None:
        """Answer one question."""
        token = line.request.form["token"]
        with self._lock:
            self.asked[token] += 1
        if self.seconds:
            line.pause(self.seconds)
        (inactive if token in self.withdrawn else _answer_about(token))(line)


_TROUBLE: Mapping[str, Play] = {
    "inactive": inactive,
    "down": status(500),
    "gone": reset,
    "page": html(),
    "refused": json_answer({"error": "invalid_client"}, 401),
    "slow": after(0.05, inactive),
    "silent": silent,
}
_WORDS: Mapping[str, Mapping[str, object]] = {
    "good": {},
    "half": {"scope": "read:orders"},
    "full": {"scope": SCOPES},
    "admin": {"scope": "admin"},
    "expired": {"exp": 1_600_000_000},
    "early": {"nbf": 4_000_000_000, "exp": 4_000_000_600},
    "foreign": {"aud": "https://elsewhere.example.com"},
    "stranger": {"iss": "https://elsewhere.example.com"},
    "unbound": {"aud": None},
    "refresh": {"token_use": "refresh"},
    "bound": {"cnf": {"jkt": "abc"}},
    "nameless": {"jti": None},
    "endless": {"exp": None},
    "twin": {"jti": "jti-of-twins"},
}


def raw_jti(token: str) -> str:
    """The id that the provider gives to a token."""
    return f"jti-of-{token[:20]}"


def _answer_about(token: str) -> Play:
    word = token.partition("-")[0]
    if word in _TROUBLE:
        return _TROUBLE[word]
    if word not in _WORDS:
        return inactive
    now = int(time.time())
    usual: dict[str, object] = {
        "active": True,
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "usr_7h3k9m2p",
        "tenant": f"str_{token[-12:]}",
        "iat": now,
        "exp": now + 600,
        "jti": raw_jti(token),
    }
    return json_answer({name: value for name, value in (usual | dict(_WORDS[word])).items() if value is not None})


def be_the_provider() -> None:
    """Play in a process of its own, so that its threads take no time from those of a test; see `FarProvider`."""
    with ScriptedProvider(Registrar()) as provider:
        print(provider.url(""), flush=True)
        for _ in sys.stdin:
            print(provider.count(), provider.most_at_once, flush=True)
            provider.requests.clear()
            provider.most_at_once = 0


class FarProvider:
    """A provider in a process of its own."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", "from tests.opaque_houses import be_the_provider; be_the_provider()"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT)
        self.url = self._line()

    def calls(self) -> tuple[int, int]:
        """How many there were since the last time, and how many at once."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        count, most_at_once = map(int, self._line().split())
        return count, most_at_once

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        """End it."""
        self._process.communicate()


# --- Houses ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a town stands: which provider it asks, and which store it has."""

    provider: str
    store: str = "memory://"
    more_stores: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def of_environment() -> Place:
        """The place that a test has told this process."""
        return Place(**json.loads(os.environ[PLACE_VARIABLE]))

    def as_environment(self) -> dict[str, str]:
        """What tells another process of this place."""
        return {PLACE_VARIABLE: json.dumps(vars(self))}

    def settings(self, **changes: Any) -> OpaqueTokens:
        """The settings of most houses, but for what `changes`."""
        usual: dict[str, Any] = {
            "issuer": ISSUER,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "audience": AUDIENCE,
            "introspection_endpoint": f"{self.provider}{ENDPOINT}",
            "tenant": "tenant",
            "user": "sub",
            "assumed_lifetime": 3600,
        }
        return OpaqueTokens(**usual | changes)


@dataclass(frozen=True, kw_only=True)
class OpaqueHouse:
    """What settings an application has that differ from the usual, and which options its door."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    store: str | None = None
    takes_signed_too: bool = False

    def verifier(self, place: Place) -> Verifier[Any]:
        """A verifier for one application."""
        store = self.store or place.store
        if not self.takes_signed_too:
            return Verifier(place.settings(**self.changes), store=store)
        return Verifier(settings(name="platform.session"), place.settings(name="other.session"), store=store)


HOUSES: dict[str, OpaqueHouse] = {
    "plain": OpaqueHouse(),
    "realm": OpaqueHouse(options={"realm": 'the "orders" \\ api', "resource": RESOURCE}),
    "optional": OpaqueHouse(options={"optional": True}),
    "exempt": OpaqueHouse(options={"exempt": ("/", "/health", "/static/*")}),
    "strict": OpaqueHouse(options={"preflight": "refuse"}),
    "pattern": OpaqueHouse(changes={"pattern": "[A-Za-z0-9_-]{43}"}),
    "cookie": OpaqueHouse(changes={"carriers": (BEARER, COOKIE)}),
    "query": OpaqueHouse(changes={"carriers": (BEARER, QUERY)}),
    "retry": OpaqueHouse(changes={"refusal_headers": {InvalidToken: RETRY_HEADER}}),
    "kinds": OpaqueHouse(takes_signed_too=True),
    "no-store": OpaqueHouse(store=NOBODY_LISTENS, options={"optional": True, "exempt": ("/health",)}),
    "brief": OpaqueHouse(changes={"cache_seconds": CACHE_SECONDS}),
}


def _houses(place: Place) -> Mapping[str, tuple[OpaqueHouse, Place]]:
    """The houses of a town: where it has several stores, one house for each of them."""
    if not place.more_stores:
        return {name: (house, place) for name, house in HOUSES.items()}
    return {
        f"{name}-{kind}": (HOUSES[kind], Place(provider=place.provider, store=store))
        for name, store in place.more_stores.items()
        for kind in ("plain", "brief")
    }


# --- As ASGI ---------------------------------------------------------------------------------------------------------


def starlette_house(house: OpaqueHouse, place: Place, **more: Any) -> Starlette:
    """The application of a house, behind its door."""
    verifier = house.verifier(place)
    app = Starlette(routes=[*_asgi_routes(verifier, named=house.takes_signed_too)])
    door: Any = (
        bearerguard.asgi.BearerMiddleware if house.takes_signed_too else bearerguard.asgi.IntrospectionMiddleware
    )
    app.add_middleware(door, verifier=verifier, **house.options, **more)
    app.state.verifier = verifier
    return app


def _asgi_routes(verifier: Verifier[Any], *, named: bool) -> Iterable[Route | WebSocketRoute]:
    async def done(request: Request) -> Response:
        return JSONResponse(sight(request.scope["bearerguard"]))

    async def report(request: Request) -> Response:
        return JSONResponse(sight(request.scope["bearerguard"], headers=dict(request.headers)))

    async def verify(request: Request) -> Response:
        return JSONResponse((await verifier.averify(request.headers["x-body-token"])).to_dict())

    async def revoke(_: Request) -> Response:
        await verifier.denylist.arevoke(current_claims())
        return JSONResponse({})

    guarded: Mapping[str, Callable[..., Any]] = guards(done, named=named)
    yield Route("/verify", verify, methods=["POST"])
    yield Route("/revoke", revoke, methods=["POST"])
    for path, view in guarded.items():
        yield Route(path, view, methods=["GET", "POST"])
    yield WebSocketRoute("/ws/echo", echo)
    yield WebSocketRoute("/ws/scope", requires_scope("read:orders", kind="opaque")(echo))
    yield Route("/{path:path}", report, methods=METHODS)


async def echo(websocket: WebSocket) -> None:
    """Accepts, and says everything again."""
    await websocket.accept()
    await websocket.send_json({"user": (claims := current_claims(None)) and claims.user})
    async for text in websocket.iter_text():
        await websocket.send_text(text)


class OpaqueAsgiTown(AsgiTown):
    """Every house at its own root_path."""

    def __init__(self, place: Place) -> None:
        apps = {name: starlette_house(house, where) for name, (house, where) in _houses(place).items()}
        self._houses = {**apps}
        self._verifiers: list[Verifier[Any]] = [app.state.verifier for app in apps.values()]

    async def aclose(self) -> None:
        """Close what its verifiers have opened."""
        for verifier in self._verifiers:
            await verifier.aclose()


# --- As WSGI ---------------------------------------------------------------------------------------------------------


def flask_house(house: OpaqueHouse, place: Place) -> flask.Flask:
    """The application of a house, behind its door."""
    verifier = house.verifier(place)
    app = flask.Flask(__name__, static_folder=None)
    _add_flask_views(app, verifier, named=house.takes_signed_too)
    door: Any = (
        bearerguard.wsgi.BearerMiddleware if house.takes_signed_too else bearerguard.wsgi.IntrospectionMiddleware
    )
    init_app(app, door, verifier=verifier, **house.options)
    app.extensions["verifier"] = verifier
    return app


def _add_flask_views(app: flask.Flask, verifier: Verifier[Any], *, named: bool) -> None:
    def done() -> Any:
        return sight(flask.request.environ["bearerguard"])

    def report(rest: str = "") -> Any:
        headers = {name.lower(): value for name, value in flask.request.headers.items()}
        return sight(flask.request.environ["bearerguard"], headers=headers)

    def verify() -> Any:
        return verifier.verify(flask.request.headers["X-Body-Token"]).to_dict()

    def revoke() -> Any:
        verifier.denylist.revoke(current_claims())
        return {}

    app.add_url_rule("/verify", view_func=verify, methods=["POST"])
    app.add_url_rule("/revoke", view_func=revoke, methods=["POST"])
    for path, view in guards(done, named=named).items():
        app.add_url_rule(path, endpoint=path.replace("/", "_"), view_func=view, methods=["GET", "POST"])
    for rule in ("/", "/<path:rest>"):
        app.add_url_rule(rule, view_func=report, methods=METHODS, provide_automatic_options=False)


class OpaqueWsgiTown(WsgiTown):
    """Every house at its own SCRIPT_NAME."""

    def __init__(self, place: Place) -> None:
        self._houses = {name: flask_house(house, where) for name, (house, where) in _houses(place).items()}

    def close(self) -> None:
        """Close what its verifiers have opened."""
        for app in self._houses.values():
            app.extensions["verifier"].close()


def __getattr__(name: str) -> Any:
    """The towns are built where a server asks for them, and nowhere else."""
    towns: dict[str, Callable[[Place], Any]] = {"asgi_town": OpaqueAsgiTown, "wsgi_town": OpaqueWsgiTown}
    if name not in towns:
        raise AttributeError(name)
    globals()[name] = towns[name](Place.of_environment())
    return globals()[name]
