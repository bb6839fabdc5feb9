"""The WSGI middleware: reads the token, asks for the verdict, calls the application."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from .. import sinks
from ..access import Access, current_access, enter, forget
from ..carriers import Query
from ..core.ports import run_sync
from ..core.recall import Verdict
from ..doorway import Doorway, Preflight
from ..errors import AuthError, Unavailable
from ..rules.credentials import Presented
from ..settings import Kind, ProtectedResource
from ..verifier import Verifier
from ..views import Boundary, check_guard_order
from .answers import http_exception, written_page, written_refusal
from .head import WsgiHead, environ_path, forget_method_overrides, hide_query, private

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


_ACCESS = "bearerguard.access"


class BearerMiddleware(Boundary):
    """Lets requests pass that carry a good token of any kind that `verifier` takes.

    ```python
    app.wsgi_app = BearerMiddleware(app.wsgi_app, verifier=verifier, exempt=("/health", "/static/*"))
    ```

    Below it `environ["bearerguard"]` and `current_claims()` are the claims. `optional=True` lets requests without a
    token pass as nobody; guards still refuse them. With a `resource` its metadata (RFC 9728) is served, and challenges
    point there. In Flask `bearerguard.flask.init_app` does the wrapping.
    """

    def __init__(
        self,
        app: WSGIApplication,
        verifier: Verifier[Kind],
        *,
        exempt: Iterable[str] = (),
        optional: bool = False,
        realm: str | None = None,
        preflight: Preflight = "pass",
        resource: ProtectedResource | None = None,
    ) -> None:
        self.app = app
        self.application: object = app
        self._doorway = Doorway(
            verifier, exempt=exempt, optional=optional, realm=realm, preflight=preflight, resource=resource
        )
        self._page = self._doorway.page
        self._takes_bearer_alone = self._doorway.takes_bearer_alone
        self._longest_bearer = self._doorway.longest_bearer
        self._verification = self._doorway.verification
        self._bearer_route = self._doorway.bearer_route
        self._connections = verifier.connections
        self._below = _Below(self._doorway)
        self._order_is_checked = False

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if not self._order_is_checked:
            self._check_order()
        if self._page is not None and self._page.is_asked_for(environ["REQUEST_METHOD"], environ_path(environ)):
            return written_page(self._page, environ, start_response)
        token: Presented | None = None
        verdict: Verdict | None = None
        bearer = self._bearer(environ)
        try:
            if bearer is None:
                token, verdict = self._judged(environ)
            else:
                digest, ports = sha256(bearer).digest(), self._connections.blocking()
                verdict = self._verification.recalled(digest, self._bearer_route, ports)
                verdict = verdict or run_sync(self._doorway.judged(bearer, digest, ports))
        except (AuthError, Unavailable) as error:
            fault = error if bearer is None else self._doorway.blamed(error, WsgiHead(environ))
            return self._refuse(fault, environ, start_response)
        if sinks.acceptance_is_heard and verdict is not None:
            self._doorway.tell_acceptance(verdict)
        if token is not None and type(token.carrier) is Query:
            start_response = private(start_response)
        access = Access(self._below, None if verdict is None else verdict.claims, verdict)
        environ["bearerguard"] = access.claims
        return self._pass(access, environ, start_response)

    def _bearer(self, environ: WSGIEnvironment) -> bytes | None:
        """What follows "Bearer " in the one Authorization header of a request, where nothing else could count."""
        sent: str = environ.get("HTTP_AUTHORIZATION", "")
        if sent[:7] != "Bearer " or sent[7:8] == " " or len(sent) > self._longest_bearer:
            return None
        return sent[7:].encode("latin-1", "replace") if self._takes_bearer_alone else None

    def _judged(self, environ: WSGIEnvironment) -> tuple[Presented | None, Verdict | None]:
        """The token of a request and the verdict on it; nothing of either for a request that passes as nobody."""
        head = WsgiHead(environ)
        if self._passes_unread(head):
            return None, None
        if self._doorway.query_names:
            hide_query(environ, self._doorway.query_names)
        token = self._doorway.token(head)
        if token is None:
            return None, None
        return token, run_sync(self._doorway.verdict(token, self._connections.blocking()))

    def _passes_unread(self, head: WsgiHead) -> bool:
        if self._doorway.is_preflight(head):
            forget_method_overrides(head.environ)
            hide_query(head.environ, self._doorway.query_names)
            return True
        return self._doorway.is_exempt(head)

    def _pass(self, access: Access, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Call the application; the claims stay until its answer is closed, for answers that are streamed."""
        has_begun = False

        def beginning(*args: Any) -> Callable[[bytes], object]:
            nonlocal has_begun
            has_begun = True
            return start_response(*args)

        outer = current_access()
        if outer is not environ.get(_ACCESS):
            outer = None
        environ[_ACCESS] = access
        enter(access)
        try:
            answered = self.app(environ, beginning)
        except (AuthError, Unavailable) as error:
            forget(access, outer)
            if has_begun:
                raise
            return self._refuse(error, environ, start_response)
        except BaseException:
            forget(access, outer)
            raise
        return _Answer(answered, access, outer)

    def _refuse(
        self, error: AuthError | Unavailable, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        if not error.is_dressed:
            self._doorway.dress(error)
        return written_refusal(error, environ, start_response)

    def _check_order(self) -> None:
        """SettingsError, on every request, while a guard stands where it guards nothing."""
        named = self._doorway.kinds_must_be_named
        check_guard_order(self, self.app, self.application, kinds_must_be_named=named)
        self._order_is_checked = True


class _Answer:
    """An application's answer, after which the context is nobody's."""

    __slots__ = ("_access", "_body", "_outer")

    def __init__(self, body: Iterable[bytes], access: Access, outer: Access | None) -> None:
        self._body = body
        self._access = access
        self._outer = outer

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        """Called by the server when the answer has been sent, or was broken off."""
        try:
            close: Callable[[], object] | None = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            forget(self._access, self._outer)


class _Below:
    """What guards below the door ask of it."""

    def __init__(self, doorway: Doorway) -> None:
        self._doorway = doorway
        self.kinds_must_be_named = doorway.kinds_must_be_named
        self.kinds_of_shape = doorway.kinds_of_shape

    def raised(self, error: AuthError | Unavailable, scopes: tuple[str, ...] = ()) -> Exception:
        """An HTTPException of werkzeug too."""
        if not error.is_dressed:
            self._doorway.dress(error, scopes)
        return http_exception(error)

    def spend(self, access: Access) -> None:
        """Blocking, as everything below this door."""
        run_sync(self._doorway.spend(access, self._doorway.connections.blocking()))

    async def aspend(self, access: Access) -> None:
        """Blocking too: an async view of Flask runs in a loop of its own, which ends with the request."""
        self.spend(access)
