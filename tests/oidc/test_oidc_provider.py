"""Against a real provider: what oidc-provider says, does and asks for. `tox -e oidc` runs these tests."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import flask
import httpx
import pytest
from fastapi import FastAPI

import bearerguard.asgi
import bearerguard.wsgi
from bearerguard import (
    UNCHECKED,
    ClientCredentials,
    JwksKeys,
    OpaqueTokens,
    ProviderUnavailable,
    SharedSecrets,
    SignedTokens,
    Verifier,
    current_claims,
    requires_scope,
)
from bearerguard.flask import init_app
from bearerguard.platforms import oauth
from bearerguard.settings import Kind
from tests.hostile import GOOD, Clock
from tests.introspecting import Judge
from tests.oidc.real_provider import (
    ARCHIVE,
    DISCOVERY,
    INTROSPECTION,
    LEDGER,
    ORDERS,
    TOKEN,
    RealProvider,
    client,
    real_provider,
)
from tests.revoking import Twins
from tests.servers import RedisServer

CACHE_SECONDS = 5.0


@pytest.fixture(scope="module")
def provider() -> Iterator[RealProvider]:
    with real_provider() as running:
        yield running


def opaque(provider: RealProvider, asker: str = "orders", /, **changes: Any) -> OpaqueTokens:
    """The settings of the orders API; of where to ask they know the issuer alone."""
    usual: dict[str, Any] = {"issuer": provider.issuer, "audience": ORDERS, **client(asker)._asdict()}
    return OpaqueTokens(**usual | changes)


def signed(provider: RealProvider, audience: str = LEDGER, **changes: Any) -> SignedTokens:
    """The settings of an API that takes JWT access tokens."""
    return oauth.jwt_access_tokens(provider.issuer, audience, jwks_url=provider.metadata["jwks_uri"], **changes)


def credentials(provider: RealProvider, name: str = "shop", /, **changes: Any) -> ClientCredentials:
    """Credentials for tokens that the orders API takes."""
    usual: dict[str, Any] = {"issuer": provider.issuer, "resource": ORDERS, "scope": "read:orders", "origins": {ORDERS}}
    return ClientCredentials(**usual | client(name)._asdict() | changes)


# --- Two programs ----------------------------------------------------------------------------------------------------

Api = Callable[..., httpx.Response]


class Program:
    """A program that uses bearerguard: a blocking one with Flask, or an async one with FastAPI."""

    def __init__(self, runner: asyncio.Runner | None, open_until_the_end: ExitStack) -> None:
        self._runner = runner
        self._open = open_until_the_end

    def judge(self, first: Kind, *more: Kind, **options: Any) -> Judge:
        """A verifier."""
        judge = Judge(Verifier(first, *more, **options), self._runner)
        self._open.callback(judge.close)
        return judge

    def calls(self, target: ClientCredentials) -> Twins:
        """Credentials, called as this program does."""
        twins = Twins(target, self._runner)
        self._open.callback(twins.close)
        return twins

    def api(self, judge: Judge, auth: ClientCredentials | None = None) -> Api:
        """The orders API behind its door, to be asked as in `api("GET", token)`."""
        if self._runner is None:
            wsgi = httpx.WSGITransport(flask_orders(judge.itself))
            blocking = self._open.enter_context(httpx.Client(transport=wsgi, base_url=ORDERS, auth=auth))
            return lambda method, token=None: blocking.request(method, "/orders", headers=_bearer(token))
        return self._async_api(self._runner, httpx.ASGITransport(fastapi_orders(judge.itself)), auth)

    def _async_api(self, runner: asyncio.Runner, asgi: httpx.ASGITransport, auth: ClientCredentials | None) -> Api:
        suspending = httpx.AsyncClient(transport=asgi, base_url=ORDERS, auth=auth)
        self._open.callback(lambda: runner.run(suspending.aclose()))
        return lambda method, token=None: runner.run(suspending.request(method, "/orders", headers=_bearer(token)))


def _bearer(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def flask_orders(verifier: Verifier[Any]) -> flask.Flask:
    """The orders API as Flask has it."""
    app = flask.Flask(__name__)
    init_app(app, bearerguard.wsgi.IntrospectionMiddleware, verifier=verifier)
    app.get("/orders", endpoint="read")(requires_scope("read:orders")(who_asks))
    app.post("/orders", endpoint="write")(requires_scope("write:orders")(who_asks))
    return app


def fastapi_orders(verifier: Verifier[Any]) -> FastAPI:
    """The orders API as FastAPI has it."""
    app = FastAPI()
    app.add_middleware(bearerguard.asgi.IntrospectionMiddleware, verifier=verifier)
    app.get("/orders")(requires_scope("read:orders")(who_asks))
    app.post("/orders")(requires_scope("write:orders")(who_asks))
    return app


def who_asks() -> dict[str, str | None]:
    claims = current_claims()
    assert claims is not None
    return {"client": claims.client_id, "subject": claims.subject}


@pytest.fixture(params=["sync", "async"])
def program(request: pytest.FixtureRequest) -> Iterator[Program]:
    with asyncio.Runner() as runner, ExitStack() as open_until_the_end:
        yield Program(runner if request.param == "async" else None, open_until_the_end)


# --- Asking ----------------------------------------------------------------------------------------------------------


def test_finds_the_endpoint_by_the_issuer_alone(provider: RealProvider, program: Program) -> None:
    judge, before = program.judge(opaque(provider)), provider.calls(DISCOVERY)
    claims = judge.verify(provider.token(scope="read:orders write:orders"))
    judge.verify(provider.token())
    assert provider.calls(DISCOVERY) - before == 1
    assert (claims.issuer, claims["aud"], claims.client_id) == (provider.issuer, ORDERS, "shop")
    assert claims.scopes == {"read:orders", "write:orders"}
    assert claims.expires_at is not None


def test_knows_who_the_token_of_a_person_speaks_for(provider: RealProvider, program: Program) -> None:
    claims = program.judge(opaque(provider, user="sub")).verify(provider.tokens_of_ana()["access_token"])
    assert (claims.user, claims.client_id) == ("ana", "shop")


@pytest.mark.parametrize(
    ("name", "client_auth"),
    [
        pytest.param("orders", "client_secret_basic", id="basic"),
        pytest.param("orders_by_post", "client_secret_post", id="post"),
        pytest.param("special", "client_secret_basic", id="basic, special characters"),
        pytest.param("special_by_post", "client_secret_post", id="post, special characters"),
    ],
)
def test_proves_who_asks(provider: RealProvider, program: Program, name: str, client_auth: str) -> None:
    judge = program.judge(opaque(provider, name, client_auth=client_auth))
    assert judge.verify(provider.token()).client_id == "shop"
    assert judge.verdict("made-up") == "inactive"


def test_special_characters_need_the_form_encoding(provider: RealProvider, program: Program) -> None:
    judge = program.judge(opaque(provider, "special", client_auth="client_secret_basic_raw"))
    assert isinstance(judge.refusal(provider.token()), ProviderUnavailable)


@pytest.mark.parametrize("client_auth", ["client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"client_secret": "not the secret that the provider knows us by"}, id="wrong secret"),
        pytest.param({"client_id": "nobody"}, id="unknown client"),
    ],
)
def test_a_wrong_secret_is_not_the_callers_fault(
    provider: RealProvider,
    program: Program,
    caplog: pytest.LogCaptureFixture,
    client_auth: str,
    wrong: dict[str, str],
) -> None:
    # Of each name the log says it once in a second.
    judge = program.judge(opaque(provider, name=f"opaque.{uuid.uuid4().hex}", client_auth=client_auth, **wrong))
    refusal = judge.refusal(provider.token())
    assert isinstance(refusal, ProviderUnavailable)
    assert (refusal.reason, refusal.status) == ("client_refused", 503)
    assert program.api(judge)("GET", provider.token()).status_code == 503
    assert logging.ERROR in {record.levelno for record in caplog.records}


def test_a_secret_can_be_changed_here_before_it_is_at_the_provider(provider: RealProvider, program: Program) -> None:
    secrets = SharedSecrets("the secret that the provider will know us by soon", client("orders").client_secret)
    judge = program.judge(opaque(provider, client_secret=secrets))
    assert [judge.verdict(provider.token()) for _ in range(2)] == [GOOD, GOOD]


# --- What is refused -------------------------------------------------------------------------------------------------


def test_refuses_a_token_that_nobody_issued(provider: RealProvider, program: Program) -> None:
    judge = program.judge(opaque(provider))
    assert judge.verdict("a" * 43) == "inactive"
    answer = program.api(judge)("GET", "a" * 43)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_a_client_that_may_not_ask_learns_nothing(provider: RealProvider, program: Program) -> None:
    """To the shop the provider speaks of the shop's own tokens only; this one is of another client."""
    token = program.calls(credentials(provider, "special")).token()
    assert program.judge(opaque(provider)).verdict(token) == GOOD
    assert program.judge(opaque(provider, "shop")).verdict(token) == "inactive"


