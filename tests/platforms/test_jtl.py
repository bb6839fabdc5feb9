from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from bearerguard import (
    ClientCredentials,
    JwksKeys,
    ProviderUnavailable,
    SettingsError,
    SharedSecrets,
    StaticKeys,
    TokenRevoked,
    Verifier,
)
from bearerguard.carriers import BEARER, Header
from bearerguard.platforms import jtl
from tests.minting import SECRET, mint, private_key, public_jwk
from tests.platforms.verdicts import GOOD, NOW, changed, claims_of, verdict
from tests.scripted_provider import Line, ScriptedProvider, in_turn, json_answer, status

USER = "8f0c9c6e-3b1d-4c2a-9d7e-5a4b3c2d1e0f"
TENANT = "f2f8ab7e-1d2c-4b3a-8e9f-0a1b2c3d4e5f"
APP = "app-0c1d2e3f"
ISSUER = "https://id.jtl-cloud.com"

ED = private_key("EdDSA")
OTHER_ED = private_key("EdDSA", "other")
RSA = private_key("RS256")

SESSION = jtl.session_tokens(
    keys=StaticKeys({"keys": [public_jwk(OTHER_ED, kid="a"), public_jwk(ED, kid="b")]}), client_id="c1"
)
APP_TOKENS = jtl.app_tokens(app_id=APP, keys=StaticKeys({"keys": [public_jwk(RSA, kid="2987")]}))

SESSION_PAYLOAD: dict[str, object] = {
    "exp": NOW + 290,
    "userId": USER,
    "tenantId": TENANT,
    "tenantSlug": "muster-gmbh",
    "kid": "C-104711",
}
APP_PAYLOAD: dict[str, object] = {
    "iss": ISSUER,
    "sub": "287654321098765432",
    "aud": [APP, "298000000000000001"],
    "exp": NOW + 3590,
    "iat": NOW - 10,
    "urn:jtl:tenant_id": TENANT,
    "urn:jtl:app_id": APP,
}


def session_token(**changes: object) -> str:
    return mint(changed(SESSION_PAYLOAD, changes), key=ED, alg="EdDSA")


def app_token(changes: dict[str, object]) -> str:
    return mint(changed(APP_PAYLOAD, changes), key=RSA, alg="RS256", headers={"kid": "2987"})


def test_says_which_tenant_and_user_a_session_token_names() -> None:
    claims = claims_of(session_token(userId=USER.upper(), scope="all"), SESSION)
    assert (claims.kind, claims.tenant, claims.user, claims.scopes) == ("jtl.session", TENANT, USER, frozenset())
    assert claims.typed(jtl.SessionClaims).get("kid") == "C-104711"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, GOOD, id="as documented"),
        pytest.param({"tenantSlug": ..., "kid": ...}, GOOD, id="identity alone"),
        pytest.param({"tenantSlug": None}, GOOD, id="slug null"),
        pytest.param({"kid": "a"}, GOOD, id="payload kid names another key"),
        pytest.param({"exp": ...}, "missing_claim", id="no exp"),
        pytest.param({"exp": NOW + 1}, GOOD, id="in its last second"),
        pytest.param({"exp": NOW}, "expired", id="expired just now, no leeway"),
        pytest.param({"userId": ...}, "missing_claim", id="no user"),
        pytest.param({"userId": "ana"}, "bad_claim", id="user is no UUID"),
        pytest.param({"userId": 5}, "bad_claim", id="user as a number"),
        pytest.param({"tenantId": ...}, "missing_claim", id="no tenant"),
        pytest.param({"tenantId": None}, "missing_claim", id="tenant null"),
        pytest.param({"tenantId": TENANT.upper()}, GOOD, id="tenant in capitals"),
        pytest.param({"tenantId": TENANT.replace("-", "")}, "bad_claim", id="tenant without hyphens"),
        pytest.param({"tenantId": f"{{{TENANT}}}"}, "bad_claim", id="tenant in braces"),
        pytest.param({"tenantId": f"urn:uuid:{TENANT}"}, "bad_claim", id="tenant as a URN"),
        pytest.param({"tenantId": f"{TENANT}\n"}, "bad_claim", id="tenant with a line end"),
    ],
)
def test_keeps_the_rules_of_a_session_token(changes: dict[str, object], expected: str) -> None:
    assert verdict(session_token(**changes), SESSION) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, GOOD, id="no kid: every key is tried"),
        pytest.param({"kid": "b"}, GOOD, id="the right kid"),
        pytest.param({"kid": "a"}, "bad_signature", id="kid of another key"),
        pytest.param({"kid": "C-104711"}, "unknown_key", id="kid of no key"),
        pytest.param({"alg": "Ed25519"}, "bad_algorithm", id="another name of the algorithm"),
        pytest.param({"alg": "none"}, "bad_algorithm", id="not signed"),
    ],
)
def test_finds_the_key_of_a_session_token(headers: dict[str, object], expected: str) -> None:
    assert verdict(mint(SESSION_PAYLOAD, key=ED, alg="EdDSA", headers=headers), SESSION) == expected


