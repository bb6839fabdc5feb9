"""Whatalo: the session tokens of plugins in a store's dashboard, and the access tokens of third-party clients."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, NotRequired, TypedDict, Unpack

from ..claim_rules import Expected
from ..keys import SharedSecrets
from ..settings import OpaqueTokens, SignedTokens
from . import OpaqueOverrides, Overrides, access_token_rules, audience_or_clients, authority, shared_secrets

__all__ = ["AccessClaims", "SessionClaims", "access_tokens", "session_tokens"]

_PATTERN = r"[A-Za-z0-9_-]{43}"

_STORE = "str_8k2m4n6p"
_SESSION = {
    "iss": "whatalo",
    "sub": _STORE,
    "iat": 1_800_000_000,
    "jti": "stk_01J9ZK4Q7W8E2R",
    "storeId": _STORE,
    "appId": "loyalty-stamps",
    "scopes": ["read:orders", "read:customers"],
    "installationId": "ins_3c4d5e6f",
}
_ACCESS = {
    "scope": "read:products read:orders",
    "client_id": "cli_7a8b9c0d",
    "sub": "usr_1a2b3c4d",
    "iat": 1_800_000_000,
    "token_type": "Bearer",
    "whatalo_store_id": _STORE,
}


class SessionClaims(TypedDict):
    """What a session token says. All of it is documented; only what is checked is sure to be there."""

    iss: str
    aud: str | list[str]
    sub: str
    exp: float
    iat: float
    jti: str
    storeId: str
    appId: NotRequired[str]
    scopes: NotRequired[list[str]]
    installationId: NotRequired[str]


class AccessClaims(TypedDict):
    """What Whatalo says of an access token. All of it is documented; only what is checked is sure to be there."""

    iss: str
    aud: NotRequired[str | list[str]]
    client_id: NotRequired[str]
    sub: NotRequired[str]
    exp: NotRequired[float]
    iat: NotRequired[float]
    scope: NotRequired[str]
    token_type: NotRequired[str]
    whatalo_store_id: NotRequired[str]


def session_tokens(
    *,
    client_id: str,
    client_secret: str | SharedSecrets,
    app_id: str | None = None,
    **overrides: Unpack[Overrides],
) -> SignedTokens:
    """Settings for session tokens: the tenant is the store, and no user is named.

    ```python
    whatalo.session_tokens(client_id="wcl_...", client_secret="...", app_id="loyalty-stamps")
    ```

    `app_id` is the id of the manifest, which is not the client id; given, every token must name it as its `appId`.
    """
    return SignedTokens(
        keys=shared_secrets(client_secret),
        algorithms=("HS256",),
        issuer="whatalo",
        audience=client_id,
        authority=authority("whatalo", client_id),
        required=("exp", "iat", "jti", "sub", "storeId"),
        leeway=0,
        iat_leeway=30,
        scopes="scopes",
        tenant="storeId",
        rules={} if app_id is None else {"appId": app_id},
        checks=(_speaks_for_its_store,),
        claims_type=SessionClaims,
        sample=_SESSION if app_id is None else {**_SESSION, "appId": app_id},
        **(Overrides(name="whatalo.session", assumed_lifetime=300) | overrides),
    )


def access_tokens(
    *,
    client_id: str,
    client_secret: str | SharedSecrets,
    audience: Expected | None = None,
    clients: AbstractSet[str] | None = None,
    issuer: str = "https://app.whatalo.com",
    **overrides: Unpack[OpaqueOverrides],
) -> OpaqueTokens:
    """Settings for OAuth access tokens, which are opaque: the tenant is the store, the user a person.

    ```python
    whatalo.access_tokens(client_id="cli_...", client_secret="...", audience="https://orders.example.com")
    whatalo.access_tokens(client_id="cli_...", client_secret="...", clients={"cli_7a8b9c0d"})
    ```

    The client is the confidential one that Whatalo gave your API to ask with, not the plugin of session tokens. Say
    who the tokens must be for: `audience` is what clients ask for as `resource`, `clients` are the client ids that may
    call you. With `clients` alone the audience is not checked.
    """
    return OpaqueTokens(
        issuer=issuer,
        client_id=client_id,
        client_secret=client_secret,
        audience=audience_or_clients(audience, clients),
        clients=clients,
        authority=authority("whatalo", client_id),
        pattern=_PATTERN,
        iat_leeway=30,
        scopes="scope",
        tenant="whatalo_store_id",
        user="sub",
        claims_type=AccessClaims,
        sample=_ACCESS,
        **(
            OpaqueOverrides(name="whatalo.access", assumed_lifetime=3600, rules=access_token_rules(audience))
            | overrides
        ),
    )


def _speaks_for_its_store(values: Mapping[str, Any]) -> bool:
    """Whether `sub` is the store that `storeId` names."""
    return bool(values["sub"] == values["storeId"])
