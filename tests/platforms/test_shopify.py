from __future__ import annotations

from collections.abc import Callable

import pytest
from werkzeug.datastructures import Headers
from werkzeug.test import Client
from werkzeug.wrappers import Response

from bearerguard import (
    AuthError,
    InvalidToken,
    MissingToken,
    SettingsError,
    SharedSecrets,
    SignedTokens,
    TokenExpired,
    TokenReplayed,
    TokenRevoked,
    Verifier,
)
from bearerguard.carriers import BEARER, Header, Query
from bearerguard.doorway import refusal_headers
from bearerguard.platforms import shopify
from bearerguard.wsgi import SessionTokenMiddleware
from tests.minting import OLD_SECRET, SECRET, mint
from tests.platforms.verdicts import GOOD, NOW, changed, claims_of, verdict

CLIENT_ID = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
SHOP = "pine-lane.myshopify.com"
GID = "gid://shopify/Customer/7000000000001"
RETRY = "X-Shopify-Retry-Invalid-Session-Request"

ADMIN = shopify.admin(client_id=CLIENT_ID, client_secret=SECRET)
POS = shopify.pos(client_id=CLIENT_ID, client_secret=SECRET)
CHECKOUT = shopify.checkout(client_id=CLIENT_ID, client_secret=SECRET)
CUSTOMER_ACCOUNT = shopify.customer_account(client_id=CLIENT_ID, client_secret=SECRET)

STAFF_TOKEN: dict[str, object] = {
    "iss": f"https://{SHOP}/admin",
    "dest": f"https://{SHOP}",
    "aud": CLIENT_ID,
    "sub": "81234567890",
    "exp": NOW + 50,
    "nbf": NOW - 10,
    "iat": NOW - 10,
    "jti": "5b0e4a52-2a0f-4d6b-8c53-0c7f0f5a9a11",
    "sid": "6f1c0e6cbd0f0f0d9b8a7c6d5e4f30211203f4e5d6c7a8b99b0d0f0fdbc6e0c1",
}
BUYER_TOKEN: dict[str, object] = {
    "dest": SHOP,
    "aud": CLIENT_ID,
    "sub": GID,
    "exp": NOW + 290,
    "nbf": NOW - 10,
    "iat": NOW - 10,
    "jti": "0d7e7c0a-9c4f-4a07-9d55-1f4f8d0c2b6e",
}

Preset = Callable[..., SignedTokens]

every_preset = pytest.mark.parametrize(
    "preset", [shopify.admin, shopify.pos, shopify.checkout, shopify.customer_account], ids=lambda f: f.__name__
)


def payload_for(preset: Preset) -> dict[str, object]:
    return STAFF_TOKEN if preset in (shopify.admin, shopify.pos) else BUYER_TOKEN


def iss_and_dest(iss: str, dest: str) -> dict[str, object]:
    return {"iss": iss, "dest": dest}


