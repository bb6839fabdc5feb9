"""Opaque tokens at every door: the rows of RULES.md, section 6, guards, one-time use and WebSockets."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

import bearerguard.asgi
import bearerguard.wsgi
from bearerguard import SettingsError, Verifier, requires_scope
from tests import houses
from tests.doors import (
    DOORS,
    PATIENCE_SECONDS,
    Answer,
    Ask,
    Door,
    ServerDoor,
    answer_of_asgi,
    ask_wsgi,
    bearer,
    challenge_parameters,
    eventually,
)
from tests.hostile import Clock
from tests.houses import AUDIENCE, RETRY_HEADER, SCOPES
from tests.introspecting import CLIENT_SECRET, ENDPOINT, fresh, inactive
from tests.opaque_houses import OpaqueAsgiTown, OpaqueWsgiTown, Place, Registrar, raw_jti
from tests.scripted_provider import Play, ScriptedProvider, in_turn, json_answer, silent, status
from tests.servers import gunicorn_server, uvicorn_server, werkzeug_server
from tests.test_doors import (
    BAD_REQUEST,
    BAD_TOKEN,
    FOREIGN_ORIGIN,
    NOBODY,
    ORIGIN,
    PREFLIGHT,
    SOMEBODY,
    UNAVAILABLE,
    UNKNOWN,
    Passed,
    Refused,
    Row,
    assert_passed,
    assert_refused,
)
from tests.test_websockets import DENIAL, Socket, accepting

REPORT = "/anything/below"
GOOD = bearer("{good}")
DOWN = bearer("{down}")
CLOSED_SOON = 1.0
METADATA_URL = f"{AUDIENCE}/.well-known/oauth-protected-resource"


# --- The doors -------------------------------------------------------------------------------------------------------


class Quarter:
    """One provider, and the town that asks it behind every sort of door."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._opened: dict[str, Door] = {}
        self.registrar = Registrar()
        provider = self._stack.enter_context(ScriptedProvider())
        provider.play(ENDPOINT, self.registrar)
        self._place = Place(provider=provider.url(""))

    def door(self, name: str) -> Door:
        """The door of that name, opened when it is first asked for."""
        if name not in self._opened:
            self._opened[name] = self._made(name)
            self._stack.callback(self._opened[name].close)
        return self._opened[name]

    def _made(self, name: str) -> Door:
        env = self._place.as_environment()
        gunicorn = ("--threads", "4", "--limit-request-field_size", "16000")
        doors: dict[str, Callable[[], Door]] = {
            "asgi": lambda: _AsgiDoor(self._place),
            "wsgi": lambda: _WsgiDoor(self._place),
            "uvicorn": lambda: ServerDoor(uvicorn_server("tests.opaque_houses:asgi_town", env=env)),
            "gunicorn": lambda: ServerDoor(gunicorn_server("tests.opaque_houses:wsgi_town", *gunicorn, env=env)),
            "werkzeug": lambda: ServerDoor(werkzeug_server("tests.opaque_houses:wsgi_town", env=env)),
        }
        return doors[name]()

    def close(self) -> None:
        """Stop the servers and the provider."""
        self._stack.close()


class _AsgiDoor:
    def __init__(self, place: Place) -> None:
        self._runner = asyncio.Runner()
        self._town = OpaqueAsgiTown(place)

    def ask(self, house: str, ask: Ask) -> Answer:
        return self._runner.run(answer_of_asgi(self._town, _below(house, ask)))

    def close(self) -> None:
        self._runner.run(self._town.aclose())
        self._runner.close()


class _WsgiDoor:
    def __init__(self, place: Place) -> None:
        self._town = OpaqueWsgiTown(place)

    def ask(self, house: str, ask: Ask) -> Answer:
        return ask_wsgi(self._town, _below(house, ask))

    def close(self) -> None:
        self._town.close()


def _below(house: str, ask: Ask) -> Ask:
    return Ask(f"/{house}{ask.target}", ask.headers, ask.method, ask.body)


@pytest.fixture(scope="module")
def quarter() -> Iterator[Quarter]:
    quarter = Quarter()
    yield quarter
    quarter.close()


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest, quarter: Quarter) -> Door:
    return quarter.door(request.param)


@pytest.fixture(params=["uvicorn", "gunicorn", "werkzeug"])
def server_door(request: pytest.FixtureRequest, quarter: Quarter) -> ServerDoor:
    door = quarter.door(request.param)
    assert isinstance(door, ServerDoor)
    return door


# --- The table -------------------------------------------------------------------------------------------------------


def rows() -> Iterator[Row]:
    """The table; a name in braces is a new token of which the provider says so."""
    yield from _rows_without_credentials()
    yield from _rows_with_several_or_broken_credentials()
    yield from _rows_with_tokens()
    yield from _rows_at_guards()
    yield from _rows_without_an_answer()
    yield from _rows_that_pass_unread()
    yield from _rows_of_kinds()
    yield from _rows_of_other_carriers()


