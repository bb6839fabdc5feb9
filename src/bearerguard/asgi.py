"""The door for ASGI applications: Starlette, FastAPI, and any other.

Do not put the door around an application whose CORS middleware stands inside: its 401s would carry no CORS headers.
Add the door first and CORS after it, so that CORS is the outer one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import cache, cached_property
from hashlib import sha256
from typing import Any

from starlette.authentication import AuthCredentials, BaseUser, UnauthenticatedUser
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from .access import Access, enter, leave
from .carriers import Query
from .checks import check_seconds
from .claims import Claims
from .core.ports import Ports, run_sync
from .core.recall import Verdict
from .doorway import QUERY_ANSWER_HEADERS, Doorway, Preflight, answer_body, only_signed
from .errors import AuthError, SettingsError, Unavailable
from .rules.credentials import Presented, in_query
from .rules.passage import METHOD_OVERRIDES
from .settings import Kind, SignedTokens
from .verifier import Verifier
from .views import check_guard_order
from .websocket_watch import Watch

__all__ = ["BearerMiddleware", "Granted", "Nobody", "SessionTokenMiddleware", "VerifiedUser", "answer"]


class VerifiedUser(BaseUser):
    """`request.user` behind the door: whoever the token speaks for."""

    __slots__ = ("claims",)

    def __init__(self, claims: Claims) -> None:
        self.claims: Claims = claims

    @property
    def is_authenticated(self) -> bool:
        """A verified token was sent."""
        return True

    @property
    def display_name(self) -> str:
        """The user, else the subject, else the tenant that the token names."""
        return self.identity

    @property
    def identity(self) -> str:
        """The user, else the subject, else the tenant that the token names."""
        return self.claims.user or self.claims.subject or self.claims.tenant or ""


class Granted(AuthCredentials):
    """`request.auth` behind the door: the scopes of the token, as a list of this request's own."""

    def __init__(self, claims: Claims) -> None:
        self._claims = claims

    @cached_property
    def scopes(self) -> list[str]:  # type: ignore[override]
        """The scopes, in alphabetical order."""
        return sorted(self._claims.scopes)


class Nobody(UnauthenticatedUser):
    """`request.user` of a request that passed without a token."""

    claims: None = None


