"""Who is measured with Shopify's session tokens: one Flask app with one tiny view, protected in different ways."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

import jwt
from flask import g, request

from .contestants_wsgi import View, bare, behind_floor, flask_app, orders
from .floors import ShopifyFloor
from .harness import BARE, FLOOR, OURS
from .tokens import LIFETIME_SECONDS, NO_BASE64URL, forged, with_other_letters

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

CLIENT_ID = "9d1c7a50e2b84f36a7c5d8e0f1b2a394"
CLIENT_SECRET = hashlib.sha256(b"bearerguard benchmarks, the Shopify app").hexdigest()
SHOP = "pine-lane.myshopify.com"

SHOPIFY_API = "ShopifyAPI session_token"
NO_END = "without an end"
OTHER_PAGE = "issued by another part of the shop"


class ShopifyTokens:
    """Session tokens as the admin of one shop issues them; all but their life, which is a run's."""

    def token(self, **changed: object) -> str:
        """A good token that was never seen before, but for what `changed` spoils; None leaves a claim out."""
        said = {name: value for name, value in (_claims() | changed).items() if value is not None}
        return jwt.encode(said, CLIENT_SECRET, "HS256")

    def bad_tokens(self) -> Iterable[tuple[str, str]]:
        """What is wrong, and a token of that kind."""
        yield "a changed signature", forged(self.token())
        yield NO_BASE64URL, with_other_letters(self.token())
        yield "expired", self.token(exp=int(time.time()) - 3600)
        yield "issued for somebody else", self.token(aud="another app")
        yield "for another shop than its issuer", self.token(dest="https://other.myshopify.com")
        yield "not signed", jwt.encode(_claims(), "", "none")
        yield NO_END, self.token(exp=None)
        yield OTHER_PAGE, self.token(iss=f"https://{SHOP}/checkouts")


def floor(_: ShopifyTokens) -> WSGIApplication:
    return behind_floor(ShopifyFloor(CLIENT_SECRET, shop=SHOP, audience=CLIENT_ID))


def bearerguard(_: ShopifyTokens) -> WSGIApplication:
    from bearerguard import Verifier, requires_token
    from bearerguard.flask import init_app
    from bearerguard.platforms import shopify
    from bearerguard.wsgi import SessionTokenMiddleware

    app = flask_app(requires_token(orders))
    settings = shopify.admin(client_id=CLIENT_ID, client_secret=CLIENT_SECRET, assumed_lifetime=LIFETIME_SECONDS)
    init_app(app, SessionTokenMiddleware, verifier=Verifier(settings))
    return app


def shopify_api(_: ShopifyTokens) -> WSGIApplication:
    return flask_app(_session_token_required()(orders))


def _session_token_required() -> Callable[[View], View]:
    """A decorator around what ShopifyAPI has for this; a denylist is nothing that it knows of."""
    from shopify import session_token

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded() -> Any:
            header = request.headers.get("Authorization", "")
            try:
                g.claims = session_token.decode_from_header(header, api_key=CLIENT_ID, secret=CLIENT_SECRET)
            except session_token.SessionTokenError:
                return {"error": "invalid_token"}, 401
            return view()

        return guarded

    return decorate


def _claims() -> dict[str, object]:
    now = int(time.time())
    return {
        "iss": f"https://{SHOP}/admin",
        "dest": f"https://{SHOP}",
        "aud": CLIENT_ID,
        "sub": "81234567890",
        "sid": "6f1c0e6cbd0f0f0d9b8a7c6d5e4f30211203f4e5d6c7a8b99b0d0f0fdbc6e0c1",
        "iat": now,
        "nbf": now,
        "exp": now + LIFETIME_SECONDS,
        "jti": str(uuid.uuid4()),
    }


CONTESTANTS: Mapping[str, Callable[[ShopifyTokens], WSGIApplication]] = {
    BARE: bare,
    FLOOR: floor,
    OURS: bearerguard,
    SHOPIFY_API: shopify_api,
}

ADMITS = {SHOPIFY_API: frozenset((NO_END, OTHER_PAGE))}
