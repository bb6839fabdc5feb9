"""What works with the extra `mcp`: a server of the SDK behind the door, and a challenge that leads to the metadata."""

from __future__ import annotations

import asyncio
import json

from mcp.server.mcpserver import MCPServer

from bearerguard import ProtectedResource, SharedSecrets, SignedTokens, Verifier
from bearerguard.mcp import McpMiddleware
from tests.packaging.uses.asking import SECRET, asked, session_token

server = MCPServer("orders")
RESOURCE = "http://127.0.0.1:8000/mcp"
verifier = Verifier(
    SignedTokens(keys=SharedSecrets(SECRET), algorithms=["HS256"], issuer="https://id.example.com", audience=RESOURCE)
)
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "somebody", "version": "1"},
    },
}


@server.tool()
def count() -> int:
    """How many orders there are."""
    return 2


async def greets_who_has_a_token() -> None:
    app = server.streamable_http_app(json_response=True, stateless_http=True)
    guarded = McpMiddleware(app, verifier, resource=ProtectedResource(resource=RESOURCE))
    words = {"content_type": "application/json", "accept": "application/json, text/event-stream"}
    async with server.session_manager.run():
        refused, greeted = [
            await asked(guarded, token, path="/mcp", body=json.dumps(HELLO).encode(), host="127.0.0.1:8000", **words)
            for token in (None, session_token(iss="https://id.example.com", aud=RESOURCE))
        ]
    assert refused.status == 401
    assert "/.well-known/oauth-protected-resource/mcp" in refused.headers["www-authenticate"]
    assert greeted.json()["result"]["serverInfo"]["name"] == "orders"


if __name__ == "__main__":
    asyncio.run(greets_who_has_a_token())