def _rows_without_credentials() -> Iterator[Row]:
    basic = ("Authorization", "Basic dXNlcjpwYXNz")
    for method in ("GET", "POST", "HEAD", "DELETE", "OPTIONS"):
        yield Row(f"no credentials by {method}", "plain", Ask(REPORT, method=method), UNKNOWN)
    yield Row("no credentials on a path that nobody serves", "plain", Ask("/guarded/nothing/here"), UNKNOWN)
    yield Row("another scheme", "plain", Ask(REPORT, [basic]), UNKNOWN)
    yield Row("a scheme that begins like ours", "plain", Ask(REPORT, [("Authorization", "Bearerr {good}")]), UNKNOWN)
    yield Row("no scheme", "plain", Ask(REPORT, [("Authorization", "{good}")]), UNKNOWN)
    yield Row("an empty header", "plain", Ask(REPORT, [("Authorization", "")]), UNKNOWN)
    yield Row("a token in RFC 6750's parameter", "plain", Ask(f"{REPORT}?access_token={{good}}"), UNKNOWN)
    yield Row("a token in a cookie where none is taken", "plain", Ask(REPORT, [("Cookie", "session={good}")]), UNKNOWN)


def _rows_with_several_or_broken_credentials() -> Iterator[Row]:
    several = {
        "two good ones": [GOOD, bearer("{half}")],
        "the same one twice": [GOOD, GOOD],
        "ours, then another scheme": [GOOD, ("Authorization", "Basic dXNlcjpwYXNz")],
        "another scheme, then ours": [("Authorization", "Basic dXNlcjpwYXNz"), GOOD],
        "joined by a comma": [("Authorization", "Bearer {good}, Bearer {half}")],
        "ours, then an empty one": [GOOD, ("Authorization", "")],
    }
    for name, headers in several.items():
        yield Row(f"several: {name}", "plain", Ask(REPORT, headers), BAD_REQUEST)
        yield Row(f"several where a token is optional: {name}", "optional", Ask(REPORT, headers), BAD_REQUEST)
    for name, value in {
        "the scheme alone": "Bearer",
        "two tokens": "Bearer {good} {good}",
        "quoted": 'Bearer "{good}"',
        "a percent sign": "Bearer {good}%00",
        "an ampersand": "Bearer {good}&token={half}",
        "a letter outside ASCII": "Bearer {good}\xe9",
        "padding inside": "Bearer {good}=x",
    }.items():
        yield Row(f"broken: {name}", "plain", Ask(REPORT, [("Authorization", value)]), BAD_REQUEST)


def _rows_with_tokens() -> Iterator[Row]:
    yield Row("a good token", "plain", Ask(REPORT, [GOOD]), SOMEBODY)
    yield Row("the scheme in any case", "plain", Ask(REPORT, [("Authorization", "bEaReR {good}")]), SOMEBODY)
    for method in ("HEAD", "POST", "DELETE", "OPTIONS"):
        yield Row(f"a good token by {method}", "plain", Ask(REPORT, [GOOD], method), SOMEBODY)
    bad = ("inactive", "expired", "early", "foreign", "stranger", "unbound", "refresh", "bound", "never")
    for name in bad:
        yield Row(f"a token that is {name}", "plain", Ask(REPORT, [bearer(f"{{{name}}}")]), BAD_TOKEN)
        yield Row(f"optional: a token that is {name}", "optional", Ask(REPORT, [bearer(f"{{{name}}}")]), BAD_TOKEN)
    yield Row("a token that is too long", "plain", Ask(REPORT, [bearer("{good}" * 200)]), BAD_TOKEN)
    yield Row("a bad token by HEAD", "plain", Ask(REPORT, [bearer("{inactive}")], "HEAD"), BAD_TOKEN)
    yield Row("a JWT of somebody", "plain", Ask(REPORT, [bearer("{signed}")]), BAD_TOKEN)
    yield Row("a token that fits the pattern", "pattern", Ask(REPORT, [GOOD]), SOMEBODY)
    yield Row("a token that is longer than the pattern", "pattern", Ask(REPORT, [bearer("{good}x")]), BAD_TOKEN)
    realm = {"realm": 'the "orders" \\ api'}
    yield Row("a realm", "realm", Ask(REPORT), Refused(401, None, **realm))
    yield Row("a realm, a bad token", "realm", Ask(REPORT, [bearer("{inactive}")]),
              Refused(401, "invalid_token", **realm))  # fmt: skip