@pytest.mark.parametrize("alg", [None, "EdDSA", "Ed25519"])
def test_takes_a_key_whatever_name_its_algorithm_has(alg: str | None) -> None:
    settings = jtl.session_tokens(keys=StaticKeys(public_jwk(ED, **({"alg": alg} if alg else {}))), client_id="c1")
    assert verdict(session_token(), settings) == GOOD


def test_warns_at_start_that_session_tokens_name_no_app(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "bearerguard"):
        Verifier(SESSION)
    said = [record.getMessage() for record in caplog.records]
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert [any(word in line for line in said) for word in ("issuer", "audience", "name no app")] == [True] * 3


def test_revokes_a_tenant_and_a_user_in_any_case() -> None:
    for revoke in ("revoke_tenant", "revoke_user"):
        verifier = Verifier(SESSION, clock=lambda: NOW)
        getattr(verifier.denylist, revoke)((TENANT if revoke == "revoke_tenant" else USER).upper())
        with pytest.raises(TokenRevoked):
            verifier.verify(session_token())
    with pytest.raises(SettingsError):
        Verifier(SESSION).denylist.revoke_tenant("muster-gmbh")


def test_takes_session_tokens_from_the_header_that_is_named() -> None:
    header = Header("X-Session-Token")
    keys = StaticKeys(public_jwk(ED))
    assert SESSION.carriers == (BEARER,)
    assert jtl.session_tokens(keys=keys, client_id="c1", carriers=[header, BEARER]).carriers == (header, BEARER)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, GOOD, id="as documented"),
        pytest.param({"aud": APP}, GOOD, id="audience as a text"),
        pytest.param({"aud": ["298000000000000001"]}, "wrong_audience", id="audience of another app"),
        pytest.param({"aud": []}, "missing_claim", id="empty audience"),
        pytest.param({"aud": ...}, "missing_claim", id="no audience"),
        pytest.param({"iss": f"{ISSUER}/"}, "wrong_issuer", id="issuer with a slash"),
        pytest.param({"iss": "https://id.dev.jtl-cloud.com"}, "wrong_issuer", id="issuer of another environment"),
        pytest.param({"iss": ...}, "missing_claim", id="no issuer"),
        pytest.param({"urn:jtl:app_id": ...}, GOOD, id="no app id"),
        pytest.param({"urn:jtl:app_id": "app-other"}, "rule_failed", id="another app id"),
        pytest.param({"urn:jtl:app_id": ""}, "rule_failed", id="empty app id"),
        pytest.param({"urn:jtl:app_id": None}, "rule_failed", id="app id null"),
        pytest.param({"urn:jtl:app_id": [APP]}, "rule_failed", id="app id in a list"),
        pytest.param({"urn:jtl:tenant_id": ...}, GOOD, id="no tenant"),
        pytest.param({"urn:jtl:tenant_id": "muster"}, "bad_claim", id="tenant is no UUID"),
        pytest.param({"urn:jtl:tenant_id": 5}, "bad_claim", id="tenant as a number"),
        pytest.param({"sub": ...}, "missing_claim", id="no sub"),
        pytest.param({"exp": ...}, "missing_claim", id="no exp"),
        pytest.param({"exp": NOW - 10}, "expired", id="expired"),
    ],
)
def test_keeps_the_rules_of_an_app_token(changes: dict[str, object], expected: str) -> None:
    assert verdict(app_token(changes), APP_TOKENS) == expected


