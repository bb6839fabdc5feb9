"""The ASGI middleware for MCP servers made with the official SDK."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from hashlib import sha256

from mcp.server.auth.middleware.auth_context import auth_context_var
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..access import Access
from ..asgi.door import BearerMiddleware
from ..asgi.head import AsgiHead
from ..carriers import Query
from ..checks import check_text
from ..core.recall import Verdict
from ..doorway import Preflight
from ..errors import AuthError, InsufficientScope, MissingToken, SettingsError, Unavailable
from ..rules.credentials import Presented
from ..settings import Kind, ProtectedResource
from ..settings.fields import a_tuple
from ..verifier import Verifier
from .functions import check_functions
from .kept_events import keep_events_apart, session_mark
from .messages import Asked, session_not_found
from .passage import Passage
from .refusals import reads_json_rpc, write_error, write_json
from .sessions import Owner, Sessions, owner_of, session_ids
from .stream_watch import StreamWatch
from .users import McpUser


class McpMiddleware(BearerMiddleware):
    """Lets MCP requests pass that carry a good token of any kind that `verifier` takes.

    ```python
    app = server.streamable_http_app()
    app.add_middleware(
        McpMiddleware,
        verifier=verifier,
        resource=ProtectedResource(resource="https://orders.example.com/mcp"),
        scopes=("orders:read",),
    )
    ```

    Every HTTP request is judged, also within a session, and a session answers to whoever began it. Each request needs
    all of `scopes`; what single tools need besides, their guards say. `resource` is where clients find out who issues
    tokens (RFC 9728); None is for servers whose clients know that already. The other arguments are those of
    `BearerMiddleware`; `recheck_seconds` is for streams that stay open.
    """

    def __init__(
        self,
        app: ASGIApp,
        verifier: Verifier[Kind],
        *,
        resource: ProtectedResource | None,
        scopes: Iterable[str] = (),
        exempt: Iterable[str] = (),
        realm: str | None = None,
        preflight: Preflight = "pass",
        recheck_seconds: float | None = 30,
    ) -> None:
        super().__init__(
            app,
            verifier,
            exempt=exempt,
            realm=realm,
            preflight=preflight,
            resource=resource,
            recheck_seconds=recheck_seconds,
        )
        self._scopes = _checked_scopes(scopes)
        self._resource = None if resource is None else resource.resource
        self._verifier = _without_query(verifier)
        self._sessions = Sessions()

    async def _pass(self, access: Access, scope: Scope, receive: Receive, send: Send) -> None:
        if access.claims is not None and not access.claims.grants(*self._scopes):
            await self._refuse(_lacking(access), scope, send)
        elif scope["type"] != "http":
            await super()._pass(access, scope, receive, send)
        elif access.claims is None or not isinstance(access.verdict, Verdict):
            await self._pass_nobody(access, scope, receive, send)
        else:
            await self._pass_caller(access, access.verdict, scope, receive, send)

    async def _pass_nobody(self, access: Access, scope: Scope, receive: Receive, send: Send) -> None:
        """An exempt path, or a preflight: nobody's session is open to it."""
        if self._sessions.are_of(session_ids(scope["headers"]), None):
            await super()._pass(access, scope, receive, send)
        else:
            await write_json(404, session_not_found(), send)

    async def _pass_caller(self, access: Access, verdict: Verdict, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            token = self._presented(scope)
        except AuthError as error:
            await self._refuse(error, scope, send)
            return
        owner = owner_of(verdict.claims, sha256(token.token).digest())
        if not self._sessions.are_of(session_ids(scope["headers"]), owner):
            await write_json(404, session_not_found(), send)
            return
        user = scope["user"] = McpUser(verdict.claims, token.token.decode("latin-1"), self._resource)
        watch = StreamWatch(
            receive,
            send,
            self._ask_again(token, self._connections.of_this_loop()),
            self._recheck_seconds,
            self._verifier.clock,
            asked=Asked(scope["method"]),
            denylist=self._verifier.denylist,
            refuse=lambda cause: self._refuse(cause, scope, send),
            dress=self._dress,
        )
        entered = auth_context_var.set(user)
        marked = session_mark.set(self._sessions.mark_of(session_ids(scope["headers"])))
        try:
            await watch.run(verdict, partial(self._pass_watched, access, owner, scope))
        finally:
            session_mark.reset(marked)
            auth_context_var.reset(entered)

    def _presented(self, scope: Scope) -> Presented:
        token = self._doorway.token(AsgiHead(scope))
        if token is None:
            raise MissingToken
        return token

    async def _pass_watched(self, access: Access, owner: Owner, scope: Scope, receive: Receive, send: Send) -> None:
        passage = Passage(
            access.door,
            send,
            is_message=reads_json_rpc(scope),
            dress=self._dress,
            refuse=lambda error: self._refuse(error, scope, send),
            hear_head=lambda head: self._hear_head(head, owner, scope),
        )
        access.door = passage
        await super()._pass(access, scope, receive, passage.send)

    def _hear_head(self, head: Message, owner: Owner, scope: Scope) -> None:
        """Learn from the head of an answer which sessions have begun, and which are over."""
        asked = session_ids(scope["headers"])
        if head["status"] == 404 or (scope["method"] == "DELETE" and head["status"] < 300):
            for session_id in asked:
                self._sessions.end(session_id)
        elif not asked and head["status"] < 400:
            for session_id in session_ids(head["headers"]):
                self._sessions.begin(session_id, owner, session_mark.get() or "")

    def _dress(self, error: AuthError | Unavailable, scopes: tuple[str, ...] = ()) -> None:
        """Every scope that the request needs stands in one challenge: those of the server, then the tool's."""
        needed = (*self._scopes, *scopes) if isinstance(error, AuthError) and error.reason != "wrong_kind" else ()
        self._doorway.dress(error, tuple(dict.fromkeys(needed)))

    async def _refuse(
        self, error: AuthError | Unavailable, scope: Scope, send: Send, *, has_begun: bool = False
    ) -> None:
        if not error.is_dressed:
            self._dress(error)
        if scope["type"] == "http" and reads_json_rpc(scope):
            await write_error(error, send)
        else:
            await super()._refuse(error, scope, send, has_begun=has_begun)

    def _check_order(self, scope: Scope) -> None:
        if not self._order_is_checked:
            apps = (scope.get("app"), self.app)
            check_functions(apps, kinds_must_be_named=self._doorway.kinds_must_be_named)
            keep_events_apart(apps)
        super()._check_order(scope)


def _lacking(access: Access) -> InsufficientScope:
    error = InsufficientScope()
    error.kind = None if access.claims is None else access.claims.kind
    return error


def _checked_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    names = a_tuple("scopes", scopes)
    for name in names:
        check_text("a scope", name)
        if " " in name:
            raise SettingsError(f"{name!r} is several scopes in one text; write scopes={tuple(name.split())!r}")
    return names


def _without_query(verifier: Verifier[Kind]) -> Verifier[Kind]:
    if any(isinstance(carrier, Query) for carrier in verifier.carriers):
        raise SettingsError(
            "MCP forbids tokens in the address, and this verifier takes one there; give it carriers without Query"
        )
    return verifier
