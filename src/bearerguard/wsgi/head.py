"""The head of a WSGI request: what the rules read of it, and what is taken out of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..doorway import QUERY_ANSWER_HEADERS
from ..rules.credentials import without_parameters
from ..rules.passage import METHOD_OVERRIDES

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class WsgiHead:
    """The head of a WSGI request."""

    __slots__ = ("environ", "method", "query")

    is_websocket = False

    def __init__(self, environ: WSGIEnvironment) -> None:
        self.environ: WSGIEnvironment = environ
        self.method: str = environ["REQUEST_METHOD"]
        self.query: str = environ.get("QUERY_STRING", "")

    @property
    def path(self) -> str:
        """The path below the application's mount."""
        return environ_path(self.environ)

    def fields(self, name: str) -> Sequence[str]:
        """The value of one header; servers have joined repeated ones with commas."""
        key = name.upper().replace("-", "_")
        value = self.environ.get(key if key in ("CONTENT_LENGTH", "CONTENT_TYPE") else f"HTTP_{key}")
        return () if value is None else (value,)


def environ_path(environ: WSGIEnvironment) -> str:
    """The path of an environ, which WSGI hands over as bytes in disguise."""
    path: str = environ.get("PATH_INFO", "")
    return path.encode("latin-1").decode("utf-8", "replace")


def forget_method_overrides(environ: WSGIEnvironment) -> None:
    """Take out the headers that would make another request of a preflight."""
    for name in METHOD_OVERRIDES:
        environ.pop(f"HTTP_{name.upper().replace('-', '_')}", None)


def hide_query(environ: WSGIEnvironment, names: Sequence[str]) -> None:
    """Take tokens out of the address that the application sees, and that servers write into their access log."""
    rest = without_parameters(environ.get("QUERY_STRING", ""), names)
    environ["QUERY_STRING"] = rest
    for name in ("REQUEST_URI", "RAW_URI"):
        if name in environ:
            environ[name] = environ[name].partition("?")[0] + (f"?{rest}" if rest else "")


def private(start_response: StartResponse) -> StartResponse:
    """Forbid everybody to keep the answer, or to tell others its address."""

    def starting(status: str, headers: list[tuple[str, str]], *more: Any) -> Callable[[bytes], object]:
        kept = [pair for pair in headers if pair[0].lower() not in _PRIVATE]
        return start_response(status, [*kept, *QUERY_ANSWER_HEADERS.items()], *more)

    return starting


_PRIVATE = frozenset(name.lower() for name in QUERY_ANSWER_HEADERS)
