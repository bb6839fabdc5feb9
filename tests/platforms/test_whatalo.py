from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from bearerguard import (
    UNCHECKED,
    OpaqueTokens,
    ProviderUnavailable,
    SettingsError,
    SharedSecrets,
    TokenRevoked,
    Verifier,
)
from bearerguard.carriers import Header
from bearerguard.platforms import whatalo
from tests.minting import OLD_SECRET, SECRET, mint, private_key
from tests.platforms.verdicts import GOOD, NOW, changed, claims_of, verdict
from tests.scripted_provider import ScriptedProvider, json_answer, status

PRESET = whatalo.session_tokens(client_id="wcl_5f6a", client_secret=SECRET)
ONE_APP = whatalo.session_tokens(client_id="wcl_5f6a", client_secret=SECRET, app_id="loyalty-stamps")
ROTATING = whatalo.session_tokens(client_id="wcl_5f6a", client_secret=SharedSecrets(SECRET, OLD_SECRET))

PAYLOAD: dict[str, object] = {
    "iss": "whatalo",
    "aud": "wcl_5f6a",
    "sub": "str_8k2m4n6p",
    "exp": NOW + 290,
    "iat": NOW - 10,
    "jti": "stk_01J9ZK4Q7W8E2R",
    "storeId": "str_8k2m4n6p",
    "appId": "loyalty-stamps",
    "scopes": ["read:orders", "read:customers"],
    "installationId": "ins_3c4d5e6f",
}


def test_says_which_store_and_which_scopes() -> None:
    claims = claims_of(mint(PAYLOAD), PRESET)
    assert (claims.kind, claims.tenant, claims.user) == ("whatalo.session", "str_8k2m4n6p", None)
    assert claims.scopes == {"read:orders", "read:customers"}
    assert claims.typed(whatalo.SessionClaims).get("installationId") == "ins_3c4d5e6f"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, GOOD, id="as documented"),
        pytest.param({"appId": ..., "installationId": ..., "scopes": ...}, GOOD, id="identity alone"),
        pytest.param({"iss": "whatalo.com"}, "wrong_issuer", id="another issuer"),
        pytest.param({"iss": "Whatalo"}, "wrong_issuer", id="issuer in another case"),
        pytest.param({"iss": ...}, "missing_claim", id="no issuer"),
        pytest.param({"aud": "wcl_other"}, "wrong_audience", id="another app"),
        pytest.param({"aud": "loyalty-stamps"}, "wrong_audience", id="manifest id as audience"),
        pytest.param({"aud": ...}, "missing_claim", id="no audience"),
        pytest.param({"sub": "str_other"}, "rule_failed", id="sub is another store"),
        pytest.param({"storeId": "str_other"}, "rule_failed", id="storeId is another store"),
        pytest.param({"sub": 7, "storeId": 7}, "bad_claim", id="store as a number"),
        pytest.param({"sub": ...}, "missing_claim", id="no sub"),
        pytest.param({"storeId": ...}, "missing_claim", id="no storeId"),
        pytest.param({"storeId": "", "sub": ""}, "missing_claim", id="empty store"),
        pytest.param({"jti": ...}, "missing_claim", id="no jti"),
        pytest.param({"iat": ...}, "missing_claim", id="no iat"),
        pytest.param({"iat": "1800000000"}, "bad_claim", id="iat as a text"),
        pytest.param({"exp": ...}, "missing_claim", id="no exp"),
        pytest.param({"exp": NOW + 1}, GOOD, id="in its last second"),
        pytest.param({"exp": NOW}, "expired", id="expired just now, no leeway"),
        pytest.param({"iat": NOW + 30}, GOOD, id="issued 30 s ahead"),
        pytest.param({"iat": NOW + 31}, "not_yet_valid", id="issued 31 s ahead"),
        pytest.param({"scopes": "read:orders"}, GOOD, id="scopes as a text"),
        pytest.param({"scopes": [1]}, "bad_claim", id="scopes as numbers"),
    ],
)
def test_keeps_the_rules_of_a_session_token(changes: dict[str, object], expected: str) -> None:
    assert verdict(mint(changed(PAYLOAD, changes)), PRESET) == expected