def _rows_at_guards() -> Iterator[Row]:
    yield Row("a guard asks a token", "plain", Ask("/guarded/token", [GOOD]), SOMEBODY)
    yield Row("a guard asks scopes that are there", "plain", Ask("/guarded/scope", [bearer("{full}")]), SOMEBODY)
    for name in ("half", "good", "admin"):
        yield Row(f"a guard asks scopes of one that is {name}", "plain", Ask("/guarded/scope", [bearer(f"{{{name}}}")]),
                  Refused(403, "insufficient_scope", scope=SCOPES))  # fmt: skip
    yield Row("a guard asks any of the scopes", "plain", Ask("/guarded/any", [bearer("{half}")]), SOMEBODY)
    yield Row("a guard asks scopes that are all missing", "plain", Ask("/guarded/any", [GOOD]),
              Refused(403, "insufficient_scope", scope="read:orders admin"))  # fmt: skip
    yield Row("a guard meets an inactive token", "plain", Ask("/guarded/scope", [bearer("{inactive}")]), BAD_TOKEN)
    yield Row("a guard meets nobody", "optional", Ask("/guarded/scope"), Refused(401, None, scope=SCOPES))
    yield Row("a one-time guard meets nobody", "optional", Ask("/guarded/once"), UNKNOWN)
    yield Row("a one-time guard meets a token without an end", "plain", Ask("/guarded/once", [bearer("{endless}")]),
              BAD_TOKEN)  # fmt: skip
    yield Row("a token without an end elsewhere", "plain", Ask(REPORT, [bearer("{endless}")]), SOMEBODY)


def _rows_without_an_answer() -> Iterator[Row]:
    for name in ("down", "gone", "page", "refused"):
        for house in ("plain", "optional", "realm"):
            yield Row(f"{house}: a provider that is {name}", house, Ask(REPORT, [bearer(f"{{{name}}}")]), UNAVAILABLE)
    yield Row("no answer, by HEAD", "plain", Ask(REPORT, [DOWN], "HEAD"), UNAVAILABLE)
    yield Row("no answer, at a guard", "plain", Ask("/guarded/scope", [DOWN]), UNAVAILABLE)
    yield Row("no answer, with a preflight's headers", "plain", Ask(REPORT, [*PREFLIGHT, DOWN], "OPTIONS"), UNAVAILABLE)
    yield Row("no answer, at an exempt path", "exempt", Ask("/health", [DOWN]), NOBODY)
    yield Row("no store, a good token", "no-store", Ask(REPORT, [GOOD]), UNAVAILABLE)
    yield Row("no store, no credentials", "no-store", Ask(REPORT), NOBODY)
    yield Row("no store, an exempt path", "no-store", Ask("/health", [GOOD]), NOBODY)


def _rows_that_pass_unread() -> Iterator[Row]:
    asks_for_post = ("Access-Control-Request-Method", "POST")
    yield Row("preflight", "plain", Ask(REPORT, PREFLIGHT, "OPTIONS"), NOBODY)
    yield Row("preflight where CORS stands outside", "strict", Ask(REPORT, PREFLIGHT, "OPTIONS"), UNKNOWN)
    yield Row("preflight without an origin", "plain", Ask(REPORT, [asks_for_post], "OPTIONS"), UNKNOWN)
    yield Row("preflight with two origins", "plain", Ask(REPORT, [ORIGIN, *PREFLIGHT], "OPTIONS"), UNKNOWN)
    yield Row("preflight with a body", "plain", Ask(REPORT, PREFLIGHT, "OPTIONS", b"x"), UNKNOWN)
    yield Row("preflight with a good token", "plain", Ask(REPORT, [*PREFLIGHT, GOOD], "OPTIONS"), SOMEBODY)
    yield Row("preflight with a bad token", "plain", Ask(REPORT, [*PREFLIGHT, bearer("{inactive}")], "OPTIONS"),
              BAD_TOKEN)  # fmt: skip
    yield Row("optional: nobody", "optional", Ask(REPORT), NOBODY)
    yield Row("optional: another scheme", "optional", Ask(REPORT, [("Authorization", "Basic eA==")]), NOBODY)
    yield Row("optional: a good token", "optional", Ask(REPORT, [GOOD]), SOMEBODY)
    for target in ("/", "/health", "/static/a/b.css", "/health?access_token={good}"):
        yield Row(f"exempt: {target}", "exempt", Ask(target, [bearer("{full}")]), NOBODY)
    yield Row("exempt: broken credentials", "exempt", Ask("/health", [("Authorization", "Bearer")]), NOBODY)
    for target in ("/health/", "/health/..", "/health%2f", "/static/../admin", "/static/%2e%2e/admin", "//health"):
        yield Row(f"not exempt: {target}", "exempt", Ask(target), UNKNOWN)


def _rows_of_kinds() -> Iterator[Row]:
    wrong = Refused(403, "insufficient_scope")
    yield Row("kinds: the opaque one at its route", "kinds", Ask("/guarded/other", [bearer("{full}")]), SOMEBODY)
    yield Row("kinds: the opaque one at the other's", "kinds", Ask("/guarded/token", [bearer("{full}")]), wrong)
    yield Row("kinds: the opaque one has the scopes", "kinds", Ask("/guarded/scope", [bearer("{full}")]), wrong)
    yield Row("kinds: the signed one at its route", "kinds", Ask("/guarded/scope", [bearer("{signed}")]), SOMEBODY)
    yield Row("kinds: the signed one at the other's", "kinds", Ask("/guarded/other", [bearer("{signed}")]), wrong)
    yield Row("kinds: either on an open route", "kinds", Ask(REPORT, [GOOD]), SOMEBODY)
    yield Row("kinds: an inactive one", "kinds", Ask(REPORT, [bearer("{inactive}")]), BAD_TOKEN)
    yield Row("kinds: no answer", "kinds", Ask(REPORT, [DOWN]), UNAVAILABLE)
    yield Row("kinds: a forged JWT", "kinds", Ask(REPORT, [bearer("{forged}")]), BAD_TOKEN)


