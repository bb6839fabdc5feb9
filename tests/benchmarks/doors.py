"""The two doors: blocks of requests to one app, called directly as a server would call it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from starlette.types import ASGIApp, Message

from .harness import Serve, Served
from .traffic import asgi_scope, wsgi_environ

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

Builders = Mapping[str, Callable[[], Serve]]
"""Contestant -> how it is set up; LeftOut or ImportError where it cannot be."""

_Source_T = TypeVar("_Source_T")


def behind_asgi(
    apps: Mapping[str, Callable[[_Source_T], ASGIApp]], source: _Source_T, runner: asyncio.Runner
) -> Builders:
    """How each of these apps is set up to serve, all on the loop of `runner`."""
    return {name: partial(_asgi, build, source, runner) for name, build in apps.items()}


def behind_wsgi(apps: Mapping[str, Callable[[_Source_T], WSGIApplication]], source: _Source_T) -> Builders:
    """How each of these apps is set up to serve."""
    return {name: partial(_wsgi, build, source) for name, build in apps.items()}


def _asgi(build: Callable[[_Source_T], ASGIApp], source: _Source_T, runner: asyncio.Runner) -> Serve:
    return AsgiServe(build(source), runner)


def _wsgi(build: Callable[[_Source_T], WSGIApplication], source: _Source_T) -> Serve:
    return WsgiServe(build(source))


class AsgiServe:
    """Serves blocks of requests to one app, all on the loop of `runner`."""

    def __init__(self, app: ASGIApp, runner: asyncio.Runner) -> None:
        self.app = app
        self.runner = runner

    def __call__(self, tokens: Sequence[str | None]) -> Served:
        return self.runner.run(self._serve(tokens))

    async def _serve(self, tokens: Sequence[str | None]) -> Served:
        nanoseconds: list[int] = []
        statuses: list[int] = []

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(cast(int, message["status"]))

        app = self.app
        for token in tokens:
            scope = asgi_scope(token)
            start = time.perf_counter_ns()
            await app(scope, _receive, send)
            nanoseconds.append(time.perf_counter_ns() - start)
        return Served(nanoseconds, statuses)


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


class WsgiServe:
    """Serves blocks of requests to one app; each response is read to its end and closed."""

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app

    def __call__(self, tokens: Sequence[str | None]) -> Served:
        nanoseconds: list[int] = []
        statuses: list[int] = []

        def start_response(status: str, headers: object, exc_info: object = None) -> Callable[[bytes], object]:
            statuses.append(int(status[:3]))
            return lambda data: None

        app = self.app
        for token in tokens:
            environ = wsgi_environ(token)
            start = time.perf_counter_ns()
            body = app(environ, start_response)
            for _ in body:
                pass
            close = getattr(body, "close", None)
            if close is not None:
                close()
            nanoseconds.append(time.perf_counter_ns() - start)
        return Served(nanoseconds, statuses)