@pytest.mark.parametrize(
    ("tenant", "expected"),
    [
        pytest.param(TENANT.upper(), TENANT, id="a tenant"),
        pytest.param(..., None, id="none"),
        pytest.param(None, None, id="null"),
    ],
)
def test_says_which_tenant_an_app_token_names_if_any(tenant: object, expected: str | None) -> None:
    claims = claims_of(app_token({"urn:jtl:tenant_id": tenant, "scope": "openid"}), APP_TOKENS)
    assert (claims.kind, claims.tenant, claims.user, claims.scopes) == (
        "jtl.app",
        expected,
        "287654321098765432",
        frozenset(),
    )
    assert claims.typed(jtl.AppClaims).get("urn:jtl:app_id") == APP


@pytest.mark.parametrize(
    ("alg", "kid", "expected"),
    [
        pytest.param("RS384", "2987", "bad_algorithm", id="RS384"),
        pytest.param("PS256", "2987", "bad_algorithm", id="PS256"),
        pytest.param("RS256", "other", "unknown_key", id="another kid"),
    ],
)
def test_takes_app_tokens_of_rs256_and_a_known_key(alg: str, kid: str, expected: str) -> None:
    assert verdict(mint(APP_PAYLOAD, key=RSA, alg=alg, headers={"kid": kid}), APP_TOKENS) == expected


@pytest.mark.parametrize("issuer", ["https://id.dev.jtl-cloud.com", "https://id.dev.jtl-cloud.com/"])
def test_fetches_the_keys_of_the_issuer(issuer: str) -> None:
    settings = jtl.app_tokens(app_id=APP, issuer=issuer)
    assert settings.issuer == "https://id.dev.jtl-cloud.com"
    assert settings.keys == JwksKeys("https://id.dev.jtl-cloud.com/oauth/v2/keys")
    assert jtl.app_tokens(app_id=APP).keys == JwksKeys("https://id.jtl-cloud.com/oauth/v2/keys")


def test_tells_the_two_generations_apart_on_one_carrier() -> None:
    assert claims_of(session_token(), SESSION, APP_TOKENS).kind == "jtl.session"
    assert claims_of(app_token({}), SESSION, APP_TOKENS).kind == "jtl.app"


def test_says_what_is_wrong_with_the_settings() -> None:
    keys = StaticKeys(public_jwk(ED))
    with pytest.raises(SettingsError, match="client_id"):
        jtl.session_tokens(keys=keys, client_id="")
    with pytest.raises(SettingsError, match="SharedSecrets"):
        jtl.session_tokens(keys=SharedSecrets(SECRET), client_id="c1")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="fits none"):
        jtl.session_tokens(keys=StaticKeys(public_jwk(RSA)), client_id="c1")
    with pytest.raises(SettingsError, match="app_id"):
        jtl.app_tokens(app_id="", keys=StaticKeys(public_jwk(RSA)))
    with pytest.raises(SettingsError, match="https"):
        jtl.app_tokens(app_id=APP, issuer="http://id.jtl-cloud.com")


# --- Access tokens of the app, and the keys that they open -----------------------------------------------------------

JWKS = "/account/.well-known/jwks.json"
OURS: Any = {"client_id": "c1", "client_secret": SECRET}


@pytest.fixture
def cloud() -> Iterator[ScriptedProvider]:
    """JTL's cloud: it grants one token after the other, and shows its keys to who has the last one."""
    with ScriptedProvider(status(404)) as provider:
        grants = in_turn(*(granted(f"access-{turn}") for turn in range(9)))
        provider.play("/oauth2/token", grants)
        provider.play("/oauth/v2/token", grants)
        shows_keys(provider, "access-0")
        yield provider


def granted(token: str) -> Any:
    return json_answer({"access_token": token, "token_type": "bearer", "expires_in": 3599})


