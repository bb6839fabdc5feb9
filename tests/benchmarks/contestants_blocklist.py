"""Who is measured with a denylist in Redis: one Flask app with one tiny view; every request asks the same server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import redis

from bearerguard import RedisStore

from .contestants_wsgi import FLASK_JWT_EXTENDED, bare, behind_floor, flask_app, flask_jwt_extended_with, orders
from .floors import RedisFloor, denied_names, floor_verifier
from .harness import BARE, FLOOR, OURS
from .ours import verifier_for
from .tokens import ISSUER, Signer, claims

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_REVOKED = "one-that-was-revoked"
_MINUTE = 60


@dataclass(frozen=True)
class Revocable:
    """The tokens of a signer, and the server where all contestants keep what is revoked."""

    signer: Signer
    url: str
    open: ExitStack
    """Closes what contestants have opened."""

    def token(self) -> str:
        """A good token that was never seen before."""
        return self.signer.token()

    def bad_tokens(self) -> Iterable[tuple[str, str]]:
        """What is wrong, and a token of that kind."""
        yield from self.signer.bad_tokens()
        yield "revoked", self.signer.token(jti=_REVOKED)

    def client(self) -> Any:
        """A client of redis-py at its defaults, which most programs leave alone."""
        return self.open.enter_context(redis.Redis.from_url(self.url))


def floor(source: Revocable) -> WSGIApplication:
    client = source.client()
    client.set(denied_names(claims() | {"jti": _REVOKED})[0], "", ex=_MINUTE)
    return behind_floor(RedisFloor(floor_verifier(source.signer), client))


def bearerguard(source: Revocable) -> WSGIApplication:
    from bearerguard import requires_token
    from bearerguard.flask import init_app
    from bearerguard.wsgi import SessionTokenMiddleware

    verifier = source.open.enter_context(verifier_for(source.signer, store=RedisStore(source.url)))
    verifier.denylist.revoke_id(_REVOKED, until=time.time() + _MINUTE, authority=ISSUER)
    app = flask_app(requires_token(orders))
    init_app(app, SessionTokenMiddleware, verifier=verifier)
    return app


def flask_jwt_extended(source: Revocable) -> WSGIApplication:
    """With the loader of its documentation: one key per token that was revoked."""
    client = source.client()
    client.set(_REVOKED, "", ex=_MINUTE)
    return flask_jwt_extended_with(source.signer, lambda header, claims: client.exists(claims["jti"]) > 0)


CONTESTANTS: Mapping[str, Callable[[Revocable], WSGIApplication]] = {
    BARE: bare,
    FLOOR: floor,
    OURS: bearerguard,
    f"{FLASK_JWT_EXTENDED}, EXISTS in its loader": flask_jwt_extended,
}
