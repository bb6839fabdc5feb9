"""The provider of the opaque rows: a server in a process of its own, which counts how often it is asked."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http.client
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qs, urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from .process import serving
from .tokens import AUDIENCE, ISSUER, claims

CLIENT_ID = "orders-api"
CLIENT_SECRET = hashlib.sha256(b"bearerguard benchmarks, the client").hexdigest()

_BASIC = "Basic " + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
_FORM = {"authorization": _BASIC, "content-type": "application/x-www-form-urlencoded"}
_INACTIVE: dict[str, object] = {"active": False}


class Closable(Protocol):
    """What holds connections of blocking code, and of one event loop."""

    def close(self) -> None: ...
    async def aclose(self) -> None: ...


@dataclass(frozen=True)
class Provider:
    """The provider, as those see it who ask it; and the tokens that it knows."""

    port: int
    askers: list[Closable] = field(default_factory=list, init=False)
    """Those who ask it; their connections are closed before it ends."""

    @property
    def endpoint(self) -> str:
        """Where to ask about a token."""
        return f"http://127.0.0.1:{self.port}/introspect"

    def token(self) -> str:
        """A good token that was never seen before."""
        return _token("good")

    def bad_tokens(self) -> Iterable[tuple[str, str]]:
        """What is wrong, and a token of that kind: nobody who is measured may let one of them in."""
        yield "not active", _token("inactive")
        yield "expired", _token("expired")
        yield "issued for somebody else", _token("misdirected")

    def ask(self, token: bytes) -> bytes:
        """The body of its answer, over a new connection."""
        return self._said("POST", "/introspect", urlencode({"token": token}), _FORM)

    def asked(self) -> int:
        """How often it has been asked about a token so far."""
        return int(self._said("GET", "/asked"))

    def _said(self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, headers or {})
            return connection.getresponse().read()
        finally:
            connection.close()


@contextmanager
def running(runner: asyncio.Runner) -> Iterator[Provider]:
    """A provider that runs; in the end its askers are closed, those in a loop on the loop of `runner`."""
    with serving(f"{__name__}:app") as port:
        provider = Provider(port)
        try:
            yield provider
        finally:
            for asker in provider.askers:
                asker.close()
                runner.run(asker.aclose())


def app() -> ASGIApp:
    """The server itself."""
    asked = 0

    async def introspect(request: Request) -> Response:
        nonlocal asked
        asked += 1
        if request.headers.get("authorization") != _BASIC:
            return JSONResponse({"error": "invalid_client"}, 401)
        (token,) = parse_qs((await request.body()).decode())["token"]
        return JSONResponse(_answer(token))

    async def count(_: Request) -> Response:
        return JSONResponse(asked)

    return Starlette(routes=[Route("/introspect", introspect, methods=["POST"]), Route("/asked", count)])


def _token(sort: str) -> str:
    return f"{sort}.{secrets.token_urlsafe(32)}"


def _answer(token: str) -> dict[str, object]:
    sort = token.partition(".")[0]
    good: dict[str, object] = {
        "active": True,
        "token_type": "Bearer",
        "iss": ISSUER,
        **claims(),
    }
    if sort == "expired":
        return good | {"exp": int(time.time()) - 3600}
    if sort == "misdirected":
        return good | {"aud": "https://elsewhere.example.com"}
    return good | {"aud": [AUDIENCE]} if sort == "good" else _INACTIVE
