from __future__ import annotations

import logging

import pytest

from bearerguard import JwksKeys, SettingsError, SharedSecrets, StaticKeys, TokenRevoked, Verifier
from bearerguard.carriers import BEARER, Header
from bearerguard.platforms import jtl
from tests.minting import SECRET, mint, private_key, public_jwk
from tests.platforms.verdicts import GOOD, NOW, changed, claims_of, verdict

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
