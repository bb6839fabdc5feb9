"""Keys for tests: a shared secret and three private keys, each made when it is first needed."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from threading import RLock
from typing import Any, TypeAlias

from ..encoding import base64url
from ..errors import SettingsError
from ..keys import StaticKeys
from ..keys.algorithms import ALGORITHMS, Algorithm, KeyType, pyjwt_algorithm

_Kind: TypeAlias = tuple[KeyType, str | None]
"""The type of a key, and its curve where it has one."""


class TestKeys:
    """Keys to sign the tokens of tests with: a shared secret, RSA (2048 bits), P-256 and Ed25519.

    ```python
    keys = TestKeys()
    settings = whatalo.session_tokens(client_id="wcl_1", client_secret=keys.secret)
    settings = jtl.app_tokens(app_id="app-1", keys=keys.static("RS256"))
    token = mint(settings, keys=keys)
    ```

    Each object has keys of its own, so a token that is signed with another one's is a forgery.
    """

    __test__ = False  # pytest takes classes of such a name for tests

    def __init__(self) -> None:
        self._lock = RLock()
        self._made: dict[_Kind, Any] = {}

    def __repr__(self) -> str:
        return "<TestKeys>"

    @property
    def secret(self) -> str:
        """A secret for HS256, HS384 and HS512."""
        return str(self._key(("oct", None)))

    def jwks(self, *algorithms: str) -> dict[str, Any]:
        """The public keys as a JWK set: all of them, or those that sign with one of `algorithms`."""
        return {"keys": [_jwk(kind, self._key(kind)) for kind in self._kinds(algorithms)]}

    def static(self, *algorithms: str) -> StaticKeys:
        """The same keys for settings: `jtl.session_tokens(client_id="...", keys=keys.static("EdDSA"))`."""
        return StaticKeys(self.jwks(*algorithms))

    def signature(self, data: bytes, algorithm: str) -> bytes:
        """The signature that `algorithm` makes of `data`."""
        key = self._key(self._kind(algorithm))
        if isinstance(key, str):
            return shared_signature(data, key.encode(), algorithm)
        signed: bytes = pyjwt_algorithm(algorithm).sign(data, key)
        return signed

    def kid(self, algorithm: str) -> str | None:
        """The name in the JWK set of the key that signs with `algorithm`; None for the shared secret."""
        kind = self._kind(algorithm)
        return None if kind[0] == "oct" else _kid(kind, self._key(kind))

    def signs(self, algorithm: str) -> bool:
        """Whether there is a key for `algorithm`."""
        row = ALGORITHMS.get(algorithm)
        return row is not None and _kind_of(row) in _MAKERS

    def _kind(self, algorithm: str) -> _Kind:
        if not self.signs(algorithm):
            known = [name for name, row in ALGORITHMS.items() if _kind_of(row) in _MAKERS]
            raise SettingsError(f"TestKeys has no key for {algorithm!r}; use one of {', '.join(known)}")
        return _kind_of(ALGORITHMS[algorithm])

    def _kinds(self, algorithms: Sequence[str]) -> Sequence[_Kind]:
        kinds = dict.fromkeys(self._kind(name) for name in algorithms) if algorithms else _MAKERS
        public = [kind for kind in kinds if kind[0] != "oct"]
        if not public:
            raise SettingsError("HS* algorithms have no public key; write SharedSecrets(keys.secret)")
        return public

    def _key(self, kind: _Kind) -> Any:
        with self._lock:
            if kind not in self._made:
                self._made[kind] = _MAKERS[kind]()
            return self._made[kind]


def shared_signature(data: bytes, secret: bytes, algorithm: str) -> bytes:
    """The signature that an HS* algorithm makes of `data`."""
    return hmac.digest(secret, data, ALGORITHMS[algorithm].hash_name)


def _kind_of(row: Algorithm) -> _Kind:
    return row.key_type, row.curve


def _rsa() -> Any:
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _p256() -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _ed25519() -> Any:
    from cryptography.hazmat.primitives.asymmetric import ed25519

    return ed25519.Ed25519PrivateKey.generate()


_MAKERS: Mapping[_Kind, Callable[[], Any]] = {
    ("oct", None): lambda: secrets.token_urlsafe(64),
    ("RSA", None): _rsa,
    ("EC", "P-256"): _p256,
    ("OKP", "Ed25519"): _ed25519,
}


def _jwk(kind: _Kind, key: Any) -> dict[str, Any]:
    """The public half of a key, by members that every reader of key sets knows."""
    algorithm = next(name for name, row in ALGORITHMS.items() if _kind_of(row) == kind)
    members: dict[str, Any] = type(pyjwt_algorithm(algorithm)).to_jwk(key.public_key(), as_dict=True)
    members.pop("key_ops", None)
    return {**members, "use": "sig", "kid": _kid(kind, key)}


def _kid(kind: _Kind, key: Any) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    spelt = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"test-{(kind[1] or kind[0]).lower()}-{base64url(hashlib.sha256(spelt).digest())[:8]}"
