"""The ASGI middleware: reads the token, asks for the verdict, calls the application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from hashlib import sha256
from typing import Any, TypeAlias

from starlette.types import Message, Receive, Scope, Send

from .. import sinks
from ..access import Access, enter, leave
from ..carriers import Query
from ..checks import check_seconds
from ..core.ports import Ports, run_sync
from ..core.recall import Verdict
from ..doorway import Doorway, Preflight
from ..errors import AuthError, SettingsError, Unavailable
from ..rules.credentials import Presented
from ..settings import Kind, ProtectedResource
from ..verifier import Verifier
from ..views import Boundary, check_guard_order
from .answers import http_exception, write_page, write_refusal
from .head import AsgiHead, forget_method_overrides, hide_query, private, scope_path
from .users import attach
from .websocket_watch import WebSocketWatch

Application: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI application of any framework; each has types of its own for what it is handed."""


class BearerMiddleware(Boundary):
    """Lets requests pass that carry a good token of any kind that `verifier` takes.

    ```python
    app.add_middleware(BearerMiddleware, verifier=verifier, exempt=("/health", "/static/*"))
    ```

    Below it `scope["bearerguard"]`, `request.user.claims` and `current_claims()` are the claims. `optional=True` lets
    requests without a token pass as nobody; guards still refuse them. An open WebSocket is closed when its token ends,
    and asked about again every `recheck_seconds`. With a `resource` its metadata (RFC 9728) is served, and challenges
    point there.
    """

    def __init__(
        self,
        app: Application,
        verifier: Verifier[Kind],
        *,
        exempt: Iterable[str] = (),
        optional: bool = False,
        realm: str | None = None,
        preflight: Preflight = "pass",
        resource: ProtectedResource | None = None,
        recheck_seconds: float | None = 30,
    ) -> None:
        if recheck_seconds is not None:
            check_seconds("recheck_seconds", recheck_seconds, 0.05, 3600)
        self.app = app
        self._doorway = Doorway(
            verifier, exempt=exempt, optional=optional, realm=realm, preflight=preflight, resource=resource
        )
        self._page = self._doorway.page
        self._verification = self._doorway.verification
        self._bearer_route = self._doorway.bearer_route
        self._takes_bearer_alone = self._doorway.takes_bearer_alone
        self._longest_bearer = self._doorway.longest_bearer
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
        if self._page is not None and self._page.is_asked_for(scope.get("method", ""), scope_path(scope)):
            await write_page(self._page, scope, send)
            return
        token: Presented | None = None
        verdict: Verdict | None = None
        bearer = self._bearer(scope)
        try:
            if bearer is None:
                token, verdict = await self._judged(scope)
            else:
                digest, ports = sha256(bearer).digest(), self._connections.of_this_loop()
                verdict = self._verification.recalled(digest, self._bearer_route, ports)
                verdict = verdict or await self._doorway.judged(bearer, digest, ports)
        except (AuthError, Unavailable) as error:
            fault = error if bearer is None else self._doorway.blamed(error, AsgiHead(scope))
            await self._refuse(fault, scope, send)
            return
        if sinks.acceptance_is_heard and verdict is not None:
            self._doorway.tell_acceptance(verdict)
        access = Access(self._below[scope["type"]], None if verdict is None else verdict.claims, verdict)
        attach(scope, verdict)
        if token is None or verdict is None:
            await self._pass(access, scope, receive, send)
        else:
            await self._pass_with(token, verdict, access, scope, receive, send)

    def _bearer(self, scope: Scope) -> bytes | None:
        """What follows "Bearer " in the one Authorization header of a request, where nothing else could count."""
        if scope["type"] != "http" or not self._takes_bearer_alone:
            return None
        found: bytes | None = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                if found is not None:
                    return None
                found = value
        if found is None or found[:7] != b"Bearer " or found[7:8] == b" " or len(found) > self._longest_bearer:
            return None
        return found[7:]

    async def _judged(self, scope: Scope) -> tuple[Presented | None, Verdict | None]:
        """The token of a request and the verdict on it; nothing of either for a request that passes as nobody."""
        head = AsgiHead(scope)
        if self._passes_unread(head):
            return None, None
        if self._doorway.query_names:
            hide_query(scope, self._doorway.query_names)
        token = self._doorway.token(head)
        if token is None:
            return None, None
        return token, await self._doorway.verdict(token, self._connections.of_this_loop())

    async def _pass_with(
        self, token: Presented, verdict: Verdict, access: Access, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Call the application; the answer to a token in the address is private, and a WebSocket is watched."""
        if scope["type"] == "http":
            await self._pass(access, scope, receive, private(send) if type(token.carrier) is Query else send)
            return
        ask_again = self._ask_again(token, self._connections.of_this_loop())
        watch = WebSocketWatch(receive, send, ask_again, self._recheck_seconds, self._doorway.verifier.clock)
        await watch.run(verdict, lambda receive, send: self._pass(access, scope, receive, send))

    def _passes_unread(self, head: AsgiHead) -> bool:
        if self._doorway.is_preflight(head):
            forget_method_overrides(head.scope)
            hide_query(head.scope, self._doorway.query_names)
            return True
        return self._doorway.is_exempt(head)

    def _ask_again(self, token: Presented, ports: Ports) -> Callable[[], Awaitable[Verdict]]:
        return lambda: self._doorway.verdict(token, ports)

    async def _pass(self, access: Access, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application; what of ours it raises is answered here, unless its own answer has begun."""
        sent: str | None = None

        def sending(message: Message) -> Awaitable[None]:
            nonlocal sent
            sent = message["type"]
            return send(message)

        entered = enter(access)
        try:
            await self.app(scope, receive, sending)
        except (AuthError, Unavailable) as error:
            if sent is not None and scope["type"] == "http":
                raise
            if sent != "websocket.close":
                await self._refuse(error, scope, send, has_begun=sent is not None)
        finally:
            leave(entered)

    async def _refuse(
        self, error: AuthError | Unavailable, scope: Scope, send: Send, *, has_begun: bool = False
    ) -> None:
        if not error.is_dressed:
            self._doorway.dress(error)
        await write_refusal(error, scope, send, has_begun=has_begun)

    def _check_order(self, scope: Scope) -> None:
        """SettingsError, on every request, while a guard stands where it guards nothing."""
        named = self._doorway.kinds_must_be_named
        check_guard_order(self, self.app, scope.get("app"), kinds_must_be_named=named)
        self._order_is_checked = True

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check_order(scope)
            await self._doorway.verifier.aget_ready()
        except SettingsError as error:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        try:
            await self.app(scope, receive, send)
        finally:
            self._connections.close()
            await self._connections.aclose()


class _Below:
    """What guards below the door ask of it."""

    def __init__(self, doorway: Doorway, *, is_http: bool) -> None:
        self._doorway = doorway
        self._is_http = is_http
        self.kinds_must_be_named = doorway.kinds_must_be_named
        self.kinds_of_shape = doorway.kinds_of_shape

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