@pytest.mark.parametrize("settings", [ADMIN, POS], ids=lambda settings: settings.name)
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, GOOD, id="as documented"),
        pytest.param({"nbf": ...}, GOOD, id="no nbf"),
        pytest.param({"iss": f"http://{SHOP}/admin"}, "wrong_issuer", id="issuer over http"),
        pytest.param({"iss": f"{SHOP}/admin"}, "wrong_issuer", id="issuer without a scheme"),
        pytest.param({"iss": f"https://{SHOP}"}, "wrong_issuer", id="issuer without a path"),
        pytest.param({"iss": f"https://{SHOP}/admin/"}, "wrong_issuer", id="issuer path with a slash"),
        pytest.param({"iss": f"https://{SHOP}/Admin"}, "wrong_issuer", id="issuer path in another case"),
        pytest.param({"iss": f"https://{SHOP}/checkouts"}, "wrong_issuer", id="issuer path of checkout"),
        pytest.param({"iss": f"https://{SHOP}/admin?a=b"}, "wrong_issuer", id="issuer with a query"),
        pytest.param({"iss": f"https://{SHOP}/admin#a"}, "wrong_issuer", id="issuer with a fragment"),
        pytest.param({"iss": f"https://{SHOP}/admin\n"}, "wrong_issuer", id="issuer with a line end"),
        pytest.param({"iss": [f"https://{SHOP}/admin"]}, "wrong_issuer", id="issuer in a list"),
        pytest.param({"iss": ...}, "missing_claim", id="no issuer"),
        pytest.param({"dest": ...}, "missing_claim", id="no dest"),
        pytest.param({"dest": SHOP}, "rule_failed", id="dest without a scheme"),
        pytest.param({"dest": f"http://{SHOP}"}, "rule_failed", id="dest over http"),
        pytest.param({"dest": f"https://{SHOP}/admin"}, "rule_failed", id="dest with a path"),
        pytest.param({"dest": "https://other.myshopify.com"}, "rule_failed", id="dest of another shop"),
        pytest.param({"dest": [f"https://{SHOP}"]}, "rule_failed", id="dest in a list"),
        pytest.param({"dest": f"HTTPS://{SHOP.upper()}"}, GOOD, id="dest in capitals"),
        pytest.param({"iss": f"https://{SHOP.title()}/admin"}, GOOD, id="issuer's host in another case"),
        pytest.param({"aud": [CLIENT_ID]}, "rule_failed", id="audience in a list"),
        pytest.param({"aud": "another app"}, "wrong_audience", id="another app"),
        pytest.param({"aud": ...}, "missing_claim", id="no audience"),
        pytest.param({"sub": GID}, "rule_failed", id="a customer"),
        pytest.param({"sub": "81234a"}, "rule_failed", id="sub with a letter"),
        pytest.param({"sub": "٣٤٥"}, "rule_failed", id="sub in other digits"),
        pytest.param({"sub": 81234567890}, "bad_claim", id="sub as a number"),
        pytest.param({"sub": None}, "missing_claim", id="sub null"),
        pytest.param({"sub": ...}, "missing_claim", id="no sub"),
        pytest.param({"sid": ...}, "missing_claim", id="no sid"),
        pytest.param({"sid": ""}, "missing_claim", id="empty sid"),
        pytest.param({"sid": 5}, "rule_failed", id="sid as a number"),
        pytest.param({"jti": ...}, "missing_claim", id="no jti"),
        pytest.param({"iat": ...}, "missing_claim", id="no iat"),
        pytest.param({"exp": ...}, "missing_claim", id="no exp"),
        pytest.param({"exp": NOW - 9}, GOOD, id="expired 9 s ago"),
        pytest.param({"exp": NOW - 10}, "expired", id="expired 10 s ago"),
        pytest.param({"nbf": NOW + 10}, GOOD, id="good in 10 s"),
        pytest.param({"nbf": NOW + 11}, "not_yet_valid", id="good in 11 s"),
        pytest.param({"iat": NOW + 11}, "not_yet_valid", id="issued in 11 s"),
    ],
)
def test_keeps_the_rules_of_a_staff_token(settings: SignedTokens, changes: dict[str, object], expected: str) -> None:
    assert verdict(mint(changed(STAFF_TOKEN, changes)), settings) == expected


@pytest.mark.parametrize("settings", [ADMIN, POS], ids=lambda settings: settings.name)
@pytest.mark.parametrize(
    ("host", "expected"),
    [
        pytest.param("a.myshopify.com", GOOD, id="one letter"),
        pytest.param("0.myshopify.com", GOOD, id="one digit"),
        pytest.param("a--b-9.myshopify.com", GOOD, id="hyphens inside"),
        pytest.param("PINE.MyShopify.COM", GOOD, id="capitals"),
        pytest.param("-a.myshopify.com", "wrong_issuer", id="hyphen first"),
        pytest.param("a-.myshopify.com", "wrong_issuer", id="hyphen last"),
        pytest.param("myshopify.com", "wrong_issuer", id="no shop"),
        pytest.param(".myshopify.com", "wrong_issuer", id="empty shop"),
        pytest.param("a.b.myshopify.com", "wrong_issuer", id="two labels"),
        pytest.param("a.myshopify.com.evil.com", "wrong_issuer", id="suffix trick"),
        pytest.param("evil.com", "wrong_issuer", id="another domain"),
        pytest.param("amyshopify.com", "wrong_issuer", id="no dot"),
        pytest.param("a.myshopify-com.evil.com", "wrong_issuer", id="hyphen for dot"),
        pytest.param("a.myshopifyxcom", "wrong_issuer", id="any letter for dot"),
        pytest.param("a.myshopify.com.", "wrong_issuer", id="dot at the end"),
        pytest.param("a.myshopify.com:443", "wrong_issuer", id="port"),
        pytest.param("u@a.myshopify.com", "wrong_issuer", id="user"),
        pytest.param("u:p@a.myshopify.com", "wrong_issuer", id="user and password"),
        pytest.param("a_b.myshopify.com", "wrong_issuer", id="underscore"),
        pytest.param("a%2e.myshopify.com", "wrong_issuer", id="percent"),
        pytest.param("\u212aa.myshopify.com", "wrong_issuer", id="Kelvin sign"),
        pytest.param("a.my\u017fhopify.com", "wrong_issuer", id="long s"),
        pytest.param("a.myshopify.io", "wrong_issuer", id="a domain that was not named"),
        pytest.param("", "wrong_issuer", id="no host"),
    ],
)
def test_knows_the_host_of_a_shop(settings: SignedTokens, host: str, expected: str) -> None:
    token = mint(STAFF_TOKEN | iss_and_dest(f"https://{host}/admin", f"https://{host}"))
    assert verdict(token, settings) == expected


