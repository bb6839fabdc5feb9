"""Requests as a server hands them on: what a browser sends to an embedded app, every string fresh."""

from __future__ import annotations

import io
import sys
from typing import Any

PATH = "/orders"
ANSWER = {"ok": True}

_HEADERS = "\r\n".join(
    (
        "host: orders.example.com",
        "connection: keep-alive",
        'sec-ch-ua: "Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"',
        "accept: application/json",
        "user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/140.0.0.0 Safari/537.36",
        "sec-ch-ua-mobile: ?0",
        "authorization: Bearer {token}",
        "sec-fetch-site: same-origin",
        "sec-fetch-mode: cors",
        "sec-fetch-dest: empty",
        "referer: https://orders.example.com/embedded",
        "accept-encoding: gzip, deflate, br",
        "accept-language: en-GB,en;q=0.9",
    )
)
_WITHOUT_TOKEN = "\r\n".join(line for line in _HEADERS.split("\r\n") if not line.startswith("authorization"))


def header_lines(token: str | None) -> str:
    """The header section, without Authorization when `token` is None."""
    return _WITHOUT_TOKEN if token is None else _HEADERS.format(token=token)


def http_request(token: str) -> bytes:
    """The request as it travels over a socket."""
    return f"GET {PATH} HTTP/1.1\r\n{header_lines(token)}\r\n\r\n".encode()


def asgi_scope(token: str | None) -> dict[str, Any]:
    """The scope of one request."""
    lines = header_lines(token).encode().split(b"\r\n")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 54321),
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "headers": [(name, value) for name, _, value in (line.partition(b": ") for line in lines)],
        "state": {},
    }


def wsgi_environ(token: str | None) -> dict[str, Any]:
    """The environ of one request."""
    headers = (line.partition(": ") for line in header_lines(token).split("\r\n"))
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": PATH,
        "RAW_URI": PATH,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "54321",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, _, value in headers},
    }
