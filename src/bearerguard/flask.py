"""Puts a door around a Flask application in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Concatenate, ParamSpec

from flask import Flask

from .errors import AuthError, Unavailable
from .wsgi import BearerMiddleware, answer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_P = ParamSpec("_P")

__all__ = ["init_app"]


def init_app(
    app: Flask,
    middleware: Callable[Concatenate[WSGIApplication, _P], BearerMiddleware],
    /,
    *args: _P.args,
    **options: _P.kwargs,
) -> None:
    """Wrap `app.wsgi_app` in a door, and answer our errors that views raise.

    ```python
    init_app(app, SessionTokenMiddleware, verifier=verifier, exempt=("/health",))
    ```

    The options are those of the middleware.
    """
    app.wsgi_app = middleware(app.wsgi_app, *args, **options)  # type: ignore[method-assign]
    app.register_error_handler(AuthError, answer)
    app.register_error_handler(Unavailable, answer)
