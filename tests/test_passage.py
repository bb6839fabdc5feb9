"""Which requests pass unread: exempt paths and true preflights, and what only looks like one."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.applications import Starlette

from bearerguard import SettingsError, Verifier
from bearerguard.asgi import SessionTokenMiddleware as AsgiDoor
from bearerguard.rules.passage import exempt_paths, is_preflight
from bearerguard.wsgi import SessionTokenMiddleware as WsgiDoor
from tests.houses import settings

# --- Exempt paths ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/", "/"),
        ("/health", "/health"),
        ("/a/b.c", "/a/b.c"),
        ("/static/*", "/static/x"),
        ("/static/*", "/static/x/y/z.css"),
        ("/static/*", "/static/.well-known"),
        ("/static/*", "/static/..."),
        ("/static/*", "/static/a..b"),
        ("/static/*", "/static/ä/ö"),
        ("/a/b/*", "/a/b/c"),
    ],
)
def test_lets_exempt_paths_pass(pattern: str, path: str) -> None:
    assert exempt_paths([pattern]).covers(path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/health", "/health/"),
        ("/health", "/health/x"),
        ("/health", "/Health"),
        ("/health", "/healthx"),
        ("/health", "health"),
        ("/health", ""),
        ("/health", "/"),
        ("/health", "//health"),
        ("/health", "/health\n"),
        ("/health", "/health\x00"),
        ("/health", "/x/../health"),
        ("/", ""),
        ("/", "//"),
        ("/", "/x"),
        ("/static/*", "/static"),
        ("/static/*", "/static/"),
        ("/static/*", "/static//"),
        ("/static/*", "/static//x"),
        ("/static/*", "/static/x/"),
        ("/static/*", "/static/x//y"),
        ("/static/*", "/static/."),
        ("/static/*", "/static/.."),
        ("/static/*", "/static/./x"),
        ("/static/*", "/static/../admin"),
        ("/static/*", "/static/x/../../admin"),
        ("/static/*", "/static/x/.."),
        ("/static/*", "/static/..\\admin"),
        ("/static/*", "/static\\..\\admin"),
        ("/static/*", "/static/%2e%2e/admin"),
        ("/static/*", "/static/x%00"),
        ("/static/*", "/static/x\x85"),
        ("/static/*", "/static/x\x9f"),
        ("/static/*", "/staticx/y"),
        ("/static/*", "/STATIC/y"),
        ("/static/*", "/x/static/y"),
        ("/static/*", "static/y"),
    ],
)
def test_lets_no_other_path_pass(pattern: str, path: str) -> None:
    assert not exempt_paths([pattern]).covers(path)


FRAGMENTS = st.sampled_from(["/", "//", ".", "..", "/../", "/./", "\\", "%", "%2e", "static", "a", "\x00", "\x85", "é"])


def is_plain(path: str) -> bool:
    """RULES.md, section 6, in other words than the code's."""
    segments = path.split("/")[1:]
    return not (
        set(segments) & {"", ".", ".."}
        or set(path) & set("\\%")
        or any(unicodedata.category(one) == "Cc" for one in path)
    )


@given(below=st.lists(FRAGMENTS | st.characters(codec="utf-8"), max_size=8).map("".join))
@example(below="\x80")
def test_lets_nothing_pass_that_could_be_read_in_two_ways(below: str) -> None:
    path = f"/static/{below}"
    if exempt_paths(["/static/*", "/other"]).covers(path):
        assert is_plain(path)


