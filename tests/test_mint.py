"""Tokens for the tests of apps: whatever settings they are minted for accept them, and nothing is guessed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bearerguard import (
    ABSENT,
    NO_SCOPES,
    UNCHECKED,
    AuthError,
    ClaimText,
    IfPresent,
    JwksKeys,
    SettingsError,
    SharedSecrets,
    SignedTokens,
    StaticKeys,
    Verifier,
)
from bearerguard.encoding import from_base64url
from bearerguard.keys.algorithms import ALGORITHMS
from bearerguard.platforms import jtl, oauth, shopify, whatalo
from bearerguard.testing import Clock, TestKeys, mint
from tests.hostile import GOOD

KEYS = TestKeys()
ISSUER = "https://id.example.com"
AUDIENCE = "https://orders.example.com"
SHOP = "acme.myshopify.com"

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
scope_sets = st.sets(st.from_regex(r"[\x21\x23-\x5b\x5d-\x7e]{1,20}", fullmatch=True), max_size=5)
uuids = st.uuids().map(str)
shops = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?\.myshopify\.com", fullmatch=True).filter(str.isascii)


@dataclass(frozen=True)
class Preset:
    """Settings, and what may be asked of their tokens."""

    settings: SignedTokens
    tenants: st.SearchStrategy[str] | None = None
    users: st.SearchStrategy[str] | None = None
    has_scopes: bool = False
    claims: Mapping[str, Any] = field(default_factory=dict)


def preset(make: Callable[..., SignedTokens], **arguments: Any) -> SignedTokens:
    return make(client_id="ours", client_secret=KEYS.secret, **arguments)


staff = st.from_regex(r"[0-9]{1,20}", fullmatch=True).filter(str.isascii)
customers = staff.map("gid://shopify/Customer/{}".format)

PRESETS = {
    "whatalo": Preset(preset(whatalo.session_tokens), words, has_scopes=True),
    "whatalo, one app": Preset(preset(whatalo.session_tokens, app_id="stamps"), words, has_scopes=True),
    "shopify.admin": Preset(preset(shopify.admin), shops, staff),
    "shopify.pos": Preset(preset(shopify.pos), shops, staff),
    "shopify.checkout": Preset(preset(shopify.checkout), shops, customers),
    "shopify.customer_account": Preset(preset(shopify.customer_account), shops, customers),
    "shopify, another domain": Preset(preset(shopify.admin, shop_domains=("shop.dev",)), None, staff),
    "jtl.session": Preset(jtl.session_tokens(client_id="ours", keys=KEYS.static("EdDSA")), uuids, uuids),
    "jtl.app": Preset(jtl.app_tokens(app_id="ours", keys=KEYS.static("RS256")), uuids, words),
    "oauth": Preset(oauth.jwt_access_tokens(ISSUER, AUDIENCE, keys=KEYS.static()), None, words, has_scopes=True),
    "oauth, any make": Preset(
        oauth.jwt_access_tokens(ISSUER, {AUDIENCE, "b"}, keys=KEYS.static("ES256"), rfc9068=False),
        None,
        words,
        has_scopes=True,
    ),
}
VERIFIERS = {name: Verifier(row.settings) for name, row in PRESETS.items()}

every_preset = pytest.mark.parametrize("name", PRESETS)


def by_hand(**changes: Any) -> SignedTokens:
    usual: dict[str, Any] = {
        "keys": SharedSecrets(KEYS.secret),
        "algorithms": ("HS256",),
        "issuer": ISSUER,
        "audience": AUDIENCE,
    }
    return SignedTokens(**usual | changes)


def verdict(settings: SignedTokens, token: str) -> str:
    try:
        Verifier(settings).verify(token)
    except AuthError as refusal:
        return refusal.reason
    return GOOD


def part(token: str, index: int) -> dict[str, Any]:
    """The header (0) or the payload (1) of a token."""
    read: dict[str, Any] = json.loads(from_base64url(token.split(".")[index].encode()))
    return read


# --- What is asked for comes back ------------------------------------------------------------------------------------


@every_preset
@settings(max_examples=40)
@given(data=st.data())
def test_gives_tokens_that_every_preset_accepts(name: str, data: st.DataObject) -> None:
    row = PRESETS[name]
    asked: dict[str, Any] = {
        what: data.draw(st.none() | values, what)
        for what, values in (("tenant", row.tenants), ("user", row.users))
        if values is not None
    }
    scopes = data.draw(scope_sets, "scopes") if row.has_scopes else set()
    claims = VERIFIERS[name].verify(mint(row.settings, keys=KEYS, scopes=scopes, **asked))
    assert claims.scopes == scopes
    assert {what: getattr(claims, what) for what, value in asked.items() if value is not None} == {
        what: value for what, value in asked.items() if value is not None
    }


WHATALO = {"iss", "aud", "sub", "exp", "iat", "jti", "storeId", "appId", "scopes", "installationId"}
STAFF = {"iss", "dest", "aud", "sub", "exp", "nbf", "iat", "jti", "sid"}
BUYER = {"dest", "aud", "exp", "nbf", "iat", "jti"}
OAUTH = {"iss", "aud", "sub", "client_id", "exp", "iat", "jti"}


@pytest.mark.parametrize(
    ("name", "claims"),
    [
        ("whatalo", WHATALO),
        ("shopify.admin", STAFF),
        ("shopify.pos", STAFF),
        ("shopify.checkout", BUYER),
        ("shopify.customer_account", BUYER),
        ("jtl.session", {"exp", "userId", "tenantId", "tenantSlug", "kid"}),
        ("jtl.app", {"iss", "sub", "aud", "exp", "iat", "urn:jtl:tenant_id", "urn:jtl:app_id"}),
        ("oauth", OAUTH),
        ("oauth, any make", OAUTH),
    ],
)
def test_says_what_the_platforms_tokens_say(name: str, claims: set[str]) -> None:
    assert part(mint(PRESETS[name].settings, keys=KEYS), 1).keys() == claims


def test_names_a_shop_in_every_claim_that_names_it() -> None:
    said = part(mint(PRESETS["shopify.admin"].settings, tenant="ACME.myshopify.com"), 1)
    assert (said["iss"], said["dest"]) == (f"https://{SHOP}/admin", f"https://{SHOP}")
    said = part(mint(PRESETS["whatalo"].settings, tenant="str_1"), 1)
    assert (said["sub"], said["storeId"]) == ("str_1", "str_1")


def test_grants_nothing_that_was_not_asked_for() -> None:
    for name in ("whatalo", "oauth"):
        assert VERIFIERS[name].verify(mint(PRESETS[name].settings, keys=KEYS)).scopes == set()


def test_names_a_customer_only_where_one_is_asked_for() -> None:
    assert "sub" not in part(mint(PRESETS["shopify.checkout"].settings), 1)


def test_gives_each_token_an_id_of_its_own() -> None:
    settings = by_hand()
    assert part(mint(settings), 1)["jti"] != part(mint(settings), 1)["jti"]


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if KEYS.signs(name)])
def test_signs_as_the_settings_ask(algorithm: str) -> None:
    shared = algorithm.startswith("HS")
    keys: Any = SharedSecrets(KEYS.secret) if shared else KEYS.static(algorithm)
    settings = by_hand(keys=keys, algorithms=(algorithm,))
    token = mint(settings, keys=KEYS)
    assert verdict(settings, token) == GOOD
    assert part(token, 0) == {"alg": algorithm, "typ": "JWT"} | ({} if shared else {"kid": KEYS.kid(algorithm)})


def test_signs_with_the_newest_secret_of_the_settings() -> None:
    settings = by_hand(keys=SharedSecrets("the new secret, of 32 bytes or more", KEYS.secret))
    only_new = by_hand(keys=SharedSecrets("the new secret, of 32 bytes or more"))
    assert verdict(only_new, mint(settings)) == GOOD


def test_signs_for_a_key_set_that_is_fetched_later() -> None:
    settings = by_hand(keys=JwksKeys(f"{ISSUER}/keys"), algorithms=("ES384", "PS256"))
    token = mint(settings, keys=KEYS)
    assert verdict(by_hand(keys=KEYS.static("PS256"), algorithms=("PS256",)), token) == GOOD


def test_takes_a_verifier_of_one_kind_and_its_clock() -> None:
    clock = Clock(1_800_000_000.75)
    verifier = Verifier(by_hand(leeway=0), clock=clock, monotonic=clock)
    token = mint(verifier, lifetime=1)
    assert (part(token, 1)["iat"], part(token, 1)["exp"]) == (1_800_000_000, 1_800_000_001)
    assert verifier.verify(token).expires_at == 1_800_000_001
    clock.advance(0.25)
    with pytest.raises(AuthError, match="expired"):
        verifier.verify(token)


@pytest.mark.parametrize(
    ("changes", "asked", "said"),
    [
        pytest.param({"issuer": {"b", "a"}}, {}, {"iss": "a"}, id="one of several issuers"),
        pytest.param({"issuer": IfPresent(re.compile("x"))}, {}, {"iss": ...}, id="an issuer that may be missing"),
        pytest.param({"issuer": UNCHECKED}, {}, {"iss": ...}, id="no issuer is asked for"),
        pytest.param({"issuer": str.isascii}, {"iss": "x"}, {"iss": "x"}, id="an issuer for a function"),
        pytest.param({"audience_claim": "client_id"}, {}, {"client_id": AUDIENCE, "aud": ...}, id="Cognito's audience"),
        pytest.param(
            {"rules": {"use": "access", "n": 1, "ok": True}}, {}, {"use": "access", "n": 1, "ok": True}, id="rules"
        ),
        pytest.param(
            {"rules": {"use": frozenset({"b", "a"}), "x": ABSENT}}, {}, {"use": "a", "x": ...}, id="rules of sets"
        ),
        pytest.param({"required": ("exp", "nbf", "org")}, {}, {"org": "org-1"}, id="required claims"),
        pytest.param(
            {"tenant": "org", "user": "sub"}, {"tenant": "o", "user": "u"}, {"org": "o", "sub": "u"}, id="names"
        ),
        pytest.param(
            {"tenant": ClaimText("org", str.lower)}, {"tenant": "O"}, {"org": "o"}, id="a name in one spelling"
        ),
        pytest.param({}, {"scopes": ["b", "a"]}, {"scope": "a b"}, id="scopes as a text"),
        pytest.param(
            {"scopes": "permissions"}, {"scopes": ["b", "a"]}, {"permissions": ["a", "b"]}, id="scopes as a list"
        ),
        pytest.param({"scopes": NO_SCOPES}, {"scopes": ()}, {"scope": ...}, id="no scopes"),
        pytest.param({"required": ("sub",), "max_age": 90}, {}, {"sub": "sub-1"}, id="an age instead of an end"),
        pytest.param({"max_lifetime": 60}, {}, {}, id="a bounded life"),
        pytest.param(
            {"checks": (lambda values: values["plan"] == "gold",)}, {"plan": "gold"}, {"plan": "gold"}, id="a check"
        ),
        pytest.param({"typ": "at+jwt"}, {}, {}, id="a type"),
    ],
)
def test_fills_in_what_settings_by_hand_ask_for(
    changes: dict[str, Any], asked: dict[str, Any], said: dict[str, Any]
) -> None:
    settings = by_hand(**changes)
    token = mint(settings, **asked)
    assert verdict(settings, token) == GOOD
    values = part(token, 1)
    assert {name: values.get(name, ...) for name in said} == said


# --- Tokens that are to be refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        pytest.param({"lifetime": -60}, "expired", id="ended"),
        pytest.param({"now": 1_600_000_000}, "expired", id="of long ago"),
        pytest.param({"now": 4_000_000_000}, "not_yet_valid", id="of the future"),
        pytest.param({"aud": "somebody else"}, "wrong_audience", id="for somebody else"),
        pytest.param({"iss": "somebody else"}, "wrong_issuer", id="of somebody else"),
        pytest.param({"without": ("aud",)}, "missing_claim", id="for nobody"),
        pytest.param({"without": ["exp", "jti"]}, "missing_claim", id="without an end"),
        pytest.param({"exp": "tomorrow"}, "bad_claim", id="an end that is a text"),
        pytest.param({"exp": None}, "missing_claim", id="an end that is null"),
        pytest.param({"keys": TestKeys()}, "bad_signature", id="forged"),
        pytest.param({"headers": {"alg": "none"}}, "malformed", id="not signed"),
        pytest.param({"headers": {"alg": "RS256"}}, "bad_algorithm", id="another algorithm"),
        pytest.param({"headers": {"typ": "logout+jwt"}}, "bad_type", id="another type"),
        pytest.param({"headers": {"crit": ["exp"]}}, "bad_header", id="a critical header"),
        pytest.param({"cnf": {"jkt": "x"}}, "sender_constrained", id="bound to a key"),
    ],
)
def test_makes_bad_tokens_for_those_who_ask_for_them(asked: dict[str, Any], reason: str) -> None:
    settings = by_hand()
    assert verdict(settings, mint(settings, **asked)) == reason


def test_leaves_a_header_out_that_is_none() -> None:
    settings = by_hand(keys=KEYS.static("EdDSA"), algorithms=("EdDSA",))
    token = mint(settings, keys=KEYS, headers={"kid": None, "typ": None})
    assert part(token, 0) == {"alg": "EdDSA"}
    assert verdict(settings, token) == GOOD


# --- Nonsense --------------------------------------------------------------------------------------------------------

OPAQUE = whatalo.access_tokens(client_id="ours", client_secret=KEYS.secret, audience=AUDIENCE)


@pytest.mark.parametrize(
    ("kind", "asked", "sentence"),
    [
        pytest.param(
            OPAQUE, {}, "'whatalo.access' is no kind of signed token; opaque ones come from Fake", id="opaque"
        ),
        pytest.param(Verifier(OPAQUE), {}, "opaque ones come from FakeProvider", id="a verifier of opaque ones"),
        pytest.param(None, {}, "'NoneType' is no kind of signed token", id="nothing"),
        pytest.param(KEYS, {}, "'TestKeys' is no kind of signed token", id="keys"),
        pytest.param(
            Verifier(PRESETS["shopify.admin"].settings, PRESETS["whatalo"].settings),
            {},
            "takes several kinds of token; give the settings of one",
            id="several kinds",
        ),
        pytest.param("shopify.admin", {"scopes": {"read"}}, "'shopify.admin' carry no scopes", id="scopes for Shopify"),
        pytest.param("jtl.app", {"scopes": {"read"}}, "'jtl.app' carry no scopes", id="scopes for JTL"),
        pytest.param("shopify.admin", {"tenant": "acme"}, "'acme' is no tenant of kind 'shopify.admin'", id="no shop"),
        pytest.param("shopify.admin", {"user": "anna"}, "'anna' is no user.* one like '81234567890'", id="no staff"),
        pytest.param("shopify.checkout", {"user": "7"}, "'7' is no user of kind 'shopify.checkout'", id="no customer"),
        pytest.param("whatalo", {"user": "anna"}, "'whatalo.session' name no user; leave user= out", id="no users"),
        pytest.param("oauth", {"tenant": "acme"}, "'oauth.jwt' name no tenant; leave tenant= out", id="no tenants"),
        pytest.param("jtl.session", {"tenant": "muster"}, "'muster' is no tenant", id="no UUID"),
        pytest.param("whatalo", {"tenant": ""}, "tenant is empty", id="an empty tenant"),
        pytest.param("whatalo", {"tenant": 7}, "tenant is empty or no text", id="a number for a tenant"),
        pytest.param(
            "whatalo", {"scopes": "read"}, r"scopes takes several names; write scopes=\('read',\)", id="a text"
        ),
        pytest.param("whatalo", {"scopes": ["read orders"]}, "without blanks", id="a blank in a scope"),
        pytest.param("whatalo", {"scopes": [1]}, "scopes has 1; give each name as a text", id="a number for a scope"),
        pytest.param("whatalo", {"without": "aud"}, r"write without=\('aud',\)", id="one name to leave out"),
        pytest.param("whatalo", {"lifetime": "60"}, "lifetime is '60'", id="a text for a lifetime"),
        pytest.param("whatalo", {"lifetime": float("nan")}, "lifetime is nan", id="no number at all"),
        pytest.param("whatalo", {"now": Clock()}, "give a time in seconds since 1970", id="a clock instead of a time"),
        pytest.param("whatalo", {"now": 1_800_000_000_000}, "give a time in seconds", id="milliseconds"),
        pytest.param("whatalo", {"keys": KEYS.secret}, r"keys is str; write keys=TestKeys\(\)", id="a secret for keys"),
        pytest.param(
            "jtl.app", {}, r"public keys, .*make keys = TestKeys\(\).*mint\(settings, keys=keys\)", id="no keys"
        ),
        pytest.param("whatalo", {"plan": object()}, "a claim cannot be written as JSON", id="an object"),
        pytest.param("whatalo", {"plan": float("inf")}, "a claim cannot be written as JSON", id="an infinite number"),
        pytest.param("whatalo", {"headers": {"x": {1}}}, "a header cannot be written as JSON", id="a set in a header"),
        pytest.param(
            by_hand(issuer=str.isascii),
            {},
            "the claim 'iss'.*names no value; give it: iss=",
            id="an issuer by function",
        ),
        pytest.param(
            by_hand(audience=re.compile("a")), {}, "the claim 'aud'.*give it: aud=", id="an audience by pattern"
        ),
        pytest.param(
            by_hand(rules={"urn:x": str.isascii}), {}, r"give it: \*\*\{'urn:x': \.\.\.\}", id="a rule by function"
        ),
        pytest.param(
            by_hand(required=("exp", "n"), rules={"n": str.isascii}), {}, "the claim 'n'", id="a required claim by rule"
        ),
        pytest.param(
            by_hand(checks=(bool, len)), {"scopes": ()}, "len, a check of kind 'signed', refuses", id="a check"
        ),
        pytest.param(
            by_hand(tenant=len), {"tenant": "a"}, "the tenant.*found by a function", id="a tenant by function"
        ),
        pytest.param(by_hand(user=len), {"user": "a"}, "the user.*found by a function", id="a user by function"),
        pytest.param(
            by_hand(scopes=set), {"scopes": ["a"]}, "the scopes.*found by a function", id="scopes by function"
        ),
        pytest.param(
            by_hand(keys=JwksKeys(f"{ISSUER}/keys"), algorithms=("ES512",)),
            {"keys": KEYS},
            "takes ES512, and TestKeys signs with none of them",
            id="an algorithm without a key",
        ),
    ],
)
def test_refuses_nonsense_and_says_what_to_write(kind: Any, asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        mint(PRESETS[kind].settings if isinstance(kind, str) else kind, **asked)


@pytest.mark.parametrize("claim", [object(), float("nan"), {"x": {"a secret word"}}])
def test_does_not_show_what_it_could_not_write(claim: object) -> None:
    with pytest.raises(SettingsError) as caught:
        mint(by_hand(), plan=claim)
    assert caught.value.__context__ is None


# --- Keys ------------------------------------------------------------------------------------------------------------


def test_keys_are_made_once_and_no_two_objects_share_one() -> None:
    keys, others = TestKeys(), TestKeys()
    assert keys.jwks() == keys.jwks()
    assert keys.secret == keys.secret
    assert keys.secret != others.secret
    assert len(keys.secret.encode()) >= 64
    kids = [jwk["kid"] for each in (keys, others) for jwk in each.jwks()["keys"]]
    assert len(set(kids)) == 6


def test_a_key_set_has_public_keys_only() -> None:
    members = {member for jwk in KEYS.jwks()["keys"] for member in jwk}
    assert members <= {"kty", "crv", "n", "e", "x", "y", "use", "kid"}
    assert [jwk["kty"] for jwk in KEYS.jwks()["keys"]] == ["RSA", "EC", "OKP"]
    assert [jwk["kty"] for jwk in KEYS.jwks("ES256", "PS512", "RS256")["keys"]] == ["EC", "RSA"]
    assert len(StaticKeys(KEYS.jwks())) == 3


@pytest.mark.parametrize("algorithm", ["ES384", "none", "HS1", ""])
def test_keys_say_for_what_they_are(algorithm: str) -> None:
    with pytest.raises(SettingsError, match=r"has no key for .*; use one of HS256, .*Ed25519"):
        KEYS.static(algorithm)


def test_a_shared_secret_has_no_public_key() -> None:
    with pytest.raises(SettingsError, match=r"write SharedSecrets\(keys\.secret\)"):
        KEYS.static("HS256")


def test_keys_show_no_secret() -> None:
    assert KEYS.secret
    assert repr(KEYS) == str(KEYS) == "<TestKeys>"


# --- The clock -------------------------------------------------------------------------------------------------------


def test_a_clock_stands_still_until_it_is_moved() -> None:
    clock = Clock(1000)
    assert (clock(), clock.now) == (1000, 1000)
    assert (clock.advance(61), clock()) == (1061, 1061)
    assert clock.advance(-1) == 1060
    clock.now = 5.5
    assert clock() == 5.5
    assert repr(clock) == "<Clock 5.5>"


@pytest.mark.parametrize("now", [-1, float("nan"), float("inf"), "now", True, None])
def test_a_clock_shows_nothing_but_times(now: Any) -> None:
    clock = Clock(1000)
    with pytest.raises(SettingsError, match="give a time in seconds since 1970"):
        clock.now = now
    assert clock() == 1000


def test_a_clock_begins_at_the_time_of_this_machine() -> None:
    before = time.time()
    assert before <= Clock()() <= time.time()
