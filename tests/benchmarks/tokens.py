"""Keys, and as many distinct good tokens as a run needs."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ALGORITHMS = ("HS256", "RS256", "EdDSA")
ISSUER = "https://platform.example.com"
AUDIENCE = "https://orders.example.com"
SCOPES = "read:orders write:orders"
LIFETIME_SECONDS = 6 * 3600
HEADERS = {"typ": "at+jwt"}
"""RFC 9068's type of an access token: Authlib asks for it, and nobody minds."""

NO_BASE64URL = "spelt with letters that base64url has not"

PublicKey = str | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
PrivateKey = str | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, kw_only=True)
class Signer:
    """One algorithm with its key, in the forms that the contestants ask for."""

    algorithm: str
    private: PrivateKey = field(repr=False)
    public: PublicKey = field(repr=False)
    """The shared secret, or a loaded public key: what is fastest for who takes it."""

    @property
    def public_text(self) -> str:
        """The shared secret, or the public key as PEM."""
        if isinstance(self.public, str):
            return self.public
        return self.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def token(self, **changed: object) -> str:
        """A good token that was never seen before, but for what `changed` spoils."""
        return jwt.encode(claims() | changed, self.private, self.algorithm, HEADERS)

    def tokens(self, count: int) -> list[str]:
        """`count` good tokens, all different."""
        return [self.token() for _ in range(count)]

    def bad_tokens(self) -> Iterable[tuple[str, str]]:
        """What is wrong, and a token of that kind: nobody who is measured may let one of them in."""
        yield "a changed signature", forged(self.token())
        yield NO_BASE64URL, with_other_letters(self.token())
        yield "expired", self.token(exp=int(time.time()) - 3600)
        yield "issued by somebody else", self.token(iss="https://elsewhere.example.com")
        yield "issued for somebody else", self.token(aud="https://elsewhere.example.com")
        yield "not signed", jwt.encode(claims(), "", "none", HEADERS)


@cache
def signer(algorithm: str) -> Signer:
    """The signer of `algorithm`; the same one for the whole process."""
    if algorithm == "HS256":
        return shared_secret()
    if algorithm == "RS256":
        rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return Signer(algorithm=algorithm, private=rsa_key, public=rsa_key.public_key())
    ed_key = ed25519.Ed25519PrivateKey.generate()
    return Signer(algorithm=algorithm, private=ed_key, public=ed_key.public_key())


def shared_secret() -> Signer:
    """The signer of HS256, with a fixed secret so that a server in another process has it too."""
    secret = hashlib.sha256(b"bearerguard benchmarks").hexdigest()
    return Signer(algorithm="HS256", private=secret, public=secret)


def forged(token: str) -> str:
    """The same token with another signature, which is well-formed too."""
    head, payload, signature = token.split(".")
    return f"{head}.{payload}.{signature[:9]}{'B' if signature[9] == 'A' else 'A'}{signature[10:]}"


def with_other_letters(token: str) -> str:
    """The same token with letters in its signature that base64url has not; a decoder that skips them finds it good."""
    return f"{token[:-8]}~~~~{token[-8:]}"


def claims_by_pyjwt(token: str, signer: Signer, pyjwt: Any = jwt) -> dict[str, Any]:
    """What the contestants with PyJWT call: the same checks as the others make, as far as PyJWT has them."""
    found: dict[str, Any] = pyjwt.decode(
        token,
        signer.public,
        algorithms=[signer.algorithm],
        issuer=ISSUER,
        audience=AUDIENCE,
        leeway=10,
        options={"require": ["exp", "iat", "nbf", "jti"]},
    )
    return found


def claims() -> dict[str, object]:
    """The claims of a good token, issued now."""
    now = int(time.time())
    return {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "client_id": "storefront",
        "sub": "usr_7h3k9m2p",
        "tenant": "str_8k2m4n6p",
        "scope": SCOPES,
        "sid": "b2c5a8e1f4d70912",
        "iat": now,
        "nbf": now,
        "exp": now + LIFETIME_SECONDS,
        "jti": str(uuid.uuid4()),
    }
