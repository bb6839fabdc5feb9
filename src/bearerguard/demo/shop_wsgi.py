"""The app behind the WSGI door: no framework, with guarded views."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Response

from ..access import current_claims
from ..guards import requires_kind, requires_scope, requires_token, single_use
from ..settings import Kind
from ..verifier import Verifier
from ..wsgi import BearerMiddleware
from .answers import about, json_response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def health() -> dict[str, Any]:
    return about("everybody may ask this", None)


@requires_token
def me() -> dict[str, Any]:
    return about("this is who you are", current_claims())


@requires_scope("read:orders")
def orders() -> dict[str, Any]:
    return about("three orders", current_claims())


@requires_scope("write:orders")
@single_use
def refund() -> dict[str, Any]:
    return about("order 1001 is refunded", current_claims())


@single_use
def payout() -> dict[str, Any]:
    return about("the money is on its way", current_claims())


@requires_kind("shopify.admin")
def staff() -> dict[str, Any]:
    return about("the staff of a Shopify shop", current_claims())


VIEWS = {"health": health, "me": me, "orders": orders, "refund": refund, "payout": payout, "staff": staff}

_ROUTES: Mapping[tuple[str, str], Callable[[], dict[str, Any]]] = {
    ("GET", "/health"): health,
    ("GET", "/me"): me,
    ("GET", "/orders"): orders,
    ("POST", "/orders/1001/refund"): refund,
    ("POST", "/payout"): payout,
    ("GET", "/staff"): staff,
}


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answers by the view of the route."""
    view = _ROUTES.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
    response = Response("there is no such route\n", 404) if view is None else json_response(view())
    return response(environ, start_response)


def guarded(verifier: Verifier[Kind]) -> WSGIApplication:
    """The app behind its door."""
    return BearerMiddleware(app, verifier, exempt=("/health",), realm="demo")
