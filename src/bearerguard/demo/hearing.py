"""What is heard while one request is answered: the events of the library, and how long the verdict took."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Scope, Send
from werkzeug.wrappers import Response

from ..events import Event, TokenRefused

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MOST_EVENTS = 12


class Ear:
    """The sink of one demo: each event belongs to the request in whose context it happens."""

    def __call__(self, event: Event) -> None:
        """Hear an event, if it is of a request to this demo."""
        hearing = _current.get()
        if hearing is not None and hearing.ear is self:
            hearing.events.append(event)


class Hearing:
    """One request, as the page is told of it afterwards."""

    def __init__(self, ear: Ear | None = None) -> None:
        self.ear = ear
        self.events: list[Event] = []
        self.began_at: float = 0.0
        self.decided_at: float = 0.0
        self.ended_at: float = 0.0

    def begin(self) -> None:
        """The door is asked now."""
        self.began_at = time.perf_counter()

    def end(self) -> None:
        """The door has answered."""
        self.ended_at = time.perf_counter()

    def headers(self) -> Mapping[str, str]:
        """What the answer carries of it."""
        told = [{"event": type(event).__name__, **dataclasses.asdict(event)} for event in self.events[:MOST_EVENTS]]
        refusals = [event.reason for event in self.events if isinstance(event, TokenRefused)]
        headers = {"X-Demo-Events": json.dumps(told)}
        if refusals:
            headers["X-Demo-Reason"] = refusals[-1]
        if self.began_at:
            decided_at = self.decided_at or self.ended_at
            headers["Server-Timing"] = f"verdict;dur={1000 * (decided_at - self.began_at):.3f}"
        return headers


_current: ContextVar[Hearing | None] = ContextVar("bearerguard_demo_hearing", default=None)


def view_is_reached() -> None:
    """Every guard has let the request pass; its verdict is reached."""
    hearing = _current.get()
    if hearing is not None:
        hearing.decided_at = time.perf_counter()


class Heard:
    """Lets an application answer, and says in the answer what was heard."""

    def __init__(self, app: WSGIApplication, ear: Ear) -> None:
        self._app = app
        self._ear = ear

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        hearing = Hearing(self._ear)
        entered = _current.set(hearing)
        try:
            response = Response.from_app(self._app, environ, buffered=True)
        finally:
            _current.reset(entered)
        response.headers.update(hearing.headers())
        return response(environ, start_response)


class TimedWsgi:
    """Takes the time of a WSGI door."""

    def __init__(self, door: WSGIApplication) -> None:
        self._door = door

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        hearing = _current.get() or Hearing()
        hearing.begin()
        try:
            return self._door(environ, start_response)
        finally:
            hearing.end()


class TimedAsgi:
    """Takes the time of an ASGI door."""

    def __init__(self, door: ASGIApp) -> None:
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        hearing = _current.get() or Hearing()
        hearing.begin()
        try:
            await self._door(scope, receive, send)
        finally:
            hearing.end()
