"""Whatalo: the session tokens of plugins that are embedded in a store's dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict, Unpack

from ..keys import SharedSecrets
from ..settings import SignedTokens
from . import Overrides, authority, shared_secrets

__all__ = ["SessionClaims", "session_tokens"]


class SessionClaims(TypedDict):
    """What a session token says."""

    iss: str
    aud: str
    sub: str
    exp: float
    iat: float
    jti: str
    storeId: str
    appId: NotRequired[str]
    scopes: NotRequired[list[str]]
    installationId: NotRequired[str]


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
        **(Overrides(name="whatalo.session", assumed_lifetime=300) | overrides),
    )


def _speaks_for_its_store(values: Mapping[str, Any]) -> bool:
    return bool(values["sub"] == values["storeId"])