def shows_keys(provider: ScriptedProvider, *to: str) -> None:
    keys, refusal = json_answer({"keys": [public_jwk(ED)]}), json_answer({"error": "unauthorized"}, 401)
    bearers = {f"Bearer {token}" for token in to}

    def play(line: Line) -> None:
        (keys if line.request.headers.get("authorization") in bearers else refusal)(line)

    provider.play(JWKS, play)


def credentials_at(provider: ScriptedProvider, **changes: Any) -> ClientCredentials:
    return jtl.client_credentials(**OURS | {"auth_url": provider.url(), "api_url": provider.url()} | changes)


@pytest.mark.parametrize(
    ("environment", "auth", "api"),
    [
        pytest.param("prod", "https://auth.jtl-cloud.com", "https://api.jtl-cloud.com", id="prod"),
        pytest.param("beta", "https://auth.jtl-cloud.com", "https://api.beta.jtl-cloud.com", id="beta"),
        pytest.param("dev", "https://auth.dev.jtl-cloud.com", "https://api.dev.jtl-cloud.com", id="dev"),
        pytest.param("qa", "https://auth.qa.jtl-cloud.com", "https://api.qa.jtl-cloud.com", id="qa"),
    ],
)
def test_knows_where_each_environment_is(environment: jtl.Environment, auth: str, api: str) -> None:
    credentials = jtl.client_credentials(**OURS, environment=environment)
    assert credentials.origins == {api}
    assert repr(credentials) == f"<ClientCredentials 'c1' at '{auth}/oauth2/token'>"
    for settings in (
        jtl.session_tokens(**OURS, environment=environment),
        jtl.session_tokens(client_id="c1", credentials=credentials, environment=environment),
    ):
        assert isinstance(settings.keys, JwksKeys)
        assert settings.keys.url == f"{api}{JWKS}"
        assert repr(settings.keys.auth) == repr(credentials)
        assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("changes", "endpoint", "origins"),
    [
        pytest.param({}, "https://auth.jtl-cloud.com/oauth2/token", {"https://api.jtl-cloud.com"}, id="as it is"),
        pytest.param(
            {"environment": "beta", "auth_url": "https://auth.beta.jtl-cloud.com/"},
            "https://auth.beta.jtl-cloud.com/oauth2/token",
            {"https://api.beta.jtl-cloud.com"},
            id="another place to ask",
        ),
        pytest.param(
            {"api_url": "https://proxy.example.com/jtl/"},
            "https://auth.jtl-cloud.com/oauth2/token",
            {"https://proxy.example.com"},
            id="an API behind a proxy",
        ),
        pytest.param(
            {"origins": {"https://a.example.com", "https://b.example.com"}},
            "https://auth.jtl-cloud.com/oauth2/token",
            {"https://a.example.com", "https://b.example.com"},
            id="origins",
        ),
        pytest.param(
            {"issuer": f"{ISSUER}/"}, f"{ISSUER}/oauth/v2/token", {"https://api.jtl-cloud.com"}, id="the new generation"
        ),
    ],
)
def test_lets_every_url_be_set(changes: dict[str, Any], endpoint: str, origins: set[str]) -> None:
    credentials = jtl.client_credentials(**OURS | changes)
    assert credentials.origins == origins
    assert repr(credentials) == f"<ClientCredentials 'c1' at '{endpoint}'>"


def test_looks_for_keys_behind_the_url_that_is_given() -> None:
    settings = jtl.session_tokens(**OURS, api_url="https://proxy.example.com/jtl/")
    assert isinstance(settings.keys, JwksKeys)
    assert settings.keys.url == f"https://proxy.example.com/jtl{JWKS}"