def _rows_of_other_carriers() -> Iterator[Row]:
    cookie = ("Cookie", "theme=dark; session={good}")
    yield Row("cookie", "cookie", Ask(REPORT, [cookie]), SOMEBODY)
    yield Row("cookie by POST of our origin", "cookie", Ask(REPORT, [cookie, ORIGIN], "POST"), SOMEBODY)
    yield Row("cookie by POST of no origin", "cookie", Ask(REPORT, [cookie], "POST"), FOREIGN_ORIGIN)
    yield Row("cookie, no answer", "cookie", Ask(REPORT, [("Cookie", "session={down}")]), UNAVAILABLE)
    yield Row("cookie behind a bad header", "cookie", Ask(REPORT, [bearer("{inactive}"), cookie]), BAD_TOKEN)
    yield Row("cookie behind a header without an answer", "cookie", Ask(REPORT, [DOWN, cookie]), UNAVAILABLE)
    yield Row("query", "query", Ask(f"{REPORT}?id_token={{good}}"), SOMEBODY)
    yield Row("query by POST", "query", Ask(f"{REPORT}?id_token={{good}}", method="POST"), BAD_REQUEST)
    yield Row("query and header", "query", Ask(f"{REPORT}?id_token={{good}}", [bearer("{half}")]), BAD_REQUEST)
    yield Row("query, no answer", "query", Ask(f"{REPORT}?id_token={{down}}"), UNAVAILABLE)


TABLE = list(rows())


def filled(ask: Ask) -> tuple[Ask, list[str]]:
    """`ask` with a token for every name in braces, and the tokens; the same name is the same token."""
    made: dict[str, str] = {}
    known = {
        "signed": lambda: houses.token(scope=SCOPES),
        "forged": lambda: houses.token(key="no secret of ours, and thirty-two bytes long"),
    }

    def one(match: re.Match[str]) -> str:
        name = match[1]
        return made.get(name) or made.setdefault(name, known.get(name, lambda: fresh(name))())

    def of_text(text: str) -> str:
        return re.sub(r"\{(\w+)\}", one, text)

    headers = [(name, of_text(value)) for name, value in ask.headers]
    return Ask(of_text(ask.target), headers, ask.method, ask.body), list(made.values())


def test_the_table_has_no_row_twice() -> None:
    assert len({row.name for row in TABLE}) == len(TABLE)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_answers_as_the_table_says(door: Door, quarter: Quarter, row: Row) -> None:
    ask, tokens = filled(row.ask)
    answer = door.ask(row.house, ask)
    asked = [token for token in quarter.registrar.asked if token in tokens]
    if isinstance(row.expected, Passed):
        assert_passed(answer, ask, as_somebody=row.expected.as_somebody)
    else:
        assert_refused(answer, ask, row.expected)
        if row.expected.status == 503:
            assert answer.json() if ask.method != "HEAD" else True
    if row.expected in (UNKNOWN, BAD_REQUEST, NOBODY, FOREIGN_ORIGIN):
        assert not asked, "the provider was told a token that is none of its business"


# --- What the table cannot say ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("inactive", "invalid_token"),
        ("down", "provider_unavailable"),
        ("refused", "client_refused"),
    ],
)
def test_writes_what_the_door_refuses_as_json(door: Door, name: str, error: str) -> None:
    answer = door.ask("plain", Ask(REPORT, [bearer(fresh(name))]))
    assert answer.header("content-type") == "application/json"
    assert set(answer.json()) == {"error", "detail"}
    assert answer.json()["error"] == error
    assert answer.header("content-length") == str(len(answer.body))


def test_tells_the_same_of_every_bad_token_but_an_expired_one(door: Door) -> None:
    names = ("inactive", "early", "foreign", "stranger", "unbound", "refresh", "bound", "never")
    answers = [door.ask("plain", Ask(REPORT, [bearer(fresh(name))])) for name in names]
    assert len({(answer.header("www-authenticate"), answer.body) for answer in answers}) == 1
    assert (answers[0].challenge or {})["error_description"] == "the token is not valid"
    expired = door.ask("plain", Ask(REPORT, [bearer(fresh("expired"))]))
    assert (expired.challenge or {})["error_description"] == "the token has expired"


