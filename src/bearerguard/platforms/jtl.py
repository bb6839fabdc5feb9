"""JTL: the session tokens and the app tokens of apps in JTL's cloud."""

from __future__ import annotations

import re
from typing import NotRequired, TypedDict, Unpack

from ..checks import check_text
from ..claim_rules import NO_SCOPES, UNCHECKED, ClaimText, IfPresent
from ..keys import JwksKeys, StaticKeys
from ..settings import SignedTokens
from . import Overrides, authority

__all__ = ["AppClaims", "SessionClaims", "app_tokens", "session_tokens"]

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


class SessionClaims(TypedDict):
    """What a session token says. Its `kid` is a number of the customer, not of a key."""

    exp: float
    userId: str
    tenantId: str
    tenantSlug: NotRequired[str | None]
    kid: NotRequired[str]


AppClaims = TypedDict(
    "AppClaims",
    {
        "iss": str,
        "aud": str | list[str],
        "sub": str,
        "exp": float,
        "iat": NotRequired[float],
        "urn:jtl:tenant_id": NotRequired[str],
        "urn:jtl:app_id": NotRequired[str],
    },
)
"""What an app token says."""


def session_tokens(*, keys: StaticKeys | JwksKeys, client_id: str, **overrides: Unpack[Overrides]) -> SignedTokens:
    """Settings for session tokens, the older of JTL's two kinds. Do not use them where an app can get app tokens.

    ```python
    jtl.session_tokens(client_id="...", keys=StaticKeys(jwks), carriers=[Header("X-Session-Token")])
    ```

    The tokens name no app, so every app that has ever been given one can use it here as well. `client_id` is the name
    that revocations are kept under.
    """
    return SignedTokens(
        keys=keys,
        algorithms=("EdDSA",),
        issuer=UNCHECKED,
        audience=UNCHECKED,
        authority=authority("jtl", client_id),
        required=("exp", "userId", "tenantId"),
        leeway=0,
        scopes=NO_SCOPES,
        tenant=ClaimText("tenantId", normalise=_uuid),
        user=ClaimText("userId", normalise=_uuid),
        warnings=("tokens name no app; a token that any other JTL app was given is accepted here",),
        claims_type=SessionClaims,
        **(Overrides(name="jtl.session", assumed_lifetime=3600) | overrides),
    )


def app_tokens(
    *,
    app_id: str,
    issuer: str = "https://id.jtl-cloud.com",
    keys: StaticKeys | JwksKeys | None = None,
    **overrides: Unpack[Overrides],
) -> SignedTokens:
    """Settings for app tokens, JTL's current kind.

    ```python
    jtl.app_tokens(app_id="app-0c1d2e3f")
    ```

    A good token may name no tenant. `claims.tenant` is None then, and answering 400 is the app's step.
    """
    check_text("issuer", issuer)
    origin = issuer.removesuffix("/")
    return SignedTokens(
        keys=JwksKeys(f"{origin}/oauth/v2/keys") if keys is None else keys,
        algorithms=("RS256",),
        issuer=origin,
        audience=app_id,
        authority=authority("jtl", app_id, called="app_id"),
        required=("exp", "sub"),
        scopes=NO_SCOPES,
        tenant=ClaimText("urn:jtl:tenant_id", normalise=_uuid),
        user="sub",
        rules={"urn:jtl:app_id": IfPresent(app_id)},
        claims_type=AppClaims,
        **(Overrides(name="jtl.app", assumed_lifetime=86_400) | overrides),
    )


def _uuid(text: str) -> str | None:
    return text.lower() if _UUID.fullmatch(text) else None
