"""One way to ask every door: ASGI and WSGI in this process, and real uvicorn, gunicorn and werkzeug processes."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import io
import json
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any, Protocol
from urllib.parse import unquote, unquote_to_bytes
from wsgiref.validate import validator

import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

import bearerguard.asgi
import bearerguard.wsgi
from bearerguard import SignedTokens, Verifier
from tests.houses import OTHER_ISSUER, OTHER_SECRET, SCOPES, AsgiTown, WsgiTown, settings, token
from tests.servers import AppServer, gunicorn_server, uvicorn_server, werkzeug_server

Message = MutableMapping[str, Any]
AsgiApp = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Any
]
WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

PATIENCE_SECONDS = 10.0


# --- What is asked and answered --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ask:
    """One request, as it goes over the wire; header names may repeat."""

    target: str = "/"
    headers: Sequence[tuple[str, str]] = ()
    method: str = "GET"
    body: bytes = b""

    @property
    def path(self) -> str:
        """The path as it was sent, percent signs and all."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query string as it was sent."""
        return self.target.partition("?")[2]

    @property
    def all_headers(self) -> Sequence[tuple[str, str]]:
        """The headers, with the length of the body."""
        length = [("Content-Length", str(len(self.body)))] if self.body else []
        return [("Host", "orders.example.com"), *length, *self.headers]


def bearer(text: str) -> tuple[str, str]:
    """The header that a token is sent in."""
    return ("Authorization", f"Bearer {text}")


@dataclass(frozen=True)
class Answer:
    """One answer; header names are in small letters."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header, which must not be there twice."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, f"{name} stands there {len(values)} times"
        return values[0] if values else None

    def json(self) -> Any:
        """The body, which must be JSON."""
        return json.loads(self.body)

    @property
    def challenge(self) -> dict[str, str] | None:
        """The parameters of the Bearer challenge, unquoted; None where there is none."""
        value = self.header("www-authenticate")
        return None if value is None else challenge_parameters(value)


def challenge_parameters(value: str) -> dict[str, str]:
    """The parameters of one Bearer challenge; it fails the test unless every value is quoted printable ASCII."""
    pair = r'[a-z_]+="(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"'
    assert re.fullmatch(rf"Bearer(?: {pair}(?:, {pair})*)?", value), f"no Bearer challenge: {value!r}"
    found = re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', value)
    assert len(dict(found)) == len(found), f"a parameter stands there twice: {value!r}"
    return {name: re.sub(r"\\(.)", r"\1", quoted) for name, quoted in found}


# --- ASGI in this process --------------------------------------------------------------------------------------------


def scope_of(ask: Ask, kind: str = "http", **changes: Any) -> dict[str, Any]:
    """The scope that a server would make of a request."""
    scope: dict[str, Any] = {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "http" if kind == "http" else "ws",
        "path": unquote(ask.path),
        "raw_path": ask.path.encode("latin-1"),
        "query_string": ask.query.encode("latin-1"),
        "root_path": "",
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in ask.all_headers],
        "client": ("127.0.0.1", 1234),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    kind_has: dict[str, Any] = {"method": ask.method} if kind == "http" else {"subprotocols": []}
    return scope | kind_has | changes


async def answer_of_asgi(app: AsgiApp, ask: Ask, **changes: Any) -> Answer:
    """What an ASGI application answers; its exceptions are the test's, once it has sent nothing at all."""
    asked: list[Message] = [{"type": "http.request", "body": ask.body, "more_body": False}]
    told: list[Message] = []
    never = asyncio.get_running_loop().create_future()

    async def receive() -> Message:
        return asked.pop() if asked else await never

    async def send(message: Message) -> None:
        told.append(message)

    await asyncio.wait_for(app(scope_of(ask, **changes), receive, send), PATIENCE_SECONDS)
    return _told(told)


def _told(told: Sequence[Message]) -> Answer:
    assert [message["type"] for message in told] == ["http.response.start"] + ["http.response.body"] * (len(told) - 1)
    assert len(told) > 1
    assert [bool(message.get("more_body")) for message in told[1:]] == [True] * (len(told) - 2) + [False]
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in told[0].get("headers", ())]
    assert all(name == name.lower() for name, _ in headers)
    return Answer(told[0]["status"], headers, b"".join(message.get("body", b"") for message in told[1:]))