def test_points_to_the_metadata_of_its_resource(door: Door) -> None:
    for headers in ([], [bearer(fresh("inactive"))]):
        assert (door.ask("realm", Ask(REPORT, headers)).challenge or {})["resource_metadata"] == METADATA_URL
    assert "resource_metadata" not in (door.ask("plain", Ask(REPORT)).challenge or {})


def test_shows_the_view_the_claims_of_this_very_token(door: Door) -> None:
    first, second = fresh("good"), fresh("full")
    for text in (first, second, first):
        seen = door.ask("plain", Ask(REPORT, [bearer(text)])).json()
        assert seen["claims"]["tenant"] == f"str_{text[-12:]}"
        assert seen["claims"]["jti"] == raw_jti(text)
        assert (seen["kind"], seen["is_attached"]) == ("opaque", True)
        assert "active" not in seen["claims"]


def test_asks_once_about_a_token_that_comes_again(door: Door, quarter: Quarter) -> None:
    text = fresh("good")
    assert [door.ask("plain", Ask(REPORT, [bearer(text)])).status for _ in range(5)] == [200] * 5
    assert quarter.registrar.asked[text] == 1


def test_asks_again_about_a_token_that_was_refused(door: Door, quarter: Quarter) -> None:
    for name, expected in (("inactive", 401), ("down", 503)):
        text = fresh(name)
        assert [door.ask("plain", Ask(REPORT, [bearer(text)])).status for _ in range(3)] == [expected] * 3
        assert quarter.registrar.asked[text] == 3


def test_opens_no_route_by_another_that_was_open(door: Door) -> None:
    headers = [bearer(fresh("half"))]
    targets = ("/guarded/any", "/guarded/scope", REPORT, "/guarded/scope", "/guarded/token")
    assert [door.ask("plain", Ask(target, headers)).status for target in targets] == [200, 403, 200, 403, 200]


def test_refuses_a_revoked_token_though_it_is_remembered(door: Door, quarter: Quarter) -> None:
    headers = [bearer(fresh("good"))]
    assert door.ask("plain", Ask(REPORT, headers)).status == 200
    assert door.ask("plain", Ask("/revoke", headers, "POST")).status == 200
    for target in (REPORT, "/guarded/once", "/guarded/token"):
        answer = door.ask("plain", Ask(target, headers))
        assert_refused(answer, Ask(target, headers), BAD_TOKEN)
    assert door.ask("plain", Ask(REPORT, [bearer(fresh("good"))])).status == 200


@pytest.mark.parametrize("name", ["good", "nameless"])
def test_takes_a_token_once_over_all_one_time_routes(door: Door, name: str) -> None:
    headers = [bearer(fresh(name))]
    assert door.ask("plain", Ask("/guarded/once", headers)).status == 200
    for target in ("/guarded/once", "/guarded/once-too"):
        answer = door.ask("plain", Ask(target, headers, "POST"))
        assert_refused(answer, Ask(target, headers), BAD_TOKEN)
        assert (answer.challenge or {})["error_description"] == "the token has already been used"
    assert door.ask("plain", Ask("/guarded/token", headers)).status == 200
    assert door.ask("plain", Ask("/guarded/once", [bearer(fresh(name))])).status == 200


def test_counts_tokens_that_share_an_id_as_one(pytestconfig: pytest.Config, quarter: Quarter) -> None:
    """Whatever their spelling: the provider says by the id that they are the same grant."""
    for name in ("asgi", "wsgi"):
        door = Quarter()
        statuses = [
            door.door(name).ask("plain", Ask("/guarded/once", [bearer(fresh("twin"))])).status for _ in range(2)
        ]
        door.close()
        assert statuses == [200, 401]


def test_spends_nothing_on_a_request_that_lacks_a_scope(door: Door) -> None:
    headers = [bearer(fresh("half"))]
    assert [door.ask("plain", Ask("/guarded/once-scope", headers)).status for _ in range(2)] == [403, 403]
    assert door.ask("plain", Ask("/guarded/once", headers)).status == 200


def test_adds_headers_to_the_cause_they_are_for(door: Door) -> None:
    def retry(*headers: tuple[str, str]) -> dict[str, str | None]:
        answer = door.ask("retry", Ask(REPORT, headers))
        return {name: answer.header(name.lower()) for name in RETRY_HEADER}

    none = dict.fromkeys(RETRY_HEADER)
    assert retry(bearer(fresh("inactive"))) == RETRY_HEADER
    assert [retry(), retry(bearer(fresh("down"))), retry(bearer(fresh("good")))] == [none] * 3


@pytest.mark.parametrize(("name", "status"), [("good", 200), ("inactive", 401), ("down", 503)])
def test_answers_what_a_view_finds_out_about_another_token(door: Door, name: str, status: int) -> None:
    own, other = fresh("good"), fresh(name)
    answer = door.ask("plain", Ask("/verify", [bearer(own), ("X-Body-Token", other)], "POST"))
    assert answer.status == status
    assert other not in answer.body.decode()
    if status == 503:
        assert answer.challenge is None


