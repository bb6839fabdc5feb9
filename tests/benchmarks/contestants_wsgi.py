"""Who is measured behind WSGI: one Flask app with one tiny view, protected in different ways."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

import jwt
from flask import Flask, g, request

from .floor import FloorVerifier, WsgiFloor, signature_check
from .floor_opaque import OpaqueFloor
from .harness import BARE, FLOOR, OURS, Served
from .provider import Provider
from .tokens import AUDIENCE, ISSUER, Signer, claims_by_pyjwt
from .traffic import ANSWER, PATH, wsgi_environ

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

View = Callable[[], Any]


def orders() -> dict[str, bool]:
    """The view that everybody serves."""
    return ANSWER


def bare(_: object) -> WSGIApplication:
    return _flask(orders)


def floor(signer: Signer) -> WSGIApplication:
    check = signature_check(signer.algorithm, signer.public)
    app = _flask(orders)
    verifier = FloorVerifier(signer.algorithm, check, issuer=ISSUER, audience=AUDIENCE)
    app.wsgi_app = WsgiFloor(app.wsgi_app, verifier)  # type: ignore[method-assign]
    return app


def bearerguard(signer: Signer) -> WSGIApplication:
    from bearerguard import requires_token
    from bearerguard.flask import init_app
    from bearerguard.wsgi import SessionTokenMiddleware

    from .ours import verifier_for

    app = _flask(requires_token(orders))
    init_app(app, SessionTokenMiddleware, verifier=verifier_for(signer))
    return app


def flask_with_pyjwt(signer: Signer) -> WSGIApplication:
    return _flask(pyjwt_required(signer)(orders))


def pyjwt_required(signer: Signer) -> Callable[[View], View]:
    """The decorator that most Flask tutorials end with, and a denylist."""
    denied: set[str] = set()

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded() -> Any:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            if scheme.lower() != "bearer":
                return {"error": "missing_token"}, 401
            try:
                g.claims = claims_by_pyjwt(token, signer)
            except jwt.InvalidTokenError:
                return {"error": "invalid_token"}, 401
            if g.claims["jti"] in denied:
                return {"error": "invalid_token"}, 401
            return view()

        return guarded

    return decorate


def flask_jwt_extended(signer: Signer) -> WSGIApplication:
    from flask_jwt_extended import JWTManager, jwt_required

    app = _flask(jwt_required()(orders))
    app.config.update(
        JWT_ALGORITHM=signer.algorithm,
        JWT_SECRET_KEY=signer.public,
        JWT_PUBLIC_KEY=signer.public,
        JWT_DECODE_ISSUER=ISSUER,
        JWT_DECODE_AUDIENCE=AUDIENCE,
        JWT_DECODE_LEEWAY=10,
    )
    denied: set[str] = set()
    manager = JWTManager(app)
    manager.token_in_blocklist_loader(lambda header, claims: claims["jti"] in denied)
    manager.invalid_token_loader(lambda why: ({"error": "invalid_token"}, 401))  # its own answer is a 422
    return app


def opaque_floor(provider: Provider) -> WSGIApplication:
    app = _flask(orders)
    verifier = OpaqueFloor(provider.ask, issuer=ISSUER, audience=AUDIENCE)
    app.wsgi_app = WsgiFloor(app.wsgi_app, verifier)  # type: ignore[method-assign]
    return app


def introspecting_bearerguard(provider: Provider) -> WSGIApplication:
    from bearerguard import requires_token
    from bearerguard.flask import init_app
    from bearerguard.wsgi import IntrospectionMiddleware

    from .ours import introspecting

    app = _flask(requires_token(orders))
    init_app(app, IntrospectionMiddleware, verifier=introspecting(provider))
    return app


def _flask(view: View) -> Flask:
    app = Flask(__name__)
    app.add_url_rule(PATH, "orders", view)
    return app


CONTESTANTS: Mapping[str, Callable[[Signer], WSGIApplication]] = {
    BARE: bare,
    FLOOR: floor,
    OURS: bearerguard,
    "Flask + PyJWT decorator": flask_with_pyjwt,
    "Flask-JWT-Extended": flask_jwt_extended,
}

OPAQUE: Mapping[str, Callable[[Provider], WSGIApplication]] = {
    BARE: bare,
    FLOOR: opaque_floor,
    OURS: introspecting_bearerguard,
}


class WsgiServe:
    """Serves blocks of requests to one app; each response is read to its end and closed."""

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app

    def __call__(self, tokens: Sequence[str | None]) -> Served:
        nanoseconds: list[int] = []
        statuses: list[int] = []

        def start_response(status: str, headers: object, exc_info: object = None) -> Callable[[bytes], object]:
            statuses.append(int(status[:3]))
            return lambda data: None

        app = self.app
        for token in tokens:
            environ = wsgi_environ(token)
            start = time.perf_counter_ns()
            body = app(environ, start_response)
            for _ in body:
                pass
            close = getattr(body, "close", None)
            if close is not None:
                close()
            nanoseconds.append(time.perf_counter_ns() - start)
        return Served(nanoseconds, statuses)