def test_refuses_a_token_for_another_api(provider: RealProvider, program: Program) -> None:
    assert program.judge(opaque(provider, audience=LEDGER)).verdict(provider.token()) == "wrong_audience"


def test_refuses_a_token_for_no_api_at_all(provider: RealProvider, program: Program) -> None:
    token = provider.tokens_of_ana(resource=None)["access_token"]
    assert program.judge(opaque(provider)).verdict(token) == "missing_claim"


def test_refuses_the_token_of_a_client_that_is_not_named(provider: RealProvider, program: Program) -> None:
    of_shop = opaque(provider, audience=UNCHECKED, clients={"shop"})
    of_others = opaque(provider, audience=UNCHECKED, clients={"warehouse"})
    token = provider.token()
    assert [program.judge(kind).verdict(token) for kind in (of_shop, of_others)] == [GOOD, "wrong_audience"]


def test_refuses_a_token_past_its_end_though_the_provider_does_not(provider: RealProvider, program: Program) -> None:
    clock, token = Clock(time.time()), provider.token()
    judge = program.judge(opaque(provider), clock=clock)
    expires = judge.verify(token).expires_at
    assert expires is not None
    clock.now = expires
    assert judge.verdict(token) == "expired"


def test_refuses_a_refresh_token(provider: RealProvider, program: Program) -> None:
    """The provider calls it active; that it names no audience is what tells it from an access token for this API."""
    assert program.judge(opaque(provider)).verdict(provider.tokens_of_ana()["refresh_token"]) == "missing_claim"