def test_answers_head_as_get_but_for_the_body(door: Door) -> None:
    for name in ("inactive", "down"):
        get, head = (door.ask("plain", Ask(REPORT, [bearer(fresh(name))], method)) for method in ("GET", "HEAD"))
        assert (head.body, head.status) == (b"", get.status)
        for header in ("www-authenticate", "content-type", "content-length", "cache-control", "retry-after"):
            assert head.header(header) == get.header(header)


def test_keeps_tokens_and_secrets_out_of_the_servers_log(server_door: ServerDoor) -> None:
    asks = [filled(row.ask)[0] for row in TABLE if row.name != "a token that is too long"]
    sent = list[str]()
    for row, ask in zip([row for row in TABLE if row.name != "a token that is too long"], asks, strict=True):
        server_door.ask(row.house, ask)
        sent += [value.split()[-1] for name, value in ask.headers if name == "Authorization" and "-" in value]
    log = server_door.server.log()
    assert eventually(lambda: "refused 503 provider_unavailable" in server_door.server.log())
    assert eventually(lambda: "refused 401 inactive" in server_door.server.log())
    assert "Traceback" not in log
    assert " 500 " not in log
    assert not [text for text in sent if text in log]
    assert not [text for text in sent if raw_jti(text) in log]
    assert CLIENT_SECRET not in log


# --- Verifiers that do not fit ---------------------------------------------------------------------------------------


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that nobody comes to."""
    raise AssertionError


def opaque_settings(**changes: Any) -> Any:
    return Place(provider="https://id.example.com").settings(**changes)


@pytest.mark.parametrize("module", [bearerguard.asgi, bearerguard.wsgi], ids=["asgi", "wsgi"])
@pytest.mark.parametrize(
    ("door", "kinds", "advice"),
    [
        pytest.param("IntrospectionMiddleware", "signed", "SessionTokenMiddleware", id="signed at the opaque door"),
        pytest.param("SessionTokenMiddleware", "opaque", "IntrospectionMiddleware", id="opaque at the signed door"),
        pytest.param("IntrospectionMiddleware", "both", "BearerMiddleware", id="both at the opaque door"),
        pytest.param("SessionTokenMiddleware", "both", "BearerMiddleware", id="both at the signed door"),
    ],
)
def test_refuses_a_verifier_that_its_door_does_not_take(module: Any, door: str, kinds: str, advice: str) -> None:
    signed, opaque = houses.settings(name="platform.session"), opaque_settings()
    verifier: Verifier[Any] = Verifier(*{"signed": [signed], "opaque": [opaque], "both": [signed, opaque]}[kinds])
    with pytest.raises(SettingsError, match=advice):
        getattr(module, door)(hello, verifier)
    assert module.BearerMiddleware(hello, verifier)


def test_refuses_a_guard_that_names_no_kind_among_several() -> None:
    both: Any = Verifier(houses.settings(name="platform.session"), opaque_settings())

    @requires_scope("read:orders")
    async def orders(_: Any) -> None:
        raise AssertionError

    app = Starlette(routes=[Route("/orders", orders)])
    app.add_middleware(bearerguard.asgi.BearerMiddleware, verifier=both)
    with pytest.raises(SettingsError, match="kind"):
        asyncio.run(answer_of_asgi(app, Ask("/orders")))


def test_attaches_the_claims_to_scope_environ_and_context() -> None:
    with ScriptedProvider(Registrar()) as provider:
        opaque: Any = Verifier(Place(provider=provider.url("")).settings())
        seen = list[Any]()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append((scope["bearerguard"], scope["user"].claims, set(scope["auth"].scopes)))
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body"})

        def wsgi_app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            seen.append((environ["bearerguard"], bearerguard.current_claims(), set(environ["bearerguard"].scopes)))
            start_response("200 OK", [("Content-Type", "text/plain")])
            return []

        ask = Ask(headers=[bearer(fresh("full"))])
        door = bearerguard.asgi.IntrospectionMiddleware(app, opaque)

        async def asked_and_closed() -> None:
            async with opaque:
                await answer_of_asgi(door, ask)

        asyncio.run(asked_and_closed())
        ask_wsgi(bearerguard.wsgi.IntrospectionMiddleware(wsgi_app, opaque), ask)
        opaque.close()
    for attached, of_user, scopes in seen:
        assert attached is of_user
        assert scopes == set(SCOPES.split())
    assert len(seen) == 2


def test_ignores_who_a_request_says_that_it_is(quarter: Quarter) -> None:
    """What an outer middleware, or another request, left behind is overwritten on every pass."""
    place = Place(provider="http://127.0.0.1:1")
    opaque: Any = Verifier(place.settings())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["bearerguard"] is None
        assert not scope["user"].is_authenticated
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    door = bearerguard.asgi.IntrospectionMiddleware(app, opaque, optional=True)
    forged: dict[str, Any] = {"bearerguard": "eve", "user": "eve", "auth": "eve"}
    assert asyncio.run(answer_of_asgi(door, Ask(), **forged)).status == 204

    def wsgi_app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        assert environ["bearerguard"] is None
        start_response("200 OK", [("Content-Type", "text/plain")])
        return []

    wsgi_door = bearerguard.wsgi.IntrospectionMiddleware(wsgi_app, opaque, optional=True)
    assert ask_wsgi(wsgi_door, Ask(), bearerguard="eve").status == 200


# --- WebSockets over the wire ----------------------------------------------------------------------------------------


def opened(quarter: Quarter, house: str, path: str, *headers: tuple[str, str]) -> ClientConnection:
    """A WebSocket of uvicorn's."""
    door = quarter.door("uvicorn")
    assert isinstance(door, ServerDoor)
    url = f"ws://127.0.0.1:{door.server.port}/{house}{path}"
    limits: dict[str, Any] = {"ping_interval": None, "close_timeout": 0.1, "open_timeout": PATIENCE_SECONDS}
    connection: ClientConnection = connect(url, additional_headers=headers, proxy=None, **limits)
    return connection


