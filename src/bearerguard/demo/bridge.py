"""Serves an ASGI application to a WSGI server: an event loop in a thread, to which requests are handed over."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.types import ASGIApp, Message, Scope
from werkzeug.wrappers import Request, Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_T = TypeVar("_T")

RAW_HEADERS = "bearerguard.demo.headers"
"""Where the server leaves the headers as they came, for an environ has each name once."""

MOST_SECONDS = 30.0
MOST_BODY_BYTES = 64 * 1024


class AsgiBridge:
    """A WSGI application that has an ASGI application answer, in the event loop of its own thread.

    The application's lifespan begins with it and ends when it is closed. Answers are sent when they are whole.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._loop: asyncio.AbstractEventLoop
        self._ending: asyncio.Event
        started: Future[None] = Future()
        name = "bearerguard demo: ASGI"
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live(started)), name=name, daemon=True)
        self._thread.start()
        try:
            started.result(MOST_SECONDS)
        except BaseException:
            self._thread.join(MOST_SECONDS)
            raise

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        body = environ["wsgi.input"].read(min(Request(environ).content_length or 0, MOST_BODY_BYTES))
        status, headers, answer = self._wait_for(_answer(self._app, scope_of(environ), body))
        named = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
        return Response(answer, status, named)(environ, start_response)

    def close(self) -> None:
        """Let the application end, and the thread with it."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join(MOST_SECONDS)

    def _wait_for(self, work: Coroutine[Any, Any, _T]) -> _T:
        """What comes of it in the loop; it runs in a copy of the caller's context."""
        future: Future[_T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(MOST_SECONDS)
        finally:
            future.cancel()

    async def _live(self, started: Future[None]) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        lifespan = _Lifespan(self._app)
        try:
            await lifespan.begin()
        except BaseException as error:
            started.set_exception(error)
            return
        started.set_result(None)
        await self._ending.wait()
        await lifespan.end()


class _Lifespan:
    """An application's lifespan, from the outside."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()

    async def begin(self) -> None:
        """Start the application; RuntimeError where it does not want to."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        self._task = asyncio.create_task(_called(self._app, scope, self._to_app, self._from_app))
        await self._ask("startup")

    async def end(self) -> None:
        """End the application."""
        await self._ask("shutdown")
        await self._task

    async def _ask(self, step: str) -> None:
        await self._to_app.put({"type": f"lifespan.{step}"})
        said = await self._from_app.get()
        if said["type"] != f"lifespan.{step}.complete":
            raise RuntimeError(f"the application says {said['type']}: {said.get('message', '')}")


async def _called(app: ASGIApp, scope: Scope, inbox: asyncio.Queue[Message], outbox: asyncio.Queue[Message]) -> None:
    await app(scope, inbox.get, outbox.put)


def scope_of(environ: WSGIEnvironment) -> Scope:
    """The scope of a request; paths are those below the place where the bridge stands."""
    path = environ.get("PATH_INFO", "").encode("latin-1")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": environ["REQUEST_METHOD"],
        "scheme": environ["wsgi.url_scheme"],
        "path": path.decode("utf-8", "replace"),
        "raw_path": path,
        "query_string": environ.get("QUERY_STRING", "").encode("latin-1"),
        "root_path": "",
        "headers": raw_headers(environ),
        "client": (environ.get("REMOTE_ADDR", ""), int(environ.get("REMOTE_PORT") or 0)),
        "server": (environ["SERVER_NAME"], int(environ["SERVER_PORT"])),
    }


def raw_headers(environ: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    """The headers as they came, or else as the environ has them."""
    sent = environ.get(RAW_HEADERS)
    if sent is None:
        sent = [(name[5:].replace("_", "-"), value) for name, value in environ.items() if name.startswith("HTTP_")]
    return [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in sent]


async def _answer(app: ASGIApp, scope: Scope, body: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """One answer, whole."""
    messages: list[Message] = []
    whole = asyncio.Event()
    received = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Message:
        for message in received:
            return message
        await whole.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, send)
    whole.set()
    begun, *rest = messages
    return begun["status"], begun["headers"], b"".join(message.get("body", b"") for message in rest)