def test_refuses_a_refresh_token_by_a_rule_where_no_audience_is_checked(
    provider: RealProvider, program: Program
) -> None:
    """Nothing else tells it from an access token for no API: oidc-provider gives only the latter a token_type."""
    judge = program.judge(opaque(provider, audience=UNCHECKED, rules={"token_type": "Bearer"}))
    tokens = provider.tokens_of_ana(resource=None)
    assert judge.verdict(tokens["refresh_token"]) == "rule_failed"
    assert judge.verdict(tokens["access_token"]) == GOOD


@pytest.mark.parametrize("name", ["ID token", "JWT access token"])
def test_refuses_a_jwt_where_opaque_tokens_are_taken(provider: RealProvider, program: Program, name: str) -> None:
    """The provider answers 400 unsupported_token_type, whatever the JWT; that is the caller's fault, so no 503."""
    token = provider.token(LEDGER) if name == "JWT access token" else provider.tokens_of_ana()["id_token"]
    judge = program.judge(opaque(provider))
    assert program.api(judge)("GET", token).status_code == 401
    assert judge.verdict(token) in ("inactive", "other_token_type")


def test_a_pattern_keeps_jwts_from_the_provider(provider: RealProvider, program: Program) -> None:
    judge, before = program.judge(opaque(provider, pattern=r"[A-Za-z0-9_-]{43}")), provider.calls(INTROSPECTION)
    assert judge.verdict(provider.tokens_of_ana()["id_token"]) == "malformed"
    assert provider.calls(INTROSPECTION) == before
    assert judge.verdict(provider.token()) == GOOD