@pytest.mark.parametrize(
    ("app_id", "expected"),
    [
        pytest.param("loyalty-stamps", GOOD, id="ours"),
        pytest.param("another-plugin", "rule_failed", id="another"),
        pytest.param("Loyalty-Stamps", "rule_failed", id="in another case"),
        pytest.param(..., "rule_failed", id="none"),
        pytest.param(None, "rule_failed", id="null"),
        pytest.param(["loyalty-stamps"], "rule_failed", id="a list"),
    ],
)
def test_asks_for_the_app_where_one_is_configured(app_id: object, expected: str) -> None:
    assert verdict(mint(changed(PAYLOAD, {"appId": app_id})), ONE_APP) == expected


@pytest.mark.parametrize(
    ("key", "alg", "expected"),
    [
        pytest.param("a secret that belongs to somebody else", "HS256", "bad_signature", id="another secret"),
        pytest.param(SECRET, "HS512", "bad_algorithm", id="HS512"),
        pytest.param(None, "none", "bad_algorithm", id="not signed"),
        pytest.param(private_key("RS256"), "RS256", "bad_algorithm", id="RS256"),
    ],
)
def test_takes_hs256_with_the_client_secret_alone(key: str | None, alg: str, expected: str) -> None:
    assert verdict(mint(PAYLOAD, key=key, alg=alg), PRESET) in (expected, "malformed")


@pytest.mark.parametrize(
    ("exp", "expected"), [pytest.param(NOW + 9, GOOD, id="good"), pytest.param(NOW - 9, "expired", id="expired")]
)
def test_judges_tokens_of_the_old_secret_while_it_is_named(exp: int, expected: str) -> None:
    token = mint(PAYLOAD | {"exp": exp}, key=OLD_SECRET)
    assert verdict(token, ROTATING) == expected
    assert verdict(token, PRESET) == "bad_signature"


def test_revokes_a_store() -> None:
    verifier = Verifier(PRESET, clock=lambda: NOW)
    verifier.verify(mint(PAYLOAD))
    verifier.denylist.revoke_tenant("str_8k2m4n6p")
    assert PRESET.authority == "whatalo:wcl_5f6a"
    with pytest.raises(TokenRevoked):
        verifier.verify(mint(PAYLOAD))


def test_lets_the_caller_change_what_is_theirs() -> None:
    header = Header("X-Session-Token")
    settings = whatalo.session_tokens(
        client_id="wcl_5f6a", client_secret="short", allow_short_secret=True, name="second", carriers=[header]
    )
    assert (settings.name, settings.carriers, settings.horizon) == ("second", (header,), 300)


def test_lets_the_rest_be_replaced_in_plain_sight() -> None:
    token = mint(PAYLOAD | {"exp": NOW - 4})
    assert verdict(token, PRESET) == "expired"
    lenient = replace(PRESET, leeway=5)
    assert verdict(token, lenient) == GOOD
    assert (lenient.iat_leeway, lenient.authority, lenient.rules) == (30, "whatalo:wcl_5f6a", ())


