"""The head of an ASGI connection: what the rules read of it, and what is taken out of it."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence

from starlette.types import Message, Scope, Send

from ..doorway import QUERY_ANSWER_HEADERS
from ..rules.credentials import without_parameters
from ..rules.passage import METHOD_OVERRIDES

MOST_OF_A_HEADER = 1_050_000
"""More than any max_bytes allows, so that what is cut off was too large already."""


class AsgiHead:
    """The head of an ASGI connection."""

    __slots__ = ("_headers", "is_websocket", "method", "query", "scope")

    def __init__(self, scope: Scope) -> None:
        self.scope: Scope = scope
        self._headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
        self.is_websocket: bool = scope["type"] == "websocket"
        self.method: str = scope.get("method", "GET")
        self.query: str = scope.get("query_string", b"").decode("latin-1")

    @property
    def path(self) -> str:
        """The path below the application that this one is mounted in."""
        path: str = scope_path(self.scope)
        return path

    def fields(self, name: str) -> Sequence[str]:
        """The values of one header."""
        wanted = name.encode("latin-1")
        return [value[:MOST_OF_A_HEADER].decode("latin-1") for key, value in self._headers if key == wanted]


def scope_path(scope: Scope) -> str:
    """The path of a scope without its root_path."""
    path, root = scope["path"], scope.get("root_path", "").rstrip("/")
    below: str = path[len(root) :] if root and path.startswith(f"{root}/") else path
    return below


def forget_method_overrides(scope: Scope) -> None:
    """Take out the headers that would make another request of a preflight."""
    scope["headers"] = [pair for pair in scope["headers"] if pair[0].decode("latin-1") not in METHOD_OVERRIDES]


def hide_query(scope: Scope, names: Sequence[str]) -> None:
    """Take tokens out of the address that the application and the access log see."""
    query: bytes = scope.get("query_string", b"")
    scope["query_string"] = without_parameters(query.decode("latin-1"), names).encode("latin-1")


def private(send: Send) -> Send:
    """Forbid everybody to keep the answer, or to tell others its address."""

    def sending(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            kept = [pair for pair in message.get("headers", ()) if pair[0].lower() not in _PRIVATE]
            message = {**message, "headers": [*kept, *_PRIVATE.items()]}
        return send(message)

    return sending


_PRIVATE = {name.lower().encode(): value.encode() for name, value in QUERY_ANSWER_HEADERS.items()}
