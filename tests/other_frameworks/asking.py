"""How applications of other frameworks are asked, and tokens for them."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import httpx

from tests.doors import PATIENCE_SECONDS, Answer, Ask
from tests.minting import SECRET, mint

STORE = "str_8k2m4n6p"


def token(*scopes: str, key: str = SECRET, **changes: object) -> str:
    """A good session token of Whatalo's, but for what `changes`."""
    now = int(time.time())
    usual = {"iss": "whatalo", "aud": "ours", "sub": STORE, "storeId": STORE, "iat": now, "exp": now + 300}
    return mint(usual | {"jti": str(uuid.uuid4()), "scopes": scopes} | changes, key=key)


async def answer_of(app: Any, ask: Ask) -> Answer:
    """What an ASGI application answers; it hears, as from a server, that the client is gone in the end."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), timeout=PATIENCE_SECONDS) as client:
        url = f"http://orders.example.com{ask.target}"
        response = await client.request(ask.method, url, headers=[*ask.headers], content=ask.body)
        headers = [(name.lower(), value) for name, value in response.headers.multi_items()]
        return Answer(response.status_code, headers, response.content)


def ask_any(app: Any, ask: Ask) -> Answer:
    """What an ASGI application of any framework answers, in a loop of its own."""
    return asyncio.run(answer_of(app, ask))
