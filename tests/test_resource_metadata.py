"""What a door tells clients of its application (RFC 9728): the page, the challenges, and the settings that must fit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import flask
import pytest

import bearerguard.asgi
import bearerguard.wsgi
from bearerguard import (
    UNCHECKED,
    IfPresent,
    InvalidToken,
    OpaqueTokens,
    ProtectedResource,
    SettingsError,
    Verifier,
    current_claims,
    requires_scope,
    requires_token,
)
from bearerguard.carriers import Cookie, Header, Query
from bearerguard.flask import init_app
from bearerguard.rules.resource_metadata import check_resource, metadata_document, metadata_url, well_known_path
from bearerguard.settings import Kind
from tests.doors import WORLDS, Answer, Ask, Asking, World, ask_asgi, ask_wsgi, bearer
from tests.houses import AUDIENCE, BEARER, ISSUER, OTHER_ISSUER, settings, token

WELL_KNOWN = "/.well-known/oauth-protected-resource"
URL = f"{AUDIENCE}{WELL_KNOWN}"
RESOURCE = ProtectedResource(resource=AUDIENCE)
CLIENT_SECRET = "the client's secret has more than thirty-two bytes"


def opaque(**changes: Any) -> OpaqueTokens:
    """Settings for opaque tokens of the same issuer."""
    usual: dict[str, Any] = {"client_id": "orders-api", "client_secret": CLIENT_SECRET}
    return OpaqueTokens(**{"issuer": ISSUER, "audience": AUDIENCE, **usual, **changes})


# --- Where it stands -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "path", "url"),
    [
        pytest.param("https://h", WELL_KNOWN, f"https://h{WELL_KNOWN}", id="a host"),
        pytest.param("https://h/", WELL_KNOWN, f"https://h{WELL_KNOWN}", id="a host and its slash"),
        pytest.param("https://h/mcp", f"{WELL_KNOWN}/mcp", f"https://h{WELL_KNOWN}/mcp", id="a path"),
        pytest.param("https://h/mcp/", f"{WELL_KNOWN}/mcp/", f"https://h{WELL_KNOWN}/mcp/", id="a path and a slash"),
        pytest.param("https://h:8443/a/b", f"{WELL_KNOWN}/a/b", f"https://h:8443{WELL_KNOWN}/a/b", id="a port"),
        pytest.param("https://h/a%20b", f"{WELL_KNOWN}/a%20b", f"https://h{WELL_KNOWN}/a%20b", id="escapes"),
    ],
)
def test_puts_the_page_where_the_specification_says(resource: str, path: str, url: str) -> None:
    assert (well_known_path(resource), metadata_url(resource)) == (path, url)


# --- What it says ----------------------------------------------------------------------------------------------------


def document(resource: ProtectedResource, *kinds: Kind) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(metadata_document(resource, kinds))
    return read


def test_says_no_more_than_is_known() -> None:
    assert document(RESOURCE, settings()) == {
        "resource": AUDIENCE,
        "authorization_servers": [ISSUER],
        "bearer_methods_supported": ["header"],
    }


def test_says_all_that_is_known() -> None:
    resource = ProtectedResource(
        resource=AUDIENCE,
        authorization_servers=[ISSUER],
        scopes=("read:orders", "write:orders"),
        name="Bestellungen für alle",
        documentation="https://orders.example.com/docs",
    )
    assert document(resource, settings()) == {
        "resource": AUDIENCE,
        "authorization_servers": [ISSUER],
        "scopes_supported": ["read:orders", "write:orders"],
        "bearer_methods_supported": ["header"],
        "resource_name": "Bestellungen für alle",
        "resource_documentation": "https://orders.example.com/docs",
    }


@pytest.mark.parametrize(
    ("carriers", "methods"),
    [
        pytest.param([BEARER], ["header"], id="the header"),
        pytest.param([Query("access_token")], ["query"], id="the query"),
        pytest.param([BEARER, Query("access_token")], ["header", "query"], id="both"),
        pytest.param([BEARER, Cookie("session"), Query("id_token")], ["header"], id="with ways of our own"),
        pytest.param([Header("X-Session-Token")], [], id="a header of our own"),
        pytest.param([Header("authorization", scheme="BEARER")], ["header"], id="the header in any case"),
    ],
)
def test_says_how_a_token_may_be_sent(carriers: Any, methods: list[str]) -> None:
    assert document(RESOURCE, settings(carriers=carriers))["bearer_methods_supported"] == methods


def test_speaks_only_of_the_kinds_that_are_for_the_resource() -> None:
    session = settings(name="session", issuer="platform", audience="client-id", carriers=[Query("access_token")])
    said = document(RESOURCE, session, opaque(), settings(name="jwt", issuer=OTHER_ISSUER))
    assert said["authorization_servers"] == [ISSUER, OTHER_ISSUER]
    assert said["bearer_methods_supported"] == ["header"]


def test_names_each_server_once() -> None:
    assert document(RESOURCE, settings(), opaque())["authorization_servers"] == [ISSUER]


# --- What must fit ---------------------------------------------------------------------------------------------------


def raising(_: str) -> bool:
    raise KeyError


@pytest.mark.parametrize(
    "audience",
    [
        pytest.param(AUDIENCE, id="the value"),
        pytest.param({"other", AUDIENCE}, id="in a set"),
        pytest.param(re.compile(r"https://orders\..*"), id="a pattern"),
        pytest.param(lambda value: value.startswith("https://orders."), id="a predicate"),
        pytest.param(IfPresent(AUDIENCE), id="if present"),
    ],
)
def test_takes_a_resource_that_tokens_are_for(audience: Any) -> None:
    check_resource(RESOURCE, [settings(audience=audience)])
    check_resource(RESOURCE, [settings(name="other", audience="other"), opaque(audience=audience)])


@pytest.mark.parametrize(
    "audience",
    [
        pytest.param("orders", id="another"),
        pytest.param(f"{AUDIENCE}/", id="a slash more"),
        pytest.param({"orders", "https://orders.example.com:443"}, id="none of a set"),
        pytest.param(re.compile(r"https://orders"), id="a pattern that does not match all"),
        pytest.param(lambda _: False, id="a predicate that says no"),
        pytest.param(lambda _: 1, id="a predicate that says something"),
        pytest.param(raising, id="a predicate that raises"),
        pytest.param(UNCHECKED, id="unchecked"),
    ],
)
def test_refuses_a_resource_that_tokens_are_not_for(audience: Any) -> None:
    with pytest.raises(SettingsError, match=f"(audience={AUDIENCE!r}|answers True or False)"):
        check_resource(RESOURCE, [settings(audience=audience)])


@pytest.mark.parametrize("servers", [[ISSUER, OTHER_ISSUER], [OTHER_ISSUER, ISSUER], None])
def test_takes_the_servers_that_issue_the_tokens(servers: list[str] | None) -> None:
    resource = ProtectedResource(resource=AUDIENCE, authorization_servers=servers)
    check_resource(resource, [settings(), opaque(issuer=OTHER_ISSUER)])


@pytest.mark.parametrize(
    "servers",
    [
        pytest.param([ISSUER], id="too few"),
        pytest.param([ISSUER, OTHER_ISSUER, "https://third.example.com"], id="too many"),
        pytest.param([f"{ISSUER}/", OTHER_ISSUER], id="another spelling"),
        pytest.param([], id="none"),
    ],
)
def test_refuses_other_servers_than_those(servers: list[str]) -> None:
    resource = ProtectedResource(resource=AUDIENCE, authorization_servers=servers)
    with pytest.raises(SettingsError, match="leave them out, or write authorization_servers="):
        check_resource(resource, [settings(), opaque(issuer=OTHER_ISSUER)])


@pytest.mark.parametrize(
    "issuer",
    [
        pytest.param("platform", id="a word"),
        pytest.param("http://id.example.com", id="http"),
        pytest.param({ISSUER}, id="a set"),
        pytest.param(re.compile("https://.*"), id="a pattern"),
        pytest.param(lambda _: True, id="a predicate"),
        pytest.param(IfPresent(ISSUER), id="if present"),
        pytest.param(UNCHECKED, id="unchecked"),
    ],
)
def test_refuses_an_issuer_that_is_no_server(issuer: Any) -> None:
    with pytest.raises(SettingsError, match=r"write issuer='https://id\.example\.com'"):
        check_resource(RESOURCE, [settings(issuer=issuer)])


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"resource": "orders"}, "write it as"),
        ({"resource": "http://orders.example.com"}, "must be https"),
        ({"resource": f"{AUDIENCE}?a=b"}, "query or fragment"),
        ({"resource": f"{AUDIENCE}#"}, "query or fragment"),
        ({"authorization_servers": ISSUER}, "several values"),
        ({"authorization_servers": ["id"]}, "write it as"),
        ({"scopes": "read:orders"}, "several values"),
        ({"scopes": [""]}, "a scope"),
        ({"name": ""}, "name"),
        ({"documentation": "docs"}, "write it as"),
    ],
)
def test_refuses_a_resource_that_is_written_wrong(changes: dict[str, Any], advice: str) -> None:
    with pytest.raises(SettingsError, match=advice):
        ProtectedResource(**{"resource": AUDIENCE, **changes})


# --- At the doors ----------------------------------------------------------------------------------------------------


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> World:
    return WORLDS[request.param]


def view() -> object:
    claims = current_claims(None)
    return {"tenant": claims and claims.tenant}


def asking(world: World, resource: ProtectedResource = RESOURCE, **options: Any) -> Asking:
    kind = settings(audience=resource.resource)
    return world(view, Verifier(kind), resource=resource, **options)


GOOD = bearer(token())
GET = Ask(WELL_KNOWN)


def assert_page(answer: Answer, resource: str = AUDIENCE) -> None:
    assert answer.status == 200
    assert answer.header("content-type") == "application/json"
    assert answer.header("cache-control") == "max-age=3600"
    assert answer.header("access-control-allow-origin") == "*"
    assert answer.header("www-authenticate") is None
    assert answer.header("content-length") == str(len(answer.body))
    assert answer.json()["resource"] == resource


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="nobody"),
        pytest.param([GOOD], id="a good token"),
        pytest.param([bearer("abc")], id="a bad token"),
        pytest.param([("Authorization", "Bearer"), ("Authorization", "Basic")], id="broken credentials"),
        pytest.param([("Origin", "https://app.example.com")], id="another origin"),
    ],
)
def test_serves_the_page_to_everybody(world: World, headers: Any) -> None:
    assert_page(asking(world)(Ask(WELL_KNOWN, headers)))
    assert_page(asking(world)(Ask(f"{WELL_KNOWN}?a=b", headers)))


def test_answers_head_as_get_but_for_the_body(world: World) -> None:
    get, head = (asking(world)(Ask(WELL_KNOWN, method=method)) for method in ("GET", "HEAD"))
    assert head.body == b""
    assert (head.status, sorted(head.headers)) == (get.status, sorted(get.headers))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_authenticates_other_methods_as_everywhere(world: World, method: str) -> None:
    ask = asking(world)
    assert ask(Ask(WELL_KNOWN, method=method)).status == 401
    assert ask(Ask(WELL_KNOWN, [GOOD], method)).json() == {"tenant": "str_8k2m4n6p"}


def test_lets_a_preflight_for_the_page_pass(world: World) -> None:
    headers = [("Origin", "https://app.example.com"), ("Access-Control-Request-Method", "GET")]
    assert asking(world)(Ask(WELL_KNOWN, headers, "OPTIONS")).json() == {"tenant": None}
    assert asking(world, preflight="refuse")(Ask(WELL_KNOWN, headers, "OPTIONS")).status == 401


@pytest.mark.parametrize(
    "target",
    [
        f"{WELL_KNOWN}/", f"{WELL_KNOWN}/x", f"/x{WELL_KNOWN}", f"/{WELL_KNOWN}", WELL_KNOWN.upper(), WELL_KNOWN[:-1],
        f"{WELL_KNOWN};x", f"{WELL_KNOWN}%00", f"/x/..{WELL_KNOWN}", f"/?{WELL_KNOWN}", "/.well-known/oauth",
    ],
)  # fmt: skip
def test_serves_the_page_at_no_other_path(world: World, target: str) -> None:
    assert asking(world)(Ask(target)).status == 401


def test_serves_no_page_without_a_resource(world: World) -> None:
    answer = world(view)(GET)
    assert (answer.status, answer.challenge) == (401, {})


@pytest.mark.parametrize(
    ("resource", "target"),
    [
        pytest.param(f"{AUDIENCE}/", WELL_KNOWN, id="a slash"),
        pytest.param(f"{AUDIENCE}/mcp", f"{WELL_KNOWN}/mcp", id="a path"),
        pytest.param(f"{AUDIENCE}/caf%C3%A9/a%20b", f"{WELL_KNOWN}/caf%C3%A9/a%20b", id="escapes"),
    ],
)
def test_serves_the_page_of_a_resource_with_a_path(world: World, resource: str, target: str) -> None:
    ask = asking(world, ProtectedResource(resource=resource))
    assert_page(ask(Ask(target)), resource)
    assert (ask(Ask("/")).challenge or {})["resource_metadata"] == f"{AUDIENCE}{target}"
    if target != WELL_KNOWN:
        assert ask(GET).status == 401


@pytest.mark.parametrize(
    "headers",
    [
        [("Host", "evil.example")],
        [("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Proto", "http"), ("X-Forwarded-Prefix", "/evil")],
        [("Forwarded", "host=evil.example;proto=http")],
        [("X-Original-URL", WELL_KNOWN), ("X-Rewrite-URL", WELL_KNOWN)],
    ],
)
def test_takes_no_url_from_the_request(world: World, headers: Any) -> None:
    page, refusal = (asking(world)(Ask(target, headers)) for target in (WELL_KNOWN, "/"))
    assert page.body == asking(world)(GET).body
    assert refusal.status == 401
    assert refusal.challenge == {"resource_metadata": URL}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param([], 401, id="nobody"),
        pytest.param([bearer("abc")], 401, id="a bad token"),
        pytest.param([bearer(token(exp=1))], 401, id="an expired token"),
        pytest.param([("Authorization", "Bearer")], 400, id="broken credentials"),
        pytest.param([bearer(token(scope="read:orders"))], 403, id="a scope missing"),
    ],
)
def test_points_to_the_page_in_every_challenge(world: World, headers: Any, status: int) -> None:
    guarded = requires_scope("write:orders")(view)
    ask = world(guarded, resource=RESOURCE, realm="orders")
    answer = ask(Ask("/", headers))
    assert answer.status == status
    assert answer.challenge is not None
    assert answer.challenge["resource_metadata"] == URL
    assert answer.challenge["realm"] == "orders"
    assert answer.challenge.get("scope") == ("write:orders" if status == 403 else None)


def test_points_there_in_the_challenges_of_guards_and_views(world: World) -> None:
    def refusing() -> object:
        raise InvalidToken("malformed")

    for below in (requires_token(view), current_claims, refusing):
        answer = world(below, resource=RESOURCE, optional=True)(Ask())
        assert answer.status == 401
        assert (answer.challenge or {})["resource_metadata"] == URL


def test_points_there_for_a_cookie_of_another_origin(world: World) -> None:
    kind = settings(carriers=[Cookie("session")])
    ask = world(view, Verifier(kind), resource=RESOURCE)
    answer = ask(Ask("/", [("Cookie", f"session={token()}")], "POST"))
    assert (answer.status, answer.challenge) == (403, {"resource_metadata": URL})


def test_answers_503_without_a_challenge(world: World) -> None:
    ask = world(view, Verifier(settings(), store="redis://127.0.0.1:1"), resource=RESOURCE)
    assert_page(ask(GET))
    answer = ask(Ask("/", [GOOD]))
    assert (answer.status, answer.challenge) == (503, None)


@pytest.mark.parametrize("resource", [AUDIENCE, {"resource": AUDIENCE}, True], ids=["text", "mapping", "boolean"])
def test_takes_nothing_else_for_a_resource(world: World, resource: Any) -> None:
    with pytest.raises(SettingsError, match=r"write resource=ProtectedResource\("):
        world(view, resource=resource)


def test_checks_the_resource_at_start(world: World) -> None:
    with pytest.raises(SettingsError, match="audience"):
        world(view, resource=ProtectedResource(resource="https://elsewhere.example.com"))


def test_serves_the_page_below_a_mount_in_asgi() -> None:
    async def app(*_: Any) -> None:
        raise AssertionError

    door = bearerguard.asgi.BearerMiddleware(app, Verifier(settings()), resource=RESOURCE)
    assert_page(ask_asgi(door, Ask(f"/mounted{WELL_KNOWN}"), root_path="/mounted"))
    assert ask_asgi(door, GET, type="http", root_path="/.well-known").status == 401


def test_serves_the_page_below_a_mount_in_wsgi() -> None:
    door = bearerguard.wsgi.BearerMiddleware(lambda *_: [], Verifier(settings()), resource=RESOURCE)
    assert_page(ask_wsgi(door, GET, SCRIPT_NAME="/mounted"))


def test_refuses_a_websocket_at_the_page() -> None:
    async def app(*_: Any) -> None:
        raise AssertionError

    door = bearerguard.asgi.BearerMiddleware(app, Verifier(settings()), resource=RESOURCE)
    denial: Mapping[str, Any] = {"extensions": {"websocket.http.response": {}}}
    told: list[Any] = []

    async def send(message: Any) -> None:
        told.append(message)

    run = door({"type": "websocket", "path": WELL_KNOWN, "headers": [], **denial}, _never, send)
    with pytest.raises(StopIteration):
        run.__await__().__next__()
    assert told[0]["status"] == 401
    assert f'resource_metadata="{URL}"'.encode() in dict(told[0]["headers"])[b"www-authenticate"]


async def _never() -> Any:
    raise AssertionError


# --- In Flask --------------------------------------------------------------------------------------------------------


def flask_app(below: Callable[[], Any]) -> flask.Flask:
    app = flask.Flask(__name__)
    app.add_url_rule("/", "view", below)
    options: dict[str, Any] = {"resource": RESOURCE, "optional": True, "realm": "orders"}
    init_app(app, bearerguard.wsgi.SessionTokenMiddleware, verifier=Verifier(settings()), **options)
    return app


def test_serves_the_page_in_flask() -> None:
    assert_page(ask_wsgi(flask_app(dict), GET))


@requires_token
def guarded() -> Any:
    return {}


def raised_by_hand() -> Any:
    raise InvalidToken("malformed")


@pytest.mark.parametrize(
    "below",
    [
        pytest.param(guarded, id="a guard"),
        pytest.param(lambda: {"tenant": current_claims().tenant}, id="no claims"),
        pytest.param(raised_by_hand, id="by hand"),
    ],
)
def test_points_to_the_page_from_views_of_flask(below: Callable[[], Any]) -> None:
    answer = ask_wsgi(flask_app(below), Ask())
    assert answer.status == 401
    assert answer.challenge is not None
    assert (answer.challenge["resource_metadata"], answer.challenge["realm"]) == (URL, "orders")


# --- Which door takes which kinds ------------------------------------------------------------------------------------

DOORS = pytest.mark.parametrize("door", [bearerguard.asgi, bearerguard.wsgi], ids=["asgi", "wsgi"])


def signed() -> Verifier[Any]:
    return Verifier(settings())


def mixed() -> Verifier[Any]:
    kinds: tuple[Any, ...] = (settings(), opaque(issuer=OTHER_ISSUER))
    return Verifier(*kinds)


@DOORS
def test_has_a_door_for_each_sort_of_token(door: Any) -> None:
    options = {"exempt": ("/health",), "optional": True, "realm": "a", "preflight": "refuse", "resource": RESOURCE}
    assert door.SessionTokenMiddleware(None, Verifier(settings()), **options)
    assert door.IntrospectionMiddleware(None, Verifier(opaque()), **options)
    for verifier in (Verifier(settings()), Verifier(opaque()), mixed()):
        assert door.BearerMiddleware(None, verifier)


@DOORS
@pytest.mark.parametrize(
    ("name", "verifier", "instead"),
    [
        pytest.param("SessionTokenMiddleware", lambda: Verifier(opaque()), "use IntrospectionMiddleware", id="opaque"),
        pytest.param("SessionTokenMiddleware", mixed, "use BearerMiddleware", id="several"),
        pytest.param("IntrospectionMiddleware", signed, "use SessionTokenMiddleware", id="signed"),
        pytest.param("IntrospectionMiddleware", mixed, "use BearerMiddleware", id="several, and introspection"),
        pytest.param("IntrospectionMiddleware", opaque, r"write verifier=Verifier\(", id="no verifier"),
    ],
)
def test_names_the_right_door(door: Any, name: str, verifier: Callable[[], Any], instead: str) -> None:
    with pytest.raises(SettingsError, match=instead):
        getattr(door, name)(None, verifier())