@pytest.mark.parametrize("settings", [CHECKOUT, CUSTOMER_ACCOUNT], ids=lambda settings: settings.name)
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, GOOD, id="as documented"),
        pytest.param({"sub": ...}, GOOD, id="no customer"),
        pytest.param({"sub": None}, GOOD, id="customer null"),
        pytest.param({"nbf": ...}, GOOD, id="no nbf"),
        pytest.param({"dest": f"https://{SHOP}"}, GOOD, id="dest with https://"),
        pytest.param({"dest": SHOP.upper()}, GOOD, id="dest in capitals"),
        pytest.param({"iss": f"https://{SHOP}/checkouts"}, GOOD, id="issuer of the same shop"),
        pytest.param({"iss": SHOP}, GOOD, id="issuer a bare host"),
        pytest.param({"sub": "81234567890"}, "rule_failed", id="a member of the staff"),
        pytest.param({"sub": ""}, "rule_failed", id="empty sub"),
        pytest.param({"sub": "gid://shopify/Customer/"}, "rule_failed", id="customer without a number"),
        pytest.param({"sub": "gid://shopify/Order/1"}, "rule_failed", id="gid of something else"),
        pytest.param({"sub": f"{GID}\n"}, "rule_failed", id="customer with a line end"),
        pytest.param({"sub": 7000000000001}, "bad_claim", id="customer as a number"),
        pytest.param({"sid": "6f1c"}, "rule_failed", id="sid"),
        pytest.param({"sid": None}, "rule_failed", id="sid null"),
        pytest.param({"sid": ""}, "rule_failed", id="sid empty"),
        pytest.param({"iss": f"https://{SHOP}/admin"}, "wrong_issuer", id="issuer is the admin"),
        pytest.param({"iss": f"https://{SHOP}/admin/"}, "wrong_issuer", id="issuer is the admin with a slash"),
        pytest.param({"iss": f"https://{SHOP}/ADMIN"}, "wrong_issuer", id="issuer is the admin in capitals"),
        pytest.param({"iss": f"https://{SHOP}//admin"}, "wrong_issuer", id="issuer is the admin with two slashes"),
        pytest.param({"iss": f"{SHOP}/admin"}, "wrong_issuer", id="issuer is the admin without a scheme"),
        pytest.param({"iss": "https://other.myshopify.com/checkouts"}, "rule_failed", id="issuer of another shop"),
        pytest.param({"iss": "https://evil.com/checkouts"}, "wrong_issuer", id="issuer is no shop"),
        pytest.param({"iss": f"http://{SHOP}/checkouts"}, "wrong_issuer", id="issuer over http"),
        pytest.param({"iss": "shopify"}, "wrong_issuer", id="post-purchase"),
        pytest.param({"iss": 5}, "wrong_issuer", id="issuer as a number"),
        pytest.param({"dest": ...}, "missing_claim", id="no dest"),
        pytest.param({"dest": "evil.com"}, "rule_failed", id="dest is no shop"),
        pytest.param({"dest": f"{SHOP}.evil.com"}, "rule_failed", id="suffix trick"),
        pytest.param({"dest": f"http://{SHOP}"}, "rule_failed", id="dest over http"),
        pytest.param({"dest": f"{SHOP}/checkouts"}, "bad_claim", id="dest with a path"),
        pytest.param({"dest": {"host": SHOP}}, "rule_failed", id="dest an object"),
        pytest.param({"aud": [CLIENT_ID]}, "rule_failed", id="audience in a list"),
        pytest.param({"aud": "another app"}, "wrong_audience", id="another app"),
        pytest.param({"aud": ...}, "missing_claim", id="no audience"),
        pytest.param({"jti": ...}, "missing_claim", id="no jti"),
        pytest.param({"iat": ...}, "missing_claim", id="no iat"),
        pytest.param({"exp": ...}, "missing_claim", id="no exp"),
        pytest.param({"exp": NOW - 9}, GOOD, id="expired 9 s ago"),
        pytest.param({"exp": NOW - 10}, "expired", id="expired 10 s ago"),
    ],
)
def test_keeps_the_rules_of_a_buyer_token(settings: SignedTokens, changes: dict[str, object], expected: str) -> None:
    assert verdict(mint(changed(BUYER_TOKEN, changes)), settings) == expected