@given(segments=st.lists(st.from_regex(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*", fullmatch=True), min_size=1, max_size=4))
def test_lets_every_plain_path_below_pass(segments: list[str]) -> None:
    path = "/".join(["", *segments])
    assert exempt_paths([path]).covers(path)
    assert exempt_paths(["/static/*"]).covers(f"/static{path}")
    assert not exempt_paths(["/static/*"]).covers(path) or segments[0] == "static"


@pytest.mark.parametrize(
    "pattern",
    [
        "/*", "*", "", "health", "//*", "/*/", "/**", "/a*", "/a/*/b", "/*/a", "/static/", "/static//*", "/a//b", "/.",
        "/..", "/static/../*", "/./a", "/a/./*", "/a%20b", "/a\\b", "/a\n", "/a\x85", None, 7, b"/health", ("/health",),
    ],
)  # fmt: skip
def test_refuses_patterns_that_open_more_than_they_say(pattern: Any) -> None:
    with pytest.raises(SettingsError):
        exempt_paths([pattern])


def test_refuses_one_text_for_several_paths() -> None:
    with pytest.raises(SettingsError, match="exempt="):
        exempt_paths("/health")


@pytest.mark.parametrize("door", [AsgiDoor, WsgiDoor], ids=["asgi", "wsgi"])
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"exempt": ("/*",)}, "optional=True"),
        ({"exempt": "/health"}, "exempt="),
        ({"preflight": "allow"}, "'refuse'"),
        ({"preflight": None}, "'refuse'"),
        ({"realm": "a\r\nSet-Cookie: b"}, "ASCII"),
        ({"realm": "caf\xe9"}, "ASCII"),
        ({"realm": "a\x7f"}, "ASCII"),
        ({"realm": 7}, "ASCII"),
        ({"verifier": settings()}, "Verifier"),
        ({"verifier": None}, "Verifier"),
    ],
)
def test_refuses_wrong_options_while_building(door: Any, options: Mapping[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        door(lambda: None, **{"verifier": Verifier(settings()), **options})


@pytest.mark.parametrize("seconds", [0, -1, True, "30", float("nan"), float("inf"), 1e9])
def test_refuses_intervals_that_are_none(seconds: Any) -> None:
    with pytest.raises(SettingsError, match="recheck_seconds"):
        AsgiDoor(Starlette(), verifier=Verifier(settings()), recheck_seconds=seconds)


# --- Preflights ------------------------------------------------------------------------------------------------------


@dataclass
class Request:
    """The head of a request."""

    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    method: str = "OPTIONS"
    is_websocket: bool = False
    path: str = "/"
    query: str = ""

    def fields(self, name: str) -> Sequence[str]:
        return self.headers.get(name, ())


TRUE = {"origin": ["https://app.example.com"], "access-control-request-method": ["POST"]}


@pytest.mark.parametrize(
    ("request_", "is_true"),
    [
        pytest.param(Request(TRUE), True, id="a true one"),
        pytest.param(Request(TRUE | {"access-control-request-headers": ["authorization"]}), True, id="with headers"),
        pytest.param(
            Request(TRUE | {"access-control-request-private-network": ["true"]}), True, id="to a private network"
        ),
        pytest.param(Request(TRUE | {"origin": ["null"]}), True, id="of a sandboxed page"),
        pytest.param(Request(TRUE | {"content-length": ["0"]}), True, id="with an empty body"),
        pytest.param(Request(TRUE | {"content-length": [""]}), True, id="with the empty length of uWSGI and nginx"),
        pytest.param(Request(TRUE | {"cookie": ["a=b"]}), True, id="with a cookie of others"),
        pytest.param(Request(TRUE, "GET"), False, id="GET"),
        pytest.param(Request(TRUE, "POST"), False, id="POST"),
        pytest.param(Request(TRUE, "options"), False, id="a method in small letters"),
        pytest.param(Request(TRUE, is_websocket=True), False, id="a WebSocket"),
        pytest.param(Request(TRUE | {"origin": []}), False, id="no origin"),
        pytest.param(Request(TRUE | {"origin": [""]}), False, id="an empty origin"),
        pytest.param(Request(TRUE | {"origin": ["a", "b"]}), False, id="two origins"),
        pytest.param(Request(TRUE | {"origin": ["a,b"]}), False, id="two origins joined"),
        pytest.param(Request(TRUE | {"access-control-request-method": []}), False, id="no method"),
        pytest.param(Request(TRUE | {"access-control-request-method": [""]}), False, id="an empty method"),
        pytest.param(Request(TRUE | {"access-control-request-method": ["A", "B"]}), False, id="two methods"),
        pytest.param(Request(TRUE | {"access-control-request-method": ["A, B"]}), False, id="two methods joined"),
        pytest.param(Request(TRUE | {"authorization": ["Bearer a"]}), False, id="a token"),
        pytest.param(Request(TRUE | {"authorization": ["Basic a"]}), False, id="another scheme"),
        pytest.param(Request(TRUE | {"x-session-token": ["a"]}), False, id="a token in our own header"),
        pytest.param(Request(TRUE | {"content-length": ["1"]}), False, id="a body"),
        pytest.param(Request(TRUE | {"content-length": ["0", "5"]}), False, id="two lengths"),
        pytest.param(Request(TRUE | {"content-length": ["0,5"]}), False, id="two lengths joined"),
        pytest.param(Request(TRUE | {"transfer-encoding": ["chunked"]}), False, id="a body of unknown length"),
        pytest.param(Request(TRUE | {"transfer-encoding": ["identity"]}), False, id="any transfer encoding"),
    ],
)
def test_knows_a_true_preflight(request_: Request, is_true: bool) -> None:
    assert is_preflight(request_, ("authorization", "x-session-token")) is is_true
