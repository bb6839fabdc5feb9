"""Answers for a provider for tests as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from .provider_answers import Reply, Request

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

DRIP_SECONDS = 0.1


async def answer_over_asgi(answer: Callable[[Request], Reply], scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one connection."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1000})
    else:
        request = Request(scope["method"], scope["path"], _authorization(scope), await _body(receive))
        await _deliver(answer(request), receive, send)


async def _live(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def _authorization(scope: Scope) -> str:
    return ",".join(value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"authorization")


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _deliver(reply: Reply, receive: Receive, send: Send) -> None:
    """Send an answer, or what its fault leaves of it. A broken connection is an exception: the server breaks it."""
    if reply.fault == "hang":
        while (await receive())["type"] != "http.disconnect":
            continue
        return
    if reply.fault == "refuse":
        raise ConnectionResetError("the provider breaks the connection, as it was told to")
    headers = {**reply.headers, "content-length": str(len(reply.body))}
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": raw})
    if reply.fault == "truncate":
        await send({"type": "http.response.body", "body": reply.body[: len(reply.body) // 2], "more_body": True})
        raise ConnectionResetError("the provider breaks the connection, as it was told to")
    for index in range(len(reply.body)) if reply.fault == "drip" else ():
        await send({"type": "http.response.body", "body": reply.body[index : index + 1], "more_body": True})
        await asyncio.sleep(DRIP_SECONDS)
    await send({"type": "http.response.body", "body": b"" if reply.fault == "drip" else reply.body})
