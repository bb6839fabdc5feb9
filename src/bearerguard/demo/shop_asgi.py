"""The app behind the ASGI door: Starlette, with guarded views."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from ..access import current_claims
from ..asgi import BearerMiddleware
from ..guards import requires_kind, requires_scope, requires_token, single_use
from ..settings import Kind
from ..verifier import Verifier
from .answers import about


async def health(_: Request) -> JSONResponse:
    return JSONResponse(about("everybody may ask this", None))


@requires_token
async def me(_: Request) -> JSONResponse:
    return JSONResponse(about("this is who you are", current_claims()))


@requires_scope("read:orders")
async def orders(_: Request) -> JSONResponse:
    return JSONResponse(about("three orders", current_claims()))


@requires_scope("write:orders")
@single_use
async def refund(_: Request) -> JSONResponse:
    return JSONResponse(about("order 1001 is refunded", current_claims()))


@single_use
async def payout(_: Request) -> JSONResponse:
    return JSONResponse(about("the money is on its way", current_claims()))


@requires_kind("shopify.admin")
async def staff(_: Request) -> JSONResponse:
    return JSONResponse(about("the staff of a Shopify shop", current_claims()))


VIEWS = {"health": health, "me": me, "orders": orders, "refund": refund, "payout": payout, "staff": staff}


def guarded(verifier: Verifier[Kind]) -> ASGIApp:
    """The app behind its door."""
    app = Starlette(
        routes=[
            Route("/health", health),
            Route("/me", me),
            Route("/orders", orders),
            Route("/orders/1001/refund", refund, methods=["POST"]),
            Route("/payout", payout, methods=["POST"]),
            Route("/staff", staff),
        ]
    )
    return BearerMiddleware(app, verifier, exempt=("/health",), realm="demo")
