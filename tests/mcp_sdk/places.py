"""An MCP server behind the door, on a real socket, and the authorization server that its callers have tokens of."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx2
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import MCPServer
from starlette.types import ASGIApp

from bearerguard import OpaqueTokens, ProtectedResource, SignedTokens, Verifier
from bearerguard.mcp import McpMiddleware
from bearerguard.platforms import oauth
from tests.minting import mint, private_key, public_jwk
from tests.scripted_provider import Line, Play, ScriptedProvider, json_answer
from tests.servers import free_port

KEY = private_key("RS256")
ACCEPTS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
LEGACY, MODERN = "2025-11-25", "2026-07-28"
PATIENCE = 10.0


class AuthorizationServer:
    """Issues tokens, signed or opaque, and says of itself what a client must know to ask for one."""

    def __init__(self, sort: str) -> None:
        self.sort = sort
        self.asked_for: list[dict[str, str]] = []
        self._facts: dict[str, dict[str, Any]] = {}
        self.provider = ScriptedProvider(json_answer({}, 404))
        self.issuer = self.provider.url().removesuffix("/")
        endpoints = {name: f"{self.issuer}/{name}" for name in ("authorize", "token", "introspect")}
        self.provider.play(
            "/.well-known/oauth-authorization-server",
            json_answer(
                {
                    "issuer": self.issuer,
                    "authorization_endpoint": endpoints["authorize"],
                    "token_endpoint": endpoints["token"],
                    "introspection_endpoint": endpoints["introspect"],
                    "jwks_uri": f"{self.issuer}/.well-known/jwks.json",
                    "response_types_supported": ["code"],
                    "grant_types_supported": ["client_credentials"],
                }
            ),
        )
        self.provider.play("/token", self._issue)
        self.come_back()

    def settings(self, resource: str, *, cache_seconds: float = 60) -> SignedTokens | OpaqueTokens:
        """How the MCP server takes these tokens."""
        if self.sort == "signed":
            return oauth.jwt_access_tokens(self.issuer, resource)
        secret = "a client secret of thirty-two bytes, or more"
        return oauth.opaque_access_tokens(
            self.issuer, resource, client_id="orders", client_secret=secret, cache_seconds=cache_seconds
        )

    def token(self, resource: str, *, user: str = "ann", scopes: str = "orders:read", **changes: Any) -> str:
        """A token for the resource; a claim that is None is left out."""
        now = int(time.time())
        facts: dict[str, Any] = {
            "iss": self.issuer,
            "aud": resource,
            "sub": user,
            "client_id": "desktop",
            "scope": scopes,
            "iat": now - 5,
            "exp": now + 300,
            "jti": str(uuid.uuid4()),
        }
        facts = {name: value for name, value in (facts | changes).items() if value is not None}
        if self.sort == "signed":
            return mint(facts, key=KEY, alg="RS256", headers={"kid": "one", "typ": "at+jwt"})
        token = uuid.uuid4().hex
        self._facts[token] = facts
        return token

    def _issue(self, line: Line) -> None:
        form = line.request.form
        self.asked_for.append(form)
        token = self.token(form["resource"], user="robot", scopes=form.get("scope", ""))
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": 300, "scope": form.get("scope", "")}
        json_answer(answer)(line)

    def _introspect(self, line: Line) -> None:
        facts = self._facts.get(line.request.form["token"])
        json_answer({"active": False} if facts is None else {"active": True, **facts})(line)

    def come_back(self) -> None:
        """Answer as it should what is asked about tokens."""
        self.provider.play("/.well-known/jwks.json", json_answer({"keys": [public_jwk(KEY, kid="one")]}))
        self.provider.play("/introspect", self._introspect)

    def break_down(self, play: Play) -> None:
        """Answer with this, whatever is asked about tokens."""
        self.provider.play("/introspect", play)
        self.provider.play("/.well-known/jwks.json", play)


class Place:
    """An MCP server that runs, and its callers."""

    def __init__(self, issuer: AuthorizationServer, port: int) -> None:
        self.issuer = issuer
        self.url = f"http://127.0.0.1:{port}/mcp"
        self.root = f"http://127.0.0.1:{port}"
        self.verifier: Verifier[Any]

    def token(self, **claims: Any) -> str:
        """A token for this server."""
        return self.issuer.token(self.url, **claims)

    @asynccontextmanager
    async def client(self, token: str | None, mode: str = "legacy") -> AsyncIterator[Client]:
        """The SDK's client, which sends this token."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(headers=headers) as http, self.client_of(http, mode) as client:
            yield client

    def client_of(self, http: httpx2.AsyncClient, mode: str) -> Client:
        """The SDK's client, which sends its requests this way."""
        return Client(streamable_http_client(self.url, http_client=http), mode=mode)

    def post(
        self, method: str, params: dict[str, Any] | None = None, *, token: str | None = None, **headers: str
    ) -> httpx2.Response:
        """One message of the older protocol, and the whole answer."""
        return httpx2.post(
            self.url, json=message(method, params), headers=self.headers(token, **headers), timeout=PATIENCE
        )

    def headers(self, token: str | None, **headers: str) -> dict[str, str]:
        """The headers of a message."""
        own = {name.replace("_", "-"): value for name, value in headers.items()}
        return {**ACCEPTS, **({} if token is None else {"Authorization": f"Bearer {token}"}), **own}

    def begin(self, token: str) -> str:
        """The id of a new session."""
        params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        begun = self.post("initialize", params, token=token)
        assert begun.status_code == 200
        session = begun.headers["mcp-session-id"]
        done = httpx2.post(
            self.url,
            json={"jsonrpc": "2.0", "method": "notifications/initialized"},
            headers=self.headers(token, mcp_session_id=session),
        )
        assert done.status_code == 202
        return str(session)

    def call(self, tool: str, *, token: str | None, session: str, **arguments: Any) -> httpx2.Response:
        """A call of a tool within a session."""
        return self.post("tools/call", {"name": tool, "arguments": arguments}, token=token, mcp_session_id=session)

    def call_now(self, tool: str, *, token: str | None, **arguments: Any) -> httpx2.Response:
        """A call of a tool as the newer protocol sends it, without a session."""
        params, headers = now("tools/call", {"name": tool, "arguments": arguments})
        return self.post("tools/call", params, token=token, **headers)

    @contextmanager
    def stream(
        self, method: str | None, params: dict[str, Any] | None = None, *, token: str, **headers: str
    ) -> Iterator[Iterator[str]]:
        """The lines of an answer as they come; without a method, those of the stream that waits for whatever comes."""
        body = None if method is None else message(method, params)
        sent = self.headers(token, **headers)
        http_method = "GET" if method is None else "POST"
        with httpx2.stream(http_method, self.url, json=body, headers=sent, timeout=PATIENCE) as answer:
            assert answer.status_code == 200, answer.read()
            yield answer.iter_lines()