@pytest.mark.parametrize(
    ("client_id", "client_secret", "app_id", "said"),
    [
        pytest.param("", SECRET, None, "client_id", id="no client id"),
        pytest.param("wcl_5f6a", "", None, "secret", id="no secret"),
        pytest.param("wcl_5f6a", "short", None, "allow_short_secret", id="a short secret"),
        pytest.param("wcl_5f6a", SECRET, "", "appId", id="an empty app id"),
    ],
)
def test_says_what_is_wrong_with_the_settings(
    client_id: str, client_secret: str, app_id: str | None, said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        whatalo.session_tokens(client_id=client_id, client_secret=client_secret, app_id=app_id)


def test_keeps_the_secret_out_of_the_repr() -> None:
    assert SECRET not in repr(PRESET)


# --- Access tokens ---------------------------------------------------------------------------------------------------

TOKEN = "Zk3x-_9Q".ljust(43, "a")
API = "https://orders.example.com"
METADATA = "/.well-known/oauth-authorization-server"
ANSWER: dict[str, object] = {
    "active": True,
    "scope": "read:products read:orders",
    "client_id": "cli_7a8b9c0d",
    "sub": "usr_1a2b3c4d",
    "exp": NOW + 3590,
    "iat": NOW - 10,
    "token_type": "Bearer",
    "aud": API,
    "whatalo_store_id": "str_8k2m4n6p",
}


@pytest.fixture
def whatalo_itself() -> Iterator[ScriptedProvider]:
    """A provider that says of every token what is documented, and where it is to be asked."""
    with ScriptedProvider(status(404)) as provider:
        metadata = {
            "issuer": issuer_of(provider),
            "introspection_endpoint": provider.url("/oauth/introspect"),
            "jwks_uri": provider.url("/there-is-none"),
        }
        provider.play(METADATA, json_answer(metadata))
        says(provider)
        yield provider


def issuer_of(provider: ScriptedProvider) -> str:
    return provider.url().removesuffix("/")


def says(provider: ScriptedProvider, **changes: object) -> None:
    provider.play("/oauth/introspect", json_answer(changed({**ANSWER, "iss": issuer_of(provider)}, changes)))


def access_tokens(provider: ScriptedProvider, **changes: Any) -> OpaqueTokens:
    usual: dict[str, Any] = {
        "client_id": "cli_ours",
        "client_secret": SECRET,
        "issuer": issuer_of(provider),
        "audience": API,
    }
    return whatalo.access_tokens(**usual | changes)


def test_says_which_store_user_and_scopes_an_access_token_names(whatalo_itself: ScriptedProvider) -> None:
    claims = claims_of(TOKEN, access_tokens(whatalo_itself))
    assert (claims.kind, claims.tenant, claims.user) == ("whatalo.access", "str_8k2m4n6p", "usr_1a2b3c4d")
    assert claims.scopes == {"read:products", "read:orders"}
    assert claims.client_id == "cli_7a8b9c0d"
    assert claims.typed(whatalo.AccessClaims).get("aud") == API


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, GOOD, id="as documented"),
        pytest.param({"active": False}, "inactive", id="not active"),
        pytest.param({"aud": "https://api.whatalo.com"}, "wrong_audience", id="for Whatalo's own API"),
        pytest.param({"aud": ["https://api.whatalo.com", API]}, GOOD, id="for both"),
        pytest.param({"aud": ...}, "missing_claim", id="no audience"),
        pytest.param({"iss": "https://app.whatalo.com"}, "wrong_issuer", id="another issuer"),
        pytest.param({"iss": ...}, GOOD, id="no issuer"),
        pytest.param({"exp": NOW}, "expired", id="expired just now, no leeway"),
        pytest.param({"exp": NOW + 1}, GOOD, id="in its last second"),
        pytest.param({"token_type": "DPoP"}, "sender_constrained", id="bound to a key"),
        pytest.param({"token_use": "refresh_token"}, "other_token_type", id="a refresh token"),
        pytest.param({"whatalo_store_id": ...}, GOOD, id="no store"),
        pytest.param({"whatalo_store_id": 8}, "bad_claim", id="store as a number"),
        pytest.param({"sub": 8}, "bad_claim", id="user as a number"),
        pytest.param({"scope": [1]}, "bad_claim", id="scopes as numbers"),
    ],
)
def test_keeps_the_rules_of_an_access_token(
    whatalo_itself: ScriptedProvider, changes: dict[str, object], expected: str
) -> None:
    says(whatalo_itself, **changes)
    assert verdict(TOKEN, access_tokens(whatalo_itself)) == expected


@pytest.mark.parametrize(
    ("changes", "by_client", "by_both"),
    [
        pytest.param({}, GOOD, GOOD, id="of a client that may, for us"),
        pytest.param({"aud": "https://api.whatalo.com"}, GOOD, "wrong_audience", id="of a client that may, for others"),
        pytest.param({"aud": ...}, GOOD, "missing_claim", id="of a client that may, for nobody"),
        pytest.param({"client_id": "cli_other"}, "wrong_audience", "wrong_audience", id="of another client"),
        pytest.param({"client_id": ...}, "wrong_audience", "wrong_audience", id="of no client"),
    ],
)
def test_binds_access_tokens_to_clients_where_they_are_named(
    whatalo_itself: ScriptedProvider, changes: dict[str, object], by_client: str, by_both: str
) -> None:
    says(whatalo_itself, **changes)
    clients = {"cli_7a8b9c0d"}
    assert verdict(TOKEN, access_tokens(whatalo_itself, audience=None, clients=clients)) == by_client
    assert verdict(TOKEN, access_tokens(whatalo_itself, clients=clients)) == by_both


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(TOKEN[:-1], id="42 characters"),
        pytest.param(TOKEN + "a", id="44 characters"),
        pytest.param(TOKEN[:-1] + "+", id="base64 of another sort"),
        pytest.param(TOKEN[:-1] + "=", id="padded"),
        pytest.param(TOKEN[:20] + "." + TOKEN[21:], id="a dot"),
        pytest.param(mint(PAYLOAD), id="a session token"),
    ],
)
def test_asks_nobody_about_what_is_no_access_token(whatalo_itself: ScriptedProvider, token: str) -> None:
    assert verdict(token, access_tokens(whatalo_itself)) == "malformed"
    assert whatalo_itself.count() == 0