def test_says_which_shop_and_which_member_of_its_staff() -> None:
    claims = claims_of(mint(STAFF_TOKEN | {"scope": "write_products"}), ADMIN)
    assert (claims.kind, claims.tenant, claims.user, claims.scopes) == (
        "shopify.admin",
        SHOP,
        "81234567890",
        frozenset(),
    )
    assert claims.typed(shopify.AdminClaims)["sid"] == STAFF_TOKEN["sid"]
    assert claims_of(mint(STAFF_TOKEN), POS).typed(shopify.PosClaims)["sub"] == "81234567890"


def test_says_which_shop_and_which_customer_if_any() -> None:
    known = claims_of(mint(BUYER_TOKEN), CHECKOUT)
    assert (known.kind, known.tenant, known.user) == ("shopify.checkout", SHOP, GID)
    assert known.typed(shopify.CheckoutClaims)["dest"] == SHOP
    unknown = claims_of(mint(BUYER_TOKEN | {"sub": None, "dest": f"https://{SHOP.upper()}"}), CUSTOMER_ACCOUNT)
    assert (unknown.kind, unknown.tenant, unknown.user) == ("shopify.customer_account", SHOP, None)
    assert "sub" not in unknown.typed(shopify.CustomerAccountClaims)


def test_types_the_claims_of_one_kind_as_that_kind_alone() -> None:
    with pytest.raises(TypeError):
        claims_of(mint(STAFF_TOKEN), POS).typed(shopify.AdminClaims)


@every_preset
def test_accepts_the_old_secret_while_it_is_named(preset: Preset) -> None:
    rotating = preset(client_id=CLIENT_ID, client_secret=SharedSecrets(SECRET, OLD_SECRET))
    rotated = preset(client_id=CLIENT_ID, client_secret=SECRET)
    payload = payload_for(preset)
    old, expired = mint(payload, key=OLD_SECRET), mint(payload | {"exp": NOW - 60}, key=OLD_SECRET)
    assert (verdict(old, rotating), verdict(expired, rotating)) == (GOOD, "expired")
    assert (verdict(mint(payload), rotating), verdict(mint(payload | {"exp": NOW - 60}), rotating)) == (GOOD, "expired")
    assert (verdict(old, rotated), verdict(expired, rotated)) == ("bad_signature", "bad_signature")


@every_preset
def test_ignores_a_kid_and_refuses_other_algorithms(preset: Preset) -> None:
    settings, payload = preset(client_id=CLIENT_ID, client_secret=SECRET), payload_for(preset)
    assert verdict(mint(payload, headers={"kid": "any"}), settings) == GOOD
    assert verdict(mint(payload, alg="HS384"), settings) == "bad_algorithm"


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        pytest.param(STAFF_TOKEN, "shopify.admin", id="admin"),
        pytest.param(BUYER_TOKEN, "shopify.checkout", id="checkout"),
        pytest.param(BUYER_TOKEN | {"iss": f"https://{SHOP}/checkouts"}, "shopify.checkout", id="checkout with issuer"),
    ],
)
def test_tells_admin_and_checkout_apart_on_one_carrier(token: dict[str, object], kind: str) -> None:
    assert claims_of(mint(token), ADMIN, CHECKOUT).kind == kind
    assert claims_of(mint(token), CHECKOUT, ADMIN).kind == kind