class BearerMiddleware:
    """Lets requests pass that carry a good token of any kind that `verifier` takes.

    ```python
    app.add_middleware(BearerMiddleware, verifier=verifier, exempt=("/health", "/static/*"))
    ```

    Below it `scope["bearerguard"]`, `request.user.claims` and `current_claims()` are the claims. `optional=True` lets
    requests without a token pass as nobody; guards still refuse them. An open WebSocket is closed when its token ends,
    and asked about again every `recheck_seconds`.
    """

    def __init__(
        self,
        app: ASGIApp,
        verifier: Verifier[Kind],
        *,
        exempt: Iterable[str] = (),
        optional: bool = False,
        realm: str | None = None,
        preflight: Preflight = "pass",
        recheck_seconds: float | None = 30,
    ) -> None:
        if recheck_seconds is not None:
            check_seconds("recheck_seconds", recheck_seconds, 0.05, 3600)
        self.app = app
        self._doorway = Doorway(verifier, exempt=exempt, optional=optional, realm=realm, preflight=preflight)
        self._recalled = self._doorway.recalled
        self._connections = verifier.connections
        self._below = {kind: _Below(self._doorway, is_http=kind == "http") for kind in ("http", "websocket")}
        self._recheck_seconds = recheck_seconds
        self._order_is_checked = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        if scope["type"] not in ("http", "websocket"):
            await (self._lifespan if scope["type"] == "lifespan" else self.app)(scope, receive, send)
            return
        if not self._order_is_checked:
            self._check_order(scope)
        token: Presented | None = None
        verdict: Verdict | None = None
        bearer = self._bearer(scope)
        try:
            if bearer is None:
                token, verdict = await self._judged(scope)
            else:
                digest, ports = sha256(bearer).digest(), self._connections.of_this_loop()
                verdict = self._recalled(digest, ports) or await self._doorway.judged(bearer, digest, ports)
        except (AuthError, Unavailable) as error:
            fault = error if bearer is None else self._doorway.blamed(error, AsgiHead(scope))
            await self._refuse(fault, scope, send)
            return
        access = Access(self._below[scope["type"]], None if verdict is None else verdict.claims, verdict)
        _attach(scope, access.claims)
        if token is None or verdict is None:
            await self._pass(access, scope, receive, send)
        else:
            await self._pass_with(token, verdict, access, scope, receive, send)

    def _bearer(self, scope: Scope) -> bytes | None:
        """What follows "Bearer " in the one Authorization header of a request, where nothing else could count."""
        if scope["type"] != "http" or not self._doorway.takes_bearer_alone:
            return None
        found: bytes | None = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                if found is not None:
                    return None
                found = value
        return found[7:] if found is not None and found[:7] == b"Bearer " else None

    async def _judged(self, scope: Scope) -> tuple[Presented | None, Verdict | None]:
        """The token of a request and the verdict on it; nothing of either for a request that passes as nobody."""
        head = AsgiHead(scope)
        token = None if self._passes_unread(head) else self._doorway.token(head)
        if token is None:
            return None, None
        return token, await self._doorway.verdict(token, self._connections.of_this_loop())

    async def _pass_with(
        self, token: Presented, verdict: Verdict, access: Access, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Call the application; a token in the address is hidden from it, and a WebSocket is watched."""
        if type(token.carrier) is Query:
            send = _hiding_the_query(scope, token.carrier, send)
        if scope["type"] == "http":
            await self._pass(access, scope, receive, send)
            return
        ask_again = self._ask_again(token, self._connections.of_this_loop())
        watch = Watch(receive, send, ask_again, self._recheck_seconds, self._doorway.verifier.clock)
        await watch.run(verdict, lambda receive, send: self._pass(access, scope, receive, send))

    def _passes_unread(self, head: AsgiHead) -> bool:
        if self._doorway.is_preflight(head):
            _forget_method_overrides(head.scope)
            return True
        return self._doorway.is_exempt(head)

    def _ask_again(self, token: Presented, ports: Ports) -> Callable[[], Awaitable[Verdict]]:
        return lambda: self._doorway.verdict(token, ports)

    async def _pass(self, access: Access, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application; what of ours it raises is answered here, unless its own answer has begun."""
        has_begun = False

        def beginning(message: Message) -> Awaitable[None]:
            nonlocal has_begun
            has_begun = True
            return send(message)

        entered = enter(access)
        try:
            await self.app(scope, receive, beginning)
        except (AuthError, Unavailable) as error:
            if has_begun and scope["type"] == "http":
                raise
            await self._refuse(error, scope, send, has_begun=has_begun)
        finally:
            leave(entered)

    async def _refuse(
        self, error: AuthError | Unavailable, scope: Scope, send: Send, *, has_begun: bool = False
    ) -> None:
        if not error.is_dressed:
            self._doorway.dress(error)
        await _write_refusal(error, scope, send, has_begun=has_begun)

    def _check_order(self, scope: Scope) -> None:
        """SettingsError, on every request, while a guard stands where it guards nothing."""
        check_guard_order(scope.get("app", self.app), kinds_must_be_named=self._doorway.kinds_must_be_named)
        self._order_is_checked = True

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check_order(scope)
        except SettingsError as error:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        try:
            await self.app(scope, receive, send)
        finally:
            self._connections.close()
            await self._connections.aclose()


class SessionTokenMiddleware(BearerMiddleware):
    """Lets requests pass that carry a good signed token.

    ```python
    app.add_middleware(SessionTokenMiddleware, verifier=verifier)
    ```

    The arguments are those of `BearerMiddleware`.
    """

    def __init__(
        self,
        app: ASGIApp,
        verifier: Verifier[SignedTokens],
        *,
        exempt: Iterable[str] = (),
        optional: bool = False,
        realm: str | None = None,
        preflight: Preflight = "pass",
        recheck_seconds: float | None = 30,
    ) -> None:
        super().__init__(
            app,
            only_signed(verifier),
            exempt=exempt,
            optional=optional,
            realm=realm,
            preflight=preflight,
            recheck_seconds=recheck_seconds,
        )


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


class _Below:
    """What guards below the door ask of it."""

    def __init__(self, doorway: Doorway, *, is_http: bool) -> None:
        self._doorway = doorway
        self._is_http = is_http
        self.kinds_must_be_named = doorway.kinds_must_be_named

    def raised(self, error: AuthError | Unavailable, scopes: tuple[str, ...] = ()) -> Exception:
        """An HTTPException too, for a request; as it is for a WebSocket, whose door closes it."""
        if not error.is_dressed:
            self._doorway.dress(error, scopes)
        return http_exception(error) if self._is_http else error

    def spend(self, access: Access) -> None:
        """In a thread pool, which has no loop of its own."""
        run_sync(self._doorway.spend(access, self._doorway.connections.blocking()))

    async def aspend(self, access: Access) -> None:
        """In the loop of the request."""
        await self._doorway.spend(access, self._doorway.connections.of_this_loop())


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


def _attach(scope: Scope, claims: Claims | None) -> None:
    scope["bearerguard"] = claims
    scope["user"] = Nobody() if claims is None else VerifiedUser(claims)
    scope["auth"] = AuthCredentials() if claims is None else Granted(claims)


def _forget_method_overrides(scope: Scope) -> None:
    scope["headers"] = [pair for pair in scope["headers"] if pair[0].decode("latin-1") not in METHOD_OVERRIDES]


def _hiding_the_query(scope: Scope, carrier: Query, send: Send) -> Send:
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


async def _write_refusal(error: AuthError | Unavailable, scope: Scope, send: Send, *, has_begun: bool = False) -> None:
    """Write a refusal: an HTTP answer, a denial of the handshake, or a close of the WebSocket."""
    is_http = scope["type"] == "http"
    if not is_http and (has_begun or "websocket.http.response" not in (scope.get("extensions") or {})):
        await send({"type": "websocket.close", "code": _close_code(error), "reason": error.error})
        return
    prefix = "http" if is_http else "websocket.http"
    body = answer_body(error)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **error.headers()}
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": f"{prefix}.response.start", "status": error.status, "headers": raw})
    await send({"type": f"{prefix}.response.body", "body": b"" if scope.get("method") == "HEAD" else body})


def _close_code(error: AuthError | Unavailable) -> int:
    """RFC 6455 and its registry: 1008 for a policy that was broken, 1013 to try again later."""
    return 1013 if isinstance(error, Unavailable) else 1008
