"""Tokens for tests, signed by hand: also those that no honest library would make."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, TypeAlias

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key

PrivateKey: TypeAlias = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey
SigningKey: TypeAlias = str | bytes | PrivateKey

SECRET = "a secret of thirty-two bytes, or more"
OLD_SECRET = "the old secret, which is as long as that"

_CURVES = {"ES256": SECP256R1(), "ES384": SECP384R1(), "ES512": SECP521R1()}


def mint(
    payload: Mapping[str, Any] | bytes,
    *,
    key: SigningKey | None = SECRET,
    alg: str = "HS256",
    headers: Mapping[str, Any] | bytes | None = None,
) -> str:
    """A token with this payload, signed with `key` as `alg` asks; bytes are taken as they are.

    `headers` are laid over `{"alg": alg, "typ": "JWT"}`; a header that is None is left out.
    """
    signing_input = f"{base64url(_header(alg, headers))}.{base64url(_json(payload))}"
    return f"{signing_input}.{base64url(signature(signing_input.encode(), key=key, alg=alg))}"


def signature(data: bytes, *, key: SigningKey | None, alg: str) -> bytes:
    """The signature that `alg` makes of `data`; nothing where `alg` is none of the known ones."""
    if key is None or alg.lower() == "none":
        return b""
    if isinstance(key, (str, bytes)):
        secret = key.encode() if isinstance(key, str) else key
        return hmac.digest(secret, data, f"sha{alg[2:]}" if alg.startswith("HS") else "sha256")
    signed: bytes = jwt.get_algorithm_by_name("EdDSA" if alg == "Ed25519" else alg).sign(data, key)
    return signed


def base64url(data: bytes) -> str:
    """`data` as a segment spells it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@functools.cache
def private_key(alg: str, name: str = "first") -> PrivateKey:
    """A key for `alg`, the same for the same name."""
    if alg in _CURVES:
        return generate_private_key(_CURVES[alg])
    if alg in ("EdDSA", "Ed25519"):
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
    return generate_rsa_key(public_exponent=65537, key_size=2048)


def public_jwk(key: PrivateKey, **members: Any) -> dict[str, Any]:
    """The public half of `key` as a JWK, with these members as well, and nothing that is not asked for."""
    name = "RS256" if isinstance(key, RSAPrivateKey) else "EdDSA" if isinstance(key, Ed25519PrivateKey) else "ES256"
    jwk: dict[str, Any] = jwt.get_algorithm_by_name(name).to_jwk(key.public_key(), as_dict=True)
    return {member: value for member, value in jwk.items() if member != "key_ops"} | members


def _header(alg: str, headers: Mapping[str, Any] | bytes | None) -> bytes:
    if isinstance(headers, bytes):
        return headers
    merged = {"alg": alg, "typ": "JWT", **(headers or {})}
    return _json({name: value for name, value in merged.items() if value is not None})


def _json(document: Mapping[str, Any] | bytes) -> bytes:
    return document if isinstance(document, bytes) else json.dumps(document).encode()
