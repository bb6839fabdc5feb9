"""What works with the extra `fastapi`: guards that FastAPI knows of and shows."""

from __future__ import annotations

from fastapi import FastAPI

import bearerguard.fastapi
from bearerguard import current_claims, requires_scope
from bearerguard.asgi import SessionTokenMiddleware
from tests.packaging.uses.asking import TENANT, answer_of_asgi, session_token, session_verifier

app = FastAPI(responses=bearerguard.fastapi.RESPONSES)
app.add_middleware(SessionTokenMiddleware, verifier=session_verifier(), exempt=("/openapi.json",))


@app.get("/orders")
@requires_scope("read:orders")
async def orders() -> dict[str, str | None]:
    return {"store": current_claims().tenant}


if __name__ == "__main__":
    assert answer_of_asgi(app, None, path="/orders").status == 401
    assert answer_of_asgi(app, session_token(), path="/orders").json() == {"store": TENANT}
    assert answer_of_asgi(app, session_token(scopes=[]), path="/orders").status == 403
    shown = answer_of_asgi(app, None, path="/openapi.json").json()["paths"]["/orders"]["get"]
    assert shown["security"] == [{"BearerToken": ["read:orders"]}]
    assert {"401", "403", "503"} <= shown["responses"].keys()