@pytest.mark.parametrize(
    ("token", "asked"),
    [
        pytest.param(STAFF_TOKEN, "shopify.checkout", id="admin as checkout"),
        pytest.param(BUYER_TOKEN, "shopify.admin", id="checkout as admin"),
    ],
)
def test_never_takes_one_kind_for_the_other(token: dict[str, object], asked: str) -> None:
    both = Verifier(ADMIN, CHECKOUT, clock=lambda: NOW)
    alone = Verifier(next(kind for kind in both.kinds if kind.name == asked), clock=lambda: NOW)
    for verifier in (both, alone):
        with pytest.raises(InvalidToken):
            verifier.verify(mint(token), kind=asked)
    with pytest.raises(InvalidToken):
        alone.verify(mint(token))


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(changed(STAFF_TOKEN, {"iss": ...}), id="admin without issuer"),
        pytest.param(changed(STAFF_TOKEN, {"iss": ..., "sid": ...}), id="admin without issuer and sid"),
        pytest.param(changed(STAFF_TOKEN, {"sub": GID}), id="admin of a customer"),
        pytest.param(changed(STAFF_TOKEN, {"sid": ...}), id="admin without sid"),
        pytest.param(BUYER_TOKEN | {"iss": f"https://{SHOP}/admin"}, id="checkout issued by the admin"),
        pytest.param(BUYER_TOKEN | {"iss": f"https://{SHOP}/admin", "sid": "6f1c"}, id="checkout with all of it"),
        pytest.param(BUYER_TOKEN | {"sub": "81234567890"}, id="checkout of the staff"),
    ],
)
def test_refuses_what_is_half_admin_and_half_checkout(token: dict[str, object]) -> None:
    assert verdict(mint(token), ADMIN, CHECKOUT) != GOOD


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(ADMIN, POS, id="admin and pos"),
        pytest.param(CHECKOUT, CUSTOMER_ACCOUNT, id="checkout and customer account"),
    ],
)
def test_refuses_two_kinds_on_one_carrier_that_nothing_tells_apart(one: SignedTokens, other: SignedTokens) -> None:
    with pytest.raises(SettingsError, match="carrier"):
        Verifier(one, other)


def test_takes_two_alike_kinds_from_two_carriers() -> None:
    pos = shopify.pos(client_id=CLIENT_ID, client_secret=SECRET, carriers=[Header("X-Pos-Token")])
    verifier = Verifier(ADMIN, pos, clock=lambda: NOW)
    assert verifier.verify(mint(STAFF_TOKEN), kind="shopify.pos").kind == "shopify.pos"


@pytest.mark.parametrize("spelt", [SHOP, "Pine-Lane.MyShopify.com", f"https://{SHOP}"])
def test_revokes_a_shop_however_it_is_spelt(spelt: str) -> None:
    verifier = Verifier(ADMIN, CHECKOUT, clock=lambda: NOW)
    verifier.denylist.revoke_tenant(spelt)
    for payload in (STAFF_TOKEN, BUYER_TOKEN):
        with pytest.raises(TokenRevoked):
            verifier.verify(mint(payload))


@pytest.mark.parametrize("wrong", ["evil.com", f"{SHOP}/admin", f"http://{SHOP}"])
def test_refuses_to_revoke_what_is_no_shop(wrong: str) -> None:
    with pytest.raises(SettingsError):
        Verifier(ADMIN).denylist.revoke_tenant(wrong)


@every_preset
def test_keeps_revocations_of_all_kinds_under_one_name(preset: Preset) -> None:
    assert preset(client_id=CLIENT_ID, client_secret=SECRET).authority == f"shopify:{CLIENT_ID}"


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        pytest.param(ADMIN, 60, id="admin"),
        pytest.param(POS, 60, id="pos"),
        pytest.param(CHECKOUT, 300, id="checkout"),
        pytest.param(CUSTOMER_ACCOUNT, 300, id="customer account"),
    ],
)
def test_knows_how_long_tokens_live(settings: SignedTokens, seconds: int) -> None:
    assert settings.horizon == seconds


