"""A provider for the tests of apps: what it says is believed by ours, how it fails is survived, and nothing stays."""

from __future__ import annotations

import asyncio
import base64
import gc
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import quote_plus

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from bearerguard import (
    AuthError,
    ClientCredentials,
    JwksKeys,
    OpaqueTokens,
    ProviderUnavailable,
    SettingsError,
    SharedSecrets,
    Verifier,
)
from bearerguard.asgi import IntrospectionMiddleware
from bearerguard.platforms import jtl, oauth, whatalo
from bearerguard.settings import ClientAuth
from bearerguard.testing import Clock, FakeProvider, TestKeys, mint
from bearerguard.testing.provider_answers import FAULTS, Fault
from tests.hostile import GOOD
from tests.store_calls import Flavour

AUDIENCE = "https://orders.example.com"
KEYS = TestKeys()
# No address here has anything to do with TLS, and loading the authorities for each request takes long.
get, post, request = (partial(asking, verify=False) for asking in (httpx.get, httpx.post, httpx.request))

OURS = "the client secret: 100% secret & 32 bytes+"


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with FakeProvider(audience=AUDIENCE, keys=KEYS).serve() as provider:
        yield provider


def opaque(provider: FakeProvider, **changes: Any) -> OpaqueTokens:
    usual: dict[str, Any] = {
        "issuer": provider.issuer,
        "audience": AUDIENCE,
        "client_id": provider.client_id,
        "client_secret": provider.client_secret,
        "tenant": "tenant",
        "user": "sub",
        "assumed_lifetime": 3600,
        "cache_seconds": 0,
    }
    return OpaqueTokens(**usual | changes)


def verdict(verifier: Verifier[Any], token: str, flavour: Flavour = "sync") -> str:
    """`GOOD`, or the reason word."""
    try:
        if flavour == "sync":
            verifier.verify(token)
        else:
            asyncio.run(averified(verifier, token))
    except (AuthError, ProviderUnavailable) as refusal:
        return refusal.reason
    return GOOD


async def averified(verifier: Verifier[Any], token: str) -> None:
    async with verifier:
        await verifier.averify(token)


# --- Opaque tokens ---------------------------------------------------------------------------------------------------


def test_says_of_a_token_what_it_was_issued_with(provider: FakeProvider, flavour: Flavour) -> None:
    with Verifier(opaque(provider)) as verifier:
        token = provider.issue(tenant="acme", user="anna", scopes={"b", "a"}, client_id="spa", plan="gold")
        claims = verifier.verify(token)
        assert verdict(verifier, token, flavour) == GOOD
    assert (claims.tenant, claims.user, claims.client_id) == ("acme", "anna", "spa")
    assert claims.scopes == {"a", "b"}
    assert claims["plan"] == "gold"
    assert claims.issuer == provider.issuer


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        pytest.param({}, GOOD, id="good"),
        pytest.param({"active": False}, "inactive", id="not active"),
        pytest.param({"lifetime": 0}, "inactive", id="ended"),
        pytest.param({"audience": "https://elsewhere.example.com"}, "wrong_audience", id="for somebody else"),
        pytest.param({"aud": None}, "missing_claim", id="for nobody"),
        pytest.param({"aud": ["x", AUDIENCE]}, GOOD, id="for several"),
        pytest.param({"iss": "https://elsewhere.example.com"}, "wrong_issuer", id="of somebody else"),
        pytest.param({"token_type": "DPoP"}, "sender_constrained", id="bound to a key"),
        pytest.param({"exp": "soon"}, "provider_unavailable", id="an end that is a text"),
    ],
)
def test_says_of_bad_tokens_what_it_is_told(provider: FakeProvider, asked: dict[str, Any], reason: str) -> None:
    with Verifier(opaque(provider)) as verifier:
        assert verdict(verifier, provider.issue(**asked)) in (reason, "bad_claim")


def test_knows_no_token_that_it_has_not_issued(provider: FakeProvider) -> None:
    with Verifier(opaque(provider)) as verifier:
        assert verdict(verifier, "x" * 43) == "inactive"


def test_a_revoked_token_is_not_active(provider: FakeProvider) -> None:
    with Verifier(opaque(provider)) as verifier:
        token, other = provider.issue(), provider.issue()
        provider.revoke(token)
        provider.revoke("one that nobody knows")
        assert [verdict(verifier, each) for each in (token, other)] == ["inactive", GOOD]


