"""The TypedDicts of the presets tell the truth: what they promise is checked, and all that platforms send is there."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NotRequired, Union, get_args, get_origin, get_type_hints

import pytest

from bearerguard import UNCHECKED, AuthError, Claims, StaticKeys
from bearerguard.platforms import jtl, oauth, shopify, whatalo
from bearerguard.rules.introspection import accepted_facts
from bearerguard.settings import Kind, OpaqueTokens
from tests.minting import SECRET, SigningKey, mint, private_key, public_jwk
from tests.platforms.test_jtl import APP_PAYLOAD, APP_TOKENS, ED, RSA, SESSION, SESSION_PAYLOAD
from tests.platforms.test_oauth import PAYLOAD as OAUTH
from tests.platforms.test_shopify import ADMIN, BUYER_TOKEN, CHECKOUT, CUSTOMER_ACCOUNT, GID, POS, SHOP, STAFF_TOKEN
from tests.platforms.test_whatalo import ANSWER, PRESET
from tests.platforms.test_whatalo import PAYLOAD as WHATALO
from tests.platforms.verdicts import NOW, changed, claims_of

Changes = dict[str, object]


@dataclass(frozen=True)
class Preset:
    """Settings, their TypedDict, all that their platform documents, and how it comes to us."""

    settings: Kind
    shape: Any
    documented: Mapping[str, object]
    token: Callable[[Changes], str] = lambda payload: mint(payload)

    def claims(self, changes: Changes) -> Claims | None:
        """The claims of a token that says what is documented, but for what `changes`; None where it is refused."""
        payload = changed({**self.documented}, changes)
        try:
            if isinstance(self.settings, OpaqueTokens):
                return accepted_facts(payload, self.settings, token=b"token", now=NOW)[0]
            return claims_of(self.token(payload), self.settings)
        except AuthError:
            return None


def signed_by(key: SigningKey, alg: str = "RS256", **headers: str) -> Callable[[Changes], str]:
    """Tokens of a platform that signs with `key`."""
    return lambda payload: mint(payload, key=key, alg=alg, headers=headers)


ISSUER = "https://id.example.com"
KEYS = StaticKeys({"keys": [public_jwk(private_key("RS256"), kid="RS256")]})
AT_JWT = signed_by(private_key("RS256"), kid="RS256", typ="at+jwt")
CLIENT: Any = {"client_id": "orders-api", "client_secret": SECRET, "audience": UNCHECKED, "rules": {}}
BUYER = {**BUYER_TOKEN, "sub": GID, "iss": f"https://{SHOP}/checkouts"}
MORE = {"nbf": NOW - 10, "auth_time": NOW - 60, "acr": "urn:mace:incommon:iap:silver", "amr": ["pwd", "otp"]}
FACTS = {**OAUTH, "nbf": NOW - 10, "token_type": "Bearer", "username": "ana@example.com"}
STORE_FACTS = {**{name: value for name, value in ANSWER.items() if name != "active"}, "iss": "https://app.whatalo.com"}

PRESETS: dict[str, Preset] = {
    "whatalo.session": Preset(PRESET, whatalo.SessionClaims, WHATALO),
    "whatalo.access": Preset(
        whatalo.access_tokens(**CLIENT), whatalo.AccessClaims, STORE_FACTS
    ),
    "shopify.admin": Preset(ADMIN, shopify.AdminClaims, STAFF_TOKEN),
    "shopify.pos": Preset(POS, shopify.PosClaims, STAFF_TOKEN),
    "shopify.checkout": Preset(CHECKOUT, shopify.CheckoutClaims, BUYER),
    "shopify.customer_account": Preset(CUSTOMER_ACCOUNT, shopify.CustomerAccountClaims, BUYER),
    "jtl.session": Preset(SESSION, jtl.SessionClaims, SESSION_PAYLOAD, signed_by(ED, "EdDSA")),
    "jtl.app": Preset(APP_TOKENS, jtl.AppClaims, APP_PAYLOAD, signed_by(RSA, kid="2987")),
    "oauth.jwt": Preset(
        oauth.jwt_access_tokens(ISSUER, UNCHECKED, keys=KEYS), oauth.AccessTokenClaims, OAUTH | MORE, AT_JWT
    ),
    "oauth.jwt, another make": Preset(
        oauth.jwt_access_tokens(ISSUER, UNCHECKED, keys=KEYS, rfc9068=False),
        oauth.OtherAccessTokenClaims,
        OAUTH | {"nbf": NOW - 10, "azp": "web"},
        AT_JWT,
    ),
    "oauth.opaque": Preset(
        oauth.opaque_access_tokens(ISSUER, introspection_endpoint=f"{ISSUER}/introspect", **CLIENT),
        oauth.OpaqueTokenClaims,
        FACTS,
    ),
}  # fmt: skip

every_preset = pytest.mark.parametrize("name", PRESETS)


def fits(value: object, said: Any) -> bool:
    """Whether a value is of the type that an annotation says."""
    if get_origin(said) is NotRequired:
        return fits(value, get_args(said)[0])
    if get_origin(said) in (Union, types.UnionType):
        return any(fits(value, each) for each in get_args(said))
    if get_origin(said) is list:
        return isinstance(value, list) and all(fits(item, get_args(said)[0]) for item in value)
    if said is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, said)


def hints(name: str) -> dict[str, Any]:
    """The claims that a TypedDict names, and what it says of them."""
    return get_type_hints(PRESETS[name].shape, include_extras=True)


def promised(name: str) -> set[str]:
    """The claims that a TypedDict promises to be there."""
    return {key for key, said in hints(name).items() if get_origin(said) is not NotRequired}


@every_preset
def test_has_all_that_the_platform_documents(name: str) -> None:
    preset = PRESETS[name]
    claims = preset.claims({})
    assert claims is not None
    typed: Any = claims.typed(preset.shape)
    said = hints(name)
    assert [key for key in typed if key not in said] == []
    assert [key for key, value in typed.items() if not fits(value, said[key])] == []


@every_preset
def test_promises_exactly_what_is_checked(name: str) -> None:
    preset = PRESETS[name]
    without = {key: preset.claims({key: ...}) for key in hints(name)}
    missing = {key for key, claims in without.items() if claims is None or key in claims}
    assert missing == promised(name)


@every_preset
@pytest.mark.parametrize("wrong", [5, 1.5, True, "words", "", [], {}, ["words"], [5], None, {"a": 1}], ids=repr)
def test_promises_no_type_that_is_not_checked(name: str, wrong: object) -> None:
    preset = PRESETS[name]
    for key in promised(name):
        claims = preset.claims({key: wrong})
        assert claims is None or fits(claims.to_dict()[key], hints(name)[key]), key


@every_preset
def test_lets_a_missing_claim_be_missing(name: str) -> None:
    preset = PRESETS[name]
    claims = preset.claims(dict.fromkeys(hints(name).keys() - promised(name), ...))
    assert claims is not None
    assert set(claims) == promised(name)


def test_takes_a_null_customer_for_none() -> None:
    claims = PRESETS["shopify.checkout"].claims({"sub": None})
    assert claims is not None
    assert "sub" not in claims.typed(shopify.CheckoutClaims)


def test_every_preset_is_here() -> None:
    modules = (jtl, oauth, shopify, whatalo)
    shapes = {getattr(module, name) for module in modules for name in module.__all__ if name.endswith("Claims")}
    assert {preset.shape for preset in PRESETS.values()} == shapes
    assert all(preset.settings.claims_type is preset.shape for preset in PRESETS.values())