@pytest.mark.parametrize(
    ("settings", "refusal", "asks_again"),
    [
        pytest.param(ADMIN, InvalidToken("bad_signature"), True, id="admin, bad"),
        pytest.param(ADMIN, TokenExpired(), True, id="admin, expired"),
        pytest.param(ADMIN, TokenReplayed(), True, id="admin, replayed"),
        pytest.param(ADMIN, TokenRevoked(), False, id="admin, revoked"),
        pytest.param(ADMIN, MissingToken(), False, id="admin, missing"),
        pytest.param(POS, TokenExpired(), False, id="pos, expired"),
        pytest.param(CHECKOUT, TokenExpired(), False, id="checkout, expired"),
        pytest.param(CUSTOMER_ACCOUNT, TokenExpired(), False, id="customer account, expired"),
    ],
)
def test_asks_app_bridge_to_try_again_where_that_helps(
    settings: SignedTokens, refusal: AuthError, asks_again: bool
) -> None:
    asked = {RETRY: "1", "Access-Control-Expose-Headers": RETRY}
    assert refusal_headers(refusal, [settings]) == (asked if asks_again else {})


@pytest.mark.parametrize(
    ("token", "retry"),
    [
        pytest.param(mint(STAFF_TOKEN | {"exp": NOW - 60}), "1", id="expired"),
        pytest.param(mint(STAFF_TOKEN, key=OLD_SECRET), "1", id="signed with another secret"),
        pytest.param(mint(BUYER_TOKEN), "1", id="of checkout"),
        pytest.param(mint(STAFF_TOKEN), None, id="revoked"),
        pytest.param(None, None, id="missing"),
    ],
)
def test_answers_a_bad_admin_token_as_app_bridge_expects(token: str | None, retry: str | None) -> None:
    verifier = Verifier(ADMIN, clock=lambda: NOW)
    verifier.denylist.revoke_tenant(SHOP)
    client = Client(SessionTokenMiddleware(Response("behind the door"), verifier=verifier))
    answer = client.get("/", headers=Headers({} if token is None else {"Authorization": f"Bearer {token}"}))
    assert (answer.status_code, answer.headers.get(RETRY)) == (401, retry)
    assert answer.headers.get("Access-Control-Expose-Headers") == (retry and RETRY)


def test_takes_an_id_token_from_the_query_only_where_asked_to() -> None:
    query = Query("id_token")
    header = Header("X-Session-Token")
    asked = shopify.admin(client_id=CLIENT_ID, client_secret=SECRET, id_token_in_query=True)
    elsewhere = shopify.admin(client_id=CLIENT_ID, client_secret=SECRET, id_token_in_query=True, carriers=[header])
    assert (ADMIN.carriers, asked.carriers, elsewhere.carriers) == ((BEARER,), (BEARER, query), (header, query))


@every_preset
def test_takes_shops_below_other_domains_only_where_they_are_named(preset: Preset) -> None:
    host = "pine-lane.shops.example"
    dest, iss = ("dest", f"https://{host}"), ("iss", f"https://{host}/admin")
    places = dict([dest, iss]) if payload_for(preset) is STAFF_TOKEN else dict([dest])
    token = mint(payload_for(preset) | places)
    named = preset(client_id=CLIENT_ID, client_secret=SECRET, shop_domains=(*shopify.SHOP_DOMAINS, "shops.example"))
    assert verdict(token, named) == GOOD
    assert verdict(token, preset(client_id=CLIENT_ID, client_secret=SECRET)) != GOOD


@every_preset
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        pytest.param({"client_id": ""}, "client_id", id="no client id"),
        pytest.param({"client_secret": ""}, "secret", id="no secret"),
        pytest.param({"client_secret": "short"}, "allow_short_secret", id="short secret"),
        pytest.param({"shop_domains": "myshopify.com"}, "shop_domains", id="domains as a text"),
        pytest.param({"shop_domains": ()}, "shop_domains", id="no domains"),
        pytest.param({"shop_domains": ("https://myshopify.com",)}, "shop_domains", id="domain as a URL"),
        pytest.param({"shop_domains": ("com",)}, "shop_domains", id="a top-level domain"),
        pytest.param({"carriers": BEARER}, "carriers", id="one carrier"),
    ],
)
def test_says_what_is_wrong_with_the_settings(preset: Preset, wrong: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        preset(**({"client_id": CLIENT_ID, "client_secret": SECRET} | wrong))