def test_tokens_end_by_its_clock() -> None:
    clock = Clock()
    with (
        FakeProvider(clock=clock, audience=AUDIENCE).serve() as provider,
        Verifier(opaque(provider), clock=clock, monotonic=clock) as verifier,
    ):
        token = provider.issue(lifetime=60)
        assert verdict(verifier, token) == GOOD
        clock.advance(60)
        assert verdict(verifier, token) == "inactive"
        assert verdict(verifier, provider.issue(lifetime=60)) == GOOD


def test_is_the_provider_of_a_platform() -> None:
    with FakeProvider(tenant_claim="whatalo_store_id", audience=AUDIENCE).serve() as provider:
        settings = whatalo.access_tokens(
            client_id=provider.client_id,
            client_secret=provider.client_secret,
            audience=AUDIENCE,
            issuer=provider.issuer,
        )
        with Verifier(settings) as verifier:
            assert verifier.verify(provider.issue(tenant="str_1", scopes={"read:orders"})).tenant == "str_1"


# --- Whom it answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client_auth", ["client_secret_basic", "client_secret_basic_raw", "client_secret_post"])
@pytest.mark.parametrize("secret", [OURS, "another secret, of thirty-two bytes"])
def test_answers_only_clients_that_prove_themselves(client_auth: ClientAuth, secret: str) -> None:
    with FakeProvider(client_id="api", client_secret=OURS, audience=AUDIENCE).serve() as provider:
        token = provider.issue()
        with Verifier(opaque(provider, client_auth=client_auth, client_secret=secret)) as verifier:
            assert verdict(verifier, token) == (GOOD if secret == OURS else "client_refused")
        assert provider.calls[-1].answered == (200 if secret == OURS else 401)
        assert provider.calls[-1].client_id == ("api" if secret == OURS else None)


def test_takes_the_old_secret_no_longer() -> None:
    with FakeProvider(client_secret=OURS, audience=AUDIENCE).serve() as provider:
        both = SharedSecrets("the new one, of thirty-two bytes or so", OURS)
        with Verifier(opaque(provider, client_secret=both)) as verifier:
            assert verdict(verifier, provider.issue()) == GOOD
        assert [call.answered for call in provider.calls[1:]] == [401, 200]


def basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "form", "status"),
    [
        pytest.param(None, "token=x", 401, id="no proof"),
        pytest.param("Basic !!!", "token=x", 401, id="no base64"),
        pytest.param("Basic /w==", "token=x", 401, id="no UTF-8"),
        pytest.param("Basic YXBp", "token=x", 401, id="no colon"),
        pytest.param("Bearer x", "token=x", 401, id="another scheme"),
        pytest.param(basic("api", ""), "token=x", 401, id="an empty secret"),
        pytest.param(basic("", OURS), "token=x", 401, id="an empty id"),
        pytest.param(basic("api", OURS), "token=x", 200, id="a good proof"),
        pytest.param(basic("api", quote_plus(OURS)), "token=x", 200, id="a good proof, encoded"),
        pytest.param(basic("api", OURS), "", 400, id="no token"),
        pytest.param(basic("api", OURS), "token=x&token=y", 400, id="two tokens"),
        pytest.param(basic("api", OURS), "nonsense", 400, id="no form"),
        pytest.param(basic("api", OURS), b"token=\xff", 400, id="a form in no UTF-8"),
        pytest.param(basic("api", OURS), f"token=x&client_id=api&client_secret={quote_plus(OURS)}", 400, id="two"),
        pytest.param(None, f"token=x&client_id=api&client_secret={quote_plus(OURS)}", 200, id="a proof in the body"),
    ],
)
def test_reads_forms_strictly(authorization: str | None, form: str | bytes, status: int) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    with FakeProvider(client_id="api", client_secret=OURS).serve() as provider:
        for endpoint in ("introspection", "revocation"):
            answer = post(provider.url(endpoint), content=form, headers=headers)
            assert answer.status_code == status
            if status == 401:
                assert answer.json() == {"error": "invalid_client"}
                assert answer.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/introspect", 405),
        ("POST", "/.well-known/jwks.json", 405),
        ("GET", "/", 404),
        ("POST", "/elsewhere", 404),
        ("DELETE", "/token", 501),
    ],
)
def test_has_no_other_places(provider: FakeProvider, method: str, path: str, status: int) -> None:
    assert request(method, f"{provider.issuer}{path}").status_code == status