def test_a_route_is_open_to_the_scopes_that_were_granted(provider: RealProvider, program: Program) -> None:
    api, token = program.api(program.judge(opaque(provider))), provider.token(scope="read:orders")
    assert api("GET", token).json() == {"client": "shop", "subject": None}
    refused = api("POST", token)
    assert refused.status_code == 403
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    assert 'scope="write:orders"' in refused.headers["www-authenticate"]
    assert api("POST", provider.token(scope="read:orders write:orders")).status_code == 200
    assert api("GET").status_code == 401


# --- Revocation ------------------------------------------------------------------------------------------------------


def test_sees_a_revocation_at_the_provider_within_the_bound(provider: RealProvider, program: Program) -> None:
    clock, monotonic = Clock(time.time()), Clock()
    kind = opaque(provider, cache_seconds=CACHE_SECONDS)
    judge = program.judge(kind, clock=clock, monotonic=monotonic)
    token, before = provider.token(), provider.calls(INTROSPECTION)
    assert judge.verdict(token) == GOOD
    provider.revoke(token)
    clock.now, monotonic.now = clock.now + CACHE_SECONDS - 0.1, monotonic.now + CACHE_SECONDS - 0.1
    assert judge.verdict(token) == GOOD
    assert provider.calls(INTROSPECTION) - before == 1
    clock.now, monotonic.now = clock.now + 0.1, monotonic.now + 0.1
    assert judge.verdict(token) == "inactive"


def test_sees_a_revocation_at_the_provider_at_once_without_a_cache(provider: RealProvider, program: Program) -> None:
    judge = program.judge(opaque(provider, cache_seconds=0))
    api, token = program.api(judge), provider.token()
    assert api("GET", token).status_code == 200
    provider.revoke(token)
    assert api("GET", token).status_code == 401
    assert judge.verdict(token) == "inactive"


def test_sees_a_revocation_by_the_denylist_at_once(provider: RealProvider, program: Program) -> None:
    judge = program.judge(opaque(provider))
    api, token, before = program.api(judge), provider.token(), provider.calls(INTROSPECTION)
    assert api("GET", token).status_code == 200
    judge.denylist.revoke(judge.verify(token))
    assert (api("GET", token).status_code, judge.verdict(token)) == (401, "revoked")
    assert judge.verdict(provider.token()) == GOOD
    assert provider.calls(INTROSPECTION) - before == 2


def test_a_fleet_asks_once(provider: RealProvider, program: Program, redis_server: RedisServer) -> None:
    one, other = (program.judge(opaque(provider), store=redis_server.url) for _ in range(2))
    token, before = provider.token(), provider.calls(INTROSPECTION)
    assert one.verify(token) == other.verify(token)
    assert provider.calls(INTROSPECTION) - before == 1
    one.denylist.revoke(one.verify(token))
    assert [judge.verdict(token) for judge in (one, other)] == ["revoked", "revoked"]
    assert provider.calls(INTROSPECTION) - before == 1


# --- JWT access tokens -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resource", [pytest.param(LEDGER, id="RS256"), pytest.param(ARCHIVE, id="ES256")])
def test_takes_jwt_access_tokens(provider: RealProvider, program: Program, resource: str) -> None:
    claims = program.judge(signed(provider, resource)).verify(provider.token(resource))
    assert (claims.kind, claims.client_id, claims["aud"]) == ("oauth.jwt", "shop", resource)
    assert claims.grants("read:orders")