def ask_asgi(app: AsgiApp, ask: Ask, **changes: Any) -> Answer:
    """What an ASGI application answers, in a loop of its own."""
    return asyncio.run(answer_of_asgi(app, ask, **changes))


@contextlib.asynccontextmanager
async def lifespan(app: AsgiApp) -> AsyncIterator[Message]:
    """An application that was started; gives what it said about that."""
    heard: asyncio.Queue[Message] = asyncio.Queue()
    told: asyncio.Queue[Message] = asyncio.Queue()
    heard.put_nowait({"type": "lifespan.startup"})
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    running = asyncio.ensure_future(app(scope, heard.get, told.put))
    try:
        yield await asyncio.wait_for(told.get(), PATIENCE_SECONDS)
    finally:
        heard.put_nowait({"type": "lifespan.shutdown"})
        await asyncio.wait_for(asyncio.gather(running, return_exceptions=True), PATIENCE_SECONDS)


# --- WSGI in this process --------------------------------------------------------------------------------------------


def environ_of(ask: Ask, **changes: Any) -> dict[str, Any]:
    """The environ that a server would make of a request; repeated headers are joined."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": ask.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(ask.path).decode("latin-1"),
        "QUERY_STRING": ask.query,
        "RAW_URI": ask.target,
        "REQUEST_URI": ask.target,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(ask.body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in ask.all_headers:
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_LENGTH", "CONTENT_TYPE") else f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ | changes


def ask_wsgi(app: WsgiApp, ask: Ask, **changes: Any) -> Answer:
    """What a WSGI application answers; its exceptions are the test's, and so are breaches of PEP 3333."""
    return run_wsgi(validator(app), environ_of(ask, **changes))


def run_wsgi(app: WsgiApp, environ: dict[str, Any]) -> Answer:
    """What a WSGI application answers to an environ."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        assert not started or exc_info
        started.append((status, headers))
        return lambda _: None

    answered: Any = app(environ, start_response)
    try:
        body = b"".join(answered)
    finally:
        if hasattr(answered, "close"):
            answered.close()
    status, headers = started[-1]
    return Answer(int(status[:3]), [(name.lower(), value) for name, value in headers], body)


# --- One view behind a door in this process --------------------------------------------------------------------------

View = Callable[[], Any]
Asking = Callable[[Ask], Answer]


class World(Protocol):
    """Puts a view into a plain application of either sort, and that behind a door."""

    def __call__(self, view: View, verifier: Verifier[SignedTokens] | None = None, **options: Any) -> Asking:
        """How to ask it; the view takes nothing, and what it returns is answered as JSON."""
        ...


def asgi_world(view: View, verifier: Verifier[SignedTokens] | None = None, **options: Any) -> Asking:
    """A view in a plain ASGI application; it may be a coroutine function."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        said = view()
        await JSONResponse(await said if inspect.isawaitable(said) else said)(scope, receive, send)

    door = bearerguard.asgi.BearerMiddleware(app, verifier or Verifier(settings()), **options)
    return lambda ask: ask_asgi(door, ask)


def wsgi_world(view: View, verifier: Verifier[SignedTokens] | None = None, **options: Any) -> Asking:
    """A view in a plain WSGI application; a coroutine is run in a loop of its own, as Flask does."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        said = view()
        body = json.dumps(asyncio.run(said) if inspect.iscoroutine(said) else said).encode()
        start_response("200 OK", [("Content-Type", "application/json")])
        return [body]

    door = bearerguard.wsgi.BearerMiddleware(app, verifier or Verifier(settings()), **options)
    return lambda ask: ask_wsgi(door, ask)


WORLDS: Mapping[str, World] = {"asgi": asgi_world, "wsgi": wsgi_world}


# --- Over the wire ---------------------------------------------------------------------------------------------------


def ask_server(port: int, ask: Ask) -> Answer:
    """What a server answers; the request goes out as it is written, which no HTTP client would do."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as connection:
        head = [f"{ask.method} {ask.target} HTTP/1.1", *(f"{name}: {value}" for name, value in ask.all_headers)]
        connection.sendall("\r\n".join([*head, "Connection: close", "", ""]).encode("latin-1") + ask.body)
        answered = HTTPResponse(connection, method=ask.method)
        answered.begin()
        with answered:
            headers = [(name.lower(), value) for name, value in answered.getheaders()]
            return Answer(answered.status, headers, answered.read())


