"""The head of an ASGI connection: what the rules read of it, and what is taken out of it."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence

from starlette.types import Message, Scope, Send

from ..carriers import Query
from ..doorway import QUERY_ANSWER_HEADERS
from ..rules.credentials import in_query
from ..rules.passage import METHOD_OVERRIDES


class AsgiHead:
    """The head of an ASGI connection."""

    __slots__ = ("_headers", "is_websocket", "method", "scope")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self._headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
        self.is_websocket: bool = scope["type"] == "websocket"
        self.method: str = scope.get("method", "GET")

    @property
    def path(self) -> str:
        """The path below the application that this one is mounted in."""
        path: str = scope_path(self.scope)
        return path

    @property
    def query(self) -> str:
        """The query string."""
        query: bytes = self.scope.get("query_string", b"")
        return query.decode("latin-1")

    def fields(self, name: str) -> Sequence[str]:
        """The values of one header."""
        wanted = name.encode("latin-1")
        return [value.decode("latin-1") for key, value in self._headers if key == wanted]


def scope_path(scope: Scope) -> str:
    """The path of a scope without its root_path."""
    path, root = scope["path"], scope.get("root_path", "").rstrip("/")
    below: str = path[len(root) :] if root and path.startswith(f"{root}/") else path
    return below


def forget_method_overrides(scope: Scope) -> None:
    """Take out the headers that would make another request of a preflight."""
    scope["headers"] = [pair for pair in scope["headers"] if pair[0].decode("latin-1") not in METHOD_OVERRIDES]


def hiding_the_query(scope: Scope, carrier: Query, send: Send) -> Send:
    """Take the token out of the address that the application and the access log see, and forbid to keep the answer."""
    _, rest = in_query(scope["query_string"].decode("latin-1"), carrier.name)
    scope["query_string"] = rest.encode("latin-1")

    def hiding(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            kept = [pair for pair in message.get("headers", ()) if pair[0].lower() not in _ABOUT_KEEPING]
            message = {**message, "headers": [*kept, *_ABOUT_KEEPING.items()]}
        return send(message)

    return hiding


_ABOUT_KEEPING = {name.lower().encode(): value.encode() for name, value in QUERY_ANSWER_HEADERS.items()}
