"""Verifiers that answer with given claims while a test runs: at every door, in every thread, and no moment longer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from flask import Flask
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from bearerguard import (
    NO_SCOPES,
    AuthError,
    Claims,
    InvalidToken,
    JwksKeys,
    SettingsError,
    SharedSecrets,
    SignedTokens,
    TokenReplayed,
    Verifier,
    current_claims,
    requires_kind,
    requires_scope,
    requires_token,
    single_use,
)
from bearerguard.asgi import BearerMiddleware, SessionTokenMiddleware
from bearerguard.carriers import Cookie, Header, Query
from bearerguard.core.ports import run_sync
from bearerguard.core.verification import Verification
from bearerguard.flask import init_app
from bearerguard.platforms import jtl, oauth, shopify, whatalo
from bearerguard.testing import Clock, TestKeys, authenticated_as, mint
from bearerguard.wsgi import BearerMiddleware as WsgiBearerMiddleware
from tests.doors import WORLDS, Answer, Ask, World, bearer

SECRET = "a secret of thirty-two bytes, or more"
ISSUER = "https://id.example.com"
AUDIENCE = "https://orders.example.com"
NOWHERE = "http://127.0.0.1:9"


def signed(**changes: Any) -> SignedTokens:
    usual: dict[str, Any] = {
        "keys": SharedSecrets(SECRET),
        "algorithms": ("HS256",),
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "tenant": "org",
        "user": "sub",
    }
    return SignedTokens(**usual | changes)


@pytest.fixture
def verifier() -> Verifier[SignedTokens]:
    return Verifier(signed())


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> World:
    return WORLDS[request.param]


def who() -> dict[str, Any]:
    """A view that says whom it serves."""
    claims = current_claims(None)
    return {"nobody": True} if claims is None else {"tenant": claims.tenant, "user": claims.user}


def word(answer: Answer) -> str:
    """`tenant/user` of an answer of `who`, or the status of a refusal."""
    said = answer.json()
    return f"{said['tenant']}/{said['user']}" if answer.status == 200 else str(answer.status)


# --- Both doors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="no token"),
        pytest.param([bearer("whatever")], id="a token that is none"),
        pytest.param([bearer("a.b.c")], id="a forged token"),
        pytest.param([("Authorization", "bearer  lower")], id="a token off the fast path"),
        pytest.param([("Authorization", "Basic dTpw")], id="another scheme"),
    ],
)
def test_answers_every_request(world: World, verifier: Verifier[SignedTokens], headers: list[tuple[str, str]]) -> None:
    ask = world(requires_token(who), verifier)
    before = word(ask(Ask(headers=headers)))
    with authenticated_as(verifier, tenant="acme", user="anna"):
        assert word(ask(Ask(headers=headers))) == "acme/anna"
    assert word(ask(Ask(headers=headers))) == before == "401"


def test_answers_instead_of_good_tokens_too(world: World, verifier: Verifier[SignedTokens]) -> None:
    ask = world(who, verifier)
    good = Ask(headers=[bearer(mint(verifier, tenant="mine"))])
    assert word(ask(good)) == "mine/None"
    with authenticated_as(verifier, tenant="acme"):
        assert word(ask(good)) == "acme/None"
    assert word(ask(good)) == "mine/None"


def test_leaves_other_verifiers_alone(world: World, verifier: Verifier[SignedTokens]) -> None:
    other = Verifier(signed())
    ask, ask_other = world(who, verifier), world(who, other)
    with authenticated_as(verifier, tenant="acme"), authenticated_as(other, tenant="globex"):
        assert [word(asking(Ask())) for asking in (ask, ask_other)] == ["acme/None", "globex/None"]
    with authenticated_as(verifier):
        assert word(ask_other(Ask())) == "401"


def test_answers_at_all_doors_of_the_verifier(verifier: Verifier[SignedTokens]) -> None:
    doors = [world(who, verifier) for world in (*WORLDS.values(), *WORLDS.values())]
    with authenticated_as(verifier, tenant="acme"):
        assert [word(ask(Ask())) for ask in doors] == ["acme/None"] * 4


def test_asks_for_the_scopes_of_the_route(world: World, verifier: Verifier[SignedTokens]) -> None:
    ask = world(requires_scope("read:orders")(who), verifier)
    with authenticated_as(verifier, scopes={"write:orders"}):
        refused = ask(Ask())
    assert refused.status == 403
    assert (refused.challenge or {}).get("scope") == "read:orders"
    with authenticated_as(verifier, scopes=["read:orders", "write:orders"]):
        assert ask(Ask()).status == 200


def test_counts_each_request_as_one_with_a_new_token(world: World, verifier: Verifier[SignedTokens]) -> None:
    ask = world(single_use(who), verifier)
    token = mint(verifier)
    with authenticated_as(verifier):
        assert [ask(Ask(headers=[bearer(token)])).status for _ in range(3)] == [200, 200, 200]
    assert [ask(Ask(headers=[bearer(token)])).status for _ in range(2)] == [200, 401]


def test_asks_no_provider_for_one_time_use_either(world: World) -> None:
    verifier: Verifier[Any] = Verifier(opaque(audience=AUDIENCE))
    ask = world(single_use(requires_scope("read")(who)), verifier)
    with authenticated_as(verifier, user="anna", scopes={"read"}):
        assert [word(ask(Ask(headers=[bearer("x")]))) for _ in range(2)] == ["None/anna"] * 2


def test_leaves_exempt_paths_anonymous(world: World, verifier: Verifier[SignedTokens]) -> None:
    ask = world(who, verifier, exempt=("/health",))
    with authenticated_as(verifier, tenant="acme"):
        assert ask(Ask("/health")).json() == {"nobody": True}
        assert ask(Ask("/health", [bearer("x")])).json() == {"nobody": True}
        assert word(ask(Ask("/orders"))) == "acme/None"


def test_lets_preflights_pass_as_nobody(world: World, verifier: Verifier[SignedTokens]) -> None:
    ask = world(who, verifier)
    preflight = Ask("/", [("Origin", "https://a.example.com"), ("Access-Control-Request-Method", "GET")], "OPTIONS")
    with authenticated_as(verifier):
        assert ask(preflight).json() == {"nobody": True}


def test_answers_where_a_token_is_optional(world: World, verifier: Verifier[SignedTokens]) -> None:
    ask = world(who, verifier, optional=True)
    with authenticated_as(verifier, tenant="acme"):
        assert word(ask(Ask())) == "acme/None"
    assert ask(Ask()).json() == {"nobody": True}


def test_still_refuses_requests_that_present_no_one_token(world: World, verifier: Verifier[SignedTokens]) -> None:
    ask = world(who, verifier)
    values = ("Bearer a, Bearer b", "Bearer a b", "Bearer")
    with authenticated_as(verifier):
        assert [ask(Ask(headers=[("Authorization", value)])).status for value in values] == [400] * 3


@pytest.mark.parametrize("carrier", [Header("X-Session-Token"), Cookie("session"), Query("id_token")], ids=repr)
def test_answers_wherever_tokens_stand(world: World, carrier: Any) -> None:
    verifier = Verifier(signed(carriers=(carrier,)))
    ask = world(who, verifier)
    with authenticated_as(verifier, tenant="acme"):
        assert word(ask(Ask())) == "acme/None"
        assert word(ask(Ask("/?id_token=x", [("X-Session-Token", "x"), ("Cookie", "session=x")]))) == "acme/None"


# --- Blocks ----------------------------------------------------------------------------------------------------------


def test_blocks_may_be_nested(world: World, verifier: Verifier[SignedTokens]) -> None:
    ask = world(who, verifier)
    with authenticated_as(verifier, tenant="outer"):
        with authenticated_as(verifier, tenant="inner"):
            assert word(ask(Ask())) == "inner/None"
        assert word(ask(Ask())) == "outer/None"
    assert word(ask(Ask())) == "401"


def test_blocks_may_end_in_any_order(verifier: Verifier[SignedTokens]) -> None:
    first, second = authenticated_as(verifier, tenant="first"), authenticated_as(verifier, tenant="second")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert verifier.verify("x").tenant == "second"
    second.__exit__(None, None, None)
    with pytest.raises(InvalidToken):
        verifier.verify("x")


def test_a_block_that_fails_leaves_nothing_behind(verifier: Verifier[SignedTokens]) -> None:
    with pytest.raises(ZeroDivisionError), authenticated_as(verifier):
        _ = 1 / 0
    assert type(verifier.verification) is Verification
    assert verifier.verification.presumed() is None


def test_a_function_may_be_one_block(verifier: Verifier[SignedTokens]) -> None:
    @authenticated_as(verifier, tenant="acme")
    def tested() -> str | None:
        return verifier.verify("x").tenant

    assert [tested(), tested()] == ["acme", "acme"]
    assert type(verifier.verification) is Verification


def test_a_request_that_outlives_its_block_is_judged_as_any_other(verifier: Verifier[SignedTokens]) -> None:
    """Whoever holds the stand-in when the block ends asks the verification that it was."""
    with authenticated_as(verifier):
        held = type(verifier.verification)
    was, ports, route = verifier.verification, verifier.connections.blocking(), verifier.verification.route()
    assert held.presumed(was) is None
    assert held.recalled(was, b"digest", route, ports) is None
    for work in (held.verdict(was, b"x", route, ports), held.judged(was, b"x", b"digest", route, ports)):
        with pytest.raises(InvalidToken):
            run_sync(work)
    assert verifier.verify(mint(verifier, tenant="mine")).tenant == "mine"


def test_a_token_from_before_the_block_is_still_spent_once(verifier: Verifier[SignedTokens]) -> None:
    judge, ports = verifier.verification, verifier.connections.blocking()
    verdict = run_sync(judge.verdict(mint(verifier).encode(), judge.route(), ports))
    with authenticated_as(verifier):
        run_sync(judge.spend(verdict, ports))
        with pytest.raises(TokenReplayed):
            run_sync(judge.spend(verdict, ports))


def test_requests_are_answered_in_one_way_or_the_other_while_blocks_come_and_go(
    verifier: Verifier[SignedTokens],
) -> None:
    ask = WORLDS["wsgi"](single_use(who), verifier)
    is_over = threading.Event()

    def asked() -> set[str]:
        said = set()
        while not is_over.is_set():
            said.add(word(ask(Ask(headers=[bearer(mint(verifier, tenant="mine"))]))))
        return said

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(asked) for _ in range(3)]
        for _ in range(500):
            with authenticated_as(verifier, tenant="acme"):
                pass
        is_over.set()
        assert set().union(*(each.result(30) for each in asking)) <= {"mine/None", "acme/None", "401"}


def test_nothing_but_a_test_stands_in() -> None:
    """In production there is one class, and its answer is a constant."""
    assert Verification.__subclasses__() == [type(verification) for verification in stood_in()]
    for anything in (Verifier(signed()).verification, object(), None):
        assert Verification.presumed(anything) is None  # type: ignore[arg-type]


def stood_in() -> Iterator[Verification]:
    verifier = Verifier(signed())
    with authenticated_as(verifier):
        yield verifier.verification


# --- Threads ---------------------------------------------------------------------------------------------------------


def test_answers_in_threads_that_ran_before(verifier: Verifier[SignedTokens]) -> None:
    has_begun, may_go_on = threading.Event(), threading.Event()
    client = TestClient(asgi_app(verifier))

    def ask_late() -> list[int]:
        before = client.get("/orders").status_code
        has_begun.set()
        assert may_go_on.wait(10)
        return [before, client.get("/orders").status_code]

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask_late)
        assert has_begun.wait(10)
        with authenticated_as(verifier, scopes={"read:orders"}):
            may_go_on.set()
            assert asking.result(10) == [401, 200]


def test_answers_to_many_threads_at_once(verifier: Verifier[SignedTokens]) -> None:
    app = WORLDS["wsgi"](who, verifier)
    with authenticated_as(verifier, tenant="acme"), ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: word(app(Ask())), range(64))) == {"acme/None"}


# --- Frameworks ------------------------------------------------------------------------------------------------------


def asgi_app(verifier: Verifier[SignedTokens]) -> FastAPI:
    app = FastAPI()
    app.add_middleware(SessionTokenMiddleware, verifier=verifier)

    @app.get("/orders")
    @requires_scope("read:orders")
    async def orders() -> dict[str, Any]:
        return {"tenant": current_claims().tenant}

    @app.get("/blocking")
    @requires_scope("read:orders")
    @single_use
    def blocking() -> dict[str, Any]:
        return {"tenant": current_claims().tenant}

    @app.websocket("/live")
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        await socket.receive_text()
        await socket.send_text(str(current_claims().tenant))
        await socket.close()

    return app


def flask_app(verifier: Verifier[SignedTokens]) -> Flask:
    app = Flask(__name__)
    init_app(app, WsgiBearerMiddleware, verifier=verifier)

    @app.get("/orders")
    @requires_scope("read:orders")
    def orders() -> dict[str, Any]:
        return {"tenant": current_claims().tenant}

    return app


@pytest.mark.parametrize("path", ["/orders", "/blocking"])
def test_works_with_the_test_client_of_starlette(verifier: Verifier[SignedTokens], path: str) -> None:
    with TestClient(asgi_app(verifier)) as client:
        assert client.get(path).status_code == 401
        with authenticated_as(verifier, tenant="acme", scopes={"read:orders"}):
            assert client.get(path).json() == {"tenant": "acme"}
        with authenticated_as(verifier, tenant="acme"):
            assert client.get(path).status_code == 403


def test_works_with_the_transport_of_httpx(verifier: Verifier[SignedTokens]) -> None:
    async def asked() -> Any:
        transport = httpx.ASGITransport(asgi_app(verifier))
        async with httpx.AsyncClient(transport=transport, base_url="http://orders") as client:
            with authenticated_as(verifier, tenant="acme", scopes={"read:orders"}):
                answers = await asyncio.gather(*(client.get("/orders") for _ in range(4)))
            return [*(answer.json() for answer in answers), (await client.get("/orders")).status_code]

    assert asyncio.run(asked()) == [{"tenant": "acme"}] * 4 + [401]


def test_works_with_the_test_client_of_flask(verifier: Verifier[SignedTokens]) -> None:
    client = flask_app(verifier).test_client()
    with authenticated_as(verifier, tenant="acme", scopes={"read:orders"}):
        assert client.get("/orders").get_json() == {"tenant": "acme"}
    with authenticated_as(verifier):
        assert client.get("/orders").status_code == 403
    assert client.get("/orders").status_code == 401


def test_opens_websockets(verifier: Verifier[SignedTokens]) -> None:
    client = TestClient(asgi_app(verifier))
    with authenticated_as(verifier, tenant="acme"), client.websocket_connect("/live") as socket:
        socket.send_text("who?")
        assert socket.receive_text() == "acme"
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/live"):
        pass


def test_a_websocket_that_outlives_its_block_is_closed_when_it_is_looked_at_again(
    verifier: Verifier[SignedTokens],
) -> None:
    client = TestClient(BearerMiddleware(echo, verifier=verifier, recheck_seconds=0.05))
    block = authenticated_as(verifier)
    block.__enter__()
    with client.websocket_connect("/") as socket:
        socket.send_text("still here")
        assert socket.receive_text() == "still here"
        block.__exit__(None, None, None)
        with pytest.raises(WebSocketDisconnect) as cut:
            socket.receive_text()
    assert cut.value.code == 1008


async def echo(scope: Any, receive: Any, send: Any) -> None:
    socket = WebSocket(scope, receive, send)
    await socket.accept()
    with suppress(WebSocketDisconnect):
        while True:
            await socket.send_text(await socket.receive_text())


# --- Claims ----------------------------------------------------------------------------------------------------------


def opaque(**arguments: Any) -> Any:
    return oauth.opaque_access_tokens(NOWHERE, client_id="ours", client_secret=SECRET, **arguments)


KEYS = TestKeys()
KINDS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "whatalo.session": (
        lambda: whatalo.session_tokens(client_id="ours", client_secret=SECRET, app_id="stamps"),
        {"tenant": "str_1", "scopes": {"read:orders"}},
    ),
    "whatalo.access": (
        lambda: whatalo.access_tokens(client_id="ours", client_secret=SECRET, audience=AUDIENCE),
        {"tenant": "str_1", "user": "usr_1", "scopes": {"read:orders"}},
    ),
    "whatalo.access, of clients": (
        lambda: whatalo.access_tokens(client_id="ours", client_secret=SECRET, clients={"cli_1"}),
        {"tenant": "str_1", "user": "usr_1"},
    ),
    "shopify.admin": (
        lambda: shopify.admin(client_id="ours", client_secret=SECRET),
        {"tenant": "acme.myshopify.com", "user": "7"},
    ),
    "shopify.checkout": (
        lambda: shopify.checkout(client_id="ours", client_secret=SECRET),
        {"tenant": "acme.myshopify.com", "user": "gid://shopify/Customer/7"},
    ),
    "jtl.session": (
        lambda: jtl.session_tokens(client_id="ours", client_secret=SECRET),
        {"tenant": "f2f8ab7e-1d2c-4b3a-8e9f-0a1b2c3d4e50"},
    ),
    "jtl.app": (lambda: jtl.app_tokens(app_id="ours"), {"tenant": "f2f8ab7e-1d2c-4b3a-8e9f-0a1b2c3d4e50", "user": "u"}),
    "oauth.jwt": (lambda: oauth.jwt_access_tokens(ISSUER, AUDIENCE), {"user": "u", "scopes": {"a", "b"}}),
    "oauth.opaque": (lambda: opaque(audience=AUDIENCE), {"user": "u", "scopes": {"a", "b"}}),
    "oauth.opaque, of clients": (lambda: opaque(clients={"b", "a"}), {"user": "u", "client_id": "b"}),
    "keys that nobody can fetch": (
        lambda: signed(keys=JwksKeys(f"{NOWHERE}/keys"), algorithms=("RS256",)),
        {"tenant": "t", "user": "u", "scopes": {"a"}},
    ),
    "functions": (
        lambda: signed(
            tenant=lambda said: said["org"]["id"], user=lambda said: said["who"], scopes=lambda said: said["p"]
        ),
        {"tenant": "t", "user": "u", "scopes": {"a"}},
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_gives_the_claims_that_were_asked_for(name: str) -> None:
    make, asked = KINDS[name]
    settings = make()
    verifier: Verifier[Any] = Verifier(settings)
    with authenticated_as(verifier, **asked) as claims:
        assert verifier.verify("x") is claims
        assert asyncio.run(verifier.averify("x")) is claims
    assert {what: getattr(claims, what) for what in asked} == asked
    assert claims.kind == settings.name
    if settings.claims_type is not None:
        assert claims.typed(settings.claims_type) == claims.to_dict()


@pytest.mark.parametrize("name", KINDS)
def test_gives_claims_that_can_be_revoked(name: str) -> None:
    make, asked = KINDS[name]
    verifier: Verifier[Any] = Verifier(replace(make(), assumed_lifetime=300))
    with authenticated_as(verifier, **asked) as claims:
        verifier.denylist.revoke(claims)
        assert verifier.denylist.status(claims) == "revoked"
        assert verifier.verify("x") is claims


def test_takes_any_claim_by_its_name(verifier: Verifier[SignedTokens]) -> None:
    with authenticated_as(verifier, plan="gold", limits={"orders": [1, 2]}) as claims:
        assert claims["plan"] == "gold"
        assert claims["limits"]["orders"] == (1, 2)
        assert claims.to_dict()["limits"] == {"orders": [1, 2]}


def test_claims_are_of_the_clock_of_the_verifier() -> None:
    clock = Clock(1_800_000_000)
    with authenticated_as(Verifier(signed(), clock=clock)) as claims:
        assert claims.issued_at == 1_800_000_000
        assert claims.expires_at is not None
        assert claims.expires_at > clock()


def test_answers_for_as_long_as_the_block_lasts() -> None:
    clock = Clock()
    verifier = Verifier(signed(), clock=clock)
    with authenticated_as(verifier) as claims:
        clock.advance(86_400)
        assert verifier.verify("x") is claims


# --- Several kinds ---------------------------------------------------------------------------------------------------

ADMIN = shopify.admin(client_id="ours", client_secret=SECRET)
SESSION = whatalo.session_tokens(client_id="ours", client_secret=SECRET)


def test_answers_as_one_of_several_kinds(world: World) -> None:
    verifier: Verifier[SignedTokens] = Verifier(ADMIN, SESSION)
    ask = world(requires_kind("whatalo.session")(who), verifier)
    with authenticated_as(verifier, kind="whatalo.session", tenant="str_1"):
        assert word(ask(Ask())) == "str_1/None"
    with authenticated_as(verifier, kind="shopify.admin"):
        assert ask(Ask()).status == 403


def test_is_no_token_of_another_kind() -> None:
    verifier: Verifier[SignedTokens] = Verifier(ADMIN, SESSION)
    with authenticated_as(verifier, kind="whatalo.session") as claims:
        assert verifier.verify("x", kind="whatalo.session") is claims
        with pytest.raises(InvalidToken):
            verifier.verify("x", kind="shopify.admin")


# --- Nonsense --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verifier", "asked", "sentence"),
    [
        pytest.param(signed(), {}, r"SignedTokens is no verifier; write authenticated_as\(verifier", id="settings"),
        pytest.param(
            Verifier(ADMIN, SESSION),
            {},
            "takes several kinds; write kind= with one of 'shopify.admin', 'whatalo.session'",
            id="several kinds",
        ),
        pytest.param(Verifier(ADMIN), {"kind": "shopify.pos"}, "'shopify.pos' is no kind of this", id="no such kind"),
        pytest.param(Verifier(ADMIN), {"scopes": {"read"}}, "carry no scopes", id="scopes for Shopify"),
        pytest.param(Verifier(ADMIN), {"tenant": "acme"}, "'acme' is no tenant", id="no shop"),
        pytest.param(Verifier(ADMIN), {"user": "anna"}, "'anna' is no user", id="no staff"),
        pytest.param(Verifier(SESSION), {"user": "anna"}, "name no user", id="no users"),
        pytest.param(Verifier(signed()), {"scopes": "read"}, "scopes takes several names", id="a text for scopes"),
        pytest.param(
            Verifier(signed()), {"aud": "x"}, r"would refuse such claims \(wrong_audience\)", id="wrong audience"
        ),
        pytest.param(Verifier(signed()), {"exp": 1}, r"would refuse such claims \(expired\)", id="ended"),
        pytest.param(Verifier(signed()), {"plan": object()}, "cannot be written as JSON", id="an object"),
        pytest.param(Verifier(signed(tenant=len)), {"tenant": 7}, "tenant is empty or no text", id="a number"),
        pytest.param(Verifier(opaque(clients={"a"})), {"client_id": "b"}, "wrong_audience", id="a stranger's client"),
        pytest.param(Verifier(signed(scopes=NO_SCOPES)), {"scopes": ["a"]}, "carry no scopes", id="no scopes"),
        pytest.param(Verifier(signed(checks=(len,))), {}, "len, a check of kind 'signed'", id="a check"),
    ],
)
def test_refuses_nonsense_and_says_what_to_write(verifier: Any, asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence), authenticated_as(verifier, **asked):
        pytest.fail("the block ran")
    if isinstance(verifier, Verifier):
        assert type(verifier.verification) is Verification


def test_shows_no_claim(verifier: Verifier[SignedTokens]) -> None:
    with authenticated_as(verifier, tenant="acme", plan="gold") as claims:
        assert isinstance(claims, Claims)
        assert "gold" not in repr(claims)


def test_still_takes_no_token_for_none(verifier: Verifier[SignedTokens]) -> None:
    with authenticated_as(verifier), pytest.raises(AuthError, match="no"):
        verifier.verify("")
