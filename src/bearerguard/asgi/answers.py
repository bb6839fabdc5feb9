"""Our refusals, as ASGI messages, as Starlette responses and as Starlette exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, overload

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Scope, Send
from starlette.websockets import WebSocket

from ..doorway import answer_body
from ..errors import AuthError, Unavailable
from ..rules.resource_metadata import MetadataPage


@overload
async def answer(connection: Request, error: Exception) -> Response: ...
@overload
async def answer(connection: WebSocket, error: Exception) -> None: ...
async def answer(connection: HTTPConnection, error: Exception) -> Response | None:
    """Answers our errors where no door is around.

    ```python
    app.add_exception_handler(AuthError, bearerguard.asgi.answer)
    app.add_exception_handler(Unavailable, bearerguard.asgi.answer)
    ```
    """
    if not isinstance(error, (AuthError, Unavailable)):
        raise error
    if isinstance(connection, WebSocket):
        await connection.close(_close_code(error), error.error)
        return None
    return Response(answer_body(error), error.status, error.headers(), "application/json")


class _Headers(dict[str, str]):
    """Headers that Starlette reads as an attribute, and our errors answer as a method."""

    def __call__(self) -> dict[str, str]:
        return dict(self)


def http_exception(error: AuthError | Unavailable) -> HTTPException:
    """`error` as one exception that is of its own class and a Starlette HTTPException."""
    if isinstance(error, HTTPException):
        return error
    refusal: Any = error.__class__
    kind = _http_class(refusal)
    raised = kind.__new__(kind, *error.args)
    vars(raised).update(
        vars(error), status_code=error.status, detail=error.description, headers=_Headers(error.headers())
    )
    return raised


@cache
def _http_class(kind: Any) -> type[HTTPException]:
    return type(kind.__name__, (kind, HTTPException), {"__module__": kind.__module__, "__doc__": kind.__doc__})


async def write_refusal(error: AuthError | Unavailable, scope: Scope, send: Send, *, has_begun: bool = False) -> None:
    """Write a refusal: an HTTP answer, a denial of the handshake, or a close of the WebSocket."""
    is_http = scope["type"] == "http"
    if not is_http and (has_begun or "websocket.http.response" not in (scope.get("extensions") or {})):
        await send({"type": "websocket.close", "code": _close_code(error), "reason": error.error})
        return
    prefix = "http" if is_http else "websocket.http"
    body = answer_body(error)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **error.headers()}
    await _write(prefix, error.status, headers, body, scope, send)


async def write_page(page: MetadataPage, scope: Scope, send: Send) -> None:
    """Answer the request with the metadata of the protected resource."""
    await _write("http", 200, page.headers, page.body, scope, send)


async def _write(prefix: str, status: int, headers: Mapping[str, str], body: bytes, scope: Scope, send: Send) -> None:
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": f"{prefix}.response.start", "status": status, "headers": raw})
    sent = b"" if scope.get("method") == "HEAD" else body
    # False is what leaving it out means, but not every client that frameworks have for tests knows that.
    await send({"type": f"{prefix}.response.body", "body": sent, "more_body": False})


def _close_code(error: AuthError | Unavailable) -> int:
    """RFC 6455 and its registry: 1008 for a policy that was broken, 1013 to try again later."""
    return 1013 if isinstance(error, Unavailable) else 1008
