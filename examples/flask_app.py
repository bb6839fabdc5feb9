"""A JTL app on Flask: the stock of one tenant.

Set JTL_APP_ID and WEBHOOK_SECRET, then: flask --app examples/flask_app.py run
"""

import hmac
import os

from flask import Flask, Response, abort, jsonify, request

from bearerguard import Verifier, current_claims, requires_token, single_use
from bearerguard.flask import init_app
from bearerguard.platforms import jtl
from bearerguard.wsgi import SessionTokenMiddleware

# There is no secret: the keys are JTL's, and they are fetched from the issuer when the first token comes.
verifier = Verifier(
    jtl.app_tokens(
        app_id=os.environ["JTL_APP_ID"],
        issuer=os.environ.get("JTL_ISSUER", "https://id.jtl-cloud.com"),
    ),
    store=os.environ.get("BEARERGUARD_STORE", "memory://"),
)
app = Flask(__name__)
init_app(app, SessionTokenMiddleware, verifier=verifier, exempt=("/health", "/webhooks/*"))


@app.get("/health")
def health() -> Response:
    return jsonify(status="ok")


# There is no requires_scope here: JTL's app tokens carry no scopes.
@app.get("/stock")
@requires_token
def stock() -> Response:
    """A good token may name no tenant; that is a 400 then, as JTL asks."""
    claims = current_claims()
    return jsonify(tenant=claims.require_tenant(), user=claims.user, stock={"A-1": 7})


@app.post("/stock/transfers")
@requires_token
@single_use
async def transfer() -> tuple[Response, int]:
    """Goods move here once for each token, so the front end fetches a fresh one for this call."""
    return jsonify(tenant=current_claims().require_tenant(), moved=1), 201


@app.post("/webhooks/uninstalled")
def uninstalled() -> Response:
    """From here on no token that the tenant has passes, however fresh it is."""
    if not is_signed(request.get_data(), request.headers.get("X-Webhook-Signature", "")):
        abort(403)
    tenant: str = request.get_json()["tenantId"]
    verifier.denylist.revoke_tenant(tenant)
    return jsonify(revoked=tenant)


def is_signed(body: bytes, signature: str) -> bool:
    """A stand-in: whether a webhook is genuine is the platform's matter, so put in here what its documentation asks."""
    expected = hmac.digest(os.environ["WEBHOOK_SECRET"].encode(), body, "sha256").hex()
    return hmac.compare_digest(expected.encode(), signature.encode())