def test_asks_where_the_metadata_says_and_never_for_keys(whatalo_itself: ScriptedProvider) -> None:
    claims_of(TOKEN, access_tokens(whatalo_itself))
    first, asked = whatalo_itself.requests
    assert (first.path, asked.path, asked.form["token"]) == (METADATA, "/oauth/introspect", TOKEN)
    assert asked.headers["authorization"].startswith("Basic ")
    assert "client_secret" not in asked.form


def test_asks_at_the_endpoint_that_is_given(whatalo_itself: ScriptedProvider) -> None:
    endpoint = whatalo_itself.play("/oauth/v2/introspect", json_answer(ANSWER))
    claims_of(TOKEN, access_tokens(whatalo_itself, introspection_endpoint=endpoint, client_auth="client_secret_post"))
    (asked,) = whatalo_itself.requests
    assert (asked.path, asked.form["client_id"], "authorization" in asked.headers) == (
        "/oauth/v2/introspect",
        "cli_ours",
        False,
    )


def test_blames_no_token_for_credentials_of_ours(whatalo_itself: ScriptedProvider) -> None:
    whatalo_itself.play("/oauth/introspect", json_answer({"error": "invalid_client"}, 401))
    with pytest.raises(ProviderUnavailable):
        claims_of(TOKEN, access_tokens(whatalo_itself))


def test_keeps_session_and_access_tokens_of_one_verifier_apart(whatalo_itself: ScriptedProvider) -> None:
    kinds = (PRESET, access_tokens(whatalo_itself))
    assert claims_of(mint(PAYLOAD), *kinds).kind == "whatalo.session"
    assert whatalo_itself.count() == 0
    assert claims_of(TOKEN, *kinds).kind == "whatalo.access"


def test_revokes_a_store_with_tokens_of_both_kinds(whatalo_itself: ScriptedProvider) -> None:
    access = access_tokens(whatalo_itself)
    assert access.authority == "whatalo:cli_ours"
    assert access_tokens(whatalo_itself, client_id="wcl_5f6a").authority == PRESET.authority
    with Verifier(PRESET, access, clock=lambda: NOW) as verifier:
        verifier.denylist.revoke_tenant("str_8k2m4n6p")
        for token in (mint(PAYLOAD), TOKEN):
            with pytest.raises(TokenRevoked):
                verifier.verify(token)


def test_says_for_whom_access_tokens_must_be() -> None:
    ours: Any = {"client_id": "cli_ours", "client_secret": SECRET}
    by_client = whatalo.access_tokens(**ours, clients={"cli_7a8b9c0d"})
    assert (by_client.audience, by_client.unchecked) == (UNCHECKED, ())
    assert whatalo.access_tokens(**ours, audience=UNCHECKED).unchecked == ("audience",)
    with pytest.raises(SettingsError, match="clients="):
        whatalo.access_tokens(**ours)
    with pytest.raises(SettingsError, match="empty set"):
        whatalo.access_tokens(**ours, clients=set())


def test_lets_the_caller_change_what_is_theirs_about_access_tokens() -> None:
    header = Header("X-Access-Token")
    settings = whatalo.access_tokens(
        client_id="cli_ours",
        client_secret=SharedSecrets(SECRET, OLD_SECRET),
        audience={API, "https://stock.example.com"},
        name="second",
        carriers=[header],
        cache_seconds=15,
    )
    assert (settings.name, settings.carriers, settings.cache_seconds) == ("second", (header,), 15)
    assert (settings.issuer, settings.horizon, len(settings.secrets)) == ("https://app.whatalo.com", 3600, 2)
    assert SECRET not in repr(settings)
