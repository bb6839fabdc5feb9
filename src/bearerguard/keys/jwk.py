"""JWK and PEM documents, read strictly into prepared public keys."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..encoding import from_base64url, is_base64url
from .algorithms import ALGORITHMS, ED25519_NAMES, Algorithm, KeyType, VerifyingKey, public_key_check, pyjwt_algorithm

MAX_KEYS = 256
MAX_KID = 256

_COORDINATE_BYTES = {"P-256": 32, "P-384": 48, "P-521": 66}
_RSA_BITS = range(2048, 8193)

_P = 2**255 - 19
_ORDER_8_Y = 2707385501144840649318225287225658788936804267575313519463743609750303402022
_SMALL_ORDER_Y = frozenset({0, 1, _P - 1, _ORDER_8_Y, _P - _ORDER_8_Y})


class PublicKey(NamedTuple):
    """A public key that has passed every check that does not need the token's algorithm."""

    key_type: KeyType
    curve: str | None
    alg: str | None
    kid: str | None
    key: Any
    thumbprint: bytes

    def fits(self, algorithm: Algorithm) -> bool:
        """Whether signatures of `algorithm` may be checked with this key."""
        if (self.key_type, self.curve) != (algorithm.key_type, algorithm.curve):
            return False
        return self.alg is None or self.alg == algorithm.name or {self.alg, algorithm.name} <= ED25519_NAMES


def prepared(keys: Iterable[PublicKey], algorithms: Iterable[str]) -> tuple[VerifyingKey, ...]:
    """Each key once for every algorithm that it fits."""
    return tuple(
        VerifyingKey(name, key.kid, key.thumbprint, index, public_key_check(key.key, ALGORITHMS[name]))
        for index, key in enumerate(keys)
        for name in algorithms
        if key.fits(ALGORITHMS[name])
    )


def keys_of_set(document: Mapping[str, Any]) -> Sequence[PublicKey]:
    """The usable keys of a JWK set; one bad key never kills the set. ValueError where no key is usable."""
    members = document.get("keys")
    if not isinstance(members, (list, tuple)) or len(members) > MAX_KEYS:
        raise ValueError(f"a JWK set is an object whose 'keys' is an array of at most {MAX_KEYS}")
    usable = [key for key in map(_key_or_none, members) if key is not None]
    if not usable:
        raise ValueError("the JWK set holds no usable key")
    return usable


def _key_or_none(member: object) -> PublicKey | None:
    try:
        return key_of_jwk(member)
    except ValueError:
        return None


def key_of_jwk(jwk: object) -> PublicKey:
    """The public key that a JWK spells; ValueError says which rule it breaks."""
    if not isinstance(jwk, Mapping):
        raise ValueError("a JWK is a JSON object")
    _check_purpose(jwk)
    key_type, curve = jwk.get("kty"), _text(jwk, "crv")
    alg, kid = _text(jwk, "alg"), _text(jwk, "kid")
    if key_type == "RSA":
        numbers, curve = {"n": _integer(jwk, "n"), "e": _integer(jwk, "e")}, None
    elif key_type == "EC" and curve in _COORDINATE_BYTES:
        numbers = {name: _octets(jwk, name, _COORDINATE_BYTES[curve]) for name in ("x", "y")}
    elif key_type == "OKP" and curve == "Ed25519":
        numbers = {"x": _octets(jwk, "x", 32)}
    else:
        raise ValueError("the key type or curve is not one that is accepted")
    return _checked(key_type, curve, alg, kid, {"kty": key_type, **({"crv": curve} if curve else {}), **numbers})


def _check_purpose(jwk: Mapping[str, Any]) -> None:
    if "d" in jwk or "k" in jwk:
        raise ValueError("the JWK holds a private or shared key; give the public key alone")
    if jwk.get("use", "sig") != "sig":
        raise ValueError("the JWK's use is not 'sig'")
    operations = jwk.get("key_ops", ("verify",))
    if not isinstance(operations, (list, tuple)) or "verify" not in operations:
        raise ValueError("the JWK's key_ops do not hold 'verify'")


