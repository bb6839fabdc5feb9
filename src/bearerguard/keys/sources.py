"""Where keys come from: secrets in the settings, public keys in the settings, a key set behind a URL."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Protocol, TypeAlias, get_args, runtime_checkable

from ..checks import OnFailure, check_seconds, check_url, check_word, origin_of_url
from ..errors import SettingsError
from .algorithms import ALGORITHMS, VerifyingKey, hmac_check, pyjwt_algorithm
from .jwk import PublicKey, key_of_jwk, key_of_pem, keys_of_set, prepared

_SECONDS_WITH_AUTH = 4.0


class SharedSecrets:
    """The secrets that HS* tokens are signed with, newest first; all of them verify.

    ```python
    SharedSecrets("new secret", "old secret")        # while a rotation is under way
    ```
    """

    __slots__ = ("_secrets",)

    def __init__(self, first: str | bytes, /, *more: str | bytes) -> None:
        self._secrets = tuple(_secret(value) for value in (first, *more))

    def __repr__(self) -> str:
        return f"<SharedSecrets: {len(self._secrets)}>"

    def __len__(self) -> int:
        return len(self._secrets)

    @property
    def in_order(self) -> tuple[bytes, ...]:
        """The secrets themselves, newest first."""
        return self._secrets

    def shortest(self) -> int:
        """The length of the shortest secret, in bytes."""
        return min(map(len, self._secrets))

    def prepared(self, algorithms: Iterable[str]) -> tuple[VerifyingKey, ...]:
        """Each secret once for every algorithm."""
        return tuple(
            VerifyingKey(name, None, hashlib.sha256(secret).digest(), index, hmac_check(secret, ALGORITHMS[name]))
            for name in algorithms
            for index, secret in enumerate(self._secrets)
        )


class StaticKeys:
    """Public keys that stand in the settings: PEM texts, JWKs or JWK sets.

    ```python
    StaticKeys(Path("public.pem").read_text()), StaticKeys({"kty": "OKP", "crv": "Ed25519", "x": "..."})
    ```
    """

    __slots__ = ("_keys",)

    def __init__(self, first: str | bytes | Mapping[str, Any], /, *more: str | bytes | Mapping[str, Any]) -> None:
        self._keys = tuple(key for document in (first, *more) for key in _static(document))

    def __repr__(self) -> str:
        return f"<StaticKeys: {len(self._keys)}>"

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def ignores_kid(self) -> bool:
        """A single key without a kid verifies whatever kid a token names."""
        return len(self._keys) == 1 and self._keys[0].kid is None

    def prepared(self, algorithms: Iterable[str]) -> tuple[VerifyingKey, ...]:
        """Each key once for every algorithm that it fits; SettingsError where one fits none."""
        names = tuple(algorithms)
        for key in self._keys:
            if not any(key.fits(ALGORITHMS[name]) for name in names):
                raise SettingsError(
                    f"a {key.curve or key.key_type} key fits none of {names}; name its algorithm in algorithms=, "
                    "or leave the key out"
                )
        return prepared(self._keys, names)


@runtime_checkable
class TokenSource(Protocol):
    """Access tokens for a key set that is not public; a `ClientCredentials` is one."""

    @property
    def origins(self) -> frozenset[str]:
        """Where the tokens may be sent."""
        ...

    async def token_over(self, ports: Any, /, *, within: float) -> str:
        """A token, fetched over these connections where it must be."""
        ...

    def lets_go_of(self, refused: str) -> bool:
        """Drop a token that was refused; False where it is too soon for another."""
        ...


@dataclass(frozen=True, slots=True)
class JwksKeys:
    """A key set that is fetched from a URL, kept, and fetched again when it ages or a key is missing.

    ```python
    JwksKeys("https://id.example.com/.well-known/jwks.json")
    ```

    A key set that is not public takes `auth=ClientCredentials(...)`. Kept keys verify tokens for `max_stale` seconds
    while the set cannot be fetched; with `on_failure="open"` for as long as the process lives.
    """

    url: str
    auth: TokenSource | None = None
    _: KW_ONLY
    lifetime: float = 300
    cool_down: float = 30
    max_stale: float = 3600
    deadline: float = 2.0
    on_failure: OnFailure = "closed"

    def __post_init__(self) -> None:
        check_url("url", self.url)
        check_seconds("lifetime", self.lifetime, 60, 3600)
        check_seconds("cool_down", self.cool_down, 1, 3600)
        check_seconds("max_stale", self.max_stale, self.lifetime, 86_400)
        check_seconds("deadline", self.deadline, 0.05, 5)
        check_word("on_failure", self.on_failure, get_args(OnFailure))
        _check_auth(self.auth, self.url)

    @property
    def seconds_in_all(self) -> float:
        """How long a fetch may take together with the tokens that it needs."""
        return self.deadline if self.auth is None else _SECONDS_WITH_AUTH


KeySource: TypeAlias = SharedSecrets | StaticKeys | JwksKeys


def _check_auth(auth: object, url: str) -> None:
    if auth is None:
        return
    if not isinstance(auth, TokenSource):
        raise SettingsError("auth is nothing that gives access tokens; write auth=ClientCredentials(...)")
    origin = origin_of_url(url)
    if origin not in auth.origins:
        raise SettingsError(f"the token of auth is not sent to {origin}; add it to ClientCredentials(origins={{...}})")


def _secret(value: object) -> bytes:
    if not isinstance(value, (str, bytes)) or not value:
        raise SettingsError("a shared secret is empty; give the client secret as a text or bytes")
    try:
        # PyJWT knows the shapes of PEM, SSH, DER and JWK keys: none of them is a secret.
        pyjwt_algorithm("HS256").prepare_key(value)
    except Exception:
        raise SettingsError("a shared secret is a public key or certificate; use StaticKeys for public keys") from None
    return value.encode() if isinstance(value, str) else value


def _static(document: str | bytes | Mapping[str, Any]) -> Sequence[PublicKey]:
    try:
        if isinstance(document, Mapping):
            return _all_keys_of_set(document) if "keys" in document else [key_of_jwk(document)]
        if isinstance(document, (str, bytes)):
            return [key_of_pem(document.encode() if isinstance(document, str) else document)]
    except ValueError as error:
        raise SettingsError(f"StaticKeys: {error}") from None
    raise SettingsError("StaticKeys takes a PEM text, a JWK or a JWK set (as a dict)")


def _all_keys_of_set(document: Mapping[str, Any]) -> Sequence[PublicKey]:
    """A key set in the settings is ours to write: a bad key in it is said, not skipped."""
    usable = keys_of_set(document)
    for member in document["keys"]:
        if isinstance(member, Mapping) and member.get("use", "sig") == "sig":
            key_of_jwk(member)
    return usable