def now(method: str, params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The params and the headers of a message of the newer protocol."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    }
    headers = {"mcp_protocol_version": MODERN, "mcp_method": method}
    if "name" in params:
        headers["mcp_name"] = params["name"]
    return {**params, "_meta": {**meta, **params.get("_meta", {})}}, headers


def message(method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    """A request of JSON-RPC."""
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": params or {}}


def told(answer: httpx2.Response) -> Any:
    """The JSON-RPC answer, which may be the event of a stream."""
    if answer.headers["content-type"].startswith("text/event-stream"):
        (line,) = [line for line in answer.text.splitlines() if line.startswith("data: {")]
        return json.loads(line.removeprefix("data: "))
    return answer.json()


@contextmanager
def place(
    server: MCPServer,
    *,
    sort: str = "signed",
    store: str = "memory://",
    scopes: tuple[str, ...] = ("orders:read",),
    clock: Callable[[], float] = time.time,
    app_options: dict[str, Any] | None = None,
    settings: SignedTokens | OpaqueTokens | None = None,
    cache_seconds: float = 60,
    with_resource: bool = True,
    **options: Any,
) -> Iterator[Place]:
    """The server behind the door, on a port of its own."""
    issuer = AuthorizationServer(sort)
    with issuer.provider:
        here = Place(issuer, free_port())
        here.verifier = Verifier(
            settings or issuer.settings(here.url, cache_seconds=cache_seconds), store=store, clock=clock
        )
        app = server.streamable_http_app(**(app_options or {}))
        resource = ProtectedResource(resource=here.url, scopes=("orders:read", "orders:write"))
        app.add_middleware(
            McpMiddleware,
            verifier=here.verifier,
            resource=resource if with_resource else None,
            scopes=scopes,
            **options,
        )
        with served(app, int(here.root.rpartition(":")[2])), here.verifier:
            yield here


@contextmanager
def served(app: ASGIApp, port: int) -> Iterator[None]:
    """An app behind uvicorn, in a thread of this process."""
    config = uvicorn.Config(
        app, port=port, lifespan="on", log_level="error", ws="none", timeout_graceful_shutdown=1, access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    try:
        _wait_until(lambda: server.started or not thread.is_alive())
        assert server.started
        yield
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


def _wait_until(come: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not come():
        assert time.monotonic() < deadline
        time.sleep(0.01)
