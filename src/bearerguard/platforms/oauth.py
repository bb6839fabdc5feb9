"""OAuth: access tokens of any authorization server, JWTs as RFC 9068 describes them and opaque ones (RFC 7662)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import NotRequired, TypedDict, Unpack

from ..checks import check_text
from ..claim_rules import ABSENT, Expected, NamedRules
from ..errors import SettingsError
from ..keys import JwksKeys, SharedSecrets, StaticKeys
from ..settings import OpaqueTokens, SignedTokens
from . import OpaqueOverrides, Overrides, access_token_rules, audience_or_clients

__all__ = [
    "AccessTokenClaims",
    "OpaqueTokenClaims",
    "OtherAccessTokenClaims",
    "jwt_access_tokens",
    "opaque_access_tokens",
]

_ASYMMETRIC = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
)  # fmt: skip

_SAMPLE = {"sub": "user-4711", "client_id": "orders-web", "iat": 1_800_000_000, "jti": "8d1f4c0e7b2a49d6"}


class AccessTokenClaims(TypedDict):
    """What an access token says that follows RFC 9068."""

    iss: str
    exp: float
    sub: str
    client_id: str
    iat: float
    jti: str
    aud: NotRequired[str | list[str]]
    nbf: NotRequired[float]
    scope: NotRequired[str]
    auth_time: NotRequired[float]
    acr: NotRequired[str]
    amr: NotRequired[list[str]]


class OtherAccessTokenClaims(TypedDict):
    """What an access token of another make says (`rfc9068=False`)."""

    iss: str
    exp: float
    aud: NotRequired[str | list[str]]
    sub: NotRequired[str]
    client_id: NotRequired[str]
    azp: NotRequired[str]
    iat: NotRequired[float]
    nbf: NotRequired[float]
    jti: NotRequired[str]
    scope: NotRequired[str]


class OpaqueTokenClaims(TypedDict):
    """What a provider says of an opaque access token (RFC 7662, section 2.2); it need say no more than active."""

    iss: str
    aud: NotRequired[str | list[str]]
    sub: NotRequired[str]
    client_id: NotRequired[str]
    username: NotRequired[str]
    exp: NotRequired[float]
    iat: NotRequired[float]
    nbf: NotRequired[float]
    jti: NotRequired[str]
    scope: NotRequired[str]
    token_type: NotRequired[str]


def jwt_access_tokens(
    issuer: str,
    audience: Expected,
    *,
    jwks_url: str | None = None,
    keys: StaticKeys | JwksKeys | None = None,
    algorithms: Sequence[str] = _ASYMMETRIC,
    rfc9068: bool = True,
    **overrides: Unpack[Overrides],
) -> SignedTokens:
    """Settings for JWT access tokens: the user is `sub`, the scopes are those of `scope`.

    ```python
    oauth.jwt_access_tokens("https://id.example.com", "https://orders.example.com")
    oauth.jwt_access_tokens("https://acme.eu.auth0.com/", "https://orders.example.com", rfc9068=False)
    ```

    Without `jwks_url` the keys are fetched from `{issuer}/.well-known/jwks.json`. Many servers keep them there and no
    standard says so: look up `jwks_uri` in the server's metadata, and give it if it differs.

    `rfc9068=False` is for servers whose access tokens are of another make: `typ` is then no longer `at+jwt`, and
    `sub`, `client_id`, `iat` and `jti` may be missing. An ID token for the same audience may then pass as an access
    token, so let `audience` name your API alone and never a client.
    """
    return SignedTokens(
        keys=_keys(issuer, jwks_url, keys),
        algorithms=algorithms,
        issuer=issuer,
        audience=audience,
        typ="at+jwt" if rfc9068 else None,
        required=("exp", "iat", "sub", "client_id", "jti") if rfc9068 else ("exp",),
        scopes="scope",
        user="sub",
        rules=_RFC_9068 if rfc9068 else _NO_ID_TOKEN,
        sample=_SAMPLE,
        claims_type=AccessTokenClaims if rfc9068 else OtherAccessTokenClaims,
        **(Overrides(name="oauth.jwt") | overrides),
    )


def opaque_access_tokens(
    issuer: str,
    audience: Expected | None = None,
    *,
    client_id: str,
    client_secret: str | SharedSecrets,
    clients: AbstractSet[str] | None = None,
    jwt_shaped: bool = False,
    **overrides: Unpack[OpaqueOverrides],
) -> OpaqueTokens:
    """Settings for opaque access tokens, about which the issuer is asked: the user is `sub`, the scopes are `scope`'s.

    ```python
    oauth.opaque_access_tokens(
        "https://id.example.com", "https://orders.example.com", client_id="orders-api", client_secret="..."
    )
    ```

    Where to ask stands in the issuer's metadata, unless `introspection_endpoint` says it. `client_id` is the client
    that your API asks as. `clients` are the client ids that may call you; with them alone the audience is not checked,
    as it must be with servers that name none. `jwt_shaped=True` also asks about tokens that look like JWTs where the
    verifier takes signed kinds as well.
    """
    return OpaqueTokens(
        issuer=issuer,
        client_id=client_id,
        client_secret=client_secret,
        audience=audience_or_clients(audience, clients),
        clients=clients,
        jwt_shaped=jwt_shaped,
        scopes="scope",
        user="sub",
        claims_type=OpaqueTokenClaims,
        sample={**_SAMPLE, "token_type": "Bearer"},
        **(OpaqueOverrides(name="oauth.opaque", rules=access_token_rules(audience)) | overrides),
    )


# RFC 6749, appendix A.1: a client identifier is printable ASCII.
_RFC_9068: NamedRules = {"client_id": re.compile(r"[\x20-\x7e]+")}

# OpenID Connect Core, 3.1.3.6 and 3.3.2.11: the claims that only ID tokens have.
_NO_ID_TOKEN: NamedRules = {"at_hash": ABSENT, "c_hash": ABSENT}


def _keys(issuer: str, jwks_url: str | None, keys: StaticKeys | JwksKeys | None) -> StaticKeys | JwksKeys:
    check_text("issuer", issuer)
    if keys is not None and jwks_url is not None:
        raise SettingsError("jwks_url and keys both say where the keys are; give one of them")
    if keys is not None:
        return keys
    return JwksKeys(jwks_url or f"{issuer.removesuffix('/')}/.well-known/jwks.json")
