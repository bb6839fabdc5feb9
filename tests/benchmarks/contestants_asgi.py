"""Who is measured behind ASGI: one Starlette app with one tiny view, protected in different ways."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jwt
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, SimpleUser, requires
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .floor import AsgiFloor
from .floor_opaque import OpaqueFloor
from .floors import floor_verifier
from .harness import BARE, FLOOR, OURS, LeftOut
from .provider import CLIENT_ID, CLIENT_SECRET, Provider
from .pyjwts import OLD_PYJWT, old_pyjwt
from .tokens import AUDIENCE, ISSUER, NO_BASE64URL, Signer, claims_by_pyjwt
from .traffic import ANSWER, PATH

STARLETTE_AND_PYJWT = "Starlette AuthenticationMiddleware + PyJWT"
OLDER_PYJWT = f"{STARLETTE_AND_PYJWT} {OLD_PYJWT}"
FASTMCP = "mcp + fastmcp JWTVerifier"


async def orders(request: Request) -> Response:
    """The view that everybody serves."""
    return JSONResponse(ANSWER)


def bare(_: object) -> ASGIApp:
    return Starlette(routes=[Route(PATH, orders)])


def floor(signer: Signer) -> ASGIApp:
    protected = [Middleware(AsgiFloor, verifier=floor_verifier(signer))]
    return Starlette(routes=[Route(PATH, orders)], middleware=protected)


def bearerguard(signer: Signer) -> ASGIApp:
    from bearerguard import requires_token
    from bearerguard.asgi import SessionTokenMiddleware

    from .ours import verifier_for

    protected = [Middleware(SessionTokenMiddleware, verifier=verifier_for(signer))]
    return Starlette(routes=[Route(PATH, requires_token(orders))], middleware=protected)


def starlette_with_pyjwt(signer: Signer, pyjwt: Any = jwt) -> ASGIApp:
    protected = [Middleware(AuthenticationMiddleware, backend=PyJwtBackend(signer, pyjwt), on_error=_unauthorized)]
    return Starlette(routes=[Route(PATH, requires("read:orders", status_code=401)(orders))], middleware=protected)


def starlette_with_old_pyjwt(signer: Signer) -> ASGIApp:
    return starlette_with_pyjwt(signer, old_pyjwt())


class PyJwtBackend(AuthenticationBackend):
    """What Starlette's documentation shows, with PyJWT and a denylist inside."""

    def __init__(self, signer: Signer, pyjwt: Any) -> None:
        self.signer = signer
        self.pyjwt = pyjwt
        self.denied: set[str] = set()

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
        scheme, _, token = conn.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        try:
            claims = claims_by_pyjwt(token, self.signer, self.pyjwt)
        except self.pyjwt.InvalidTokenError as error:
            raise AuthenticationError("the token is not valid") from error
        if claims["jti"] in self.denied:
            raise AuthenticationError("the token has been revoked")
        return AuthCredentials(claims["scope"].split()), SimpleUser(claims["sub"])


def _unauthorized(conn: HTTPConnection, error: Exception) -> Response:
    return JSONResponse({"error": "invalid_token"}, 401, {"WWW-Authenticate": "Bearer"})


def mcp_with_fastmcp(signer: Signer) -> ASGIApp:
    from fastmcp.server.auth.providers.jwt import JWTVerifier
    from mcp.server.auth.middleware.bearer_auth import RequireAuthMiddleware

    warnings.filterwarnings("ignore", message="EdDSA is deprecated", module="joserfc")
    try:
        verifier = JWTVerifier(
            public_key=signer.public_text, algorithm=signer.algorithm, issuer=ISSUER, audience=AUDIENCE
        )
    except ValueError as error:
        raise LeftOut(str(error)) from error
    view = RequireAuthMiddleware(_as_app(orders), required_scopes=["read:orders"])
    return Starlette(routes=[Route(PATH, view)], middleware=verifier.get_middleware())


def opaque_floor(provider: Provider) -> ASGIApp:
    verifier = OpaqueFloor(provider.ask, issuer=ISSUER, audience=AUDIENCE)
    return Starlette(routes=[Route(PATH, orders)], middleware=[Middleware(AsgiFloor, verifier=verifier)])


def introspecting_bearerguard(provider: Provider) -> ASGIApp:
    from bearerguard import requires_token
    from bearerguard.asgi import IntrospectionMiddleware

    from .ours import introspecting

    protected = [Middleware(IntrospectionMiddleware, verifier=introspecting(provider))]
    return Starlette(routes=[Route(PATH, requires_token(orders))], middleware=protected)


def introspecting_fastmcp(provider: Provider) -> ASGIApp:
    from mcp.server.auth.middleware.bearer_auth import RequireAuthMiddleware

    view = RequireAuthMiddleware(_as_app(orders), required_scopes=["read:orders"])
    return Starlette(routes=[Route(PATH, view)], middleware=fastmcp_verifier(provider).get_middleware())


def fastmcp_verifier(provider: Provider, client: Any = None) -> Any:
    """The verifier of fastmcp with its cache switched on, which it is not by itself."""
    from fastmcp.server.auth.providers.introspection import IntrospectionTokenVerifier

    return IntrospectionTokenVerifier(
        introspection_url=provider.endpoint,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        audience=AUDIENCE,
        required_scopes=["read:orders"],
        cache_ttl_seconds=60,
        http_client=client,
    )


def _as_app(view: Callable[[Request], Any]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await view(Request(scope, receive, send))
        await response(scope, receive, send)

    return app


CONTESTANTS: Mapping[str, Callable[[Signer], ASGIApp]] = {
    BARE: bare,
    FLOOR: floor,
    OURS: bearerguard,
    STARLETTE_AND_PYJWT: starlette_with_pyjwt,
    OLDER_PYJWT: starlette_with_old_pyjwt,
    FASTMCP: mcp_with_fastmcp,
}

ADMITS = {OLDER_PYJWT: frozenset((NO_BASE64URL,))}

OPAQUE: Mapping[str, Callable[[Provider], ASGIApp]] = {
    BARE: bare,
    FLOOR: opaque_floor,
    OURS: introspecting_bearerguard,
    "mcp + fastmcp IntrospectionTokenVerifier, cache on": introspecting_fastmcp,
}
