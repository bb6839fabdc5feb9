"""Who is measured behind FastAPI: its own app with one tiny view, protected as those do it who use FastAPI.

The annotations are what FastAPI reads, so they are not put off.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, TypedDict

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.types import ASGIApp

from .floor import AsgiFloor
from .floors import floor_verifier
from .harness import BARE, FLOOR, OURS
from .tokens import Signer, claims_by_pyjwt
from .traffic import ANSWER, PATH


class SessionClaims(TypedDict):
    """What a good token says, as far as a view would ask."""

    sub: str
    tenant: str


async def orders() -> dict[str, bool]:
    """The view that everybody serves."""
    return ANSWER


def bare(_: object) -> ASGIApp:
    return _fastapi(orders)


def floor(signer: Signer) -> ASGIApp:
    app = _fastapi(orders)
    app.add_middleware(AsgiFloor, verifier=floor_verifier(signer))
    return app


def bearerguard(signer: Signer) -> ASGIApp:
    from bearerguard.asgi import SessionTokenMiddleware
    from bearerguard.fastapi import claims_as

    from .ours import verifier_for

    async def guarded(session: Annotated[SessionClaims, Depends(claims_as(SessionClaims))]) -> dict[str, bool]:
        return ANSWER

    app = _fastapi(guarded)
    app.add_middleware(SessionTokenMiddleware, verifier=verifier_for(signer, claims_type=SessionClaims))
    return app


def door_alone(signer: Signer) -> ASGIApp:
    """Nothing at the route: the door has refused already, and the view could ask `current_claims()`."""
    from bearerguard.asgi import SessionTokenMiddleware

    from .ours import verifier_for

    app = _fastapi(orders)
    app.add_middleware(SessionTokenMiddleware, verifier=verifier_for(signer))
    return app


def http_bearer_with_pyjwt(signer: Signer) -> ASGIApp:
    claims = _claims_by_pyjwt(signer)

    async def guarded(session: Annotated[dict[str, Any], Depends(claims)]) -> dict[str, bool]:
        return ANSWER

    return _fastapi(guarded)


def _claims_by_pyjwt(signer: Signer) -> Callable[[HTTPAuthorizationCredentials], Awaitable[dict[str, Any]]]:
    """The dependency that most FastAPI tutorials end with, and a denylist; a coroutine, so that no thread is needed."""
    scheme = HTTPBearer()
    denied: set[str] = set()

    async def claims(credentials: Annotated[HTTPAuthorizationCredentials, Depends(scheme)]) -> dict[str, Any]:
        try:
            found = claims_by_pyjwt(credentials.credentials, signer)
        except jwt.InvalidTokenError as error:
            raise HTTPException(401, "the token is not valid") from error
        if found["jti"] in denied:
            raise HTTPException(401, "the token has been revoked")
        return found

    return claims


def _fastapi(view: Callable[..., Awaitable[dict[str, bool]]]) -> FastAPI:
    app = FastAPI()
    app.get(PATH)(view)
    return app


CONTESTANTS: Mapping[str, Callable[[Signer], ASGIApp]] = {
    BARE: bare,
    FLOOR: floor,
    OURS: bearerguard,
    f"{OURS}, the door alone": door_alone,
    "FastAPI HTTPBearer + PyJWT": http_bearer_with_pyjwt,
}