@pytest.mark.parametrize(
    ("house", "path", "headers", "status", "error"),
    [
        pytest.param("plain", "/ws/echo", [], 401, None, id="no credentials"),
        pytest.param("plain", "/ws/echo", [("Authorization", "Basic eA==")], 401, None, id="another scheme"),
        pytest.param("plain", "/ws/echo", [("Authorization", "Bearer")], 400, "invalid_request", id="broken"),
        pytest.param("plain", "/ws/echo", [bearer("{inactive}")], 401, "invalid_token", id="inactive"),
        pytest.param("plain", "/ws/echo", [bearer("{expired}")], 401, "invalid_token", id="expired"),
        pytest.param("plain", "/ws/scope", [bearer("{good}")], 403, "insufficient_scope", id="a missing scope"),
        pytest.param("plain", "/ws/echo", [bearer("{down}")], 503, None, id="no answer"),
        pytest.param("optional", "/ws/echo", [bearer("{refused}")], 503, None, id="our client is refused"),
        pytest.param("optional", "/ws/scope", [], 401, None, id="a guard meets nobody"),
        pytest.param("cookie", "/ws/echo", [("Cookie", "session={good}")], 403, None, id="a cookie of no origin"),
        pytest.param("query", "/ws/echo?id_token={good}", [], 400, "invalid_request", id="a token in the query"),
    ],
)
def test_denies_the_handshake(
    quarter: Quarter, house: str, path: str, headers: Any, status: int, error: str | None
) -> None:
    ask, _ = filled(Ask(path, headers))
    with pytest.raises(InvalidStatus) as denied:
        opened(quarter, house, ask.target, *ask.headers)
    answer = denied.value.response
    assert answer.status_code == status
    assert answer.headers["Cache-Control"] == "no-store"
    if status == 503:
        assert "WWW-Authenticate" not in answer.headers
        assert answer.headers["Retry-After"]
    else:
        assert challenge_parameters(answer.headers["WWW-Authenticate"]).get("error") == error


def test_opens_for_a_good_token_and_closes_when_it_is_revoked(quarter: Quarter) -> None:
    text = fresh("half")
    with opened(quarter, "plain", "/ws/scope", bearer(text)) as connection:
        assert connection.recv() == '{"user":"usr_7h3k9m2p"}'
        connection.send("a")
        assert connection.recv() == "a"
    assert quarter.door("uvicorn").ask("plain", Ask("/revoke", [bearer(text)], "POST")).status == 200
    with pytest.raises(InvalidStatus):
        opened(quarter, "plain", "/ws/scope", bearer(text))


# --- WebSockets in this process --------------------------------------------------------------------------------------


class Watched:
    """A door whose provider and clocks a test moves."""

    def __init__(self, play: Play, **changes: Any) -> None:
        self.provider = ScriptedProvider(play)
        self.monotonic = Clock(1_000)
        self.wall = Clock(time.time())
        settings = Place(provider=self.provider.url("")).settings(**{"deadline": 0.3, "leeway": 0, **changes})
        self.verifier = Verifier(settings, clock=self.wall, monotonic=self.monotonic)
        self.door = bearerguard.asgi.IntrospectionMiddleware(accepting, self.verifier, recheck_seconds=0.05)

    @property
    def asked(self) -> int:
        return self.provider.count()

    def pass_seconds(self, seconds: float) -> None:
        """Let both clocks go."""
        self.monotonic.now += seconds
        self.wall.now += seconds

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Socket]:
        """A WebSocket that was accepted."""
        socket = Socket(self.door, bearer(fresh("good")), **DENIAL)
        assert (await socket.next())["type"] == "websocket.accept"
        yield socket
        socket.app.cancel()
        await asyncio.gather(socket.app, return_exceptions=True)

    async def checks_again(self, times: int = 3) -> None:
        """Return when the WebSocket was looked at so often again."""
        await asyncio.sleep(0.05 * times)


