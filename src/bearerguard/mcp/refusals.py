"""Our refusals as the SDK wants them raised, and as its clients read them."""

from __future__ import annotations

from functools import cache
from typing import Any

from mcp.shared.exceptions import MCPError
from mcp.types import ErrorData
from starlette.types import Scope, Send

from ..errors import AuthError, Unavailable
from .messages import error_answer, error_data


class _Told:
    """What the SDK reads of an exception that it answers with an error."""

    _told: ErrorData

    @property
    def error(self) -> ErrorData:
        return self._told


def mcp_error(error: AuthError | Unavailable) -> MCPError:
    """`error` as one exception that is of its own class and the SDK's MCPError, whose meaning of `error` it has."""
    refusal: Any = error.__class__
    kind = _mcp_class(refusal)
    raised = kind.__new__(kind, *error.args)
    vars(raised).update(vars(error), _told=ErrorData(**error_data(error)))
    return raised


@cache
def _mcp_class(kind: Any) -> type[MCPError]:
    return type(kind.__name__, (_Told, kind, MCPError), {"__module__": kind.__module__, "__doc__": kind.__doc__})


def reads_json_rpc(scope: Scope) -> bool:
    """Whether a request carries a JSON-RPC message, as the headers of an MCP client say."""
    if scope.get("method") != "POST":
        return False
    headers = scope["headers"]
    return any(name in _MCP_HEADERS or (name == b"accept" and _STREAM in value.lower()) for name, value in headers)


_MCP_HEADERS = frozenset({b"mcp-protocol-version", b"mcp-session-id"})
_STREAM = b"text/event-stream"


async def write_error(error: AuthError | Unavailable, send: Send) -> None:
    """Answer with a refusal whose body is JSON-RPC."""
    await write_json(error.status, error_answer(error), send, error.headers())


async def write_json(status: int, body: bytes, send: Send, headers: dict[str, str] | None = None) -> None:
    """Answer with JSON."""
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
