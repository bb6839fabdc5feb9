"""What works with the extra `flask`: `init_app`, and views of both sorts."""

from __future__ import annotations

from flask import Flask

from bearerguard import current_claims, requires_scope, requires_token
from bearerguard.flask import init_app
from bearerguard.wsgi import SessionTokenMiddleware
from tests.packaging.uses.asking import TENANT, answer_of_wsgi, session_token, session_verifier

app = Flask("stock")
init_app(app, SessionTokenMiddleware, verifier=session_verifier())


@app.get("/stock")
@requires_token
def stock() -> dict[str, str]:
    return {"store": current_claims().require_tenant()}


@app.get("/prices")
@requires_scope("read:prices")
async def prices() -> dict[str, str]:
    return {"store": current_claims().require_tenant()}


if __name__ == "__main__":
    assert answer_of_wsgi(app, None, path="/stock").status == 401
    assert answer_of_wsgi(app, session_token(), path="/stock").json() == {"store": TENANT}
    assert answer_of_wsgi(app, session_token(), path="/prices").status == 403
    assert answer_of_wsgi(app, session_token(scopes=["read:prices"]), path="/prices").json() == {"store": TENANT}
