"""JTL: the session tokens and the app tokens of apps in JTL's cloud, and the access tokens of the apps themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NotRequired, TypeAlias, TypedDict, Unpack

from ..checks import check_text, check_url, origin_of_url
from ..claim_rules import NO_SCOPES, UNCHECKED, ClaimText, IfPresent
from ..errors import SettingsError
from ..keys import JwksKeys, SharedSecrets, StaticKeys
from ..settings import SignedTokens
from . import Overrides, authority

if TYPE_CHECKING:
    from ..client_credentials import ClientCredentials
    from ..stores import StoreLike

__all__ = [
    "API_URLS",
    "AUTH_URLS",
    "AppClaims",
    "Environment",
    "SessionClaims",
    "app_tokens",
    "client_credentials",
    "session_tokens",
]

Environment: TypeAlias = Literal["prod", "beta", "dev", "qa"]
"""Which of JTL's clouds."""

API_URLS: Mapping[Environment, str] = MappingProxyType(
    {
        "prod": "https://api.jtl-cloud.com",
        "beta": "https://api.beta.jtl-cloud.com",
        "dev": "https://api.dev.jtl-cloud.com",
        "qa": "https://api.qa.jtl-cloud.com",
    }
)
"""Where the APIs of each environment are, the ERP's among them."""

AUTH_URLS: Mapping[Environment, str] = MappingProxyType(
    {
        "prod": "https://auth.jtl-cloud.com",
        "beta": "https://auth.jtl-cloud.com",
        "dev": "https://auth.dev.jtl-cloud.com",
        "qa": "https://auth.qa.jtl-cloud.com",
    }
)
"""Where apps of each environment get access tokens; beta has no such place of its own."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)

_TENANT = "f2f8ab7e-1d2c-4b3a-8e9f-0a1b2c3d4e5f"
_SESSION = {
    "userId": "8f0c9c6e-3b1d-4c2a-9d7e-5a4b3c2d1e0f",
    "tenantId": _TENANT,
    "tenantSlug": "muster-gmbh",
    "kid": "C-104711",
}
_APP = {"sub": "287654321098765432", "iat": 1_800_000_000, "urn:jtl:tenant_id": _TENANT}


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


def session_tokens(
    *,
    client_id: str,
    client_secret: str | SharedSecrets | None = None,
    credentials: ClientCredentials | None = None,
    keys: StaticKeys | JwksKeys | None = None,
    environment: Environment = "prod",
    api_url: str | None = None,
    **overrides: Unpack[Overrides],
) -> SignedTokens:
    """Settings for session tokens, the older of JTL's two kinds. Do not use them where an app can get app tokens.

    ```python
    jtl.session_tokens(client_id="...", client_secret="...", carriers=[Header("X-Session-Token")])
    jtl.session_tokens(client_id="...", credentials=jtl.client_credentials(...))     # shared with your calls to the ERP
    jtl.session_tokens(client_id="...", keys=StaticKeys(jwks))                       # keys that you have at hand
    ```

    JTL shows its keys to apps with an access token only: `client_secret`, or `credentials` of your own, get one.
    The tokens name no app, so every app that has ever been given one can use it here as well. `client_id` is the name
    that revocations are kept under.
    """
    return SignedTokens(
        keys=_session_keys(client_id, client_secret, credentials, keys, environment, api_url),
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
        sample=_SESSION,
        **(Overrides(name="jtl.session", assumed_lifetime=3600) | overrides),
    )


def _session_keys(
    client_id: str,
    client_secret: str | SharedSecrets | None,
    credentials: ClientCredentials | None,
    keys: StaticKeys | JwksKeys | None,
    environment: Environment,
    api_url: str | None,
) -> StaticKeys | JwksKeys:
    if sum(given is not None for given in (client_secret, credentials, keys)) != 1:
        raise SettingsError(
            "JTL shows the keys of session tokens with an access token only; give one of client_secret='...', "
            "credentials=jtl.client_credentials(...) and keys=StaticKeys(...)"
        )
    if keys is not None:
        return keys
    api = _api_url(environment, api_url)
    if client_secret is not None:
        credentials = client_credentials(
            client_id=client_id, client_secret=client_secret, environment=environment, api_url=api
        )
    return JwksKeys(f"{api}/account/.well-known/jwks.json", auth=credentials)


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
    origin = _without_slash("issuer", issuer)
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
        sample={**_APP, "aud": [app_id, "298000000000000001"], "urn:jtl:app_id": app_id},
        **(Overrides(name="jtl.app", assumed_lifetime=86_400) | overrides),
    )


def client_credentials(
    *,
    client_id: str,
    client_secret: str | SharedSecrets,
    environment: Environment = "prod",
    issuer: str | None = None,
    auth_url: str | None = None,
    api_url: str | None = None,
    scope: str | None = None,
    origins: AbstractSet[str] | None = None,
    store: StoreLike | None = None,
    margin: float = 60,
) -> ClientCredentials:
    """Access tokens of the app itself, for the ERP's API and for the keys of session tokens.

    ```python
    erp = httpx.Client(base_url=jtl.API_URLS["prod"], auth=jtl.client_credentials(client_id="...", client_secret="..."))
    erp.post("/erp/v2/graphql", headers={"X-Tenant-ID": claims.require_tenant()}, json={"query": "..."})
    ```

    The tokens are sent to the API of the environment, or to `origins`. `issuer` is for apps with app tokens, and is the
    same there and here: the token is then asked for at `{issuer}/oauth/v2/token`, with the scope `openid`.
    """
    from ..client_credentials import ClientCredentials

    return ClientCredentials(
        client_id=client_id,
        client_secret=client_secret,
        token_url=_token_url(environment, issuer, auth_url),
        scope="openid" if scope is None and issuer is not None else scope,
        origins={origin_of_url(_api_url(environment, api_url))} if origins is None else origins,
        store=store,
        margin=margin,
    )


def _token_url(environment: Environment, issuer: str | None, auth_url: str | None) -> str:
    if issuer is not None and auth_url is not None:
        raise SettingsError("issuer and auth_url both say where access tokens come from; give one of them")
    if issuer is not None:
        return f"{_without_slash('issuer', issuer)}/oauth/v2/token"
    url = _of(environment, AUTH_URLS) if auth_url is None else auth_url
    return f"{_without_slash('auth_url', url)}/oauth2/token"


def _api_url(environment: Environment, api_url: str | None) -> str:
    url = _of(environment, API_URLS) if api_url is None else api_url
    check_url("api_url", url)
    return url.removesuffix("/")


def _of(environment: Environment, urls: Mapping[Environment, str]) -> str:
    if environment not in urls:
        raise SettingsError(f"environment is {environment!r}; use one of {', '.join(map(repr, urls))}")
    return urls[environment]


def _without_slash(name: str, url: str) -> str:
    check_text(name, url)
    return url.removesuffix("/")


def _uuid(text: str) -> str | None:
    return text.lower() if _UUID.fullmatch(text) else None