@pytest.mark.parametrize(
    ("changes", "path", "form"),
    [
        pytest.param({}, "/oauth2/token", {"grant_type": "client_credentials"}, id="today"),
        pytest.param(
            {"scope": "a b"}, "/oauth2/token", {"grant_type": "client_credentials", "scope": "a b"}, id="a scope"
        ),
        pytest.param(
            {"auth_url": None, "issuer": ...},
            "/oauth/v2/token",
            {"grant_type": "client_credentials", "scope": "openid"},
            id="the new generation",
        ),
    ],
)
def test_gets_access_tokens_of_its_own(
    cloud: ScriptedProvider, changes: dict[str, Any], path: str, form: dict[str, str]
) -> None:
    if "issuer" in changes:
        changes = changes | {"issuer": cloud.url()}
    credentials = credentials_at(cloud, **changes)
    assert credentials.token() == "access-0"
    credentials.close()
    (asked,) = cloud.requests
    basic = base64.b64encode(f"c1:{SECRET}".replace(" ", "+").replace(",", "%2C").encode()).decode()
    assert (asked.path, asked.form, asked.headers["authorization"]) == (path, form, f"Basic {basic}")


def test_calls_the_erp_and_nobody_else(cloud: ScriptedProvider) -> None:
    cloud.play("/erp/v2/graphql", json_answer({"data": {}}))
    credentials = credentials_at(cloud)
    with httpx.Client(auth=credentials) as client:
        assert client.post(cloud.url("/erp/v2/graphql"), headers={"X-Tenant-ID": TENANT}, json={}).status_code == 200
        with pytest.raises(SettingsError, match="is not sent to https://elsewhere"):
            client.get("https://elsewhere.example.com/")
    credentials.close()
    assert cloud.requests[-1].headers["authorization"] == "Bearer access-0"


def test_fetches_the_keys_of_session_tokens_with_a_token_of_its_own(cloud: ScriptedProvider) -> None:
    settings = jtl.session_tokens(client_id="c1", credentials=credentials_at(cloud), api_url=cloud.url())
    assert verdict(session_token(), settings) == GOOD
    assert [request.path for request in cloud.requests] == ["/oauth2/token", JWKS]


def test_gets_another_token_once_where_the_keys_are_refused(cloud: ScriptedProvider) -> None:
    shows_keys(cloud, "access-1")
    settings = jtl.session_tokens(client_id="c1", credentials=credentials_at(cloud), api_url=cloud.url())
    assert verdict(session_token(), settings) == GOOD
    assert [cloud.count("/oauth2/token"), cloud.count(JWKS)] == [2, 2]


def test_blames_no_session_token_for_keys_that_nobody_shows(cloud: ScriptedProvider) -> None:
    shows_keys(cloud)
    settings = jtl.session_tokens(client_id="c1", credentials=credentials_at(cloud), api_url=cloud.url())
    with pytest.raises(ProviderUnavailable):
        claims_of(session_token(), settings)
    assert [cloud.count("/oauth2/token"), cloud.count(JWKS)] == [2, 2]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"client_id": ""}, "client_id", id="no client"),
        pytest.param({"client_secret": ""}, "secret is empty", id="no secret"),
        pytest.param({"environment": "production"}, "use one of 'prod', 'beta'", id="no such environment"),
        pytest.param({"auth_url": "http://auth.jtl-cloud.com"}, "https", id="http where tokens come from"),
        pytest.param({"auth_url": ""}, "auth_url", id="nowhere"),
        pytest.param({"api_url": "http://api.jtl-cloud.com"}, "https", id="http where tokens go"),
        pytest.param({"api_url": ""}, "api_url", id="an empty URL"),
        pytest.param({"issuer": "https://id.jtl-cloud.com", "auth_url": "https://a.example"}, "give one", id="both"),
        pytest.param({"origins": set()}, "origins is empty", id="no origin"),
    ],
)
def test_says_what_is_wrong_with_the_credentials(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        jtl.client_credentials(**OURS | changes)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"client_secret": SECRET, "keys": StaticKeys(public_jwk(ED))}, id="a secret and keys"),
        pytest.param({"credentials": jtl.client_credentials(**OURS), "client_secret": SECRET}, id="credentials twice"),
    ],
)
def test_takes_the_keys_of_session_tokens_from_one_place(given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="give one of client_secret="):
        jtl.session_tokens(client_id="c1", **given)


def test_sends_no_token_to_keys_that_its_credentials_are_not_for() -> None:
    production = jtl.client_credentials(**OURS)
    with pytest.raises(SettingsError, match=r"is not sent to https://api\.dev"):
        jtl.session_tokens(client_id="c1", credentials=production, environment="dev")
