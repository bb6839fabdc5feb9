"""Puts a door around a Flask application in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from werkzeug.exceptions import HTTPException

from .access import as_raised
from .errors import Refusal
from .extras import brought_by
from .wsgi import BearerMiddleware, answer

with brought_by("flask"):
    from flask import Flask, current_app, request
    from flask.typing import ResponseReturnValue

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
    door = middleware(app.wsgi_app, *args, **options)
    door.application = app
    app.wsgi_app = door  # type: ignore[method-assign]
    app.register_error_handler(Refusal, _answer)


def _answer(error: Exception) -> ResponseReturnValue:
    """Our answer, unless the application has a handler for what werkzeug calls this error."""
    own = _handler_of_werkzeugs(error)
    if own is not None:
        return current_app.ensure_sync(own)(error)  # type: ignore[no-any-return]
    return answer(as_raised(error))  # type: ignore[arg-type]


def _handler_of_werkzeugs(error: Exception) -> Callable[[Any], Any] | None:
    for name in (*request.blueprints, None):
        handlers = current_app.error_handler_spec[name][None]
        for kind in type(error).__mro__:
            if issubclass(kind, HTTPException) and kind in handlers:
                return handlers[kind]
    return None
