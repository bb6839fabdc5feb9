"""Every row of RULES.md, section 6, at every door: one table, asked in process and over the wire."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.doors import DOORS, Answer, Ask, Door, ServerDoor, bearer, eventually, filled, open_door
from tests.houses import RETRY_HEADER, token

REPORT = "/anything/below"
ORIGIN = ("Origin", "https://app.example.com")
FOREIGN = ("Origin", "https://evil.example.com")
ASKS_FOR_POST = ("Access-Control-Request-Method", "POST")
PREFLIGHT = (ORIGIN, ASKS_FOR_POST)
GOOD = bearer("{good}")
JSON_TYPE = "application/json"


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Door:
    return open_door(request.param, request.config)


@dataclass(frozen=True)
class Refused:
    """What a refusal must look like."""

    status: int
    error: str | None
    """The error code of the challenge; None for a challenge without one."""
    scope: str | None = None
    realm: str | None = None


@dataclass(frozen=True)
class Passed:
    """What a view behind the door must see."""

    as_somebody: bool


SOMEBODY, NOBODY = Passed(True), Passed(False)
UNKNOWN = Refused(401, None)
BAD_REQUEST = Refused(400, "invalid_request")
BAD_TOKEN = Refused(401, "invalid_token")
FOREIGN_ORIGIN = Refused(403, None)
UNAVAILABLE = Refused(503, None)


@dataclass(frozen=True)
class Row:
    """One case: what is asked of which house, and what must come of it."""

    name: str
    house: str
    ask: Ask
    expected: Refused | Passed


def rows() -> Iterator[Row]:
    """The table."""
    yield from _rows_without_credentials()
    yield from _rows_with_several_or_broken_credentials()
    yield from _rows_with_tokens()
    yield from _rows_at_guards()
    yield from _rows_without_a_store()
    yield from _rows_for_the_optional()
    yield from _rows_of_preflights()
    yield from _rows_of_exempt_paths()
    yield from _rows_of_other_headers()
    yield from _rows_of_cookies()
    yield from _rows_of_queries()


def _rows_without_credentials() -> Iterator[Row]:
    yield Row("no credentials", "plain", Ask(REPORT), UNKNOWN)
    yield Row("no credentials, with a body", "plain", Ask(REPORT, method="POST", body=b"{}"), UNKNOWN)
    yield Row("no credentials on a path that nobody serves", "plain", Ask("/guarded/nothing/here"), UNKNOWN)
    yield Row("another scheme", "plain", Ask(REPORT, [("Authorization", "Basic dXNlcjpwYXNz")]), UNKNOWN)
    yield Row("a scheme that begins like ours", "plain", Ask(REPORT, [("Authorization", "Bearerr {good}")]), UNKNOWN)
    yield Row("a scheme with many parts", "plain", Ask(REPORT, [("Authorization", "Digest a=b, c=d, e=f")]), UNKNOWN)
    yield Row("no scheme", "plain", Ask(REPORT, [("Authorization", "{good}")]), UNKNOWN)
    yield Row("an empty header", "plain", Ask(REPORT, [("Authorization", "")]), UNKNOWN)
    yield Row("a header of another name", "plain", Ask(REPORT, [("X-Authorization", "Bearer {good}")]), UNKNOWN)
    yield Row("a proxy's header", "plain", Ask(REPORT, [("Proxy-Authorization", "Bearer {good}")]), UNKNOWN)
    yield Row("a realm to quote", "realm", Ask(REPORT), Refused(401, None, realm='the "orders" \\ api'))
    yield Row("a realm with an error", "realm", Ask(REPORT, [bearer("{expired}")]),
              Refused(401, "invalid_token", realm='the "orders" \\ api'))  # fmt: skip
    yield Row("a token in a cookie where none is taken", "plain", Ask(REPORT, [("Cookie", "session={good}")]), UNKNOWN)
    yield Row("a token in the query where none is taken", "plain", Ask(f"{REPORT}?id_token={{good}}"), UNKNOWN)
    yield Row("a token in RFC 6750's parameter", "plain", Ask(f"{REPORT}?access_token={{good}}"), UNKNOWN)
    yield Row("HEAD", "plain", Ask(REPORT, method="HEAD"), UNKNOWN)


def _rows_with_several_or_broken_credentials() -> Iterator[Row]:
    several = {
        "two good ones": [bearer("{good}"), bearer("{half}")],
        "the same one twice": [bearer("{good}"), bearer("{good}")],
        "ours, then another scheme": [bearer("{good}"), ("Authorization", "Basic dXNlcjpwYXNz")],
        "another scheme, then ours": [("Authorization", "Basic dXNlcjpwYXNz"), bearer("{good}")],
        "two of another scheme": [("Authorization", "Basic dXNlcjpwYXNz"), ("Authorization", "Basic b3RoZXI6b25l")],
        "three": [bearer("{good}"), ("Authorization", "Digest a=b"), bearer("{good}")],
        "ours, then an empty one": [bearer("{good}"), ("Authorization", "")],
        "an empty one, then ours": [("Authorization", ""), bearer("{good}")],
        "joined by a comma": [("Authorization", "Bearer {good}, Bearer {half}")],
        "joined by a comma and no blank": [("Authorization", "Bearer {good},Bearer {half}")],
        "joined with another scheme": [("Authorization", "Basic dXNlcjpwYXNz, Bearer {good}")],
        "names in two cases": [("authorization", "Bearer {good}"), ("AUTHORIZATION", "Bearer {half}")],
    }
    for name, headers in several.items():
        yield Row(f"several: {name}", "plain", Ask(REPORT, headers), BAD_REQUEST)
    broken = {
        "the scheme alone": "Bearer",
        "the scheme and blanks": "Bearer   ",
        "two tokens": "Bearer {good} {good}",
        "a token and a parameter": "Bearer {good}, realm=x",
        "quoted": 'Bearer "{good}"',
        "only padding": "Bearer ===",
        "padding inside": "Bearer a=b",
        "a comma behind": "Bearer {good},",
        "a percent sign": "Bearer abc%20def",
        "a letter outside ASCII": "Bearer abc\xe9",
        "a colon": "Bearer a:b",
        "braces": "Bearer {}",
    }
    for name, value in broken.items():
        yield Row(f"broken: {name}", "plain", Ask(REPORT, [("Authorization", value)]), BAD_REQUEST)
    yield Row("broken, where a token is optional", "optional", Ask(REPORT, [("Authorization", "Bearer")]), BAD_REQUEST)
    yield Row("broken, though the store is down", "down", Ask(REPORT, [("Authorization", "Bearer")]), BAD_REQUEST)


def _rows_with_tokens() -> Iterator[Row]:
    yield Row("a good token", "plain", Ask(REPORT, [GOOD]), SOMEBODY)
    yield Row("the scheme in any case", "plain", Ask(REPORT, [("Authorization", "bEaReR {good}")]), SOMEBODY)
    yield Row("two blanks", "plain", Ask(REPORT, [("Authorization", "Bearer  {good}")]), SOMEBODY)
    for method in ("HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        yield Row(f"a good token by {method}", "plain", Ask(REPORT, [GOOD], method), SOMEBODY)
    for name in ("expired", "early", "foreign", "stranger", "forged", "unsigned", "nameless", "heavy", "other"):
        yield Row(f"a token that is {name}", "plain", Ask(REPORT, [bearer(f"{{{name}}}")]), BAD_TOKEN)
    for text in ("abc", "a.b.c", "a.b.c.d.e", "~", "...", "e30.e30.e30", "AAAA=="):
        yield Row(f"the token {text}", "plain", Ask(REPORT, [bearer(text)]), BAD_TOKEN)
    yield Row("a bad token by HEAD", "plain", Ask(REPORT, [bearer("abc")], "HEAD"), BAD_TOKEN)
    yield Row("the token of another kind", "kinds", Ask(REPORT, [bearer("{other}")]), SOMEBODY)
    yield Row("a token of no kind", "kinds", Ask(REPORT, [bearer("{stranger}")]), BAD_TOKEN)


def _rows_at_guards() -> Iterator[Row]:
    both = "read:orders write:orders"
    yield Row("a guard asks a token", "plain", Ask("/guarded/token", [GOOD]), SOMEBODY)
    yield Row("a guard asks scopes that are there", "plain", Ask("/guarded/scope", [bearer("{full}")]), SOMEBODY)
    yield Row("a guard asks a missing scope", "plain", Ask("/guarded/scope", [bearer("{half}")]),
              Refused(403, "insufficient_scope", scope=both))  # fmt: skip
    yield Row("a guard asks any of the scopes", "plain", Ask("/guarded/any", [bearer("{half}")]), SOMEBODY)
    yield Row("a guard asks scopes that are all missing", "plain", Ask("/guarded/any", [GOOD]),
              Refused(403, "insufficient_scope", scope="read:orders admin"))  # fmt: skip
    yield Row("a guard meets nobody", "optional", Ask("/guarded/token"), UNKNOWN)
    yield Row("a guard with scopes meets nobody", "optional", Ask("/guarded/scope"), Refused(401, None, scope=both))
    yield Row("a one-time guard meets nobody", "optional", Ask("/guarded/once"), UNKNOWN)
    yield Row("a guard refuses HEAD", "plain", Ask("/guarded/scope", [GOOD], "HEAD"),
              Refused(403, "insufficient_scope", scope=both))  # fmt: skip
    yield Row("the kind that a guard names", "kinds", Ask("/guarded/other", [bearer("{other}")]), SOMEBODY)
    yield Row("another kind than a guard names", "kinds", Ask("/guarded/other", [bearer("{full}")]),
              Refused(403, "insufficient_scope"))  # fmt: skip
    yield Row("another kind that has the scopes", "kinds", Ask("/guarded/scope", [bearer("{other}")]),
              Refused(403, "insufficient_scope"))  # fmt: skip


def _rows_without_a_store() -> Iterator[Row]:
    yield Row("no store, a good token", "down", Ask(REPORT, [GOOD]), UNAVAILABLE)
    yield Row("no store, a good token by HEAD", "down", Ask(REPORT, [GOOD], "HEAD"), UNAVAILABLE)
    yield Row("no store, an optional token", "down-optional", Ask(REPORT, [GOOD]), UNAVAILABLE)
    yield Row("no store, nobody", "down-optional", Ask(REPORT), NOBODY)
    yield Row("no store, an exempt path", "down-optional", Ask("/health", [GOOD]), NOBODY)
    yield Row("no store, a bad token", "down", Ask(REPORT, [bearer("{forged}")]), BAD_TOKEN)
    yield Row("no store, no credentials", "down", Ask(REPORT), UNKNOWN)


def _rows_for_the_optional() -> Iterator[Row]:
    yield Row("optional: nobody", "optional", Ask(REPORT), NOBODY)
    yield Row("optional: another scheme", "optional", Ask(REPORT, [("Authorization", "Basic dXNlcjpwYXNz")]), NOBODY)
    yield Row("optional: a good token", "optional", Ask(REPORT, [GOOD]), SOMEBODY)
    yield Row("optional: an expired token", "optional", Ask(REPORT, [bearer("{expired}")]), BAD_TOKEN)
    yield Row("optional: a forged token", "optional", Ask(REPORT, [bearer("{forged}")]), BAD_TOKEN)


def _rows_of_preflights() -> Iterator[Row]:
    def asked(
        *headers: tuple[str, str], house: str = "plain", method: str = "OPTIONS", body: bytes = b""
    ) -> tuple[str, Ask]:
        return house, Ask(REPORT, headers, method, body)

    two_methods = ("Access-Control-Request-Method", "POST, DELETE")
    cases: dict[str, tuple[tuple[str, Ask], Refused | Passed]] = {
        "a true one": (asked(*PREFLIGHT), NOBODY),
        "with its headers named": (asked(*PREFLIGHT, ("Access-Control-Request-Headers", "authorization")), NOBODY),
        "of no origin": (asked(("Origin", "null"), ASKS_FOR_POST), NOBODY),
        "with an empty body": (asked(*PREFLIGHT, ("Content-Length", "0")), NOBODY),
        "where CORS stands outside": (asked(*PREFLIGHT, house="strict"), UNKNOWN),
        "without an origin": (asked(ASKS_FOR_POST), UNKNOWN),
        "with an empty origin": (asked(("Origin", ""), ASKS_FOR_POST), UNKNOWN),
        "without a method": (asked(ORIGIN), UNKNOWN),
        "with two origins": (asked(ORIGIN, FOREIGN, ASKS_FOR_POST), UNKNOWN),
        "with two origins in one header": (
            asked(("Origin", "https://a.example, https://b.example"), ASKS_FOR_POST),
            UNKNOWN,
        ),
        "with the same origin twice": (asked(ORIGIN, ORIGIN, ASKS_FOR_POST), UNKNOWN),
        "with two methods": (asked(*PREFLIGHT, ASKS_FOR_POST), UNKNOWN),
        "with two methods in one header": (asked(ORIGIN, two_methods), UNKNOWN),
        "by GET": (asked(*PREFLIGHT, method="GET"), UNKNOWN),
        "by POST": (asked(*PREFLIGHT, method="POST"), UNKNOWN),
        "with a body": (asked(*PREFLIGHT, body=b"x"), UNKNOWN),
        "with a chunked body": (asked(*PREFLIGHT, ("Transfer-Encoding", "chunked")), UNKNOWN),
        "with a good token": (asked(*PREFLIGHT, GOOD), SOMEBODY),
        "with a bad token": (asked(*PREFLIGHT, bearer("abc")), BAD_TOKEN),
        "with another scheme": (asked(*PREFLIGHT, ("Authorization", "Basic dXNlcjpwYXNz")), UNKNOWN),
        "with a token in our own header": (asked(*PREFLIGHT, ("X-Session-Token", "abc"), house="header"), BAD_TOKEN),
    }
    for name, ((house, ask), expected) in cases.items():
        yield Row(f"preflight {name}", house, ask, expected)


def _rows_of_exempt_paths() -> Iterator[Row]:
    for target in (
        "/",
        "/health",
        "/static/app.css",
        "/static/a/b/c",
        "/static/app.v2..css",
        "/static/...",
        "/health?a=b",
    ):
        yield Row(f"exempt: {target}", "exempt", Ask(target), NOBODY)
    yield Row("exempt: whatever token is there", "exempt", Ask("/health", [bearer("{forged}")]), NOBODY)
    yield Row("exempt: broken credentials", "exempt", Ask("/health", [("Authorization", "Bearer")]), NOBODY)
    yield Row("exempt: a good token is not read", "exempt", Ask("/health", [GOOD]), NOBODY)
    yield Row("exempt: by POST", "exempt", Ask("/health", method="POST", body=b"{}"), NOBODY)
    doubtful = (
        "/Health", "/health/", "/health/x", "/healthy", "/healt", "//health", "/./health", "/x/../health",
        "/health;x", "/health/.", "/health/..", "/health%00", "/health%0a", "/health%09", "/health%20", "/%2e/health",
        "/x/%2e%2e/health", "/health%2f", "/health%5c", "/health%3f", "/health%23", "/health%252e", "/he%c3%a4lth",
        "/static", "/static/", "/static//x", "/static/./x", "/static/../admin", "/static/..", "/static/x/..",
        "/static/x/", "/static/%2e%2e/admin", "/static/.%2e/admin", "/static/%2e./admin", "/static/..%2fadmin",
        "/static/%2e%2e%2fadmin", "/static/..%5cadmin", "/static/%5c..%5cadmin", "/static/x%5cy",
        "/static/%252e%252e/x",
        "/static/100%25", "/static/%00", "/static/x%0d%0ay", "/static/%7f", "/static/%ff", "/static/%c0%ae%c0%ae/x",
        "/static/%c2%85", "/static/%c2%9f", "/STATIC/x", "/staticx", "/other/static/x", "/x/health", "/*", "/static*",
    )  # fmt: skip
    for target in doubtful:
        yield Row(f"not exempt: {target}", "exempt", Ask(target), UNKNOWN)
    yield Row("not exempt: by a fragment of another path", "exempt", Ask("/admin?/health"), UNKNOWN)
    yield Row(
        "not exempt: the path of another header", "exempt", Ask("/admin", [("X-Original-URL", "/health")]), UNKNOWN
    )
    yield Row(
        "not exempt: the path of a host header", "exempt", Ask("/admin", [("X-Forwarded-Host", "a/health?")]), UNKNOWN
    )
    yield Row("not exempt: outside the door's own root", "plain", Ask("/health"), UNKNOWN)


def _rows_of_other_headers() -> Iterator[Row]:
    own = "X-Session-Token"
    yield Row("own header", "header", Ask(REPORT, [(own, "{good}")]), SOMEBODY)
    yield Row("own header in small letters", "header", Ask(REPORT, [(own.lower(), "{good}")]), SOMEBODY)
    yield Row("own header, no credentials", "header", Ask(REPORT, [GOOD]), UNKNOWN)
    yield Row("own header, empty", "header", Ask(REPORT, [(own, "")]), UNKNOWN)
    yield Row("own header twice", "header", Ask(REPORT, [(own, "{good}"), (own, "{good}")]), BAD_REQUEST)
    yield Row("own header with a scheme", "header", Ask(REPORT, [(own, "Bearer {good}")]), BAD_REQUEST)
    yield Row("own header with a comma", "header", Ask(REPORT, [(own, "{good},{good}")]), BAD_REQUEST)
    yield Row("own header, bad token", "header", Ask(REPORT, [(own, "{forged}")]), BAD_TOKEN)
    yield Row("own scheme", "scheme", Ask(REPORT, [("Authorization", "shop-token {good}")]), SOMEBODY)
    yield Row("own scheme, Bearer instead", "scheme", Ask(REPORT, [GOOD]), UNKNOWN)


def _rows_of_cookies() -> Iterator[Row]:
    cookie = ("Cookie", "theme=dark; session={good}; lang=en")
    same = ("Sec-Fetch-Site", "same-origin")
    safe = {method: Ask(REPORT, [cookie], method) for method in ("GET", "HEAD", "OPTIONS")}
    for method, ask in safe.items():
        yield Row(f"cookie by {method}", "cookie", ask, SOMEBODY)
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        yield Row(f"cookie by {method} of our origin", "cookie", Ask(REPORT, [cookie, ORIGIN], method), SOMEBODY)
        yield Row(f"cookie by {method} of no origin", "cookie", Ask(REPORT, [cookie], method), FOREIGN_ORIGIN)
        yield Row(f"cookie by {method} of another", "cookie", Ask(REPORT, [cookie, FOREIGN], method), FOREIGN_ORIGIN)
    hostile = {
        "an origin that begins like ours": ("Origin", "https://app.example.com.evil.example"),
        "an origin that ends like ours": ("Origin", "https://evilapp.example.com"),
        "our origin by http": ("Origin", "http://app.example.com"),
        "our origin at another port": ("Origin", "https://app.example.com:8443"),
        "our origin with a path": ("Origin", "https://app.example.com/"),
        "the origin null": ("Origin", "null"),
        "an empty origin": ("Origin", ""),
        "the same site": ("Sec-Fetch-Site", "same-site"),
        "another site": ("Sec-Fetch-Site", "cross-site"),
        "no site": ("Sec-Fetch-Site", "none"),
        "our referer": ("Referer", "https://app.example.com/page"),
    }
    for name, header in hostile.items():
        yield Row(f"cookie by POST with {name}", "cookie", Ask(REPORT, [cookie, header], "POST"), FOREIGN_ORIGIN)
    yield Row("cookie by POST from the same origin", "cookie", Ask(REPORT, [cookie, same], "POST"), SOMEBODY)
    yield Row("cookie by POST of two origins", "cookie", Ask(REPORT, [cookie, ORIGIN, FOREIGN], "POST"), FOREIGN_ORIGIN)
    twice = ("Cookie", "session={good}; session={good}")
    yield Row("cookie twice", "cookie", Ask(REPORT, [twice]), BAD_REQUEST)
    yield Row("cookie twice, once empty", "cookie", Ask(REPORT, [("Cookie", "session={good}; session=")]), BAD_REQUEST)
    yield Row("cookie twice in two headers", "cookie", Ask(REPORT, [("Cookie", "session={good}")] * 2), BAD_REQUEST)
    yield Row("cookie of another case", "cookie", Ask(REPORT, [("Cookie", "Session={good}")]), UNKNOWN)
    yield Row(
        "cookie of a longer name", "cookie", Ask(REPORT, [("Cookie", "xsession={good}; session2={good}")]), UNKNOWN
    )
    yield Row("cookie, bad token", "cookie", Ask(REPORT, [("Cookie", "session={forged}")]), BAD_TOKEN)
    yield Row("cookie, no token", "cookie", Ask(REPORT, [("Cookie", "session=%3Cscript%3E")]), BAD_REQUEST)
    yield Row("header before cookie", "cookie", Ask(REPORT, [GOOD, ("Cookie", "session={forged}")]), SOMEBODY)
    yield Row("header before cookie by POST", "cookie", Ask(REPORT, [GOOD, cookie, FOREIGN], "POST"), SOMEBODY)
    yield Row("a bad header is final", "cookie", Ask(REPORT, [bearer("{expired}"), cookie]), BAD_TOKEN)
    yield Row("a broken header is final", "cookie", Ask(REPORT, [("Authorization", "Bearer"), cookie]), BAD_REQUEST)
    yield Row("another scheme and a cookie", "cookie", Ask(REPORT, [("Authorization", "Basic eA=="), cookie]), SOMEBODY)
    yield Row("no cookie", "cookie", Ask(REPORT, method="POST"), UNKNOWN)


def _rows_of_queries() -> Iterator[Row]:
    good = f"{REPORT}?id_token={{good}}"
    document = ("Sec-Fetch-Dest", "document")
    yield Row("query", "query", Ask(good), SOMEBODY)
    yield Row("query of a document", "query", Ask(good, [document]), SOMEBODY)
    yield Row("query of a frame", "query", Ask(good, [("Sec-Fetch-Dest", "iframe")]), SOMEBODY)
    for destination in ("empty", "script", "image", "worker", "style"):
        yield Row(f"query of {destination}", "query", Ask(good, [("Sec-Fetch-Dest", destination)]), BAD_REQUEST)
    for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
        yield Row(f"query by {method}", "query", Ask(good, method=method), BAD_REQUEST)
    yield Row("query twice", "query", Ask(f"{good}&id_token={{good}}"), BAD_REQUEST)
    yield Row("query twice, once in disguise", "query", Ask(f"{good}&id%5Ftoken={{good}}"), BAD_REQUEST)
    yield Row("query twice, once empty", "query", Ask(f"{good}&id_token="), BAD_REQUEST)
    yield Row("query in disguise", "query", Ask(f"{REPORT}?%69d_token={{good}}"), SOMEBODY)
    yield Row("query, no token", "query", Ask(f"{REPORT}?id_token=a%20b"), BAD_REQUEST)
    yield Row("query, bad token", "query", Ask(f"{REPORT}?id_token={{forged}}"), BAD_TOKEN)
    yield Row("query and header", "query", Ask(good, [GOOD]), BAD_REQUEST)
    yield Row("query and a bad header", "query", Ask(good, [bearer("{expired}")]), BAD_REQUEST)
    yield Row("query in disguise and header", "query", Ask(f"{REPORT}?%69d_token=abc", [GOOD]), BAD_REQUEST)
    yield Row("query of another case", "query", Ask(f"{REPORT}?ID_TOKEN={{good}}"), UNKNOWN)
    yield Row("query with a preflight", "query", Ask(good, PREFLIGHT, "OPTIONS"), NOBODY)
    cookie = ("Cookie", "session={good}")
    yield Row("query behind a bad cookie", "everywhere", Ask(good, [("Cookie", "session={expired}")]), BAD_TOKEN)
    yield Row("query behind a good cookie", "everywhere", Ask(REPORT, [cookie]), SOMEBODY)


TABLE = list(rows())


def test_the_table_has_no_row_twice() -> None:
    assert len({row.name for row in TABLE}) == len(TABLE)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_answers_as_the_table_says(door: Door, row: Row) -> None:
    ask = filled(row.ask)
    answer = door.ask(row.house, ask)
    if isinstance(row.expected, Passed):
        assert_passed(answer, ask, as_somebody=row.expected.as_somebody)
    else:
        assert_refused(answer, ask, row.expected)


def assert_passed(answer: Answer, ask: Ask, *, as_somebody: bool) -> None:
    assert answer.status == 200, answer.body
    assert answer.challenge is None
    if ask.method != "HEAD":
        seen = answer.json()
        assert seen["is_attached"]
        assert (seen["claims"] is not None) is as_somebody
        assert (seen["kind"] is not None) is as_somebody


def assert_refused(answer: Answer, ask: Ask, expected: Refused) -> None:
    assert answer.status == expected.status, answer.body
    assert "no-store" in (answer.header("cache-control") or "")
    assert_says_nothing_of_what_was_sent(answer, ask)
    if expected.status == 503:
        assert answer.challenge is None
        assert 1 <= int(answer.header("retry-after") or 0) <= 5
        return
    assert answer.header("retry-after") is None
    assert answer.challenge is not None
    assert answer.challenge.get("error") == expected.error
    assert answer.challenge.get("scope") == expected.scope
    assert answer.challenge.get("realm") == expected.realm
    assert ("error_description" in answer.challenge) is (expected.error is not None)
    assert len(answer.challenge.get("error_description", "")) <= 128


def assert_says_nothing_of_what_was_sent(answer: Answer, ask: Ask) -> None:
    said = answer.body.decode() + repr(answer.headers)
    sent = [word for _, value in ask.headers for word in value.replace("=", " ").split()]
    sent += [value for pair in ask.query.split("&") for value in pair.partition("=")[2:]]
    assert not [word for word in sent if len(word) > 20 and word in said]


# --- What the table cannot say ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("house", "headers", "error"),
    [
        pytest.param("plain", [], "missing_token", id="no credentials"),
        pytest.param("plain", [("Authorization", "Bearer")], "invalid_request", id="broken"),
        pytest.param("plain", [bearer("abc")], "invalid_token", id="bad token"),
        pytest.param("down", [GOOD], "store_unavailable", id="no store"),
    ],
)
def test_writes_what_the_door_refuses_as_json(door: Door, house: str, headers: Any, error: str) -> None:
    answer = door.ask(house, filled(Ask(REPORT, headers)))
    assert answer.header("content-type") == JSON_TYPE
    assert set(answer.json()) == {"error", "detail"}
    assert answer.json()["error"] == error
    assert answer.header("content-length") == str(len(answer.body))


@pytest.mark.parametrize("headers", [[], [bearer("abc")]], ids=["no credentials", "bad token"])
def test_answers_head_as_get_but_for_the_body(door: Door, headers: Any) -> None:
    get, head = (door.ask("plain", Ask(REPORT, headers, method)) for method in ("GET", "HEAD"))
    assert head.body == b""
    assert head.status == get.status
    for name in ("www-authenticate", "content-type", "content-length", "cache-control"):
        assert head.header(name) == get.header(name)


def test_tells_the_same_of_every_bad_token_but_an_expired_one(door: Door) -> None:
    names = ("early", "foreign", "stranger", "forged", "unsigned", "nameless")
    answers = [door.ask("plain", filled(Ask(REPORT, [bearer(f"{{{name}}}")]))) for name in names]
    assert len({(answer.header("www-authenticate"), answer.body) for answer in answers}) == 1
    expired = door.ask("plain", filled(Ask(REPORT, [bearer("{expired}")])))
    assert expired.json()["detail"] != answers[0].json()["detail"]


def test_says_expired_only_of_tokens_that_were_good(door: Door) -> None:
    forged = token(key="no secret of ours, and thirty-two bytes long", exp=1_600_000_000)
    assert "expired" not in door.ask("plain", Ask(REPORT, [bearer(forged)])).body.decode()


def test_shows_the_view_the_claims_of_this_very_token(door: Door) -> None:
    for tenant in ("str_one", "str_two", "str_one"):
        seen = door.ask("plain", Ask(REPORT, [bearer(token(tenant=tenant))])).json()
        assert seen["claims"]["tenant"] == tenant
        assert seen["kind"] == "signed"


def test_refuses_a_revoked_token(door: Door) -> None:
    headers = [bearer(token())]
    assert door.ask("plain", Ask(REPORT, headers)).status == 200
    assert door.ask("plain", Ask("/revoke", headers, "POST")).status == 200
    answer = door.ask("plain", Ask(REPORT, headers))
    assert_refused(answer, Ask(REPORT, headers), BAD_TOKEN)
    assert_refused(door.ask("plain", Ask("/guarded/once", headers)), Ask(headers=headers), BAD_TOKEN)
    assert door.ask("plain", Ask(REPORT, [bearer(token())])).status == 200


def test_takes_a_token_once_over_all_one_time_routes(door: Door) -> None:
    headers = [bearer(token())]
    assert door.ask("plain", Ask("/guarded/once", headers)).status == 200
    for target in ("/guarded/once", "/guarded/once-too", "/guarded/once"):
        answer = door.ask("plain", Ask(target, headers, "POST"))
        assert_refused(answer, Ask(target, headers), BAD_TOKEN)
    assert door.ask("plain", Ask("/guarded/token", headers)).status == 200


def test_spends_nothing_on_a_request_that_lacks_a_scope(door: Door) -> None:
    headers = [bearer(token(scope="read:orders"))]
    for _ in range(2):
        assert door.ask("plain", Ask("/guarded/once-scope", headers)).status == 403
    assert door.ask("plain", Ask("/guarded/once", headers)).status == 200


def test_takes_a_nameless_token_once_too(door: Door) -> None:
    headers = [bearer(token(jti=None, sub="usr_without_a_jti"))]
    assert [door.ask("plain", Ask("/guarded/once", headers)).status for _ in range(2)] == [200, 401]


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_takes_method_overrides_out_of_preflights_only(door: Door, name: str) -> None:
    override = (name, "DELETE")
    preflight = door.ask("plain", Ask(REPORT, [*PREFLIGHT, override], "OPTIONS")).json()
    assert preflight["method"] == "OPTIONS"
    assert name.lower() not in preflight["headers"]
    assert preflight["headers"]["origin"] == ORIGIN[1]
    other = door.ask("plain", filled(Ask(REPORT, [GOOD, override], "POST"))).json()
    assert other["headers"][name.lower()] == "DELETE"


def test_takes_the_token_out_of_the_query(door: Door) -> None:
    text = token()
    answer = door.ask("query", Ask(f"{REPORT}?a=1%20&id_token={text}&b=%2F&&c"))
    assert answer.json()["query"] == "a=1%20&b=%2F&&c"
    assert text not in answer.body.decode()
    assert "id_token" not in answer.json()["address"]
    assert answer.header("cache-control") == "private, no-store"
    assert answer.header("referrer-policy") == "no-referrer"


def test_leaves_answers_to_other_carriers_as_they_are(door: Door) -> None:
    answer = door.ask("query", filled(Ask(f"{REPORT}?a=1", [GOOD])))
    assert answer.json()["query"] == "a=1"
    assert answer.header("referrer-policy") is None


def test_adds_a_presets_headers_to_the_cause_they_are_for(door: Door) -> None:
    def retry(*headers: tuple[str, str]) -> dict[str, str | None]:
        answer = door.ask("retry", filled(Ask(REPORT, headers)))
        return {name: answer.header(name.lower()) for name in RETRY_HEADER}

    assert retry(bearer("{expired}")) == RETRY_HEADER
    none = dict.fromkeys(RETRY_HEADER)
    assert [retry(), retry(bearer("{forged}")), retry(("Authorization", "Bearer")), retry(GOOD)] == [none] * 4


@pytest.mark.parametrize("target", ["/verify"])
@pytest.mark.parametrize("house", ["plain", "exempt", "optional"])
@pytest.mark.parametrize(
    ("name", "status"), [pytest.param("good", 200), pytest.param("expired", 401), pytest.param("forged", 401)]
)
def test_answers_what_a_view_finds_out_about_another_token(
    door: Door, house: str, target: str, name: str, status: int
) -> None:
    headers = [("X-Body-Token", f"{{{name}}}")] + ([GOOD] if house == "plain" else [])
    ask = filled(Ask(target, headers, "POST"))
    answer = door.ask(house, ask)
    assert answer.status == status
    if status == 401:
        assert_refused(answer, ask, BAD_TOKEN)


def test_answers_503_where_a_view_could_not_find_out(door: Door) -> None:
    ask = filled(Ask("/verify", [("X-Body-Token", "{good}")]))
    assert_refused(door.ask("down-optional", ask), ask, UNAVAILABLE)


def test_refuses_a_request_line_that_could_split_the_answer(door: Door) -> None:
    answer = door.ask("plain", Ask("/x%0d%0aX-Evil:%201", [("Authorization", "Bearer a\tb")]))
    assert answer.status == 400
    assert answer.header("x-evil") is None


PIECES = st.sampled_from(
    [
        "Bearer",
        "bearer",
        "Basic",
        " ",
        "  ",
        "\t",
        ",",
        "=",
        "abc",
        "a.b.c",
        token(),
        token(exp=1),
        "\xe9",
        '"',
        "x" * 9000,
    ]
)


@given(
    values=st.lists(st.lists(PIECES, max_size=5).map("".join), max_size=2), house=st.sampled_from(["plain", "exempt"])
)
@example(values=["Bearer " + "!" * 9000], house="plain")
@example(values=["Bearer " + "a" * 9000], house="plain")
@example(values=["bearer  " + token()], house="plain")
def test_gives_the_same_answer_at_both_doors(pytestconfig: pytest.Config, values: list[str], house: str) -> None:
    ask = Ask(REPORT, [("Authorization", value) for value in values])
    answers = [open_door(name, pytestconfig).ask(house, ask) for name in ("asgi", "wsgi")]
    assert len({(answer.status, answer.header("www-authenticate")) for answer in answers}) == 1


# --- What servers write into their logs ------------------------------------------------------------------------------


@pytest.fixture(params=["uvicorn", "gunicorn"])
def server_door(request: pytest.FixtureRequest) -> ServerDoor:
    door = open_door(request.param, request.config)
    assert isinstance(door, ServerDoor)
    return door


def logged_about(door: ServerDoor, house: str, ask: Ask, marker: str) -> str:
    """What the server wrote about one request, whose path has the marker."""
    status = door.ask(house, ask).status
    log = ""

    def is_written() -> bool:
        nonlocal log
        log = "\n".join(line for line in door.server.log().splitlines() if marker in line)
        return str(status) in log

    assert eventually(is_written)
    return log


@pytest.mark.parametrize(
    ("house", "name", "method", "headers"),
    [
        pytest.param("query", "good", "GET", [], id="taken"),
        pytest.param("query", "expired", "GET", [], id="expired"),
        pytest.param("down-query", "good", "GET", [], id="no store"),
        pytest.param("query", "good", "POST", [], id="not a document"),
        pytest.param("query", "good", "GET", [bearer("abc")], id="beside a header"),
        pytest.param("query", "good", "OPTIONS", [*PREFLIGHT], id="preflight"),
    ],
)
def test_keeps_the_querys_token_out_of_the_access_log(
    server_door: ServerDoor, house: str, name: str, method: str, headers: Any
) -> None:
    marker = f"/marked-{token()[-12:]}"
    ask = filled(Ask(f"{marker}?a=1&id_token={{{name}}}&b=2", headers, method))
    log = logged_about(server_door, house, ask, marker)
    assert ask.query.split("&")[1].removeprefix("id_token=") not in log
    assert "a=1" in log


def test_keeps_tokens_out_of_the_servers_log(server_door: ServerDoor) -> None:
    asks = [filled(Ask(REPORT, [bearer(f"{{{name}}}")])) for name in ("good", "expired", "forged", "foreign", "heavy")]
    for ask in asks:
        server_door.ask("plain", ask)
    log = server_door.server.log()
    assert "refused 401 bad_signature" in log
    assert not [ask for ask in asks if ask.headers[0][1].split()[1] in log]


def test_never_tracebacks(server_door: ServerDoor) -> None:
    for row in TABLE:
        server_door.ask(row.house, filled(row.ask))
    assert "Traceback" not in server_door.server.log()
