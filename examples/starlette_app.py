"""A Shopify app on Starlette: one backend for its pages in the admin and for its checkout extension.

Set SHOPIFY_CLIENT_ID and SHOPIFY_CLIENT_SECRET, then: uvicorn --app-dir examples starlette_app:app
"""

import base64
import hmac
import json
import os

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from bearerguard import Verifier, current_claims, requires_kind, single_use
from bearerguard.asgi import SessionTokenMiddleware
from bearerguard.platforms import shopify

CLIENT_ID = os.environ["SHOPIFY_CLIENT_ID"]
CLIENT_SECRET = os.environ["SHOPIFY_CLIENT_SECRET"]

verifier = Verifier(
    shopify.admin(client_id=CLIENT_ID, client_secret=CLIENT_SECRET),
    shopify.checkout(client_id=CLIENT_ID, client_secret=CLIENT_SECRET),
    store=os.environ.get("BEARERGUARD_STORE", "memory://"),
)


async def health(_: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


# Both kinds of token are signed with the same secret, so every route says which one it takes. There is no
# requires_scope here: Shopify's session tokens carry no scopes.
@requires_kind("shopify.admin")
async def me(_: Request) -> JSONResponse:
    claims = current_claims()
    return JSONResponse({"shop": claims.tenant, "staff": claims.user})


@requires_kind("shopify.admin")
@single_use
async def payout(_: Request) -> JSONResponse:
    """Money goes out here once for each token, so the front end fetches a fresh one for this call."""
    return JSONResponse({"shop": current_claims().tenant, "paid": True}, status_code=201)


@requires_kind("shopify.checkout")
async def offers(_: Request) -> JSONResponse:
    """A buyer need not be logged in, so a good token may name no user."""
    claims = current_claims()
    return JSONResponse({"shop": claims.tenant, "customer": claims.user})


@requires_kind("shopify.admin")
async def live(socket: WebSocket) -> None:
    """Say who is there; the door closes the socket when the token ends. Browsers: see docs/websockets.md."""
    await socket.accept()
    await socket.send_json({"shop": current_claims().tenant})
    async for _ in socket.iter_text():
        await socket.send_json({"orders": 2})


async def uninstalled(request: Request) -> JSONResponse:
    """From here on no token that the shop has passes, however fresh it is."""
    body = await request.body()
    if not is_signed(body, request.headers.get("X-Shopify-Hmac-Sha256", "")):
        raise HTTPException(403)
    shop: str = json.loads(body)["myshopify_domain"]
    await verifier.denylist.arevoke_tenant(shop)
    return JSONResponse({"revoked": shop})


def is_signed(body: bytes, signature: str) -> bool:
    """Whether a webhook is genuine is Shopify's matter and not ours; its documentation has the last word on this."""
    expected = base64.b64encode(hmac.digest(CLIENT_SECRET.encode(), body, "sha256"))
    return hmac.compare_digest(expected, signature.encode())


app = Starlette(
    routes=[
        Route("/health", health),
        Route("/me", me),
        Route("/payout", payout, methods=["POST"]),
        Route("/offers", offers),
        WebSocketRoute("/live", live),
        Route("/webhooks/uninstalled", uninstalled, methods=["POST"]),
    ],
)
app.add_middleware(SessionTokenMiddleware, verifier=verifier, exempt=("/health", "/webhooks/*"))
