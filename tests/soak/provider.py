"""The provider that the fleet asks about opaque tokens. It can be told to fail in several ways."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import parse_qs, unquote_plus

from .tokens import CLIENT_ID, CLIENT_SECRET, Token
from .wire import LOOPBACK

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_BASIC = re.compile(rb"\r\nauthorization: basic ([^\r]+)", re.IGNORECASE)

HANGS, RESETS, DRIPS = "hangs", "resets", "drips"


def _spelt(status: int, body: bytes, more: str = "") -> bytes:
    head = f"HTTP/1.1 {status} Soak\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


_WHOLE = {
    "fails (500)": _spelt(500, b"{}"),
    "is busy (429)": _spelt(429, b"{}", "Retry-After: 1\r\n"),
    "shows a page": _spelt(200, b"<!doctype html><title>Sign in</title>"),
    "says nothing of active": _spelt(200, b'{"iss": "x"}'),
    "redirects": _spelt(302, b"", "Location: /elsewhere\r\n"),
    "says it twice": _spelt(200, b'{"active": true, "active": true}'),
}
_BROKEN_OFF = {"breaks off": _spelt(200, b'{"active": true, "exp": 4000000000}')[:-20]}
MOODS = (*_WHOLE, *_BROKEN_OFF, HANGS, RESETS, DRIPS)
"""What can be wrong with it."""


class Provider:
    """An introspection endpoint in the loop of the soak, so that what it knows is what the oracle knows."""

    def __init__(self, tokens: Mapping[str, Token]) -> None:
        self._tokens = tokens
        self._server: asyncio.Server | None = None
        self._connections = set[asyncio.StreamWriter]()
        self.mood: str | None = None
        self.calls = 0

    async def open(self) -> str:
        """Listen; gives the URL of the endpoint."""
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        return f"http://{LOOPBACK}:{self._server.sockets[0].getsockname()[1]}/introspect"

    async def close(self) -> None:
        """Cut every connection."""
        assert self._server is not None
        self._server.close()
        for writer in [*self._connections]:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        with suppress(OSError, EOFError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                self.calls += 1
                await self._answer(head, body, reader, writer)
        self._connections.discard(writer)
        writer.transport.abort()

    async def _answer(
        self, head: bytes, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        mood = self.mood
        if mood == HANGS:
            await reader.read()
        elif mood == DRIPS:
            await _drip(writer)
        if mood == RESETS or mood in (HANGS, DRIPS):
            raise EOFError
        if mood in _BROKEN_OFF:
            writer.write(_BROKEN_OFF[mood])
            await writer.drain()
            raise EOFError
        writer.write(_WHOLE[mood] if mood in _WHOLE else self._said(head, body))
        await writer.drain()

    def _said(self, head: bytes, body: bytes) -> bytes:
        if not _is_our_client(head):
            return _spelt(401, b'{"error": "invalid_client"}')
        (text,) = parse_qs(body.decode())["token"]
        token = self._tokens.get(text)
        facts = {"active": False} if token is None else token.facts(time.time())
        return _spelt(200, json.dumps(facts).encode())


async def _drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 Soak\r\nContent-Length: 60000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.1)


def _is_our_client(head: bytes) -> bool:
    sent = _BASIC.search(head)
    if sent is None:
        return False
    name, _, secret = base64.b64decode(sent[1]).decode().partition(":")
    return (unquote_plus(name), unquote_plus(secret)) == (CLIENT_ID, CLIENT_SECRET)