def run(watched: Watched, work: Coroutine[Any, Any, None]) -> None:
    """Run a test in a loop, and find that it leaves no task behind."""

    async def tidy() -> None:
        async with watched.verifier:
            await work
        await asyncio.sleep(0)
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    try:
        asyncio.run(tidy())
    finally:
        watched.provider.close()


async def code_of(socket: Socket, *, within: float = CLOSED_SOON) -> int:
    """What it is closed with, in time."""
    message = await asyncio.wait_for(socket.said.get(), within)
    assert message["type"] == "websocket.close"
    await socket.rest()
    return int(message["code"])


def says_active(**changes: Any) -> Play:
    """The provider's good answer for real clocks."""
    now = int(time.time())
    facts = {"active": True, "iss": houses.ISSUER, "aud": AUDIENCE, "sub": "ana", "iat": now, "exp": now + 600}
    return json_answer({**facts, "jti": "5f7c0f5e", **changes})


@pytest.mark.timed
def test_closes_when_the_provider_says_inactive_after_the_cached_answer_ends() -> None:
    watched = Watched(says_active(), cache_seconds=30)

    async def story() -> None:
        async with watched.open() as socket:
            watched.provider.play(ENDPOINT, inactive)
            await watched.checks_again()
            assert socket.said.empty(), "the cached answer had not ended"
            assert watched.asked == 1
            watched.pass_seconds(30)
            assert await code_of(socket) == 1008
            assert watched.asked == 2

    run(watched, story())


@pytest.mark.timed
def test_closes_when_the_token_is_revoked_though_its_answer_is_cached() -> None:
    watched = Watched(says_active())

    async def story() -> None:
        async with watched.open() as socket:
            await watched.verifier.denylist.arevoke_id("5f7c0f5e", until=time.time() + 600)
            assert await code_of(socket) == 1008
            assert watched.asked == 1

    run(watched, story())


@pytest.mark.timed
@pytest.mark.parametrize("play", [status(500), silent, json_answer({}), status(401)], ids=["500", "silent", "{}", "us"])
def test_closes_with_1013_when_the_provider_cannot_be_asked_again(play: Play) -> None:
    watched = Watched(says_active(), cache_seconds=30)

    async def story() -> None:
        async with watched.open() as socket:
            watched.provider.play(ENDPOINT, play)
            await watched.checks_again()
            assert socket.said.empty(), "the cached answer had not ended"
            watched.pass_seconds(30)
            assert await code_of(socket, within=2 * (0.3 + 0.5 + 0.3)) == 1013
            await asyncio.to_thread(watched.provider.wait_for_requests, 3)

    run(watched, story())


@pytest.mark.timed
def test_stays_open_when_the_provider_is_back_at_the_second_try() -> None:
    watched = Watched(says_active(), cache_seconds=30)

    async def story() -> None:
        async with watched.open() as socket:
            watched.provider.play(ENDPOINT, in_turn(status(500), says_active()))
            watched.pass_seconds(30)
            await asyncio.to_thread(watched.provider.wait_for_requests, 3)
            await watched.checks_again()
            assert socket.said.empty()
            assert not socket.app.done()

    run(watched, story())


@pytest.mark.timed
@pytest.mark.parametrize("play", [says_active(), inactive, status(500), silent], ids=["active", "no", "500", "silent"])
def test_closes_at_the_end_that_the_provider_has_named(play: Play) -> None:
    """The end is known, so whatever the provider says by then cannot matter, and 1013 would invite it back."""
    watched = Watched(says_active())

    async def story() -> None:
        async with watched.open() as socket:
            watched.provider.play(ENDPOINT, play)
            watched.pass_seconds(601)
            assert await code_of(socket, within=0.05 + 1) == 1008

    run(watched, story())


@pytest.mark.timed
def test_asks_once_for_many_sockets_of_one_token_when_its_answer_ends() -> None:
    """A hundred tabs of one user are one question, not a hundred, each time that the answer ends."""
    watched = Watched(says_active(), cache_seconds=30, deadline=2)

    async def story() -> None:
        text = fresh("good")
        sockets = [Socket(watched.door, bearer(text), **DENIAL) for _ in range(100)]
        assert {(await socket.next())["type"] for socket in sockets} == {"websocket.accept"}
        watched.pass_seconds(30)
        await asyncio.to_thread(watched.provider.wait_for_requests, 2)
        await watched.checks_again()
        assert watched.asked == 2
        for socket in sockets:
            socket.app.cancel()
        await asyncio.gather(*(socket.app for socket in sockets), return_exceptions=True)

    run(watched, story())


def test_closes_with_1008_or_1013_where_the_server_cannot_deny(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(Registrar())

    async def story() -> None:
        for name, code in (("inactive", 1008), ("down", 1013), ("refused", 1013)):
            text = fresh(name)
            (close,) = await Socket(watched.door, bearer(text)).rest()
            assert (close["type"], close["code"]) == ("websocket.close", code)
            assert text not in caplog.text + repr(close)

    with caplog.at_level(logging.DEBUG):
        run(watched, story())
