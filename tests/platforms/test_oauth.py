from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from bearerguard import UNCHECKED, JwksKeys, OpaqueTokens, SettingsError, SharedSecrets, StaticKeys
from bearerguard.platforms import oauth
from tests.minting import SECRET, mint, private_key, public_jwk
from tests.platforms.verdicts import GOOD, NOW, changed, claims_of, verdict
from tests.scripted_provider import ScriptedProvider, json_answer, status

ISSUER = "https://id.example.com"
API = "https://orders.example.com"
ALGORITHMS = ("RS256", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")

KEYS = StaticKeys({"keys": [public_jwk(private_key(alg), kid=alg) for alg in ALGORITHMS]})
STRICT = oauth.jwt_access_tokens(ISSUER, API, keys=KEYS)
RELAXED = oauth.jwt_access_tokens(ISSUER, API, keys=KEYS, rfc9068=False)

PAYLOAD: dict[str, object] = {
    "iss": ISSUER,
    "aud": API,
    "sub": "ana",
    "client_id": "web",
    "exp": NOW + 3590,
    "iat": NOW - 10,
    "jti": "5f7c0f5e",
    "scope": "read:orders openid",
}


def token(changes: dict[str, object] | None = None, *, alg: str = "RS256", typ: str | None = "at+jwt") -> str:
    headers = {"kid": alg, "typ": typ}
    return mint(changed(PAYLOAD, changes or {}), key=private_key(alg), alg=alg, headers=headers)


def test_says_who_and_what_an_access_token_grants() -> None:
    claims = claims_of(token(), STRICT)
    assert (claims.kind, claims.user, claims.client_id, claims.tenant) == ("oauth.jwt", "ana", "web", None)
    assert claims.scopes == {"read:orders", "openid"}
    assert claims.typed(oauth.AccessTokenClaims).get("scope") == "read:orders openid"


@pytest.mark.parametrize(
    ("changes", "strictly", "relaxed"),
    [
        pytest.param({}, GOOD, GOOD, id="as in RFC 9068"),
        pytest.param({"aud": ["a", API]}, GOOD, GOOD, id="one audience of several"),
        pytest.param({"scope": ...}, GOOD, GOOD, id="no scopes"),
        pytest.param({"iss": f"{ISSUER}/"}, "wrong_issuer", "wrong_issuer", id="issuer with a slash"),
        pytest.param({"iss": ...}, "missing_claim", "missing_claim", id="no issuer"),
        pytest.param({"aud": "web"}, "wrong_audience", "wrong_audience", id="another audience"),
        pytest.param({"aud": ...}, "missing_claim", "missing_claim", id="no audience"),
        pytest.param({"exp": ...}, "missing_claim", "missing_claim", id="no exp"),
        pytest.param({"exp": NOW - 10}, "expired", "expired", id="expired"),
        pytest.param({"iat": ...}, "missing_claim", GOOD, id="no iat"),
        pytest.param({"sub": ...}, "missing_claim", GOOD, id="no sub"),
        pytest.param({"jti": ...}, "missing_claim", GOOD, id="no jti"),
        pytest.param({"client_id": ..., "azp": "web"}, "missing_claim", GOOD, id="no client_id"),
        pytest.param({"client_id": 5}, "rule_failed", GOOD, id="client_id as a number"),
        pytest.param({"cnf": {"jkt": "x"}}, "sender_constrained", "sender_constrained", id="bound to a key"),
        pytest.param({"at_hash": "x"}, GOOD, "rule_failed", id="an ID token"),
        pytest.param({"c_hash": "x"}, GOOD, "rule_failed", id="an ID token of a hybrid flow"),
    ],
)
def test_keeps_the_rules_of_an_access_token(changes: dict[str, object], strictly: str, relaxed: str) -> None:
    assert verdict(token(changes), STRICT) == strictly
    assert verdict(token(changes, typ="JWT"), RELAXED) == relaxed


@pytest.mark.parametrize(
    ("typ", "strictly", "relaxed"),
    [
        pytest.param("at+jwt", GOOD, GOOD, id="at+jwt"),
        pytest.param("application/AT+JWT", GOOD, GOOD, id="as a media type, in capitals"),
        pytest.param("JWT", "bad_type", GOOD, id="JWT"),
        pytest.param(None, "bad_type", GOOD, id="none"),
        pytest.param("logout+jwt", "bad_type", "bad_type", id="a logout token"),
    ],
)
def test_asks_for_the_type_of_rfc_9068_unless_told_otherwise(typ: str | None, strictly: str, relaxed: str) -> None:
    assert verdict(token(typ=typ), STRICT) == strictly
    assert verdict(token(typ=typ), RELAXED) == relaxed


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_takes_every_asymmetric_algorithm(alg: str) -> None:
    assert verdict(token(alg=alg), STRICT) == GOOD


def test_takes_only_the_algorithms_that_are_named() -> None:
    settings = oauth.jwt_access_tokens(
        ISSUER, API, keys=KEYS, algorithms=("RS256", "PS512", "ES384", "ES512", "EdDSA", "ES256")
    )
    assert verdict(token(alg="Ed25519"), settings) == "bad_algorithm"
    for alg in ("HS256", "none"):
        assert verdict(mint(PAYLOAD, alg=alg, headers={"typ": "at+jwt"}), STRICT) in ("bad_algorithm", "malformed")


@pytest.mark.parametrize(
    ("issuer", "jwks_url", "expected"),
    [
        pytest.param(ISSUER, None, f"{ISSUER}/.well-known/jwks.json", id="the convention"),
        pytest.param("https://acme.eu.auth0.com/", None, "https://acme.eu.auth0.com/.well-known/jwks.json", id="slash"),
        pytest.param(ISSUER, f"{ISSUER}/oauth2/v1/keys", f"{ISSUER}/oauth2/v1/keys", id="given"),
    ],
)
def test_fetches_the_keys_of_the_issuer(issuer: str, jwks_url: str | None, expected: str) -> None:
    settings = oauth.jwt_access_tokens(issuer, API, jwks_url=jwks_url)
    assert (settings.keys, settings.issuer, settings.vouched_by) == (JwksKeys(expected), issuer, issuer)


def test_goes_without_an_audience_only_where_that_is_written() -> None:
    settings = oauth.jwt_access_tokens(ISSUER, UNCHECKED, keys=KEYS, rfc9068=False)
    assert settings.unchecked == ("audience",)
    assert verdict(token({"aud": ...}, typ="JWT"), settings) == GOOD


def test_lets_a_provider_name_tenant_and_scopes_its_own_way() -> None:
    settings = replace(RELAXED, scopes="scp", tenant="org_id")
    claims = claims_of(token({"scp": ["orders.read"], "org_id": "acme"}), settings)
    assert (claims.scopes, claims.tenant) == (frozenset({"orders.read"}), "acme")


def test_knows_how_long_tokens_live_only_where_that_is_said() -> None:
    assert STRICT.horizon is None
    assert oauth.jwt_access_tokens(ISSUER, API, keys=KEYS, assumed_lifetime=3600).horizon == 3600


def test_says_what_is_wrong_with_the_settings() -> None:
    with pytest.raises(SettingsError, match="issuer"):
        oauth.jwt_access_tokens("", API)
    with pytest.raises(SettingsError, match="audience"):
        oauth.jwt_access_tokens(ISSUER, "")
    with pytest.raises(SettingsError, match="give one of them"):
        oauth.jwt_access_tokens(ISSUER, API, keys=KEYS, jwks_url=f"{ISSUER}/keys")
    with pytest.raises(SettingsError, match="absolute URL"):
        oauth.jwt_access_tokens("id.example.com", API)
    with pytest.raises(SettingsError, match="HS"):
        oauth.jwt_access_tokens(ISSUER, API, algorithms=("HS256",))
    with pytest.raises(SettingsError, match="SharedSecrets"):
        oauth.jwt_access_tokens(ISSUER, API, keys=SharedSecrets(SECRET))  # type: ignore[arg-type]


# --- Opaque tokens ---------------------------------------------------------------------------------------------------

OPAQUE = "6Zk3xExampleOpaqueToken"


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider(status(404)) as provider:
        yield provider


def says(provider: ScriptedProvider, **changes: object) -> None:
    answer = {"active": True, **PAYLOAD, "token_type": "Bearer", "username": "ana@example.com"}
    provider.play("/introspect", json_answer(changed(answer, changes)))


def opaque(provider: ScriptedProvider, audience: Any = API, **changes: Any) -> OpaqueTokens:
    usual: dict[str, Any] = {
        "client_id": "orders-api",
        "client_secret": SECRET,
        "introspection_endpoint": provider.url("/introspect"),
    }
    return oauth.opaque_access_tokens(ISSUER, audience, **usual | changes)


def test_says_who_and_what_an_opaque_token_grants(provider: ScriptedProvider) -> None:
    says(provider)
    claims = claims_of(OPAQUE, opaque(provider))
    assert (claims.kind, claims.user, claims.client_id, claims.tenant) == ("oauth.opaque", "ana", "web", None)
    assert claims.scopes == {"read:orders", "openid"}
    assert claims.typed(oauth.OpaqueTokenClaims).get("username") == "ana@example.com"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, GOOD, id="as in RFC 7662"),
        pytest.param({"active": False}, "inactive", id="not active"),
        pytest.param({"aud": ["a", API]}, GOOD, id="one audience of several"),
        pytest.param({"aud": "web"}, "wrong_audience", id="another audience"),
        pytest.param({"aud": ...}, "missing_claim", id="no audience"),
        pytest.param({"iss": f"{ISSUER}/"}, "wrong_issuer", id="issuer with a slash"),
        pytest.param({name: ... for name in PAYLOAD if name != "aud"}, GOOD, id="little said"),
        pytest.param({"exp": NOW}, "expired", id="expired"),
        pytest.param({"cnf": {"jkt": "x"}}, "sender_constrained", id="bound to a key"),
        pytest.param({"at_hash": "x"}, "other_token_type", id="an ID token"),
    ],
)
def test_keeps_the_rules_of_an_opaque_token(
    provider: ScriptedProvider, changes: dict[str, object], expected: str
) -> None:
    says(provider, **changes)
    assert verdict(OPAQUE, opaque(provider)) == expected


