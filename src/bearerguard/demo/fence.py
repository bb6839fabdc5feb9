"""Whose requests the demo answers, and what every answer carries.

Whoever browses while the demo runs meets pages of others, and those can send requests to this machine. Their browser
says where they come from, and under which name they found us.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from werkzeug.datastructures import Headers
from werkzeug.wrappers import Request, Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Fence:
    """Answers for `app` only where the Host header has one of the names of this machine."""

    def __init__(self, app: WSGIApplication, names: Iterable[str], *, is_loopback: bool) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names)
        self._is_loopback = is_loopback

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, or refuse it."""
        if not is_ours(environ.get("HTTP_HOST", ""), self._names, is_loopback=self._is_loopback):
            response = Response(
                "the demo does not go by that name; ask for http://127.0.0.1 or http://localhost\n", 421
            )
        else:
            response = Response.from_app(self._app, environ, buffered=True)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Cache-Control", "no-store")
        return response(environ, start_response)


def is_ours(host: str, names: frozenset[str], *, is_loopback: bool) -> bool:
    """Whether a Host header names this machine in a way that nobody else's DNS can: by a number, or by a known name."""
    name = host_name(host)
    if name is None:
        return False
    try:
        number = ip_address(name)
    except ValueError:
        return name in names
    return number.is_loopback or not is_loopback


def host_name(host: str) -> str | None:
    """The name or number in a Host header, without its port; None where it is none."""
    if not host or not host.isascii() or set(host) & set(" \t,/\\@?#"):
        return None
    try:
        parts = urlsplit(f"//{host}")
        return parts.hostname if parts.port != 0 else None
    except ValueError:
        return None


def is_of_our_page(request: Request) -> bool:
    """Whether a request comes from the page itself, or from no browser at all."""
    return is_same_origin(request.headers, request.headers.get("Host", ""))


def is_same_origin(headers: Headers, host: str) -> bool:
    """Whether what a browser says of itself, if it says anything, is that it shows our own page."""
    origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site")
    return origin in (None, f"http://{host}", f"https://{host}") and site in (None, "same-origin", "none")
