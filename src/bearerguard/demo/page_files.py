"""The files of the page, as they stand in the package."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from werkzeug.wrappers import Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_PACKAGE = __name__.rpartition(".")[0]

_TYPES: Mapping[str, str] = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


def page_app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answers GET and HEAD requests for the page and what belongs to it, and for nothing else."""
    return _file(environ["REQUEST_METHOD"], environ["PATH_INFO"])(environ, start_response)


def _file(method: str, path: str) -> Response:
    found = _page().get("index.html" if path == "/" else path.removeprefix("/"))
    if found is None:
        return Response("there is no such page\n", 404)
    if method not in ("GET", "HEAD"):
        return Response("this page is for reading\n", 405, headers={"Allow": "GET, HEAD"})
    return Response(found[1], content_type=found[0])


@cache
def _page() -> Mapping[str, tuple[str, bytes]]:
    """Every file of the page: its type, and what it holds."""
    there = [each for each in files(_PACKAGE).joinpath("page").iterdir() if each.is_file()]
    return {each.name: (_TYPES[each.name.rpartition(".")[2]], each.read_bytes()) for each in there}
