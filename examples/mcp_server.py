"""An MCP server whose tools are called with access tokens of an authorization server.

To try it on this machine, with a provider of its own: python examples/mcp_server.py
For real: set MCP_ISSUER, and MCP_RESOURCE to the URL of this server, then

    uvicorn --app-dir examples --factory mcp_server:app
"""

import os
import sys
from urllib.parse import urlsplit

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette

from bearerguard import ProtectedResource, SignedTokens, Verifier, current_claims, requires_scope
from bearerguard.mcp import McpMiddleware
from bearerguard.platforms import oauth
from bearerguard.testing import FakeProvider

server = MCPServer("orders")

ORDERS = {1001: "sent", 1002: "paid"}


@server.tool()
def list_orders() -> dict[str, str]:
    """The orders, and where they are."""
    return {str(number): state for number, state in ORDERS.items()}


@server.tool()
@requires_scope("orders:write")
def refund(number: int) -> str:
    """Give the money of an order back."""
    return f"{number} refunded by {current_claims().user}"


def guarded(verifier: Verifier[SignedTokens], resource: str) -> Starlette:
    """The server behind its door: every request needs a token with orders:read, and refund needs orders:write too."""
    host = urlsplit(resource).netloc
    app = server.streamable_http_app(transport_security=TransportSecuritySettings(allowed_hosts=[host]))
    app.add_middleware(
        McpMiddleware,
        verifier=verifier,
        resource=ProtectedResource(resource=resource, scopes=("orders:read", "orders:write"), name="Orders"),
        scopes=("orders:read",),
    )
    return app


def app() -> Starlette:
    """The server as it is deployed."""
    resource = os.environ["MCP_RESOURCE"]
    tokens = oauth.jwt_access_tokens(os.environ["MCP_ISSUER"], resource)
    return guarded(Verifier(tokens, store=os.environ.get("BEARERGUARD_STORE", "memory://")), resource)


def try_it(port: int = 8000) -> None:
    """Serve it to this machine, with a provider of its own, and print tokens to call it with."""
    resource = f"http://127.0.0.1:{port}/mcp"
    with FakeProvider(audience=resource).serve() as provider:
        for scopes in (["orders:read"], ["orders:read", "orders:write"]):
            print(f"{' '.join(scopes)}: {provider.mint(user='ann', scopes=scopes)}", flush=True)
        uvicorn.run(guarded(Verifier(oauth.jwt_access_tokens(provider.issuer, resource)), resource), port=port)


if __name__ == "__main__":
    try_it(*(int(argument) for argument in sys.argv[1:]))
