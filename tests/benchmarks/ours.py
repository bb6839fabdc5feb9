"""bearerguard as the bench sets it up: the in-memory denylist, everything else at its default."""

from __future__ import annotations

from bearerguard import SharedSecrets, SignedTokens, StaticKeys, Verifier

from .tokens import AUDIENCE, ISSUER, Signer


def verifier_for(signer: Signer) -> Verifier[SignedTokens]:
    """A verifier that accepts the tokens of `signer`."""
    keys = SharedSecrets if isinstance(signer.public, str) else StaticKeys
    return Verifier(
        SignedTokens(
            keys=keys(signer.public_text),
            algorithms=(signer.algorithm,),
            issuer=ISSUER,
            audience=AUDIENCE,
            required=("exp", "iat", "nbf", "jti"),
            tenant="tenant",
            user="sub",
        )
    )