# --- Metadata, keys, signed tokens -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"])
def test_says_where_its_endpoints_are(provider: FakeProvider, path: str) -> None:
    metadata = get(f"{provider.issuer}{path}").json()
    assert metadata["issuer"] == provider.issuer
    named = {endpoint: metadata[f"{endpoint}_endpoint"] for endpoint in ("token", "introspection", "revocation")}
    assert {**named, "jwks": metadata["jwks_uri"]} == {
        endpoint: provider.url(endpoint) for endpoint in ("token", "introspection", "revocation", "jwks")
    }


@pytest.mark.parametrize("algorithm", ["RS256", "PS512", "ES256", "EdDSA"])
def test_signs_tokens_that_its_key_set_verifies(provider: FakeProvider, flavour: Flavour, algorithm: str) -> None:
    with Verifier(oauth.jwt_access_tokens(provider.issuer, AUDIENCE)) as verifier:
        token = provider.mint(user="anna", scopes={"a"}, algorithm=algorithm)
        assert verdict(verifier, token, flavour) == GOOD
        claims = verifier.verify(token)
    assert claims.user == "anna"
    assert claims.scopes == {"a"}


def test_signs_for_settings_of_any_sort(provider: FakeProvider) -> None:
    settings = jtl.app_tokens(app_id="ours", issuer=provider.issuer, keys=JwksKeys(provider.url("jwks")))
    with Verifier(settings) as verifier:
        assert verdict(verifier, mint(settings, keys=provider.keys)) == GOOD
        assert verdict(verifier, mint(settings, keys=TestKeys())) == "unknown_key"


@pytest.mark.parametrize("keep_old", [False, True])
def test_changes_its_keys(provider: FakeProvider, keep_old: bool) -> None:
    settings = oauth.jwt_access_tokens(provider.issuer, AUDIENCE)
    old = provider.mint()
    provider.rotate_keys(keep_old=keep_old)
    with Verifier(settings) as verifier:
        assert verdict(verifier, provider.mint()) == GOOD
        assert verdict(verifier, old) == (GOOD if keep_old else "unknown_key")
    assert len(get(provider.url("jwks")).json()["keys"]) == (6 if keep_old else 3)


def test_a_signed_token_can_be_asked_about_and_revoked(provider: FakeProvider) -> None:
    with Verifier(opaque(provider, jwt_shaped=True)) as verifier:
        token = provider.mint(tenant="acme")
        assert verifier.verify(token).tenant == "acme"
        provider.revoke(token)
        assert verdict(verifier, token) == "inactive"


def test_gives_clients_access_tokens(provider: FakeProvider) -> None:
    credentials = ClientCredentials(
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        issuer=provider.issuer,
        scope="read:orders write:orders",
        resource=AUDIENCE,
        origins={provider.issuer},
    )
    with Verifier(opaque(provider)) as verifier:
        claims = verifier.verify(credentials.token())
    credentials.close()
    assert claims.scopes == {"read:orders", "write:orders"}
    assert claims.client_id == claims.user == provider.client_id


def test_gives_no_token_for_another_grant(provider: FakeProvider) -> None:
    client = (provider.client_id, provider.client_secret)
    answer = post(provider.url("token"), data={"grant_type": "password"}, auth=client)
    assert (answer.status_code, answer.json()) == (400, {"error": "unsupported_grant_type"})


def test_revokes_for_clients(provider: FakeProvider) -> None:
    client = (provider.client_id, provider.client_secret)
    token = provider.issue()
    assert post(provider.url("revocation"), data={"token": token}, auth=client).status_code == 200
    with Verifier(opaque(provider)) as verifier:
        assert verdict(verifier, token) == "inactive"


# --- Faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.timed
@pytest.mark.parametrize("fault", FAULTS)
def test_fails_as_it_is_told_to_and_recovers(provider: FakeProvider, fault: Fault, flavour: Flavour) -> None:
    settings = opaque(provider, deadline=0.4)
    with Verifier(settings) as verifier:
        token = provider.issue()
        assert verdict(verifier, token, flavour) == GOOD
        provider.fail(fault, at="introspection")
        started = time.monotonic()
        assert verdict(verifier, token, flavour) == "provider_unavailable"
        assert time.monotonic() - started < 2
        assert provider.calls[-1].answered == fault
        provider.recover()
        assert verdict(verifier, token, flavour) == GOOD


def test_fails_at_one_endpoint_or_everywhere(provider: FakeProvider) -> None:
    provider.fail("500", at="jwks")
    provider.fail("garbage", at="jwks")
    assert get(provider.url("discovery")).json()["issuer"] == provider.issuer
    assert get(provider.url("jwks")).text == "<html>It works!</html>"
    provider.fail("500")
    assert get(provider.url("discovery")).status_code == 500
    assert get(provider.url("jwks")).text == "<html>It works!</html>"
    provider.recover()
    assert len(get(provider.url("jwks")).json()["keys"]) == 3