def test_refuses_a_jwt_access_token_for_another_api(provider: RealProvider, program: Program) -> None:
    assert program.judge(signed(provider, LEDGER)).verdict(provider.token(ARCHIVE)) == "wrong_audience"


def test_refuses_an_id_token_as_a_jwt_access_token(provider: RealProvider, program: Program) -> None:
    assert program.judge(signed(provider, "shop")).verdict(provider.tokens_of_ana()["id_token"]) == "bad_type"


def test_takes_both_kinds_in_one_verifier(provider: RealProvider, program: Program) -> None:
    judge, before = program.judge(opaque(provider), signed(provider)), provider.calls(INTROSPECTION)
    kinds = [judge.verify(token).kind for token in (provider.token(ORDERS), provider.token(LEDGER))]
    assert kinds == ["opaque", "oauth.jwt"]
    assert judge.verdict(provider.token(ARCHIVE)) == "wrong_audience"
    assert provider.calls(INTROSPECTION) - before == 1


# --- Our own tokens --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "client_auth"),
    [
        pytest.param("shop", "client_secret_basic", id="basic"),
        pytest.param("shop", "client_secret_post", id="post"),
        pytest.param("special", "client_secret_basic", id="basic, special characters"),
        pytest.param("special_by_post", "client_secret_post", id="post, special characters"),
    ],
)
def test_gets_a_token_of_its_own_once(provider: RealProvider, program: Program, name: str, client_auth: str) -> None:
    ours, before = program.calls(credentials(provider, name, client_auth=client_auth)), provider.calls(TOKEN)
    token = ours.token()
    assert token == ours.token()
    assert provider.calls(TOKEN) - before == 1
    claims = program.judge(opaque(provider)).verify(token)
    assert claims.client_id == client(name).client_id
    assert claims.scopes == {"read:orders"}


def test_needs_no_discovery_where_the_token_url_is_given(provider: RealProvider, program: Program) -> None:
    before, url = provider.calls(DISCOVERY), provider.metadata["token_endpoint"]
    assert program.calls(credentials(provider, issuer=None, token_url=url)).token()
    assert provider.calls(DISCOVERY) == before


def test_gets_no_token_with_a_wrong_secret(provider: RealProvider, program: Program) -> None:
    ours = program.calls(credentials(provider, client_secret="not the secret that the provider knows us by"))
    with pytest.raises(ProviderUnavailable) as refused:
        ours.token()
    assert refused.value.reason == "client_refused"


def test_renews_its_token_once_an_api_refuses_it(provider: RealProvider, program: Program) -> None:
    auth = credentials(provider)
    ours, api = program.calls(auth), program.api(program.judge(opaque(provider, cache_seconds=0)), auth)
    before = provider.calls(TOKEN)
    assert api("GET").json() == {"client": "shop", "subject": None}
    provider.revoke(ours.token())
    assert api("GET").status_code == 200
    assert provider.calls(TOKEN) - before == 2


def test_a_fleet_shares_its_token(provider: RealProvider, program: Program, redis_server: RedisServer) -> None:
    ours, before = (
        [program.calls(credentials(provider, store=redis_server.url)) for _ in range(2)],
        provider.calls(TOKEN),
    )
    assert ours[0].token() == ours[1].token()
    assert provider.calls(TOKEN) - before == 1


def test_fetches_keys_that_are_guarded(provider: RealProvider, program: Program) -> None:
    url = f"{provider.issuer}/guarded/jwks"
    open_to_nobody = oauth.jwt_access_tokens(provider.issuer, LEDGER, keys=JwksKeys(url))
    auth = credentials(provider, origins={provider.issuer})
    program.calls(auth)
    open_to_us = oauth.jwt_access_tokens(provider.issuer, LEDGER, keys=JwksKeys(url, auth=auth))
    token = provider.token(LEDGER)
    assert [program.judge(kind).verdict(token) for kind in (open_to_nobody, open_to_us)] == ["keys_unavailable", GOOD]
