"""Which key each algorithm takes; the key itself never decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from jwt.algorithms import Algorithm as PyJWTAlgorithm

KeyType: TypeAlias = Literal["oct", "RSA", "EC", "OKP"]
Verify: TypeAlias = Callable[[bytes, bytes], bool]

ED25519_NAMES = frozenset({"EdDSA", "Ed25519"})


class Algorithm(NamedTuple):
    """One row of the table: what a key must be, and how long a signature is where that is fixed."""

    name: str
    key_type: KeyType
    hash_name: str
    hash_bytes: int
    curve: str | None = None
    signature_bytes: int | None = None


ALGORITHMS: dict[str, Algorithm] = {
    row.name: row
    for row in (
        Algorithm("HS256", "oct", "sha256", 32),
        Algorithm("HS384", "oct", "sha384", 48),
        Algorithm("HS512", "oct", "sha512", 64),
        Algorithm("RS256", "RSA", "sha256", 32),
        Algorithm("RS384", "RSA", "sha384", 48),
        Algorithm("RS512", "RSA", "sha512", 64),
        Algorithm("PS256", "RSA", "sha256", 32),
        Algorithm("PS384", "RSA", "sha384", 48),
        Algorithm("PS512", "RSA", "sha512", 64),
        Algorithm("ES256", "EC", "sha256", 32, "P-256", 64),
        Algorithm("ES384", "EC", "sha384", 48, "P-384", 96),
        Algorithm("ES512", "EC", "sha512", 64, "P-521", 132),
        Algorithm("EdDSA", "OKP", "sha512", 64, "Ed25519", 64),
        Algorithm("Ed25519", "OKP", "sha512", 64, "Ed25519", 64),
    )
}


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """One key, prepared for one algorithm."""

    algorithm: str
    kid: str | None
    thumbprint: bytes
    index: int
    verifies: Verify


def hmac_check(secret: bytes, algorithm: Algorithm) -> Verify:
    """A check of HMAC signatures made with `secret`; hashing the secret is done once."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
    from cryptography.hazmat.primitives.hmac import HMAC

    hashes = {"sha256": SHA256(), "sha384": SHA384(), "sha512": SHA512()}
    begun = HMAC(secret, hashes[algorithm.hash_name])

    def verifies(signing_input: bytes, signature: bytes) -> bool:
        mac = begun.copy()
        mac.update(signing_input)
        try:
            mac.verify(signature)
        except InvalidSignature:
            return False
        return True

    return verifies


def public_key_check(key: Any, algorithm: Algorithm) -> Verify:
    """A check of signatures made with the private half of `key`, which PyJWT has prepared for `algorithm`."""
    verify, length = pyjwt_algorithm(algorithm.name).verify, algorithm.signature_bytes

    def verifies(signing_input: bytes, signature: bytes) -> bool:
        if length is not None and len(signature) != length:
            return False
        try:
            return verify(signing_input, key, signature) is True
        except Exception:  # whatever a crypto library raises, the signature was not verified
            return False

    return verifies


@cache
def pyjwt_algorithm(name: str) -> PyJWTAlgorithm:
    """PyJWT's object for the algorithm; imported late, because it brings cryptography along."""
    from jwt.algorithms import get_default_algorithms

    return get_default_algorithms()["EdDSA" if name in ED25519_NAMES else name]
