"""The MCP server of these tests."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import anyio
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from bearerguard import InsufficientScope, current_claims, requires_scope, single_use

waiting, enough = threading.Event(), threading.Event()
"""Set when the tool that waits has begun, and by a test when it may end."""


def orders_server() -> MCPServer:
    """A server with a tool for everything that a door may be asked."""
    server = MCPServer("orders")

    @server.tool()
    def who() -> dict[str, Any]:
        claims, token = current_claims(), get_access_token()
        assert token is not None
        return {
            "user": claims.user,
            "scopes": sorted(claims.scopes),
            "subject": token.subject,
            "client": token.client_id,
            "token_scopes": token.scopes,
        }

    @server.tool()
    @requires_scope("orders:write", "orders:refund")
    async def refund(number: int) -> str:
        return f"refunded {number}"

    @server.tool()
    @requires_scope("orders:write", "orders:refund")
    def refund_in_a_thread(number: int) -> str:
        return f"refunded {number}"

    @server.tool()
    @single_use
    async def pay() -> str:
        return "paid"

    @server.tool()
    async def try_refund() -> str:
        try:
            return await refund(1)
        except InsufficientScope:
            return "no refund"

    @server.tool()
    async def fail() -> str:
        raise ToolError("out of paper")

    @server.tool()
    async def count(context: Context) -> str:
        await context.report_progress(1, 2)
        await anyio.sleep(3600)
        return "counted"

    @server.tool()
    async def wait() -> str:
        waiting.set()
        await asyncio.to_thread(enough.wait, 10)
        return "waited"

    @server.resource("orders://all")
    @requires_scope("orders:write")
    def all_orders() -> str:
        return "every order"

    @server.resource("orders://one/{number}")
    @requires_scope("orders:write")
    def one_order(number: str) -> str:
        return f"order {number}"

    @server.prompt()
    @requires_scope("orders:write")
    def summarize() -> str:
        return "Summarize the orders."

    return server