def eventually(is_so: Callable[[], bool], *, within: float = PATIENCE_SECONDS) -> bool:
    """Whether something that another process does becomes so in time."""
    deadline = time.monotonic() + within
    while not (so := is_so()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return so


# --- Doors -----------------------------------------------------------------------------------------------------------


class Door(Protocol):
    """The whole town behind one sort of door."""

    def ask(self, house: str, ask: Ask) -> Answer:
        """What a house answers; the target of `ask` is below the house."""
        ...

    def close(self) -> None:
        """Done."""


class _AsgiDoor:
    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._town = AsgiTown()

    def ask(self, house: str, ask: Ask) -> Answer:
        return self._runner.run(answer_of_asgi(self._town, _below(house, ask)))

    def close(self) -> None:
        self._runner.close()


class _WsgiDoor:
    def __init__(self) -> None:
        self._town = WsgiTown()

    def ask(self, house: str, ask: Ask) -> Answer:
        return ask_wsgi(self._town, _below(house, ask))

    def close(self) -> None:
        pass


class ServerDoor:
    """The town behind a real server."""

    def __init__(self, started: contextlib.AbstractContextManager[AppServer]) -> None:
        self._stack = contextlib.ExitStack()
        self.server = self._stack.enter_context(started)

    def ask(self, house: str, ask: Ask) -> Answer:
        """What a house answers over the wire."""
        return ask_server(self.server.port, _below(house, ask))

    def close(self) -> None:
        """Stop the server."""
        self._stack.close()


def _below(house: str, ask: Ask) -> Ask:
    return Ask(f"/{house}{ask.target}", ask.headers, ask.method, ask.body)


_GUNICORN = ("--threads", "4", "--limit-request-field_size", "16000")
_GUNICORN_LOG = ("--access-logfile", "-", "--access-logformat", '"%(r)s" %(s)s %(q)s %({raw_uri}e)s')
_BUILDERS: dict[str, Callable[[], Door]] = {
    "asgi": _AsgiDoor,
    "wsgi": _WsgiDoor,
    "uvicorn": lambda: ServerDoor(uvicorn_server("tests.houses:asgi_town")),
    "gunicorn": lambda: ServerDoor(gunicorn_server("tests.houses:wsgi_town", *_GUNICORN, *_GUNICORN_LOG)),
    "werkzeug": lambda: ServerDoor(werkzeug_server("tests.houses:wsgi_town")),
}
DOORS = tuple(_BUILDERS)
_opened = pytest.StashKey[dict[str, Door]]()


def open_door(name: str, config: pytest.Config) -> Door:
    """The door of that name: opened once for the whole run, whichever test asks first, and closed at its end."""
    opened = config.stash.setdefault(_opened, {})
    if name not in opened:
        opened[name] = _BUILDERS[name]()
        config.add_cleanup(opened[name].close)
    return opened[name]


def open_server(name: str, config: pytest.Config) -> AppServer:
    """The server of a door over the wire."""
    door = open_door(name, config)
    assert isinstance(door, ServerDoor)
    return door.server


# --- Tokens by name --------------------------------------------------------------------------------------------------


def tokens() -> Mapping[str, Callable[[], str]]:
    """The tokens that rows name in braces; each time another one."""
    return {
        "good": lambda: token(scope=""),
        "half": lambda: token(scope="read:orders"),
        "full": lambda: token(scope=SCOPES),
        "admin": lambda: token(scope="admin"),
        "expired": lambda: token(exp=1_600_000_000),
        "early": lambda: token(nbf=4_000_000_000, exp=4_000_000_600),
        "foreign": lambda: token(aud="https://elsewhere.example.com"),
        "stranger": lambda: token(iss="https://elsewhere.example.com"),
        "forged": lambda: token(key="no secret of ours, and thirty-two bytes long"),
        "unsigned": lambda: token(algorithm="none"),
        "nameless": lambda: token(exp=None),
        "heavy": lambda: token(ballast="x" * 9000),
        "other": lambda: token(iss=OTHER_ISSUER, key=OTHER_SECRET, scope=SCOPES),
    }


def filled(ask: Ask) -> Ask:
    """`ask` with a token for every name in braces; the same name is the same token."""
    made: dict[str, str] = {}
    known = tokens()

    def of_text(text: str) -> str:
        return re.sub(
            r"\{(\w+)\}", lambda match: made.get(match[1]) or made.setdefault(match[1], known[match[1]]()), text
        )

    return Ask(of_text(ask.target), [(name, of_text(value)) for name, value in ask.headers], ask.method, ask.body)
