"""Tokens, and applications asked in this process, with nothing but what a plain install brings."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import time
import uuid
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any
from wsgiref.util import setup_testing_defaults

import jwt

from bearerguard import SignedTokens, Verifier
from bearerguard.platforms import whatalo

SECRET = "a secret of thirty-two bytes, or more"
TENANT = "str_8k2m4n6p"

# Refusals are told to the log, and here they are no news.
logging.disable()


@dataclass(frozen=True)
class Answer:
    """What an application answers."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


def session_token(**changes: object) -> str:
    """A good session token of Whatalo, but for what `changes`."""
    now = int(time.time())
    says = {"iss": "whatalo", "aud": "ours", "sub": TENANT, "storeId": TENANT, "scopes": ["read:orders"]}
    times = {"iat": now, "exp": now + 60, "jti": str(uuid.uuid4())}
    return jwt.encode({**says, **times, **changes}, SECRET, "HS256")


def session_verifier(store: str = "memory://") -> Verifier[SignedTokens]:
    """Who verifies such tokens."""
    return Verifier(whatalo.session_tokens(client_id="ours", client_secret=SECRET), store=store)


def answer_of_asgi(app: Any, token: str | None, *, path: str = "/", body: bytes = b"", **headers: str) -> Answer:
    """What an ASGI application answers to GET, or to POST where there is a body."""
    return asyncio.run(asked(app, token, path=path, body=body, **headers))


async def asked(app: Any, token: str | None, *, path: str = "/", body: bytes = b"", **headers: str) -> Answer:
    """The same in a loop that runs already."""
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    if token is not None:
        fields.append((b"authorization", f"Bearer {token}".encode()))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": "POST" if body else "GET",
        "root_path": "",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": fields,
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8000),
    }
    incoming = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> Any:
        if not incoming:
            await asyncio.Event().wait()
        return incoming.pop()

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], answered, b"".join(message.get("body", b"") for message in sent[1:]))


def answer_of_wsgi(app: Any, token: str | None, *, path: str = "/") -> Answer:
    """What a WSGI application answers to GET."""
    environ: dict[str, Any] = {"PATH_INFO": path, "wsgi.input": io.BytesIO()}
    setup_testing_defaults(environ)
    if token is not None:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    started: list[tuple[str, Iterable[tuple[str, str]]]] = []
    chunks = app(environ, lambda status, headers, _=None: started.append((status, headers)))
    body = b"".join(chunks)
    if hasattr(chunks, "close"):
        chunks.close()
    ((status, headers),) = started
    return Answer(int(status.split()[0]), {name.lower(): value for name, value in headers}, body)
