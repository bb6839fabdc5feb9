"""One application that several workers serve together, as ASGI and as WSGI; it may have been used before they fork."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import certifi
import flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import bearerguard.asgi
import bearerguard.wsgi
from bearerguard import OpaqueTokens, SignedTokens, Verifier, current_claims, single_use
from bearerguard.flask import init_app
from tests.doors import eventually
from tests.houses import AsgiTown, WsgiTown, settings, token
from tests.opaque_houses import Place

AUTHORITIES_VARIABLE = "BEARERGUARD_TEST_AUTHORITIES"
"""A file with the certificate that the provider is believed by, instead of the public ones."""

CACHE_SECONDS = 30
USED_BEFORE = "before"
HEALTH = "/health"
REVOCATIONS = ("id", "user", "tenant")

CrewVerifier = Verifier[SignedTokens | OpaqueTokens]


def crew_verifier(place: Place) -> CrewVerifier:
    """Takes signed and opaque tokens alike."""
    signed, opaque = settings(name="session"), place.settings(name="access", cache_seconds=CACHE_SECONDS)
    return Verifier[SignedTokens | OpaqueTokens](signed, opaque, store=place.store, any_kind=True)


def _seen() -> dict[str, object]:
    claims = current_claims()
    return {"kind": claims.kind, "user": claims.user, "id": claims.token_id, "pid": os.getpid()}


# --- As ASGI ---------------------------------------------------------------------------------------------------------


def _starlette_app(verifier: CrewVerifier) -> Starlette:
    """The application, behind its door."""
    app = Starlette(routes=[*_asgi_routes(verifier)])
    app.add_middleware(bearerguard.asgi.BearerMiddleware, verifier=verifier, exempt=(HEALTH,))
    return app


def _asgi_routes(verifier: CrewVerifier) -> Iterable[Route]:
    async def health(_: Request) -> Response:
        return JSONResponse({})

    async def anything(_: Request) -> Response:
        return JSONResponse(_seen())

    async def revoke(request: Request) -> Response:
        claims, denylist = current_claims(), verifier.denylist
        what: dict[str, Callable[[], Any]] = {
            "id": lambda: denylist.arevoke(claims),
            "user": lambda: denylist.arevoke_user(str(claims.user)),
            "tenant": lambda: denylist.arevoke_tenant(claims.require_tenant()),
        }
        await what[request.path_params["what"]]()
        return JSONResponse({})

    yield Route(HEALTH, health)
    yield Route("/anything", anything)
    yield Route("/once", single_use(anything))
    yield Route("/revoke/{what}", revoke, methods=["POST"])


# --- As WSGI ---------------------------------------------------------------------------------------------------------


def _flask_app(verifier: CrewVerifier) -> flask.Flask:
    """The application, behind its door."""
    app = flask.Flask(__name__, static_folder=None)
    _add_flask_views(app, verifier)
    init_app(app, bearerguard.wsgi.BearerMiddleware, verifier=verifier, exempt=(HEALTH,))
    return app


def _add_flask_views(app: flask.Flask, verifier: CrewVerifier) -> None:
    def revoke(what: str) -> Any:
        claims, denylist = current_claims(), verifier.denylist
        revocations: dict[str, Callable[[], Any]] = {
            "id": lambda: denylist.revoke(claims),
            "user": lambda: denylist.revoke_user(str(claims.user)),
            "tenant": lambda: denylist.revoke_tenant(claims.require_tenant()),
        }
        revocations[what]()
        return {}

    app.add_url_rule(HEALTH, view_func=dict, endpoint="health")
    app.add_url_rule("/anything", view_func=_seen, endpoint="anything")
    app.add_url_rule("/once", view_func=single_use(_seen), endpoint="once")
    app.add_url_rule("/revoke/<what>", view_func=revoke, methods=["POST"])


# --- As servers find it ----------------------------------------------------------------------------------------------


class AsgiCrew(AsgiTown):
    """The application below /crew; the process says its id in each answer."""

    def __init__(self, verifier: CrewVerifier) -> None:
        self._houses = {"crew": _starlette_app(verifier)}


class WsgiCrew(WsgiTown):
    """The application below /crew; the process says its id in each answer."""

    def __init__(self, verifier: CrewVerifier) -> None:
        self._houses = {"crew": _flask_app(verifier)}


# --- Before the fork -------------------------------------------------------------------------------------------------


def used(verifier: CrewVerifier) -> CrewVerifier:
    """The verifier, after threads of this process have asked its store and its provider, all at once."""
    texts = [token(), *(f"good-{USED_BEFORE}-{number}".ljust(43, "x") for number in range(4))]
    threads = [threading.Thread(target=verifier.verify, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Joined is not gone: OpenSSL tidies up first, and a fork amid that leaves the child a lock that nobody opens.
    assert eventually(lambda: not any(Path(f"/proc/self/task/{thread.native_id}").exists() for thread in threads))
    assert verifier.verify(token()).kind == "session"
    return verifier


def _believe_the_provider() -> None:
    if AUTHORITIES_VARIABLE in os.environ:
        certifi.where = lambda: os.environ[AUTHORITIES_VARIABLE]


def _prepared() -> CrewVerifier:
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    _believe_the_provider()
    return crew_verifier(Place.of_environment())


def __getattr__(name: str) -> Any:
    """The applications are built where a server asks for them, and nowhere else."""
    apps: dict[str, Callable[[], Any]] = {
        "asgi_app": lambda: AsgiCrew(_prepared()),
        "wsgi_app": lambda: WsgiCrew(_prepared()),
        "used_asgi_app": lambda: AsgiCrew(used(_prepared())),
        "used_wsgi_app": lambda: WsgiCrew(used(_prepared())),
    }
    if name not in apps:
        raise AttributeError(name)
    globals()[name] = apps[name]()
    return globals()[name]
