"""A tour: serves fastapi_app.py on this machine, mints tokens for it, and shows what each of them meets.

Needs no account and no Redis: python -m pip install -e ".[fastapi]" uvicorn && python examples/tour.py
"""

import hmac
import importlib
import json
import logging
import os
import secrets
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import jwt
import uvicorn

# Secrets for one tour; a real app has those that its platform gave it.
CLIENT_ID = "wcl_tour"
CLIENT_SECRET = secrets.token_urlsafe(32)
WEBHOOK_SECRET = secrets.token_urlsafe(32)

# New names each time: where BEARERGUARD_STORE names a Redis, the last tour's store is still revoked.
NORTH, SOUTH = (f"str_{secrets.token_hex(4)}" for _ in range(2))

LAYOUT = "{:<28}{:<30}{:<8}{}"


def session_token(store: str = NORTH, *, secret: str = CLIENT_SECRET, **changes: object) -> str:
    """What the platform would hand to the plugin's front end."""
    now = int(time.time())
    claims: dict[str, object] = {
        "iss": "whatalo",
        "aud": CLIENT_ID,
        "sub": store,
        "storeId": store,
        "iat": now,
        "exp": now + 300,
        "jti": str(uuid.uuid4()),
        "scopes": ["read:orders", "write:orders"],
    }
    return jwt.encode(claims | changes, secret, "HS256")


class Tour:
    """Asks the app, prints a line for each answer, and counts those that are not as expected."""

    def __init__(self, client: httpx.Client, log: "LastLine") -> None:
        self._client = client
        self._log = log
        self.surprises = 0

    def ask(self, request: str, token: str | None, called: str, expected: int) -> None:
        """Send a request with a token, which the table calls by that name."""
        method, path = request.split()
        self._send(request, called, expected, self._client.build_request(method, path, headers=bearer(token)))

    def uninstall(self, store: str) -> None:
        """Send what the platform sends when a store throws the plugin out."""
        body = json.dumps({"storeId": store}).encode()
        signature = hmac.digest(WEBHOOK_SECRET.encode(), body, "sha256").hex()
        path = "/webhooks/uninstalled"
        request = self._client.build_request("POST", path, content=body, headers={"X-Webhook-Signature": signature})
        self._send(f"POST {path}", "(signed by the platform)", 200, request)

    def _send(self, shown: str, called: str, expected: int, request: httpx.Request) -> None:
        self._log.reason = ""
        status = self._client.send(request).status_code
        surprise = "" if status == expected else f"  <- {expected} was expected"
        self.surprises += status != expected
        print(LAYOUT.format(shown, called, status, self._log.reason + surprise).rstrip())


class LastLine(logging.Handler):
    """Keeps the reason word of the last refusal: the log knows more than the caller is told."""

    reason = ""

    def emit(self, record: logging.LogRecord) -> None:
        words = record.getMessage().split()
        if words[0] == "refused":
            self.reason = words[2].rstrip(":")


def bearer(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


@contextmanager
def served() -> Iterator[str]:
    """The app, served by uvicorn on a free port of this machine."""
    demo = {"WHATALO_CLIENT_ID": CLIENT_ID, "WHATALO_CLIENT_SECRET": CLIENT_SECRET, "WEBHOOK_SECRET": WEBHOOK_SECRET}
    os.environ.update(demo)
    app = importlib.import_module("fastapi_app").app
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def take(tour: Tour) -> None:
    """The way of a token: missing, good, bad, not enough, used up, revoked."""
    good = session_token()
    tour.ask("GET /health", None, "none", 200)
    tour.ask("GET /orders", None, "none", 401)
    tour.ask("GET /orders", good, "good", 200)
    tour.ask("GET /orders", good, "the same one again", 200)
    tour.ask("GET /orders", session_token(exp=int(time.time()) - 1), "expired", 401)
    tour.ask("GET /orders", session_token(secret=secrets.token_urlsafe(32)), "signed by somebody else", 401)
    tour.ask("GET /orders", session_token(aud="wcl_other"), "for another app", 401)
    tour.ask("POST /orders/1001/refund", session_token(scopes=["read:orders"]), "without write:orders", 403)
    once = session_token()
    tour.ask("POST /orders/1001/refund", once, "good", 200)
    tour.ask("POST /orders/1001/refund", once, "the same one again", 401)
    tour.uninstall(NORTH)
    tour.ask("GET /orders", good, "the one that was good", 401)
    tour.ask("GET /orders", session_token(SOUTH), "of another store", 200)


def main() -> int:
    log = LastLine()
    logging.getLogger("bearerguard").addHandler(log)
    logging.getLogger("bearerguard").setLevel(logging.INFO)
    with served() as url, httpx.Client(base_url=url, trust_env=False) as client:
        print(f"examples/fastapi_app.py answers at {url}\n")
        print(LAYOUT.format("request", "token", "answer", "reason in the server's log"))
        tour = Tour(client, log)
        take(tour)
    print(f"\n{tour.surprises} answers are not as they should be." if tour.surprises else "\nAll as it should be.")
    return 1 if tour.surprises else 0


if __name__ == "__main__":
    sys.exit(main())
