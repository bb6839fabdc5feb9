"""The functions that an MCP server serves, to find guards that stand where they guard nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mcp.server.auth.middleware.bearer_auth import RequireAuthMiddleware
from mcp.server.sse import SseServerTransport

from ..errors import SettingsError
from ..guarded_views import requirement_of, was_guarded_too_late
from ..requirements import NAME_A_KIND
from ..views import parts_of

_METHODS = ("tools/call", "resources/read", "prompts/get")


def check_functions(apps: Iterable[object], *, kinds_must_be_named: bool) -> None:
    """SettingsError for a guard above `@server.tool()` or one that must name its kind, and for a second login."""
    for part in parts_of(apps):
        if isinstance(part, RequireAuthMiddleware):
            raise SettingsError(
                "this MCP server checks tokens itself as well; build it without auth=, token_verifier= and "
                "auth_server_provider=, and leave tokens to McpMiddleware"
            )
        if isinstance(part, SseServerTransport):
            raise SettingsError(
                "this MCP server speaks the old transport, whose sessions McpMiddleware cannot keep for their owners; "
                "serve server.streamable_http_app() instead"
            )
        for name, function in _functions_of(_server_at(part)):
            _check(name, function, kinds_must_be_named=kinds_must_be_named)


def _server_at(part: object) -> Any:
    """The low-level server that an application of the SDK serves; None for any other application."""
    server = getattr(getattr(part, "session_manager", part), "app", None)
    return server if hasattr(server, "get_request_handler") else None


def _check(name: str, function: Callable[..., Any], *, kinds_must_be_named: bool) -> None:
    if was_guarded_too_late(function):
        raise SettingsError(
            f"{name} is guarded above the decorator that registers it, so it would be served unguarded; put the guard "
            "below: first @server.tool(), then @requires_scope(...), then the function"
        )
    requirement = requirement_of(function) if kinds_must_be_named else None
    if requirement is not None and requirement.kinds is None:
        raise SettingsError(f"{name}: {NAME_A_KIND}")


def _functions_of(server: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    """What a server has registered, as far as the SDK tells."""
    if server is None:
        return
    for method in _METHODS:
        handler = getattr(server.get_request_handler(method), "handler", None)
        if handler is not None:
            yield method, handler
            yield from _registered_at(getattr(handler, "__self__", None))


def _registered_at(server: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The tools, resources and prompts of an MCPServer, whose own methods handle them."""
    for manager, listing in _LISTINGS:
        listed = getattr(getattr(server, manager, None), listing, tuple)
        for registered in listed():
            for function in _served_by(getattr(registered, "fn", None)):
                yield registered.name, function


_LISTINGS = (
    ("_tool_manager", "list_tools"),
    ("_resource_manager", "list_resources"),
    ("_resource_manager", "list_templates"),
    ("_prompt_manager", "list_prompts"),
)


def _served_by(function: Any) -> Iterator[Callable[..., Any]]:
    """The function itself, and the one that pydantic validates the calls of."""
    yield from (one for one in (function, getattr(function, "raw_function", None)) if callable(one))
