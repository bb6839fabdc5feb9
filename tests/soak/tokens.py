"""Tokens of the soak: minted here, with all that the oracle must know of each."""

from __future__ import annotations

import itertools
import random
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from bearerguard.encoding import base64url
from tests.minting import mint

from .oracle import LEEWAY_SECONDS, Revocation, Shown, Uses

ISSUER = "https://platform.example.com"
PROVIDER_ISSUER = "https://id.example.com"
AUDIENCE = "https://orders.example.com"
AUTHORITY = "soak"
SECRET = "the secret of the soak has more than thirty-two bytes"
OTHER_SECRET = "the secret of somebody else is as long as that one is"
CLIENT_ID = "soak"
CLIENT_SECRET = "the client secret of the soak, of more than thirty-two bytes"
SCOPE = "write:orders"
SHORTEST_LIFE, LONGEST_LIFE = 5, 60
USERS, TENANTS = 40, 16

_serial = itertools.count()


@dataclass(slots=True, eq=False)
class Token:
    """A token, and what was done about it."""

    text: str
    issued_at: float = 0.0
    ends_at: float = float("inf")
    is_opaque: bool = False
    is_flawed: bool = False
    has_scope: bool = False
    token_id: str = ""
    user: str = ""
    tenant: str = ""
    withdrawn_at: float | None = None
    revocations: list[Revocation] = field(default_factory=list)
    passed: int = 0
    unknown: int = 0
    under_way: int = 0
    replays: int = 0

    def shown(self, revocations: Sequence[Revocation]) -> Shown:
        """The token as the oracle sees it, with the revocations of its user and tenant."""
        return Shown(
            issued_at=self.issued_at,
            ends_at=self.ends_at,
            is_opaque=self.is_opaque,
            is_flawed=self.is_flawed,
            has_scope=self.has_scope,
            withdrawn_at=self.withdrawn_at,
            revocations=revocations,
            uses=Uses(self.passed, self.unknown, self.under_way),
        )

    def facts(self, now: float) -> dict[str, object]:
        """What the provider says of an opaque token."""
        if self.withdrawn_at is not None or now >= self.ends_at:
            return {"active": False}
        return {"active": True, **_claims(self, PROVIDER_ISSUER, self.ends_at)}


def signed_token(chance: random.Random) -> Token:
    """A good session token."""
    token = _good(chance)
    token.text = mint(_claims(token, ISSUER, token.ends_at - LEEWAY_SECONDS), key=SECRET)
    return token


def opaque_token(chance: random.Random) -> Token:
    """A good access token, which the provider must be told of."""
    token = _good(chance)
    token.text = secrets.token_urlsafe(32)
    token.is_opaque = True
    token.ends_at -= LEEWAY_SECONDS
    return token


def flawed_token(chance: random.Random) -> Token:
    """No token, or one that nobody vouches for."""
    good = signed_token(chance)
    head, payload, signature = good.text.split(".")
    other = base64url(b"x" * 32)
    texts = ["", "a.b.c", f"{head}.{payload}.{other}", f"{head}.{_claims_of_another(chance)}.{signature}"]
    return Token(chance.choice(texts), is_flawed=True)


def made_up_token() -> Token:
    """An opaque token that the provider has never heard of."""
    return Token(secrets.token_urlsafe(32), is_opaque=True, withdrawn_at=0.0)


def _claims_of_another(chance: random.Random) -> str:
    return signed_token(chance).text.split(".")[1]


def _good(chance: random.Random) -> Token:
    now = int(time.time())
    return Token(
        "",
        issued_at=now,
        ends_at=now + chance.randint(SHORTEST_LIFE, LONGEST_LIFE) + LEEWAY_SECONDS,
        has_scope=chance.random() < 0.7,
        token_id=f"id-{next(_serial)}-{secrets.token_hex(4)}",
        user=f"usr_{chance.randrange(USERS)}",
        tenant=f"str_{chance.randrange(TENANTS)}",
    )


def _claims(token: Token, issuer: str, expires_at: float) -> dict[str, object]:
    return {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": token.user,
        "tenant": token.tenant,
        "jti": token.token_id,
        "iat": token.issued_at,
        "exp": expires_at,
        "scope": SCOPE if token.has_scope else "read:orders",
    }
