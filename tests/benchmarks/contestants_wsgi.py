"""Who is measured behind WSGI: one Flask app with one tiny view, protected in different ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal

import jwt
from flask import Flask, g, request

from .floor import Floor, WsgiFloor
from .floor_opaque import OpaqueFloor
from .floors import floor_verifier
from .harness import BARE, FLOOR, OURS, LeftOut
from .provider import Provider
from .tokens import AUDIENCE, ISSUER, Signer, claims_by_pyjwt
from .traffic import ANSWER, PATH

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

FLASK_AND_PYJWT = "Flask + PyJWT decorator"
FLASK_JWT_EXTENDED = "Flask-JWT-Extended"

_JOSE_KEYS: Mapping[str, Literal["oct", "RSA"]] = {"HS256": "oct", "RS256": "RSA"}

View = Callable[[], Any]


def orders() -> dict[str, bool]:
    """The view that everybody serves."""
    return ANSWER


def bare(_: object) -> WSGIApplication:
    return flask_app(orders)


def floor(signer: Signer) -> WSGIApplication:
    return behind_floor(floor_verifier(signer))


def behind_floor(verifier: Floor) -> WSGIApplication:
    """The app with this verifier in front."""
    app = flask_app(orders)
    app.wsgi_app = WsgiFloor(app.wsgi_app, verifier)  # type: ignore[method-assign]
    return app


def bearerguard(signer: Signer) -> WSGIApplication:
    from bearerguard import requires_token
    from bearerguard.flask import init_app
    from bearerguard.wsgi import SessionTokenMiddleware

    from .ours import verifier_for

    app = flask_app(requires_token(orders))
    init_app(app, SessionTokenMiddleware, verifier=verifier_for(signer))
    return app


def flask_with_pyjwt(signer: Signer) -> WSGIApplication:
    return flask_app(pyjwt_required(signer)(orders))


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
    denied: set[str] = set()
    return flask_jwt_extended_with(signer, lambda header, claims: claims["jti"] in denied)


def flask_jwt_extended_with(signer: Signer, is_revoked: Callable[[Any, Any], bool]) -> WSGIApplication:
    """Flask-JWT-Extended, and what it asks about revocation."""
    from flask_jwt_extended import JWTManager, jwt_required

    app = flask_app(jwt_required()(orders))
    app.config.update(
        JWT_ALGORITHM=signer.algorithm,
        JWT_SECRET_KEY=signer.public,
        JWT_PUBLIC_KEY=signer.public,
        JWT_DECODE_ISSUER=ISSUER,
        JWT_DECODE_AUDIENCE=AUDIENCE,
        JWT_DECODE_LEEWAY=10,
    )
    manager = JWTManager(app)
    manager.token_in_blocklist_loader(is_revoked)
    manager.invalid_token_loader(lambda why: ({"error": "invalid_token"}, 401))  # its own answer is a 422
    return app


def authlib_protector(signer: Signer) -> WSGIApplication:
    from authlib.integrations.flask_oauth2 import ResourceProtector

    if signer.algorithm not in _JOSE_KEYS:
        raise LeftOut(f"its validator takes no {signer.algorithm}")
    protector = ResourceProtector()
    protector.register_token_validator(_authlib_validator(signer))
    return flask_app(protector("read:orders")(orders))


def _authlib_validator(signer: Signer) -> Any:
    """What Authlib's documentation shows for RFC 9068, with the key prepared and a denylist."""
    from authlib.oauth2.rfc6750 import InvalidTokenError
    from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
    from joserfc.jwk import import_key

    key = import_key(signer.public_text, _JOSE_KEYS[signer.algorithm])
    denied: set[str] = set()

    class Validator(JWTBearerTokenValidator):  # type: ignore[misc]
        def get_jwks(self) -> Any:
            return key

        def authenticate_token(self, token_string: str) -> Any:
            token = super().authenticate_token(token_string)
            if token["jti"] in denied:
                raise InvalidTokenError()
            return token

    return Validator(issuer=ISSUER, resource_server=AUDIENCE)


def opaque_floor(provider: Provider) -> WSGIApplication:
    return behind_floor(OpaqueFloor(provider.ask, issuer=ISSUER, audience=AUDIENCE))


def introspecting_bearerguard(provider: Provider) -> WSGIApplication:
    from bearerguard import requires_token
    from bearerguard.flask import init_app
    from bearerguard.wsgi import IntrospectionMiddleware

    from .ours import introspecting

    app = flask_app(requires_token(orders))
    init_app(app, IntrospectionMiddleware, verifier=introspecting(provider))
    return app


def flask_app(view: View) -> Flask:
    """An app with this one view."""
    app = Flask(__name__)
    app.add_url_rule(PATH, "orders", view)
    return app


CONTESTANTS: Mapping[str, Callable[[Signer], WSGIApplication]] = {
    BARE: bare,
    FLOOR: floor,
    OURS: bearerguard,
    FLASK_AND_PYJWT: flask_with_pyjwt,
    FLASK_JWT_EXTENDED: flask_jwt_extended,
    "Authlib ResourceProtector": authlib_protector,
}

OPAQUE: Mapping[str, Callable[[Provider], WSGIApplication]] = {
    BARE: bare,
    FLOOR: opaque_floor,
    OURS: introspecting_bearerguard,
}
