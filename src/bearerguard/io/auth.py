"""What clients take as their authentication: those of httpx, and those of httpx2 where that is installed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx

from ..checks import origin_of_url

UNAUTHORIZED = 401

if TYPE_CHECKING:
    import httpx2

    class Auth(httpx.Auth, httpx2.Auth):
        """The parent of what both kinds of client take."""

        def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
            """What `request` becomes."""
            ...

        def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
            """What `request` becomes in blocking code."""
            ...

        def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
            """What `request` becomes in async code."""
            ...

else:

    def _parents() -> tuple[type, ...]:
        parents = (httpx.Auth,)
        with suppress(ImportError):
            import httpx2

            parents += (httpx2.Auth,)
        return parents

    Auth = type("Auth", _parents(), {"__module__": __name__, "__doc__": "The parent of what both clients take."})


def origin_of_request(request: Any) -> str:
    """Where a request goes, as its own client reads the URL."""
    url = request.url
    host = url.raw_host.decode("ascii")
    port = "" if url.port is None else f":{url.port}"
    return origin_of_url(f"{url.scheme}://[{host}]{port}" if ":" in host else f"{url.scheme}://{host}{port}")


def authorize(request: Any, token: str) -> None:
    """Let the request carry the token."""
    request.headers["Authorization"] = f"Bearer {token}"


def refuses(response: Any, token: str) -> bool:
    """Whether an API has refused the token; a request that was sent on to another origin did not carry it."""
    sent = response.request.headers.get("Authorization")
    return bool(response.status_code == UNAUTHORIZED and sent == f"Bearer {token}")


def can_be_sent_again(request: Any) -> bool:
    """Whether the request's body is all there, and no stream that has been read by now."""
    try:
        return request.content is not None
    except RuntimeError:  # RequestNotRead of either library
        return False
