"""A JTL app on FastAPI: a tenant connects, is kept in a database, and its ERP is called.

Set JTL_CLIENT_ID and JTL_CLIENT_SECRET, then: uvicorn --app-dir examples jtl_connect_tenant.app:app
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from bearerguard import Verifier, current_claims, requires_token
from bearerguard.asgi import SessionTokenMiddleware
from bearerguard.fastapi import RESPONSES
from bearerguard.platforms import jtl

from .database import Tenants
from .erp import Erp, ErpFailed

CLIENT_ID = os.environ["JTL_CLIENT_ID"]
AUTH_URL = os.environ.get("JTL_AUTH_URL", jtl.AUTH_URLS["prod"])
API_URL = os.environ.get("JTL_API_URL", jtl.API_URLS["prod"])
STORE = os.environ.get("BEARERGUARD_STORE", "memory://")

# The app's own access tokens. They open JTL's key set, which session tokens are checked with, and the ERP.
credentials = jtl.client_credentials(
    client_id=CLIENT_ID,
    client_secret=os.environ["JTL_CLIENT_SECRET"],
    auth_url=AUTH_URL,
    api_url=API_URL,
    store=STORE,
)
verifier = Verifier(
    jtl.session_tokens(client_id=CLIENT_ID, credentials=credentials, api_url=API_URL),
    store=STORE,
)
tenants = Tenants(os.environ.get("DATABASE_URL", "sqlite:///tenants.db"))
erp = Erp(API_URL, credentials)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    await run_in_threadpool(tenants.create_table)
    try:
        yield
    finally:
        await erp.aclose()
        await credentials.aclose()
        tenants.close()


app = FastAPI(title="Connect a JTL tenant", lifespan=lifespan, responses=RESPONSES)

# /connect-tenant has its token in the body, where the door does not look. What averify raises there, the door answers.
app.add_middleware(SessionTokenMiddleware, verifier=verifier, exempt=("/health", "/connect-tenant"))


@app.exception_handler(ErpFailed)
async def erp_failed(_: Request, error: Exception) -> JSONResponse:
    """Neither the caller's fault nor ours, so the same request may be sent again."""
    return JSONResponse({"error": "erp_unavailable", "detail": str(error)}, 503, {"Retry-After": "5"})


class Connection(BaseModel):
    """What the front end posts after `getSessionToken`. Without a token it is refused as everywhere, with 401."""

    sessionToken: str = ""


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/connect-tenant")
async def connect_tenant(body: Connection, response: Response) -> dict[str, Any]:
    """Connect the tenant that the token names: 201 the first time, 200 ever after.

    The tenant is kept before the ERP is asked. Where that fails, the front end posts the same once more.
    """
    claims = await verifier.averify(body.sessionToken)
    tenant_id, words = claims.require_tenant(), claims.typed(jtl.SessionClaims)
    tenant = await run_in_threadpool(
        tenants.connect, tenant_id, slug=words.get("tenantSlug"), user=claims.user or words["userId"]
    )
    response.status_code = 201 if tenant.times_connected == 1 else 200
    return {"tenant": tenant.id, "slug": tenant.slug, "skus": await erp.skus(tenant_id)}


@app.get("/tenant")
@requires_token
async def connected_tenant() -> dict[str, Any]:
    """What is kept of the caller's own tenant. No path and no parameter says whose: the token does."""
    tenant = await run_in_threadpool(tenants.find, current_claims().require_tenant())
    if tenant is None:
        raise HTTPException(404, "this tenant has not connected")
    return {"tenant": tenant.id, "slug": tenant.slug, "connected": tenant.times_connected}
