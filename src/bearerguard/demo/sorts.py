"""The sorts of token that the demo mints: the settings that accept them, and what one of them says."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..keys import JwksKeys, StaticKeys
from ..platforms import jtl, oauth, shopify, whatalo
from ..settings import Kind
from ..testing import FakeProvider, TestKeys

API = "https://orders.example.com"
JTL_TENANT = "5d0c2d6e-8f0b-4f1c-9a57-2f6f1f0c3b7a"

_Sample = Callable[[int], dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Sort:
    """One sort of token: its label, the call that makes its settings, and what one that is issued at a time says.

    `tenant` is the claim that names the tenant, and `elsewhere` gives what differs in a token of another one.
    """

    label: str
    preset: str
    settings: Kind
    sample: _Sample
    tenant: str
    elsewhere: Callable[[], dict[str, Any]]
    keys: TestKeys | None = None
    algorithm: str = "HS256"
    typ: str = "JWT"

    @property
    def name(self) -> str:
        """The name of its kind, as in "whatalo.session"."""
        return self.settings.name

    @property
    def is_opaque(self) -> bool:
        """Whether its tokens say nothing themselves."""
        return self.keys is None

    def claims(self, now: int, changes: Mapping[str, Any], *, elsewhere: bool) -> dict[str, Any]:
        """What a token says that is issued now, but for the changes."""
        return {**self.sample(now), **(self.elsewhere() if elsewhere else {}), **changes}


def sorts(provider: FakeProvider) -> tuple[Sort, ...]:
    """All of them; nobody beyond this process knows their secrets."""
    return (_whatalo(), _shopify(), _jtl(), _jwt(provider), _opaque(provider))


def _whatalo() -> Sort:
    keys, client_id = TestKeys(), "wcl_demo"
    return Sort(
        label="Whatalo",
        preset=f'whatalo.session_tokens(client_id="{client_id}", client_secret=...)',
        settings=whatalo.session_tokens(client_id=client_id, client_secret=keys.secret),
        sample=lambda now: {
            "iss": "whatalo",
            "aud": client_id,
            "sub": "str_8k2m4n6p",
            "storeId": "str_8k2m4n6p",
            "scopes": ["read:orders", "write:orders"],
            **_times(now, 300),
        },
        keys=keys,
        tenant="storeId",
        elsewhere=lambda: dict.fromkeys(("sub", "storeId"), f"str_{_some_name()}"),
    )


def _shopify() -> Sort:
    keys, client_id = TestKeys(), "0f1e2d3c4b5a"
    return Sort(
        label="Shopify",
        preset=f'shopify.admin(client_id="{client_id}", client_secret=...)',
        settings=shopify.admin(client_id=client_id, client_secret=keys.secret),
        sample=lambda now: {
            "iss": "https://pine-lane.myshopify.com/admin",
            "dest": "https://pine-lane.myshopify.com",
            "aud": client_id,
            "sub": "81234567890",
            "sid": uuid.uuid4().hex,
            **_times(now, 60),
            "nbf": now,
        },
        keys=keys,
        tenant="dest",
        elsewhere=_another_shop,
    )


def _jtl() -> Sort:
    keys, app_id = TestKeys(), "app-0c1d2e3f"
    return Sort(
        label="JTL",
        preset=f'jtl.app_tokens(app_id="{app_id}")',
        settings=jtl.app_tokens(app_id=app_id, keys=StaticKeys(keys.jwks("RS256"))),
        sample=lambda now: {
            "iss": "https://id.jtl-cloud.com",
            "aud": app_id,
            "sub": "usr_2b4d6f",
            "urn:jtl:tenant_id": JTL_TENANT,
            "urn:jtl:app_id": app_id,
            **_times(now, 3600),
        },
        keys=keys,
        algorithm="RS256",
        tenant="urn:jtl:tenant_id",
        elsewhere=lambda: {"urn:jtl:tenant_id": str(uuid.uuid4())},
    )


def _jwt(provider: FakeProvider) -> Sort:
    settings = oauth.jwt_access_tokens(
        provider.issuer,
        API,
        keys=JwksKeys(provider.url("jwks"), cool_down=1),
        assumed_lifetime=3600,
    )
    return Sort(
        label="OAuth JWT",
        preset=f'oauth.jwt_access_tokens("{provider.issuer}", "{API}")',
        settings=replace(settings, tenant="org"),
        sample=lambda now: _granted(provider, now),
        tenant="org",
        elsewhere=lambda: {"org": f"shop-{_some_name()}"},
        keys=provider.keys,
        algorithm="RS256",
        typ="at+jwt",
    )


def _opaque(provider: FakeProvider) -> Sort:
    settings = oauth.opaque_access_tokens(
        provider.issuer,
        API,
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        cache_seconds=5,
        assumed_lifetime=3600,
    )
    return Sort(
        label="Opaque",
        preset=f'oauth.opaque_access_tokens("{provider.issuer}", "{API}", client_id=..., client_secret=...)',
        settings=replace(settings, tenant="org"),
        sample=lambda now: {**_granted(provider, now), "token_type": "Bearer"},
        tenant="org",
        elsewhere=lambda: {"org": f"shop-{_some_name()}"},
    )


def _granted(provider: FakeProvider, now: int) -> dict[str, Any]:
    return {
        "iss": provider.issuer,
        "aud": API,
        "sub": "ada",
        "org": "pine-lane",
        "client_id": "dashboard",
        "scope": "read:orders write:orders",
        **_times(now, 600),
    }


def _times(now: int, lifetime: int) -> dict[str, Any]:
    return {"iat": now, "exp": now + lifetime, "jti": str(uuid.uuid4())}


def _another_shop() -> dict[str, Any]:
    shop = f"https://shop-{_some_name()}.myshopify.com"
    return {"dest": shop, "iss": f"{shop}/admin"}


def _some_name() -> str:
    return uuid.uuid4().hex[:8]
