"""Shopify: session tokens of the admin, of POS, and of checkout and customer account extensions.

All of them are signed with the same secret for the same audience, so only their other claims tell them apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NotRequired, TypedDict, Unpack

from ..carriers import BEARER, Query
from ..checks import check_text
from ..claim_rules import ABSENT, NO_SCOPES, ClaimRule, ClaimText, IfPresent
from ..errors import InvalidToken, SettingsError, TokenRevoked
from ..keys import SharedSecrets
from ..settings import SignedTokens
from . import Overrides, authority, shared_secrets

__all__ = [
    "SHOP_DOMAINS",
    "AdminClaims",
    "CheckoutClaims",
    "CustomerAccountClaims",
    "PosClaims",
    "admin",
    "checkout",
    "customer_account",
    "pos",
]

SHOP_DOMAINS = ("myshopify.com",)

_RETRY = "X-Shopify-Retry-Invalid-Session-Request"
# What a cross-origin answer does not expose, the code of an extension does not see.
_ASK_AGAIN = {_RETRY: "1", "Access-Control-Expose-Headers": _RETRY}

_STAFF = re.compile(r"[0-9]+")
_CUSTOMER = re.compile(r"gid://shopify/Customer/[0-9]+")
_TEXT = re.compile(r"\S+")
_DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")

_ANY_TOKEN = {"iat": 1_800_000_000, "nbf": 1_800_000_000, "jti": "5b0e4a52-2a0f-4d6b-8c53-0c7f0f5a9a11"}
_STAFF_TOKEN = {
    **_ANY_TOKEN,
    "sub": "81234567890",
    "sid": "6f1c0e6cbd0f0f0d9b8a7c6d5e4f30211203f4e5d6c7a8b99b0d0f0fdbc6e0c1",
}


class AdminClaims(TypedDict):
    """What a session token of the admin says."""

    iss: str
    dest: str
    aud: str
    sub: str
    sid: str
    jti: str
    exp: float
    iat: float
    nbf: NotRequired[float]


class PosClaims(AdminClaims):
    """What a session token of a POS extension says."""


class CheckoutClaims(TypedDict):
    """What a session token of a checkout extension says; `sub` is there for some logged-in buyers only."""

    dest: str
    aud: str
    jti: str
    exp: float
    iat: float
    nbf: NotRequired[float]
    sub: NotRequired[str]
    iss: NotRequired[str]


class CustomerAccountClaims(CheckoutClaims):
    """What a session token of a customer account extension says."""


def admin(
    *,
    client_id: str,
    client_secret: str | SharedSecrets,
    id_token_in_query: bool = False,
    shop_domains: Sequence[str] = SHOP_DOMAINS,
    **overrides: Unpack[Overrides],
) -> SignedTokens:
    """Settings for tokens of App Home and of admin extensions: the tenant is the shop, the user a member of its staff.

    ```python
    shopify.admin(client_id="...", client_secret=SharedSecrets("new secret", "old secret"))
    ```

    `id_token_in_query=True` also takes the token from the query parameter `id_token` of requests for documents.
    """
    chosen = Overrides(name="shopify.admin") | overrides
    if id_token_in_query:
        chosen["carriers"] = (*chosen.get("carriers", (BEARER,)), Query("id_token"))
    settings = _staff_tokens(client_id, client_secret, _Shops(tuple(shop_domains)), AdminClaims, chosen)
    return replace(settings, refusal_headers={InvalidToken: _ASK_AGAIN, TokenRevoked: {}})


def pos(
    *,
    client_id: str,
    client_secret: str | SharedSecrets,
    shop_domains: Sequence[str] = SHOP_DOMAINS,
    **overrides: Unpack[Overrides],
) -> SignedTokens:
    """Settings for tokens of POS extensions: the user is the account that is logged in, not who typed a PIN.

    Requests come without a token where that account may not use the app.
    """
    chosen = Overrides(name="shopify.pos") | overrides
    return _staff_tokens(client_id, client_secret, _Shops(tuple(shop_domains)), PosClaims, chosen)


def checkout(
    *,
    client_id: str,
    client_secret: str | SharedSecrets,
    shop_domains: Sequence[str] = SHOP_DOMAINS,
    **overrides: Unpack[Overrides],
) -> SignedTokens:
    """Settings for tokens of checkout extensions: the tenant is the shop, the user a customer where one is named.

    The user is a text like `gid://shopify/Customer/7000000000001`, or None: a good token need not name a customer.
    """
    chosen = Overrides(name="shopify.checkout") | overrides
    return _buyer_tokens(client_id, client_secret, _Shops(tuple(shop_domains)), CheckoutClaims, chosen)


def customer_account(
    *,
    client_id: str,
    client_secret: str | SharedSecrets,
    shop_domains: Sequence[str] = SHOP_DOMAINS,
    **overrides: Unpack[Overrides],
) -> SignedTokens:
    """Settings for tokens of customer account extensions, which keep the same rules as those of `checkout`.

    Nothing in a token tells the two apart, so one verifier takes both only from different carriers.
    """
    chosen = Overrides(name="shopify.customer_account") | overrides
    return _buyer_tokens(client_id, client_secret, _Shops(tuple(shop_domains)), CustomerAccountClaims, chosen)


def _staff_tokens(
    client_id: str, client_secret: str | SharedSecrets, shops: _Shops, claims_type: type[Any], chosen: Overrides
) -> SignedTokens:
    rules: dict[str, ClaimRule] = {"aud": client_id, "dest": shops.is_origin, "sub": _STAFF, "sid": _TEXT}
    return SignedTokens(
        keys=shared_secrets(client_secret),
        algorithms=("HS256",),
        issuer=_AdminOf(shops),
        audience=client_id,
        authority=authority("shopify", client_id),
        required=("exp", "iat", "jti", "iss", "dest", "sub", "sid"),
        scopes=NO_SCOPES,
        tenant=ClaimText("dest", normalise=shops.host),
        user="sub",
        rules=rules,
        checks=(shops.is_one_shop,),
        claims_type=claims_type,
        sample={**_STAFF_TOKEN, "iss": f"https://{shops.sample}/admin", "dest": f"https://{shops.sample}"},
        **(Overrides(assumed_lifetime=60) | chosen),
    )


def _buyer_tokens(
    client_id: str, client_secret: str | SharedSecrets, shops: _Shops, claims_type: type[Any], chosen: Overrides
) -> SignedTokens:
    rules: dict[str, ClaimRule] = {"aud": client_id, "sid": ABSENT, "sub": IfPresent(_CUSTOMER)}
    return SignedTokens(
        keys=shared_secrets(client_secret),
        algorithms=("HS256",),
        issuer=IfPresent(shops.is_outside_admin),
        audience=client_id,
        authority=authority("shopify", client_id),
        required=("exp", "iat", "jti", "dest"),
        nullable={"sub"},
        scopes=NO_SCOPES,
        tenant=ClaimText("dest", normalise=shops.host),
        user="sub",
        rules=rules,
        checks=(shops.is_one_shop,),
        claims_type=claims_type,
        sample={**_ANY_TOKEN, "dest": shops.sample},
        **(Overrides(assumed_lifetime=300) | chosen),
    )


@dataclass(frozen=True, slots=True)
class _Address:
    """The parts of an address; the host is in lower case."""

    scheme: str
    host: str
    path: str


@dataclass(frozen=True, slots=True)
class _Shops:
    """Which hosts are shops: a single label below one of the domains."""

    domains: tuple[str, ...]

    def __post_init__(self) -> None:
        for domain in self.domains:
            check_text("a domain of shop_domains", domain)
            if not _DOMAIN.fullmatch(domain):
                raise SettingsError(f"shop_domains has {domain!r}; write shop_domains=('myshopify.com',)")
        if not self.domains:
            raise SettingsError("shop_domains is empty and would refuse every shop; leave it out")

    @property
    def sample(self) -> str:
        """The host of a shop that could be one."""
        return f"pine-lane.{self.domains[0]}"

    def host(self, text: str) -> str | None:
        """The host of a shop, from a bare host or an origin."""
        address = self._address(text)
        return address.host if address and not address.path else None

    def is_origin(self, dest: object) -> bool:
        """Whether `dest` is `https://{shop}`."""
        address = self._address(dest)
        return address is not None and address.scheme != "" and address.path == ""

    def is_admin(self, issuer: str) -> bool:
        """Whether `issuer` is `https://{shop}/admin`."""
        address = self._address(issuer)
        return address is not None and address.scheme != "" and address.path == "/admin"

    def is_outside_admin(self, issuer: str) -> bool:
        """Whether `issuer` is of a shop, and not of its admin."""
        address = self._address(issuer)
        return address is not None and "admin" not in address.path.lower().split("/")

    def is_one_shop(self, values: Mapping[str, Any]) -> bool:
        """Whether the token's dest is a shop, and its issuer, if it names one, the same shop."""
        named = [self._address(values[name]) for name in ("dest", "iss") if values.get(name) is not None]
        hosts = {address and address.host for address in named}
        return len(hosts) == 1 and None not in hosts

    def _address(self, text: object) -> _Address | None:
        match = _pattern(self.domains).fullmatch(text) if isinstance(text, str) else None
        return match and _Address(match["scheme"] or "", match["host"].lower(), match["path"] or "")


@dataclass(frozen=True, slots=True)
class _AdminOf:
    """The rule of an admin token's issuer; equal rules let a verifier see that two kinds take the same tokens."""

    shops: _Shops

    def __call__(self, issuer: str) -> bool:
        """Whether `iss` is `https://{shop}/admin`."""
        return self.shops.is_admin(issuer)


@cache
def _pattern(domains: tuple[str, ...]) -> re.Pattern[str]:
    # ASCII: a Kelvin sign is no k.
    shop = rf"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.(?:{'|'.join(map(re.escape, domains))})"
    return re.compile(rf"(?P<scheme>https://)?(?P<host>{shop})(?P<path>/[^?#\s]*)?", re.ASCII | re.IGNORECASE)
