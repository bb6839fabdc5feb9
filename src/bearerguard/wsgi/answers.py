"""Our refusals, as WSGI answers, as werkzeug responses and as werkzeug exceptions."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, ServiceUnavailable, Unauthorized
from werkzeug.http import HTTP_STATUS_CODES
from werkzeug.wrappers import Response

from ..doorway import answer_body
from ..errors import AuthError, Unavailable
from ..rules.resource_metadata import MetadataPage

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def answer(error: AuthError | Unavailable) -> Response:
    """Our errors as a werkzeug response, for an error handler where no door is around."""
    return Response(answer_body(error), error.status, error.headers(), content_type="application/json")


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
    return type(kind.__name__, (kind, parent), members)


def _response_of(error: Any, *_: object) -> Response:
    return answer(error)


def written_refusal(
    error: AuthError | Unavailable, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """Answer the request with a refusal."""
    body = answer_body(error)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **error.headers()}
    start_response(f"{error.status} {HTTP_STATUS_CODES[error.status]}", list(headers.items()))
    return _body(body, environ)


def written_page(page: MetadataPage, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer the request with the metadata of the protected resource."""
    start_response("200 OK", list(page.headers.items()))
    return _body(page.body, environ)


def _body(body: bytes, environ: WSGIEnvironment) -> Iterable[bytes]:
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
