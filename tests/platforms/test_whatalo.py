from __future__ import annotations

from dataclasses import replace

import pytest

from bearerguard import SettingsError, SharedSecrets, TokenRevoked, Verifier
from bearerguard.carriers import Header
from bearerguard.platforms import whatalo
from tests.minting import OLD_SECRET, SECRET, mint, private_key
from tests.platforms.verdicts import GOOD, NOW, changed, claims_of, verdict

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
