"""Which token a request presents: the header, the cookie and the query, letter by letter."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bearerguard import AuthError, ForeignOrigin, InvalidRequest, InvalidToken, MissingToken, SettingsError
from bearerguard.carriers import BEARER, Carrier, Cookie, Header, Query
from bearerguard.rules.credentials import in_query, presented

B64TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
MOST = 8192
COOKIE = Cookie("session", origins={"https://app.example.com", "http://localhost:3000"})
QUERY = Query("id_token")
EVERYWHERE = (BEARER, COOKIE, QUERY)
UNSAFE = ("POST", "PUT", "PATCH", "DELETE", "CONNECT", "PROPFIND", "get", "Post", "")


@dataclass
class Request:
    """The head of a request, as a door hands it over; `repeated` headers are a list each."""

    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    method: str = "GET"
    query: str = ""
    is_websocket: bool = False
    path: str = "/"

    def fields(self, name: str) -> Sequence[str]:
        return self.headers.get(name, ())


def token_of(request: Request, *carriers: Carrier, most: int = MOST) -> str:
    """The token that is found."""
    return bytes(presented(request, carriers or (BEARER,), max_bytes=most).token).decode()


def refusal_of(request: Request, *carriers: Carrier, most: int = MOST) -> AuthError:
    """The refusal where no token is found."""
    with pytest.raises(AuthError) as refused:
        token_of(request, *carriers, most=most)
    return refused.value


def with_authorization(*values: str) -> Request:
    return Request({"authorization": values})


# --- The Authorization header ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "found"),
    [
        pytest.param("Bearer abc", "abc", id="plain"),
        pytest.param("bearer abc", "abc", id="small letters"),
        pytest.param("BEARER abc", "abc", id="capitals"),
        pytest.param("bEaReR abc", "abc", id="any case"),
        pytest.param("Bearer  abc", "abc", id="two blanks"),
        pytest.param("Bearer a", "a", id="one letter"),
        pytest.param("Bearer abc=", "abc=", id="padding"),
        pytest.param("Bearer abc==========", "abc==========", id="as much padding as one likes"),
        pytest.param("Bearer A-z.0_9~+/", "A-z.0_9~+/", id="every sign of the alphabet"),
        pytest.param("Bearer bearer", "bearer", id="a token named like the scheme"),
    ],
)
def test_reads_the_header(value: str, found: str) -> None:
    assert token_of(with_authorization(value)) == found


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param("Basic dXNlcjpwYXNz", id="Basic"),
        pytest.param("abc", id="no scheme"),
        pytest.param("Bearerabc", id="no blank"),
        pytest.param("Bearer:abc", id="a colon"),
        pytest.param("Bearers abc", id="a longer scheme"),
        pytest.param("Token abc", id="Token"),
        pytest.param("DPoP abc", id="DPoP"),
        pytest.param('Digest username="a", realm="b", nonce="c", uri="/", response="d"', id="Digest with its commas"),
        pytest.param("AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=c;d, Signature=e", id="AWS with its commas"),
        pytest.param("Negotiate YII=", id="Negotiate"),
    ],
)
def test_takes_another_scheme_for_no_credentials(value: str) -> None:
    assert isinstance(refusal_of(with_authorization(value)), MissingToken)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("Bearer", id="the scheme alone"),
        pytest.param("bearer", id="the scheme alone, in small letters"),
        pytest.param("Bearer ", id="the scheme and a blank"),
        pytest.param("Bearer a b", id="two tokens"),
        pytest.param("Bearer a,b", id="a comma"),
        pytest.param("Bearer a, b", id="a comma and a blank"),
        pytest.param("Bearer ,a", id="a comma first"),
        pytest.param("Bearer a,", id="a comma last"),
        pytest.param("Bearer a\tb", id="a tab inside"),
        pytest.param("Bearer \ta", id="a tab before"),
        pytest.param("Bearer a ", id="a blank behind"),
        pytest.param('Bearer "a"', id="quotes"),
        pytest.param("Bearer a=b", id="padding inside"),
        pytest.param("Bearer =a", id="padding first"),
        pytest.param("Bearer =", id="padding alone"),
        pytest.param("Bearer a%2E", id="percent"),
        pytest.param("Bearer a;b", id="semicolon"),
        pytest.param("Bearer a:b", id="colon"),
        pytest.param("Bearer a\\b", id="backslash"),
        pytest.param("Bearer a\x00", id="nul"),
        pytest.param("Bearer a\n", id="newline"),
        pytest.param("Bearer a\r\nX: y", id="a header behind"),
        pytest.param("Bearer \xe9", id="outside ASCII"),
        pytest.param("Bearer \u212a", id="a Kelvin sign, which lowers to k"),
        pytest.param("Bearer \uff41", id="a wide letter"),
    ],
)
def test_refuses_what_is_no_b64token(value: str) -> None:
    refusal = refusal_of(with_authorization(value))
    assert isinstance(refusal, InvalidRequest)
    assert refusal.status == 400


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(["Bearer a", "Bearer a"], id="the same twice"),
        pytest.param(["Bearer a", "Bearer b"], id="two"),
        pytest.param(["Bearer a", "Basic b"], id="ours first"),
        pytest.param(["Basic a", "Bearer b"], id="ours second"),
        pytest.param(["Basic a", "Basic b"], id="none of ours"),
        pytest.param(["Bearer a", ""], id="an empty one second"),
        pytest.param(["", "Bearer a"], id="an empty one first"),
        pytest.param(["", ""], id="two empty ones"),
        pytest.param(["Basic a", ""], id="another scheme and an empty one"),
        pytest.param(["Digest a=b", "c=d"], id="another scheme and its rest"),
        pytest.param(["Digest a=b", 'Bearer="x"'], id="another scheme and what looks like its parameter"),
        pytest.param(["Bearer", "a"], id="the scheme and its token"),
        pytest.param(["Basic a", "Basic b", "Bearer c"], id="three"),
    ],
)
def test_refuses_more_than_one_header(values: list[str]) -> None:
    assert isinstance(refusal_of(with_authorization(*values)), InvalidRequest)


@given(values=st.lists(st.text(st.characters(codec="latin-1"), max_size=12), min_size=2, max_size=4))
@example(values=["Basic eA==", "a=b"])
def test_refuses_more_than_one_header_whatever_they_say(values: list[str]) -> None:
    assert isinstance(refusal_of(with_authorization(*values)), InvalidRequest)


@pytest.mark.parametrize("comma", [",", ", ", " , ", ",\t", ",  ", ",,"])
@pytest.mark.parametrize(
    "values",
    [
        pytest.param(["Bearer a", "Bearer b"], id="two"),
        pytest.param(["Bearer a", "Basic b"], id="ours first"),
        pytest.param(["Basic a", "Bearer b"], id="ours second"),
        pytest.param(["Digest a=b, c=d", "Bearer b"], id="ours behind one with parameters"),
        pytest.param(["Bearer a", "Bearer"], id="a bare scheme second"),
        pytest.param(["Negotiate", "Bearer b"], id="a bare scheme first"),
    ],
)
def test_refuses_headers_that_a_server_has_joined(values: list[str], comma: str) -> None:
    assert isinstance(refusal_of(with_authorization(comma.join(values))), InvalidRequest)


@given(text=st.text(st.characters(codec="latin-1"), max_size=30))
def test_takes_exactly_the_b64tokens(text: str) -> None:
    request = with_authorization(f"Bearer {text}")
    if B64TOKEN.fullmatch(text):
        assert token_of(request) == text
    elif not text.startswith(" "):
        assert isinstance(refusal_of(request), InvalidRequest)


@given(values=st.lists(st.text(max_size=20), max_size=3), query=st.text(max_size=20), cookie=st.text(max_size=20))
def test_raises_nothing_but_its_own_errors(values: list[str], query: str, cookie: str) -> None:
    request = Request({"authorization": values, "cookie": [f"session={cookie}"]}, query=f"id_token={query}")
    with contextlib.suppress(AuthError):
        assert B64TOKEN.fullmatch(token_of(request, *EVERYWHERE))


@given(first=st.from_regex(B64TOKEN, fullmatch=True), second=st.from_regex(B64TOKEN, fullmatch=True))
def test_never_takes_one_of_two_tokens(first: str, second: str) -> None:
    for value in (f"Bearer {first},{second}", f"Bearer {first} {second}", f"Bearer {first}, Bearer {second}"):
        assert isinstance(refusal_of(with_authorization(value)), InvalidRequest)


def test_refuses_a_token_that_is_too_large_before_it_reads_it() -> None:
    assert token_of(with_authorization(f"Bearer {'a' * 64}"), most=64) == "a" * 64
    refusal = refusal_of(with_authorization(f"Bearer {'a' * 65}"), most=64)
    assert isinstance(refusal, InvalidToken)
    assert refusal.reason == "too_large"


# --- Other headers and schemes ---------------------------------------------------------------------------------------

OWN = Header("X-Session-Token")


@pytest.mark.parametrize(
    ("carrier", "headers", "found"),
    [
        pytest.param(OWN, {"x-session-token": ["abc"]}, "abc", id="own header"),
        pytest.param(OWN, {"x-session-token": [" abc\t"]}, "abc", id="own header with blanks around"),
        pytest.param(Header("X-Auth", scheme="Shop"), {"x-auth": ["sHoP abc"]}, "abc", id="own header and scheme"),
        pytest.param(Header("Authorization"), {"authorization": ["abc"]}, "abc", id="Authorization without a scheme"),
    ],
)
def test_reads_other_headers(carrier: Header, headers: Mapping[str, Sequence[str]], found: str) -> None:
    assert token_of(Request(headers), carrier) == found


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        pytest.param([], MissingToken, id="absent"),
        pytest.param([""], MissingToken, id="empty"),
        pytest.param(["  "], MissingToken, id="blank"),
        pytest.param(["a", "b"], InvalidRequest, id="two"),
        pytest.param(["a", "a"], InvalidRequest, id="the same twice"),
        pytest.param(["a", ""], InvalidRequest, id="an empty one second"),
        pytest.param(["", "a"], InvalidRequest, id="an empty one first"),
        pytest.param(["a,b"], InvalidRequest, id="joined"),
        pytest.param(["a, a"], InvalidRequest, id="joined with a blank"),
        pytest.param(["a b"], InvalidRequest, id="a blank inside"),
        pytest.param(["Bearer a"], InvalidRequest, id="with a scheme"),
        pytest.param(["==="], InvalidRequest, id="padding alone"),
    ],
)
def test_refuses_in_other_headers(values: list[str], kind: type[AuthError]) -> None:
    assert type(refusal_of(Request({"x-session-token": values}), OWN)) is kind


def test_reads_carriers_in_the_order_of_the_settings() -> None:
    both = Request({"authorization": ["Bearer one"], "x-session-token": ["two"]})
    assert token_of(both, BEARER, OWN) == "one"
    assert token_of(both, OWN, BEARER) == "two"
    assert token_of(Request({"x-session-token": ["two"]}), BEARER, OWN) == "two"


def test_does_not_go_on_to_another_header_when_one_fails() -> None:
    request = Request({"authorization": ["Bearer"], "x-session-token": ["two"]})
    assert isinstance(refusal_of(request, BEARER, OWN), InvalidRequest)


@pytest.mark.parametrize("order", [EVERYWHERE, EVERYWHERE[::-1]], ids=["header first", "header last"])
@pytest.mark.parametrize("value", ["Bearer", "Bearer a b", "Bearer a,Bearer b"])
def test_lets_a_failed_header_be_final(value: str, order: tuple[Carrier, ...]) -> None:
    request = Request({"authorization": [value], "cookie": ["session=abc"]})
    assert isinstance(refusal_of(request, *order), InvalidRequest)


@pytest.mark.parametrize("order", [EVERYWHERE, EVERYWHERE[::-1]], ids=["header first", "header last"])
def test_lets_a_header_win_over_a_cookie(order: tuple[Carrier, ...]) -> None:
    request = Request({"authorization": ["Bearer one"], "cookie": ["session=two; session=three"]}, method="POST")
    assert token_of(request, *order) == "one"


@pytest.mark.parametrize("name", ["", "X Session", "X:Y", "X-Sess\u00efon", "X\r\nY", "a,b"])
def test_refuses_names_that_no_header_has(name: str) -> None:
    with pytest.raises(SettingsError):
        Header(name)
    with pytest.raises(SettingsError):
        Header("Authorization", scheme=name)
    with pytest.raises(SettingsError):
        Cookie(name)
    with pytest.raises(SettingsError):
        Query(name)


# --- Cookies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "found"),
    [
        pytest.param(["session=abc"], "abc", id="alone"),
        pytest.param(["a=b; session=abc; c=d"], "abc", id="among others"),
        pytest.param(["a=b;session=abc;c=d"], "abc", id="without blanks"),
        pytest.param(["a=b", "session=abc"], "abc", id="in a header of its own, as HTTP/2 sends them"),
        pytest.param(["session=abc=="], "abc==", id="with padding"),
        pytest.param(["session; session=abc"], "abc", id="beside a name alone"),
        pytest.param(["Session=x; SESSION=y; session=abc"], "abc", id="beside other cases"),
        pytest.param(["xsession=x; session2=y; session=abc"], "abc", id="beside longer names"),
        pytest.param(['a="; session=abc'], "abc", id="behind an open quote"),
    ],
)
def test_reads_a_cookie(values: list[str], found: str) -> None:
    assert token_of(Request({"cookie": values}), COOKIE) == found


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        pytest.param(["a=b"], MissingToken, id="absent"),
        pytest.param(["session"], MissingToken, id="a name alone"),
        pytest.param(["SESSION=abc"], MissingToken, id="another case"),
        pytest.param(["a=session=abc"], MissingToken, id="the value of another"),
        pytest.param(["session=a; session=b"], InvalidRequest, id="twice"),
        pytest.param(["session=a; session=a"], InvalidRequest, id="the same twice"),
        pytest.param(["session=a", "session=b"], InvalidRequest, id="in two headers"),
        pytest.param(["session=a; session="], InvalidRequest, id="once empty"),
        pytest.param(["session=a; session =b"], InvalidRequest, id="once with a blank before the sign"),
        pytest.param(["session=a,session=b"], InvalidRequest, id="joined by a server"),
        pytest.param(["session="], InvalidRequest, id="empty"),
        pytest.param(["session=a b"], InvalidRequest, id="a blank inside"),
        pytest.param(['session="abc"'], InvalidRequest, id="quoted"),
        pytest.param(["session=a%2Eb"], InvalidRequest, id="percent"),
    ],
)
def test_refuses_in_cookies(values: list[str], kind: type[AuthError]) -> None:
    assert type(refusal_of(Request({"cookie": values}), COOKIE)) is kind


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_asks_no_origin_for_a_cookie_of_a_safe_method(method: str) -> None:
    assert token_of(Request({"cookie": ["session=abc"]}, method), COOKIE) == "abc"


@pytest.mark.parametrize("method", UNSAFE)
@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        pytest.param({}, False, id="nothing said"),
        pytest.param({"origin": ["https://app.example.com"]}, True, id="our origin"),
        pytest.param({"origin": ["http://localhost:3000"]}, True, id="our other origin"),
        pytest.param({"sec-fetch-site": ["same-origin"]}, True, id="same origin"),
        pytest.param({"origin": ["https://evil.example"], "sec-fetch-site": ["cross-site"]}, False, id="another"),
        pytest.param({"origin": ["https://app.example.com", "https://evil.example"]}, False, id="two origins"),
        pytest.param({"origin": ["https://app.example.com,https://evil.example"]}, False, id="two origins joined"),
        pytest.param({"origin": ["https://app.example.com https://evil.example"]}, False, id="an origin list"),
        pytest.param({"origin": ["https://app.example.com.evil.example"]}, False, id="a longer host"),
        pytest.param({"origin": ["http://app.example.com"]}, False, id="http"),
        pytest.param({"origin": ["https://app.example.com:443"]}, False, id="with its port"),
        pytest.param({"origin": ["https://app.example.com/"]}, False, id="with a slash"),
        pytest.param({"origin": ["null"]}, False, id="null"),
        pytest.param({"origin": [""]}, False, id="empty"),
        pytest.param({"sec-fetch-site": ["same-site"]}, False, id="same site"),
        pytest.param({"sec-fetch-site": ["none"]}, False, id="no site"),
        pytest.param({"sec-fetch-site": ["same-origin", "cross-site"]}, False, id="two sites"),
        pytest.param({"sec-fetch-site": ["same-origin, cross-site"]}, False, id="two sites joined"),
        pytest.param({"referer": ["https://app.example.com/"]}, False, id="a referer"),
    ],
)
def test_asks_an_origin_for_a_cookie_of_an_unsafe_method(
    method: str, headers: Mapping[str, Sequence[str]], passes: bool
) -> None:
    request = Request({"cookie": ["session=abc"], **headers}, method)
    if passes:
        assert token_of(request, COOKIE) == "abc"
    else:
        refusal = refusal_of(request, COOKIE)
        assert isinstance(refusal, ForeignOrigin)
        assert refusal.status == 403


@pytest.mark.parametrize("origin", ["https://app.example.com", None, "https://evil.example.com"])
def test_asks_an_origin_for_the_cookie_of_a_websocket(origin: str | None) -> None:
    headers = {"cookie": ["session=abc"]} | ({} if origin is None else {"origin": [origin]})
    request = Request(headers, is_websocket=True)
    if origin in COOKIE.origins:
        assert token_of(request, COOKIE) == "abc"
    else:
        assert isinstance(refusal_of(request, COOKIE), ForeignOrigin)


def test_takes_the_same_origin_alone_where_no_origin_is_named() -> None:
    cookie = Cookie("session")
    assert token_of(Request({"cookie": ["session=a"], "sec-fetch-site": ["same-origin"]}, "POST"), cookie) == "a"
    assert isinstance(refusal_of(Request({"cookie": ["session=a"], "origin": ["null"]}, "POST"), cookie), ForeignOrigin)


@pytest.mark.parametrize(
    "origin",
    ["null", "*", "", "app.example.com", "https://app.example.com/", "https://app.example.com/a", "HTTPS://A.EXAMPLE",
     "https://", "ftp://a.example", "https://*.example.com", "https://user@a.example", "https://a.example?b"],
)  # fmt: skip
def test_refuses_origins_that_no_browser_sends(origin: str) -> None:
    with pytest.raises(SettingsError):
        Cookie("session", origins={origin})


def test_refuses_origins_that_are_one_text() -> None:
    with pytest.raises(SettingsError, match="origins="):
        Cookie("session", origins="https://app.example.com")


# --- The query -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param("id_token=abc", "abc", id="alone"),
        pytest.param("a=b&id_token=abc&c=d", "abc", id="among others"),
        pytest.param("id%5Ftoken=abc", "abc", id="its name in disguise"),
        pytest.param("id_token=a%62c", "abc", id="its value in disguise"),
        pytest.param("id_token=abc%3D", "abc=", id="padding"),
        pytest.param("id_token=abc=", "abc=", id="bare padding"),
    ],
)
def test_reads_the_query(query: str, found: str) -> None:
    assert token_of(Request(query=query), QUERY) == found


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        pytest.param(Request(query=""), MissingToken, id="absent"),
        pytest.param(Request(query="ID_TOKEN=abc"), MissingToken, id="another case"),
        pytest.param(Request(query="xid_token=abc"), MissingToken, id="a longer name"),
        pytest.param(Request(query="id_token[]=abc"), MissingToken, id="a list's name"),
        pytest.param(Request(query="a=b;id_token=abc"), MissingToken, id="behind a semicolon"),
        pytest.param(Request(query="id_token=a&id_token=b"), InvalidRequest, id="twice"),
        pytest.param(Request(query="id_token=a&id_token=a"), InvalidRequest, id="the same twice"),
        pytest.param(Request(query="id_token=a&id%5ftoken=b"), InvalidRequest, id="twice, once in disguise"),
        pytest.param(Request(query="id_token=a&id_token"), InvalidRequest, id="twice, once bare"),
        pytest.param(Request(query="id_token=a;id_token=b"), InvalidRequest, id="twice, by a semicolon"),
        pytest.param(Request(query="id_token="), InvalidRequest, id="empty"),
        pytest.param(Request(query="id_token"), InvalidRequest, id="bare"),
        pytest.param(Request(query="id_token=a+b"), InvalidRequest, id="a blank"),
        pytest.param(Request(query="id_token=a%00"), InvalidRequest, id="nul"),
        pytest.param(Request(query="id_token=%ff"), InvalidRequest, id="no UTF-8"),
        pytest.param(Request(method="POST", query="id_token=abc"), InvalidRequest, id="POST"),
        pytest.param(Request(method="HEAD", query="id_token=abc"), InvalidRequest, id="HEAD"),
        pytest.param(Request(query="id_token=abc", is_websocket=True), InvalidRequest, id="a WebSocket"),
        pytest.param(Request({"sec-fetch-dest": ["empty"]}, query="id_token=abc"), InvalidRequest, id="fetch"),
        pytest.param(Request({"sec-fetch-dest": ["script"]}, query="id_token=abc"), InvalidRequest, id="script"),
        pytest.param(
            Request({"sec-fetch-dest": ["document", "empty"]}, query="id_token=abc"), InvalidRequest, id="two answers"
        ),
    ],
)
def test_refuses_in_the_query(request_: Request, kind: type[AuthError]) -> None:
    assert type(refusal_of(request_, QUERY)) is kind


@pytest.mark.parametrize("destination", ["document", "iframe"])
def test_reads_the_query_of_documents(destination: str) -> None:
    assert token_of(Request({"sec-fetch-dest": [destination]}, query="id_token=abc"), QUERY) == "abc"


@pytest.mark.parametrize("query", ["id_token=abc", "id_token=", "id_token", "a=b&id%5Ftoken=x"])
def test_refuses_a_header_and_a_query_together(query: str) -> None:
    request = Request({"authorization": ["Bearer abc"]}, query=query)
    assert isinstance(refusal_of(request, BEARER, QUERY), InvalidRequest)
    assert isinstance(refusal_of(request, QUERY, BEARER), InvalidRequest)


PAIRS = st.lists(
    st.tuples(
        st.sampled_from(["id_token", "id%5Ftoken", "%69d_token", "id_toke", "a", "", "id+token"]),
        st.sampled_from(["", "=", "=x", "=a%26b", "=id_token=c", "=+"]),
    ),
    max_size=6,
)


@given(pairs=PAIRS)
def test_takes_its_own_out_of_the_query_and_leaves_the_rest(pairs: list[tuple[str, str]]) -> None:
    query = "&".join(name + value for name, value in pairs)
    values, rest = in_query(query, "id_token")
    every = parse_qsl(query, keep_blank_values=True)
    assert values == [value for name, value in every if name == "id_token"]
    assert parse_qsl(rest, keep_blank_values=True) == [pair for pair in every if pair[0] != "id_token"]


@given(query=st.text(max_size=40))
def test_leaves_a_query_without_its_own_as_it_is(query: str) -> None:
    quoted = quote(query, safe="&=+%;")
    if "token" not in query and "%" not in query:
        assert in_query(quoted, "id_token") == ([], quoted)
