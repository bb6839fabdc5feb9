"""The routes that both apps have, as the page shows them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from textwrap import dedent
from typing import Any

from . import shop_asgi, shop_wsgi


@dataclass(frozen=True)
class ShownRoute:
    """One route: what it asks for, in a few words."""

    name: str
    method: str
    path: str
    asks: str


ROUTES = (
    ShownRoute("orders", "GET", "/orders", "the scope read:orders"),
    ShownRoute("me", "GET", "/me", "any good token"),
    ShownRoute("refund", "POST", "/orders/1001/refund", "the scope write:orders, each token once"),
    ShownRoute("payout", "POST", "/payout", "any good token, each once"),
    ShownRoute("staff", "GET", "/staff", "a token of Shopify's admin"),
    ShownRoute("health", "GET", "/health", "nothing"),
)


def described() -> list[dict[str, Any]]:
    """The routes, each with the code of its view in both apps."""
    doors: Mapping[str, Mapping[str, Callable[..., Any]]] = {"asgi": shop_asgi.VIEWS, "wsgi": shop_wsgi.VIEWS}
    return [
        {**vars(route), "code": {door: code_of(views[route.name]) for door, views in doors.items()}} for route in ROUTES
    ]


def code_of(view: Callable[..., Any]) -> str:
    """The source of a view with its guards; nothing where it was not installed along."""
    try:
        return dedent(inspect.getsource(inspect.unwrap(view))).strip()
    except OSError:
        return ""
