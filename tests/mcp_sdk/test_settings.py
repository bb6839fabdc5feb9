"""What is set wrongly is found at the start, and what the SDK may be told otherwise does not matter."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import MCPServer
from mcp.server.streamable_http import EventMessage, EventStore
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolRequestParams, CallToolResult, TextContent
from starlette.applications import Starlette

from bearerguard import SettingsError, SharedSecrets, SignedTokens, Verifier, requires_scope
from bearerguard.carriers import Header, Query
from bearerguard.mcp import McpMiddleware, VerifiedAccessToken
from bearerguard.mcp.messages import Asked, tells_an_error
from tests.mcp_sdk.orders import orders_server
from tests.mcp_sdk.places import LEGACY, MODERN, place, told
from tests.minting import SECRET


def a_verifier(**settings: Any) -> Verifier[SignedTokens]:
    usual: dict[str, Any] = {"keys": SharedSecrets(SECRET), "algorithms": ("HS256",), "issuer": "us", "audience": "app"}
    return Verifier(SignedTokens(**(usual | settings)))


def start(app: Starlette) -> None:
    """Run the app's lifespan up to where it is ready."""

    async def receive() -> dict[str, str]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        if message["type"] == "lifespan.startup.complete":
            raise Started

    try:
        asyncio.run(app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send))
    except BaseExceptionGroup as group:
        started, rest = group.split(Started)
        if rest is not None:
            raise rest from None
        assert started is not None
    except Started:
        pass


class Started(Exception):
    """The app is ready."""


def guarded_above(register: Callable[[MCPServer], Callable[[Any], Any]]) -> MCPServer:
    server = MCPServer("wrong")

    @requires_scope("orders:write")
    @register(server)
    def refund(number: str = "1") -> str:
        return number

    return server


@pytest.mark.parametrize(
    "register",
    [
        pytest.param(lambda server: server.tool(), id="tool"),
        pytest.param(lambda server: server.resource("orders://{number}"), id="template"),
        pytest.param(lambda server: server.prompt(), id="prompt"),
    ],
)
def test_finds_a_guard_above_what_registers_its_function(register: Callable[[MCPServer], Any]) -> None:
    app = guarded_above(register).streamable_http_app()
    app.add_middleware(McpMiddleware, verifier=a_verifier(), resource=None)
    with pytest.raises(SettingsError, match="refund is guarded above the decorator"):
        start(app)


def test_finds_a_guard_that_must_name_its_kind() -> None:
    server = MCPServer("kinds")

    @server.tool()
    @requires_scope("orders:write")
    def refund() -> str:
        return "refunded"

    app = server.streamable_http_app()
    kinds = (
        SignedTokens(keys=SharedSecrets(SECRET), algorithms=("HS256",), issuer=issuer, audience="app", name=issuer)
        for issuer in ("one", "two")
    )
    app.add_middleware(McpMiddleware, verifier=Verifier(*kinds), resource=None)
    with pytest.raises(SettingsError, match="refund: this verifier takes several kinds"):
        start(app)


def test_starts_where_every_guard_is_in_its_place() -> None:
    app = orders_server().streamable_http_app()
    app.add_middleware(McpMiddleware, verifier=a_verifier(), resource=None)
    start(app)


class Nobody:
    """A verifier of the SDK's own."""

    async def verify_token(self, token: str) -> AccessToken | None:
        return None


def test_finds_a_server_that_checks_tokens_itself() -> None:
    settings = AuthSettings.model_validate({"issuer_url": "https://id.example.com", "resource_server_url": None})
    app = MCPServer("twice", token_verifier=Nobody(), auth=settings).streamable_http_app()
    app.add_middleware(McpMiddleware, verifier=a_verifier(), resource=None)
    with pytest.raises(SettingsError, match="checks tokens itself"):
        start(app)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_finds_a_server_of_the_old_transport() -> None:
    app = orders_server().sse_app()
    app.add_middleware(McpMiddleware, verifier=a_verifier(), resource=None)
    with pytest.raises(SettingsError, match="speaks the old transport"):
        start(app)