def test_binds_opaque_tokens_to_clients_where_the_provider_names_no_audience(provider: ScriptedProvider) -> None:
    says(provider, aud=...)
    assert verdict(OPAQUE, opaque(provider, None, clients={"web"})) == GOOD
    assert verdict(OPAQUE, opaque(provider, None, clients={"shop"})) == "wrong_audience"


def test_finds_the_endpoint_in_the_metadata_of_the_issuer(provider: ScriptedProvider) -> None:
    issuer = provider.url("/tenant-a")
    metadata = {"issuer": issuer, "introspection_endpoint": provider.url("/introspect")}
    provider.play("/.well-known/oauth-authorization-server/tenant-a", json_answer(metadata))
    says(provider, iss=issuer)
    settings = oauth.opaque_access_tokens(issuer, API, client_id="orders-api", client_secret=SECRET)
    assert (verdict(OPAQUE, settings), settings.vouched_by) == (GOOD, issuer)


def test_asks_about_jwts_beside_signed_kinds_only_where_that_is_said(provider: ScriptedProvider) -> None:
    says(provider, iss="https://other.example.com")
    jwt_shaped = token({"iss": "https://other.example.com"})
    settings = replace(opaque(provider), issuer="https://other.example.com")
    assert verdict(jwt_shaped, STRICT, settings) == "no_route"
    assert verdict(jwt_shaped, STRICT, replace(settings, jwt_shaped=True)) == GOOD
    assert opaque(provider, jwt_shaped=True).jwt_shaped


def test_says_for_whom_opaque_tokens_must_be(provider: ScriptedProvider) -> None:
    assert opaque(provider, UNCHECKED).unchecked == ("audience",)
    assert opaque(provider, None, clients={"web"}).unchecked == ()
    with pytest.raises(SettingsError, match="audience="):
        opaque(provider, None)
    with pytest.raises(SettingsError, match="client_auth"):
        opaque(provider, client_auth="private_key_jwt")
    with pytest.raises(SettingsError, match="endpoint_origins"):
        opaque(provider, endpoint_origins={"https://id.example.com/path"})


def test_knows_how_long_opaque_tokens_live_only_where_that_is_said(provider: ScriptedProvider) -> None:
    assert opaque(provider).horizon is None
    assert opaque(provider, assumed_lifetime=900).horizon == 900
