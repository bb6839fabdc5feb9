"""Lets a Python web application accept bearer tokens safely.

Settings say which tokens are good, a `Verifier` judges them, a door (`bearerguard.asgi`, `bearerguard.wsgi`) stands
before the application, and guards stand at its routes.
"""

import typing

from .access import current_claims
from .claim_rules import ABSENT, NO_SCOPES, UNCHECKED, ClaimText, IfPresent
from .claims import Claims
from .denylist import Denylist
from .errors import (
    AuthError,
    BearerguardError,
    ForeignOrigin,
    InsufficientScope,
    InvalidRequest,
    InvalidToken,
    MissingToken,
    ProviderUnavailable,
    SettingsError,
    StoreUnavailable,
    TokenExpired,
    TokenReplayed,
    TokenRevoked,
    Unavailable,
)
from .guards import requires_any_scope, requires_kind, requires_scope, requires_token, single_use
from .keys import JwksKeys, SharedSecrets, StaticKeys
from .settings import OpaqueTokens, ProtectedResource, SignedTokens
from .stores import MemoryStore, RedisStore
from .verifier import Verifier

if typing.TYPE_CHECKING:
    from .client_credentials import ClientCredentials
else:

    def __getattr__(name: str) -> object:
        """`ClientCredentials` is an `httpx.Auth`, so httpx is brought in when it is first asked for."""
        if name == "ClientCredentials":
            from .client_credentials import ClientCredentials

            return ClientCredentials
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "ABSENT",
    "NO_SCOPES",
    "UNCHECKED",
    "AuthError",
    "BearerguardError",
    "ClaimText",
    "Claims",
    "ClientCredentials",
    "Denylist",
    "ForeignOrigin",
    "IfPresent",
    "InsufficientScope",
    "InvalidRequest",
    "InvalidToken",
    "JwksKeys",
    "MemoryStore",
    "MissingToken",
    "OpaqueTokens",
    "ProtectedResource",
    "ProviderUnavailable",
    "RedisStore",
    "SettingsError",
    "SharedSecrets",
    "SignedTokens",
    "StaticKeys",
    "StoreUnavailable",
    "TokenExpired",
    "TokenReplayed",
    "TokenRevoked",
    "Unavailable",
    "Verifier",
    "current_claims",
    "requires_any_scope",
    "requires_kind",
    "requires_scope",
    "requires_token",
    "single_use",
]