@pytest.mark.parametrize(
    ("scopes", "says"),
    [
        pytest.param("orders:read", "takes several values", id="one text"),
        pytest.param(("a b",), "several scopes in one text", id="two in one"),
        pytest.param(("",), "is empty", id="none"),
    ],
)
def test_refuses_scopes_that_are_written_wrongly(scopes: Any, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        McpMiddleware(Starlette(), a_verifier(), resource=None, scopes=scopes)


def test_refuses_a_verifier_that_takes_tokens_in_the_address() -> None:
    verifier = a_verifier(carriers=(Header("Authorization", scheme="Bearer"), Query("token")))
    with pytest.raises(SettingsError, match="MCP forbids tokens in the address"):
        McpMiddleware(Starlette(), verifier, resource=None)


class Tape(EventStore):
    """An event store, with which every stream begins by saying where one could begin again."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def store_event(self, stream_id: str, message: Any) -> str:
        self.events.append(stream_id)
        return str(len(self.events))

    async def replay_events_after(self, last_event_id: str, send_callback: Callable[[EventMessage], Any]) -> str | None:
        return None


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(lambda: {"json_response": True}, id="JSON"),
        pytest.param(lambda: {"stateless_http": True}, id="stateless"),
        pytest.param(lambda: {"event_store": Tape()}, id="resumable"),
        pytest.param(lambda: {"event_store": Tape(), "retry_interval": 10}, id="resumable, with pauses"),
    ],
)
@pytest.mark.parametrize("mode", ["legacy", MODERN])
def test_steps_up_however_the_server_answers(options: Callable[[], dict[str, Any]], mode: str) -> None:
    with place(orders_server(), app_options=options()) as here:
        answers = []
        for token in (here.token(), here.token(scopes="orders:read orders:write orders:refund")):
            if mode == MODERN:
                answers.append(here.call_now("refund", token=token, number=1))
                continue
            call = {"name": "refund", "arguments": {"number": 1}}
            session = {} if "stateless_http" in options() else {"mcp_session_id": here.begin(token)}
            headers = {"mcp_protocol_version": LEGACY, **session}
            answers.append(here.post("tools/call", call, token=token, **headers))
    assert [answer.status_code for answer in answers] == [403, 200]
    assert 'scope="orders:read orders:write orders:refund"' in answers[0].headers["www-authenticate"]
    assert told(answers[1])["result"]["content"][0]["text"] == "refunded 1"


def test_guards_the_handlers_of_a_low_level_server() -> None:
    @requires_scope("orders:write")
    async def call_tool(context: Any, params: CallToolRequestParams) -> CallToolResult:
        return CallToolResult(content=[TextContent(type="text", text=params.name)])

    server: Any = Server("low", on_call_tool=call_tool)
    with place(server) as here:
        refused = here.call_now("anything", token=here.token())
        answered = here.call_now("anything", token=here.token(scopes="orders:read orders:write"))
    assert (refused.status_code, answered.status_code) == (403, 200)


def test_shows_callers_no_argument_that_only_fastapi_needs() -> None:
    importlib.import_module("fastapi")
    server = MCPServer("with FastAPI")

    @server.tool()
    @requires_scope("orders:write")
    def refund(number: int) -> str:
        return str(number)

    @server.resource("orders://{number}")
    @requires_scope("orders:write")
    def order(number: str) -> str:
        return number

    (tool,) = asyncio.run(server.list_tools())
    assert set(tool.input_schema["properties"]) == {"number"}


def test_lets_a_refusal_be_caught_as_ours_and_as_the_sdks() -> None:
    from bearerguard import InsufficientScope
    from bearerguard.mcp.refusals import mcp_error

    raised = mcp_error(InsufficientScope())
    assert isinstance(raised, (InsufficientScope, MCPError))
    assert isinstance(raised, MCPError)
    assert (raised.error.code, raised.status) == (-32600, 403)  # type: ignore[attr-defined]


def test_shows_neither_token_nor_claims() -> None:
    token = VerifiedAccessToken(token="a secret", client_id="c", scopes=[], claims={"sub": "a person"})
    assert "secret" not in repr(token)
    assert "person" not in repr(token)


@pytest.mark.parametrize(
    ("body", "is_a_call", "request_id"),
    [
        pytest.param(b'{"method": "tools/call", "id": 3}', True, 3, id="a call"),
        pytest.param(b'{"method": "tools/call", "id": "3"}', True, "3", id="with a text for an id"),
        pytest.param(b'{"method": "tools/call", "id": true}', True, None, id="with no id that one could answer"),
        pytest.param(b'{"method": "subscriptions/listen", "id": 1}', False, 1, id="a subscription"),
        pytest.param(b"{", False, None, id="no JSON"),
        pytest.param(b"[" * 100_000, False, None, id="endless JSON"),
        pytest.param(b"[]", False, None, id="no object"),
        pytest.param(b"\xff", False, None, id="no text"),
    ],
)
def test_reads_what_is_asked_for(body: bytes, is_a_call: bool, request_id: object) -> None:
    asked = Asked("POST")
    for part in (body[:4], body[4:]):
        asked.hear({"type": "http.request", "body": part, "more_body": True})
    assert (asked.is_a_call, asked.id) == (is_a_call, request_id)


@pytest.mark.parametrize(
    ("body", "tells"),
    [
        pytest.param(b'{"id": 1, "error": {}}', True, id="an error"),
        pytest.param(b'id: 4\r\nevent: message\r\ndata: {"id": 1, "error": {}}\r\n\r\n', True, id="as an event"),
        pytest.param(b'event: message\r\ndata: {"id": 1, "result": {"isError": true}}\r\n\r\n', True, id="a result"),
        pytest.param(b'event: message\r\ndata: {"id": 1, "result": {"isError": false}}\r\n\r\n', False, id="success"),
        pytest.param(b'event: message\r\ndata: {"method": "notifications/message"}\r\n\r\n', False, id="a notice"),
        pytest.param(b": ping\r\n\r\n", False, id="a comment"),
    ],
)
def test_knows_an_answer_that_tells_an_error(body: bytes, tells: bool) -> None:
    assert tells_an_error(body) is tells


def test_is_not_imported_along() -> None:
    script = "import sys, bearerguard, bearerguard.asgi; print('mcp' in sys.modules, 'pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_serves_the_metadata_whatever_host_is_asked() -> None:
    with place(orders_server()) as here:
        page = httpx2.get(f"{here.root}/.well-known/oauth-protected-resource/mcp", headers={"Host": "evil.example"})
    assert page.json()["resource"] == here.url
