"""The door for WSGI applications: Flask, and any other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, ServiceUnavailable, Unauthorized
from werkzeug.http import HTTP_STATUS_CODES
from werkzeug.wrappers import Response

from .access import Access, enter, forget
from .carriers import Query
from .core.ports import run_sync
from .core.recall import Verdict
from .doorway import QUERY_ANSWER_HEADERS, Doorway, Preflight, answer_body, only_signed
from .errors import AuthError, Unavailable
from .rules.credentials import Presented, in_query
from .rules.passage import METHOD_OVERRIDES
from .settings import Kind, SignedTokens
from .verifier import Verifier
from .views import check_guard_order

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["BearerMiddleware", "SessionTokenMiddleware", "answer"]


class BearerMiddleware:
    """Lets requests pass that carry a good token of any kind that `verifier` takes.

    ```python
    app.wsgi_app = BearerMiddleware(app.wsgi_app, verifier=verifier, exempt=("/health", "/static/*"))
    ```

    Below it `environ["bearerguard"]` and `current_claims()` are the claims. `optional=True` lets requests without a
    token pass as nobody; guards still refuse them. In Flask `bearerguard.flask.init_app` does the wrapping.
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
    ) -> None:
        self.app = app
        self._doorway = Doorway(verifier, exempt=exempt, optional=optional, realm=realm, preflight=preflight)
        self._connections = verifier.connections
        self._below = _Below(self._doorway)
        self._order_is_checked = False

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if not self._order_is_checked:
            self._check_order()
        token: Presented | None = None
        verdict: Verdict | None = None
        bearer = self._bearer(environ)
        try:
            if bearer is None:
                token, verdict = self._judged(environ)
            else:
                digest, ports = sha256(bearer).digest(), self._connections.blocking()
                verdict = self._doorway.recalled(digest, ports)
                verdict = verdict or run_sync(self._doorway.judged(bearer, digest, ports))
        except (AuthError, Unavailable) as error:
            fault = error if bearer is None else self._doorway.blamed(error, WsgiHead(environ))
            return self._refuse(fault, environ, start_response)
        if token is not None and type(token.carrier) is Query:
            start_response = _hiding_the_query(environ, token.carrier, start_response)
        access = Access(self._below, None if verdict is None else verdict.claims, verdict)
        environ["bearerguard"] = access.claims
        return self._pass(access, environ, start_response)

    def _bearer(self, environ: WSGIEnvironment) -> bytes | None:
        """What follows "Bearer " in the one Authorization header of a request, where nothing else could count."""
        sent: str = environ.get("HTTP_AUTHORIZATION", "")
        if sent[:7] != "Bearer " or not self._doorway.takes_bearer_alone:
            return None
        return sent[7:].encode("latin-1", "replace")

    def _judged(self, environ: WSGIEnvironment) -> tuple[Presented | None, Verdict | None]:
        """The token of a request and the verdict on it; nothing of either for a request that passes as nobody."""
        head = WsgiHead(environ)
        token = None if self._passes_unread(head) else self._doorway.token(head)
        if token is None:
            return None, None
        return token, run_sync(self._doorway.verdict(token, self._connections.blocking()))

    def _passes_unread(self, head: WsgiHead) -> bool:
        if self._doorway.is_preflight(head):
            _forget_method_overrides(head.environ)
            return True
        return self._doorway.is_exempt(head)

    def _pass(self, access: Access, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Call the application; the claims stay until its answer is closed, for answers that are streamed."""
        has_begun = False

        def beginning(*args: Any) -> Callable[[bytes], object]:
            nonlocal has_begun
            has_begun = True
            return start_response(*args)

        enter(access)
        try:
            answered = self.app(environ, beginning)
        except (AuthError, Unavailable) as error:
            forget(access)
            if has_begun:
                raise
            return self._refuse(error, environ, start_response)
        except BaseException:
            forget(access)
            raise
        return _Answer(answered, access)

    def _refuse(
        self, error: AuthError | Unavailable, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        if not error.is_dressed:
            self._doorway.dress(error)
        return _written_refusal(error, environ, start_response)

    def _check_order(self) -> None:
        """SettingsError, on every request, while a guard stands where it guards nothing."""
        check_guard_order(self.app, kinds_must_be_named=self._doorway.kinds_must_be_named)
        self._order_is_checked = True


class SessionTokenMiddleware(BearerMiddleware):
    """Lets requests pass that carry a good signed token.

    ```python
    init_app(app, SessionTokenMiddleware, verifier=verifier)
    ```

    The arguments are those of `BearerMiddleware`.
    """

    def __init__(
        self,
        app: WSGIApplication,
        verifier: Verifier[SignedTokens],
        *,
        exempt: Iterable[str] = (),
        optional: bool = False,
        realm: str | None = None,
        preflight: Preflight = "pass",
    ) -> None:
        super().__init__(app, only_signed(verifier), exempt=exempt, optional=optional, realm=realm, preflight=preflight)


def answer(error: AuthError | Unavailable) -> Response:
    """Our errors as a werkzeug response, for an error handler where no door is around."""
    return Response(answer_body(error), error.status, error.headers(), content_type="application/json")


class _Answer:
    """An application's answer, after which the context is nobody's."""

    __slots__ = ("_access", "_body")

    def __init__(self, body: Iterable[bytes], access: Access) -> None:
        self._body = body
        self._access = access

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        """Called by the server when the answer has been sent, or was broken off."""
        try:
            if hasattr(self._body, "close"):
                self._body.close()
        finally:
            forget(self._access)


class WsgiHead:
    """The head of a WSGI request."""

    __slots__ = ("environ", "method")

    is_websocket = False

    def __init__(self, environ: WSGIEnvironment) -> None:
        self.environ = environ
        self.method: str = environ["REQUEST_METHOD"]

    @property
    def path(self) -> str:
        """The path below the application's mount, which WSGI hands over as bytes in disguise."""
        path: str = self.environ.get("PATH_INFO", "")
        return path.encode("latin-1").decode("utf-8", "replace")

    @property
    def query(self) -> str:
        """The query string."""
        query: str = self.environ.get("QUERY_STRING", "")
        return query

    def fields(self, name: str) -> Sequence[str]:
        """The value of one header; servers have joined repeated ones with commas."""
        key = name.upper().replace("-", "_")
        value = self.environ.get(key if key in ("CONTENT_LENGTH", "CONTENT_TYPE") else f"HTTP_{key}")
        return () if value is None else (value,)


class _Below:
    """What guards below the door ask of it."""

    def __init__(self, doorway: Doorway) -> None:
        self._doorway = doorway
        self.kinds_must_be_named = doorway.kinds_must_be_named

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


_HTTP_CLASSES: dict[int, type[HTTPException]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    503: ServiceUnavailable,
}


def http_exception(error: AuthError | Unavailable) -> HTTPException:
    """`error` as one exception that is of its own class and a werkzeug HTTPException.

    Flask finds handlers by the class and by its `code`, so there `code` is the status, as werkzeug has it.
    """
    if isinstance(error, HTTPException):
        return error
    refusal: Any = error.__class__
    kind = _http_class(refusal, error.status)
    raised = kind.__new__(kind, *error.args)
    vars(raised).update(vars(error), description=error.description, response=None)
    return raised


@cache
def _http_class(kind: Any, status: int) -> type[HTTPException]:
    parent = _HTTP_CLASSES[status]
    members = {"__module__": kind.__module__, "__doc__": kind.__doc__, "code": status, "get_response": _response_of}
    return type(kind.__name__, (parent, kind), members)


def _response_of(error: Any, *_: object) -> Response:
    return answer(error)


def _forget_method_overrides(environ: WSGIEnvironment) -> None:
    for name in METHOD_OVERRIDES:
        environ.pop(f"HTTP_{name.upper().replace('-', '_')}", None)


def _hiding_the_query(environ: WSGIEnvironment, carrier: Query, start_response: StartResponse) -> StartResponse:
    """Take the token out of the address that the application and the access log see, and forbid to keep the answer."""
    _, rest = in_query(environ["QUERY_STRING"], carrier.name)
    environ["QUERY_STRING"] = rest
    for name in ("REQUEST_URI", "RAW_URI"):
        if name in environ:
            environ[name] = environ[name].partition("?")[0] + (f"?{rest}" if rest else "")
    about_keeping = {name.lower() for name in QUERY_ANSWER_HEADERS}

    def hiding(status: str, headers: list[tuple[str, str]], *more: Any) -> Callable[[bytes], object]:
        kept = [pair for pair in headers if pair[0].lower() not in about_keeping]
        return start_response(status, [*kept, *QUERY_ANSWER_HEADERS.items()], *more)

    return hiding


def _written_refusal(
    error: AuthError | Unavailable, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    body = answer_body(error)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **error.headers()}
    start_response(f"{error.status} {HTTP_STATUS_CODES[error.status]}", list(headers.items()))
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