@pytest.mark.parametrize("fault", ["500", "garbage", "truncate", "refuse"])
def test_keys_that_cannot_be_had_are_no_fault_of_the_caller(provider: FakeProvider, fault: Fault) -> None:
    provider.fail(fault, at="jwks")
    with Verifier(oauth.jwt_access_tokens(provider.issuer, AUDIENCE)) as verifier:
        assert verdict(verifier, provider.mint()) == "keys_unavailable"


def test_lets_go_of_those_who_hang_when_it_recovers(provider: FakeProvider) -> None:
    provider.fail("hang")
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(get, provider.url("jwks"), timeout=30)
        while not provider.calls:
            time.sleep(0.01)
        provider.recover()
        with pytest.raises(httpx.RemoteProtocolError):
            asking.result(10)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"fault": "explode"}, "'explode' is no fault; use one of 'refuse', 'hang'"),
        ({"fault": "500", "at": "introspect"}, "'introspect' is no endpoint; use one of 'discovery', 'jwks'"),
    ],
)
def test_knows_its_faults(provider: FakeProvider, arguments: Any, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        provider.fail(arguments.pop("fault"), **arguments)


# --- Serving ---------------------------------------------------------------------------------------------------------


def test_leaves_no_thread_and_no_socket_behind() -> None:
    before = threading.enumerate()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        with FakeProvider(keys=KEYS).serve() as provider:
            issuer = provider.issuer
            # A client that keeps its connection, one that never asks, and one that waits for ever.
            with (
                httpx.Client(verify=False) as client,
                socket.create_connection(("127.0.0.1", int(issuer.rpartition(":")[2]))),
            ):
                assert client.get(provider.url("jwks")).status_code == 200
                provider.fail("hang")
                with pytest.raises(httpx.ReadTimeout):
                    get(provider.url("jwks"), timeout=0.1)
        gc.collect()
    assert [str(each.message) for each in caught] == []
    assert threading.enumerate() == before
    with pytest.raises(httpx.ConnectError):
        get(f"{issuer}/.well-known/jwks.json")


@pytest.mark.timed
def test_ends_at_once_while_others_hold_on_to_it() -> None:
    with ThreadPoolExecutor(2) as pool:
        with FakeProvider(keys=KEYS).serve() as provider:
            provider.fail("hang", at="jwks")
            provider.fail("drip", at="discovery")
            asking = [pool.submit(get, provider.url(each), timeout=30) for each in ("jwks", "discovery")]
            while len(provider.calls) < 2:
                time.sleep(0.01)
            started = time.monotonic()
        assert time.monotonic() - started < 2
        for each in asking:
            with pytest.raises(httpx.TransportError):
                each.result(10)


def test_ends_where_its_block_fails() -> None:
    before = threading.enumerate()
    with pytest.raises(ZeroDivisionError), FakeProvider().serve():
        _ = 1 / 0
    assert threading.enumerate() == before


def test_may_be_served_again_and_keeps_what_it_knows(provider: FakeProvider) -> None:
    other = FakeProvider(audience=AUDIENCE)
    with other.serve():
        first, token = other.issuer, other.issue()
    with other.serve(), Verifier(opaque(other)) as verifier:
        assert verdict(verifier, other.issue()) == GOOD
        assert verdict(verifier, token) == (GOOD if other.issuer == first else "wrong_issuer")


def test_answers_many_at_once(provider: FakeProvider) -> None:
    with Verifier(opaque(provider)) as verifier, ThreadPoolExecutor(16) as pool:
        tokens = [provider.issue() for _ in range(64)]
        assert set(pool.map(lambda token: verdict(verifier, token), tokens)) == {GOOD}
    assert sum(call.endpoint == "introspection" for call in provider.calls) == 64


def test_is_served_at_the_port_that_it_is_given() -> None:
    with FakeProvider().serve() as first:
        port = int(first.issuer.rpartition(":")[2])
        with pytest.raises(SettingsError, match=rf"port {port} .* cannot be had"), FakeProvider().serve(port=port):
            pytest.fail("two are served at one port")
    with FakeProvider().serve(port=port) as second:
        assert second.issuer == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("port", [-1, 70_000])
def test_refuses_ports_that_are_none(port: int) -> None:
    with pytest.raises(SettingsError, match=f"port {port} "), FakeProvider().serve(port=port):
        pytest.fail("served")


def test_is_served_once_at_a_time(provider: FakeProvider) -> None:
    with pytest.raises(SettingsError, match="is served already"), provider.serve():
        pytest.fail("served twice")
    assert provider.issuer


def test_has_no_address_before_it_is_served() -> None:
    provider = FakeProvider()
    assert repr(provider) == "<FakeProvider not served>"
    for asked in (FakeProvider.issue, FakeProvider.mint, lambda each: each.issuer, lambda each: each.url("jwks")):
        with pytest.raises(SettingsError, match="is not served, so it has no address"):
            asked(provider)
    with pytest.raises(SettingsError, match="'keys' is no endpoint"):
        provider.url("keys")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"issuer": "http://id.example.com"}, "issuer must be https"),
        ({"issuer": "id.example.com"}, "issuer is no absolute URL"),
        ({"client_id": ""}, "client_id is empty"),
        ({"client_secret": ""}, "client_secret is empty"),
        ({"tenant_claim": ""}, "tenant_claim is empty"),
    ],
)
def test_refuses_nonsense(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        FakeProvider(**arguments)


@pytest.mark.parametrize("arguments", [{"scopes": "read"}, {"lifetime": "1"}, {"scopes": ["a b"]}])
def test_issues_no_nonsense(provider: FakeProvider, arguments: dict[str, Any]) -> None:
    for make in (provider.issue, provider.mint):
        with pytest.raises(SettingsError):
            make(**arguments)


def test_shows_no_secret_and_no_token(provider: FakeProvider) -> None:
    token = provider.issue()
    with Verifier(opaque(provider)) as verifier:
        assert verdict(verifier, token) == GOOD
    get(f"{provider.url('jwks')}?token={token}")
    post(f"{provider.issuer}/{token}/revoke", auth=(provider.client_id, provider.client_secret))
    shown = f"{provider!r} {provider} {provider.calls!r}"
    assert token not in shown
    assert provider.client_secret not in shown
    assert basic(provider.client_id, provider.client_secret).removeprefix("Basic ") not in shown


# --- As an ASGI application ------------------------------------------------------------------------------------------

MOUNTED = "http://127.0.0.1/provider"


def test_is_an_asgi_application_below_any_path() -> None:
    provider = FakeProvider(issuer=MOUNTED, audience=AUDIENCE, keys=KEYS)
    with TestClient(Starlette(routes=[Mount("/provider", provider)]), base_url="http://127.0.0.1") as client:
        metadata = client.get(f"{MOUNTED}/.well-known/openid-configuration").json()
        assert metadata["introspection_endpoint"] == f"{MOUNTED}/introspect" == provider.url("introspection")
        auth = (provider.client_id, provider.client_secret)
        answer = client.post(metadata["introspection_endpoint"], data={"token": provider.issue()}, auth=auth)
        assert answer.json()["active"] is True
        assert len(client.get(metadata["jwks_uri"]).json()["keys"]) == 3


def test_lives_and_dies_as_an_application() -> None:
    with TestClient(FakeProvider(issuer=MOUNTED, keys=KEYS)) as client:
        assert client.get("/.well-known/jwks.json").status_code == 200
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/"):
            pytest.fail("it has no WebSockets")


@pytest.mark.parametrize("fault", FAULTS)
def test_fails_as_an_application_too(fault: Fault) -> None:
    provider = FakeProvider(issuer=MOUNTED, keys=KEYS)
    provider.fail(fault)

    async def asked() -> str:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(provider), base_url=MOUNTED) as client:
            answer = await asyncio.wait_for(client.get("/.well-known/jwks.json"), 0.3)
            return f"{answer.status_code} {answer.text}"

    expected: dict[str, Any] = {"500": '500 {"error": "server_error"}', "garbage": "200 <html>It works!</html>"}
    if fault in expected:
        assert asyncio.run(asked()) == expected[fault]
    else:
        with pytest.raises((ConnectionResetError, TimeoutError)):
            asyncio.run(asked())


# --- The whole way ---------------------------------------------------------------------------------------------------


def test_stands_behind_a_guarded_app(provider: FakeProvider) -> None:
    app = Starlette(routes=[Route("/", lambda request: JSONResponse({"user": request.user.claims.user}))])
    with TestClient(IntrospectionMiddleware(app, verifier=Verifier(opaque(provider)))) as client:
        headers = {"Authorization": f"Bearer {provider.issue(user='anna')}"}
        assert client.get("/", headers=headers).json() == {"user": "anna"}
        provider.fail("500")
        assert client.get("/", headers=headers).status_code == 503
