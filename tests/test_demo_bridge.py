"""The bridge of the demo: an ASGI application, as a WSGI server sees it."""

from __future__ import annotations

import io
import threading
from contextvars import ContextVar
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send
from werkzeug.test import Client, EnvironBuilder, run_wsgi_app

from bearerguard.demo.bridge import MOST_BODY_BYTES, RAW_HEADERS, AsgiBridge, raw_headers, scope_of

who = ContextVar("who", default="nobody")


class Town:
    """An ASGI application that keeps what it was asked, and can be told how to fail."""

    def __init__(self, *, fails_at: str = "") -> None:
        self.fails_at = fails_at
        self.scopes: list[Scope] = []
        self.lived: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        body = (await receive())["body"]
        if self.fails_at == "request":
            raise LookupError("in the application")
        await send({"type": "http.response.start", "status": 418, "headers": [(b"x-who", who.get().encode())]})
        for piece in (body, b" and ", str(len(body)).encode()):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    async def _live(self, receive: Receive, send: Send) -> None:
        for step in ("startup", "shutdown"):
            message: Message = await receive()
            self.lived.append(message["type"])
            how = "failed" if self.fails_at == step else "complete"
            await send({"type": f"lifespan.{step}.{how}", "message": "not today"})


def environ(**changes: Any) -> dict[str, Any]:
    return {**EnvironBuilder("/orders/1%20%C3%A9?a=%20b", method="POST", data=b"hello").get_environ(), **changes}


def test_hands_over_the_request_and_gives_back_the_answer() -> None:
    town, bridge = Town(), None
    try:
        bridge = AsgiBridge(town)
        response = Client(bridge).open(environ())
        assert (response.status_code, response.get_data()) == (418, b"hello and 5")
    finally:
        if bridge is not None:
            bridge.close()
    scope = town.scopes[-1]
    assert (scope["method"], scope["path"], scope["query_string"]) == ("POST", "/orders/1 é", b"a=%20b")
    assert scope["root_path"] == ""
    assert (b"host", b"localhost") in scope["headers"]
    assert town.lived == ["lifespan.startup", "lifespan.shutdown"]


def test_answers_in_the_context_of_whoever_asks() -> None:
    bridge = AsgiBridge(Town())
    token = who.set("somebody")
    try:
        assert Client(bridge).open(environ()).headers["x-who"] == "somebody"
    finally:
        who.reset(token)
        bridge.close()


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        pytest.param("5", 5, id="as long as it says"),
        pytest.param("", 0, id="no length"),
        pytest.param("x", 0, id="a length that is none"),
        pytest.param("-5", 0, id="a length below nothing"),
        pytest.param(str(10 * MOST_BODY_BYTES), MOST_BODY_BYTES, id="too long"),
    ],
)
def test_reads_a_body_up_to_its_bound(sent: str, read: int) -> None:
    bridge = AsgiBridge(Town())
    try:
        body = io.BytesIO(b"a" * 10 * MOST_BODY_BYTES)
        answer, _, _ = run_wsgi_app(bridge, environ(**{"CONTENT_LENGTH": sent, "wsgi.input": body}))
        assert b"".join(answer) == b"a" * read + f" and {read}".encode()
    finally:
        bridge.close()


def test_lets_the_exceptions_of_the_application_through() -> None:
    bridge = AsgiBridge(Town(fails_at="request"))
    try:
        with pytest.raises(LookupError, match="in the application"):
            Client(bridge).open(environ())
    finally:
        bridge.close()


def test_does_not_begin_with_an_application_that_does_not_start() -> None:
    before = threading.active_count()
    with pytest.raises(RuntimeError, match="not today"):
        AsgiBridge(Town(fails_at="startup"))
    assert threading.active_count() == before


def test_ends_its_thread_once() -> None:
    before = threading.active_count()
    bridge = AsgiBridge(Town())
    assert threading.active_count() == before + 1
    bridge.close()
    bridge.close()
    assert threading.active_count() == before


def test_keeps_headers_that_come_twice() -> None:
    sent = [("Authorization", "Bearer a"), ("authorization", "Bearer b"), ("X-Name", "é")]
    assert raw_headers({RAW_HEADERS: sent}) == [
        (b"authorization", b"Bearer a"),
        (b"authorization", b"Bearer b"),
        (b"x-name", "é".encode("latin-1")),
    ]
    assert raw_headers({"HTTP_X_NAME": "a", "SERVER_NAME": "b"}) == [(b"x-name", b"a")]
    assert scope_of({**environ(), RAW_HEADERS: sent})["headers"] == raw_headers({RAW_HEADERS: sent})