def _text(jwk: Mapping[str, Any], name: str) -> str | None:
    value = jwk.get(name)
    if value is not None and not (isinstance(value, str) and 0 < len(value) <= MAX_KID):
        raise ValueError(f"the JWK's {name} is not a short text")
    return value


def _member(jwk: Mapping[str, Any], name: str) -> bytes:
    value = jwk.get(name)
    if not isinstance(value, str) or not value.isascii() or not is_base64url(value.encode()):
        raise ValueError(f"the JWK's {name} is not base64url")
    return from_base64url(value.encode())


def _integer(jwk: Mapping[str, Any], name: str) -> str:
    octets = _member(jwk, name)
    if not octets or octets[0] == 0:
        raise ValueError(f"the JWK's {name} is not a minimal integer")
    return str(jwk[name])


def _octets(jwk: Mapping[str, Any], name: str, length: int) -> str:
    if len(_member(jwk, name)) != length:
        raise ValueError(f"the JWK's {name} has not {length} bytes")
    return str(jwk[name])


def _checked(key_type: KeyType, curve: str | None, alg: str | None, kid: str | None, jwk: dict[str, Any]) -> PublicKey:
    algorithm = next(row for row in ALGORITHMS.values() if (row.key_type, row.curve) == (key_type, curve))
    try:
        pyjwt = pyjwt_algorithm(algorithm.name)
        key = pyjwt.prepare_key(type(pyjwt).from_jwk(jwk))
    except Exception as error:  # PyJWT and cryptography raise from several families here
        raise ValueError(f"the JWK does not load: {type(error).__name__}") from None
    return public_key(key, alg=alg, kid=kid)


def key_of_pem(pem: bytes) -> PublicKey:
    """The public key that a PEM document holds; ValueError says which rule it breaks."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if pem.count(b"-----BEGIN ") > 1:
        raise ValueError("the PEM holds several keys; give each as a text of its own")
    if b"PRIVATE KEY" in pem:
        raise ValueError("the PEM holds a private key; give the public key alone")
    try:
        key = load_pem_public_key(pem)
    except Exception as error:  # cryptography raises ValueError, TypeError and UnsupportedAlgorithm
        raise ValueError(f"the PEM does not load as a public key: {type(error).__name__}") from None
    return public_key(key, alg=None, kid=None)


def public_key(key: Any, *, alg: str | None, kid: str | None) -> PublicKey:
    """A loaded key, once its numbers are found sound."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    if isinstance(key, RSAPublicKey):
        _check_rsa(key.key_size, key.public_numbers().e)
        return PublicKey("RSA", None, alg, kid, key, _thumbprint(key))
    if isinstance(key, EllipticCurvePublicKey):
        curve = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}.get(key.curve.name)
        if curve is None:
            raise ValueError("the key's curve is not one of P-256, P-384, P-521")
        return PublicKey("EC", curve, alg, kid, key, _thumbprint(key))
    if isinstance(key, Ed25519PublicKey):
        _check_ed25519(key.public_bytes_raw())
        return PublicKey("OKP", "Ed25519", alg, kid, key, _thumbprint(key))
    raise ValueError("the key is not RSA, EC or Ed25519")


def _check_rsa(bits: int, exponent: int) -> None:
    if bits not in _RSA_BITS:
        raise ValueError(f"the RSA key has {bits} bits; 2048 to 8192 are accepted")
    if exponent < 65537 or exponent % 2 == 0:
        raise ValueError("the RSA key's exponent is not odd and at least 65537")


def _check_ed25519(raw: bytes) -> None:
    y = int.from_bytes(raw, "little") % 2**255
    if y >= _P or y in _SMALL_ORDER_Y:
        raise ValueError("the Ed25519 key is a point of small order or not canonical")


def _thumbprint(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
