"""Which tokens are accepted, and what the application is called: frozen settings, checked when built."""

from typing import TypeAlias

from .fields import ClaimSettings, ClientAuth, RefusalHeaders, ScopeSource
from .opaque import OpaqueTokens
from .resource import ProtectedResource
from .signed import SignedTokens

__all__ = [
    "ClaimSettings",
    "ClientAuth",
    "Kind",
    "OpaqueTokens",
    "ProtectedResource",
    "RefusalHeaders",
    "ScopeSource",
    "SignedTokens",
]

Kind: TypeAlias = SignedTokens | OpaqueTokens
"""Any settings that a verifier takes."""
