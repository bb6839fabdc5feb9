"""bearerguard as the bench sets it up: the in-memory denylist, everything else at its default."""

from __future__ import annotations

from typing import Any

from bearerguard import OpaqueTokens, RedisStore, SharedSecrets, SignedTokens, StaticKeys, Verifier

from .provider import CLIENT_ID, CLIENT_SECRET, Provider
from .tokens import AUDIENCE, ISSUER, Signer


def verifier_for(
    signer: Signer,
    *,
    store: RedisStore | str = "memory://",
    claims_type: type[Any] | None = None,
    remember_tokens: int = 10_000,
) -> Verifier[SignedTokens]:
    """A verifier that accepts the tokens of `signer`."""
    keys = SharedSecrets if isinstance(signer.public, str) else StaticKeys
    return Verifier(
        SignedTokens(
            keys=keys(signer.public_text),
            algorithms=(signer.algorithm,),
            issuer=ISSUER,
            audience=AUDIENCE,
            required=("exp", "iat", "nbf", "jti"),
            remember_tokens=remember_tokens,
            tenant="tenant",
            user="sub",
            claims_type=claims_type,
        ),
        store=store,
    )


def introspecting(
    provider: Provider, *, store: RedisStore | str = "memory://", remember_tokens: int = 10_000
) -> Verifier[OpaqueTokens]:
    """A verifier that asks the provider; its connections are closed before the provider ends."""
    verifier = Verifier(
        OpaqueTokens(
            issuer=ISSUER,
            client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET,
            audience=AUDIENCE,
            introspection_endpoint=provider.endpoint,
            remember_tokens=remember_tokens,
            tenant="tenant",
            user="sub",
        ),
        store=store,
    )
    provider.askers.append(verifier)
    return verifier
