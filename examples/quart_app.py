"""A Whatalo plugin on Quart: the orders of one store, and a WebSocket.

Set WHATALO_CLIENT_ID and WHATALO_CLIENT_SECRET, then: uvicorn --app-dir examples quart_app:app
"""

import os
from collections.abc import AsyncIterator
from typing import Any

from quart import Quart, Response, websocket

from bearerguard import AuthError, Unavailable, Verifier, current_claims, requires_scope, single_use
from bearerguard.asgi import SessionTokenMiddleware
from bearerguard.platforms import whatalo

verifier = Verifier(
    whatalo.session_tokens(
        client_id=os.environ["WHATALO_CLIENT_ID"],
        client_secret=os.environ["WHATALO_CLIENT_SECRET"],
    ),
    store=os.environ.get("BEARERGUARD_STORE", "memory://"),
)
app = Quart(__name__)
door = SessionTokenMiddleware(app.asgi_app, verifier=verifier, exempt=("/health",))
app.asgi_app = door  # type: ignore[assignment, method-assign]


@app.errorhandler(AuthError)
@app.errorhandler(Unavailable)
async def refused(error: AuthError | Unavailable) -> tuple[dict[str, str], int, dict[str, str]]:
    """What guards refuse, as the door answers it; Quart would keep it from the door."""
    return error.body(), error.status, error.headers()


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/orders")
@requires_scope("read:orders")
def orders() -> dict[str, Any]:
    """A plain function, which Quart runs in a thread."""
    return {"store": current_claims().require_tenant(), "orders": [1001, 1002]}


@app.post("/orders/<int:number>/refund")
@requires_scope("write:orders")
@single_use
async def refund(number: int) -> dict[str, Any]:
    """Money goes out here once for each token, so the front end fetches a fresh one for this call."""
    return {"store": current_claims().tenant, "refunded": number}


@app.get("/orders.csv")
@requires_scope("read:orders")
async def export() -> Response:
    async def lines() -> AsyncIterator[bytes]:
        yield b"store,order\n"
        for number in (1001, 1002):
            yield f"{current_claims().tenant},{number}\n".encode()

    return Response(lines(), mimetype="text/csv")


@app.websocket("/orders/live")
@requires_scope("read:orders")
async def live() -> None:
    await websocket.accept()
    await websocket.send_json({"store": current_claims().tenant})
    while True:
        await websocket.receive()
        await websocket.send_json({"orders": 2})
