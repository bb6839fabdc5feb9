"""A Whatalo plugin on Litestar: the orders of one store.

Set WHATALO_CLIENT_ID and WHATALO_CLIENT_SECRET, then: uvicorn --app-dir examples litestar_app:app
"""

import os
from collections.abc import AsyncIterator
from typing import Any

from litestar import Litestar, Request, Response, get, post
from litestar.params import FromPath
from litestar.response import Stream

from bearerguard import AuthError, Unavailable, Verifier, current_claims, requires_scope, requires_token, single_use
from bearerguard.asgi import SessionTokenMiddleware
from bearerguard.platforms import whatalo

verifier = Verifier(
    whatalo.session_tokens(
        client_id=os.environ["WHATALO_CLIENT_ID"],
        client_secret=os.environ["WHATALO_CLIENT_SECRET"],
    ),
    store=os.environ.get("BEARERGUARD_STORE", "memory://"),
)


@get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@get("/me")
@requires_token
async def me(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """`request.user` is whoever the token speaks for."""
    return {"store": request.user.claims.tenant, "scopes": request.auth.scopes}


# `security` is for the OpenAPI page alone; the guard guards.
@get("/orders", sync_to_thread=True, security=[{"BearerToken": ["read:orders"]}])
@requires_scope("read:orders")
def orders() -> dict[str, Any]:
    return {"store": current_claims().require_tenant(), "orders": [1001, 1002]}


@post("/orders/{number:int}/refund", status_code=200)
@requires_scope("write:orders")
@single_use
async def refund(number: FromPath[int]) -> dict[str, Any]:
    """Money goes out here once for each token, so the front end fetches a fresh one for this call."""
    return {"store": current_claims().tenant, "refunded": number}


@get("/orders.csv")
@requires_scope("read:orders")
async def export() -> Stream:
    async def lines() -> AsyncIterator[str]:
        yield "store,order\n"
        for number in (1001, 1002):
            yield f"{current_claims().tenant},{number}\n"

    return Stream(lines(), media_type="text/csv")


def refused(_: Request[Any, Any, Any], error: AuthError | Unavailable) -> Response[dict[str, str]]:
    """What guards refuse, as the door answers it; Litestar would keep it from the door."""
    return Response(error.body(), status_code=error.status, headers=error.headers())


app = SessionTokenMiddleware(
    Litestar(
        [health, me, orders, refund, export],
        exception_handlers={AuthError: refused, Unavailable: refused},
    ),
    verifier=verifier,
    exempt=("/health",),
)
