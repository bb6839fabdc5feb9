"""A Whatalo plugin on FastAPI: the orders of one store, guarded by scopes.

Set WHATALO_CLIENT_ID, WHATALO_CLIENT_SECRET and WEBHOOK_SECRET, then: uvicorn --app-dir examples fastapi_app:app
"""

import hmac
import os
from typing import Any

from fastapi import FastAPI, HTTPException, Request

from bearerguard import Verifier, current_claims, requires_scope, requires_token, single_use
from bearerguard.asgi import SessionTokenMiddleware
from bearerguard.fastapi import RESPONSES
from bearerguard.platforms import whatalo

verifier = Verifier(
    whatalo.session_tokens(
        client_id=os.environ["WHATALO_CLIENT_ID"],
        client_secret=os.environ["WHATALO_CLIENT_SECRET"],
    ),
    store=os.environ.get("BEARERGUARD_STORE", "memory://"),
)
app = FastAPI(title="Orders", responses=RESPONSES)
app.add_middleware(SessionTokenMiddleware, verifier=verifier, exempt=("/health", "/webhooks/*"))


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/me")
@requires_token
async def me() -> dict[str, Any]:
    claims = current_claims()
    return {"store": claims.tenant, "scopes": sorted(claims.scopes)}


@app.get("/orders")
@requires_scope("read:orders")
async def orders() -> dict[str, Any]:
    return {"store": current_claims().require_tenant(), "orders": [1001, 1002]}


@app.post("/orders/{number}/refund")
@requires_scope("write:orders")
@single_use
async def refund(number: int) -> dict[str, Any]:
    """Money goes out here once for each token, so the front end fetches a fresh one for this call."""
    return {"store": current_claims().tenant, "refunded": number}


@app.post("/webhooks/uninstalled")
async def uninstalled(request: Request) -> dict[str, str]:
    """From here on no token that the store has passes, however fresh it is."""
    body = await request.body()
    if not is_signed(body, request.headers.get("X-Webhook-Signature", "")):
        raise HTTPException(403)
    store_id: str = (await request.json())["storeId"]
    await verifier.denylist.arevoke_tenant(store_id)
    return {"revoked": store_id}


def is_signed(body: bytes, signature: str) -> bool:
    """A stand-in: whether a webhook is genuine is the platform's matter, so put in here what its documentation asks."""
    expected = hmac.digest(os.environ["WEBHOOK_SECRET"].encode(), body, "sha256").hex()
    return hmac.compare_digest(expected.encode(), signature.encode())
