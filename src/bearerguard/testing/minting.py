"""Signed tokens for tests, as given settings accept them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from ..checks import check_time
from ..encoding import base64url
from ..errors import SettingsError
from ..keys import SharedSecrets, StaticKeys
from ..settings import SignedTokens
from ..verifier import Verifier
from .keys import TestKeys, shared_signature
from .payloads import Wanted, as_json, payload


def mint(
    kind: SignedTokens | Verifier[Any],
    /,
    *,
    tenant: str | None = None,
    user: str | None = None,
    scopes: Collection[str] | None = None,
    lifetime: float = 60,
    keys: TestKeys | None = None,
    now: float | None = None,
    without: Collection[str] = (),
    headers: Mapping[str, Any] | None = None,
    **claims: Any,
) -> str:
    """A token that these settings, or a verifier of one kind, accept.

    ```python
    mint(settings, tenant="pine-lane.myshopify.com", user="81234567890")
    mint(settings, scopes={"read:orders"}, keys=keys)       # settings with public keys: keys.static() of a TestKeys
    mint(settings, lifetime=-60)                            # ended a minute ago
    mint(settings, aud="another-app", without=("jti",))     # any claim otherwise, or not at all
    ```

    Without `keys` it is signed with the settings' own shared secret. `headers` are laid over those of the token, and
    one that is None is left out. A token that the settings would refuse is made only where you ask for what they
    refuse: by name, by `without`, `headers`, `lifetime`, `now`, or by keys that are not theirs.
    """
    settings, clock = _settings_of(kind)
    wanted = Wanted(tenant=tenant, user=user, scopes=scopes, lifetime=lifetime, claims=claims, without=without)
    issued_at = clock() if now is None else now
    check_time("now", issued_at)
    values = payload(settings, wanted, now=issued_at)
    return signed(values, _signer(settings, keys, headers or {}), typ=settings.typ or "JWT", headers=headers or {})


class Signer(NamedTuple):
    """Who signs a token, and how."""

    algorithm: str
    kid: str | None
    sign: Callable[[bytes], bytes]

    @classmethod
    def of(cls, keys: TestKeys, algorithm: str) -> Signer:
        """The key for `algorithm` of those."""
        return cls(algorithm, keys.kid(algorithm), lambda data: keys.signature(data, algorithm))


def signed(values: Mapping[str, Any], signer: Signer, *, typ: str, headers: Mapping[str, Any]) -> str:
    """A token with these claims; `headers` are laid over its own, and one that is None is left out."""
    usual = {"alg": signer.algorithm, "typ": typ, "kid": signer.kid}
    head = {name: value for name, value in {**usual, **headers}.items() if value is not None}
    signing_input = ".".join(
        base64url(as_json(what, said).encode()) for what, said in (("header", head), ("claim", values))
    )
    # RFC 7515, appendix A.5: a token that says it is not signed has no signature.
    unsigned = str(head.get("alg")).lower() == "none"
    return f"{signing_input}.{'' if unsigned else base64url(signer.sign(signing_input.encode()))}"


def _settings_of(kind: object) -> tuple[SignedTokens, Callable[[], float]]:
    """The settings of the token, and the clock that it is held against."""
    one, clock = (kind, time.time) if not isinstance(kind, Verifier) else (_only_kind(kind), kind.clock)
    if not isinstance(one, SignedTokens):
        what = getattr(one, "name", type(one).__name__)
        raise SettingsError(f"{what!r} is no kind of signed token; opaque ones come from FakeProvider().issue(...)")
    return one, clock


def _only_kind(verifier: Verifier[Any]) -> object:
    first, *more = verifier.kinds
    if more:
        raise SettingsError("this verifier takes several kinds of token; give the settings of one: mint(settings)")
    return first


def _signer(settings: SignedTokens, keys: object, headers: Mapping[str, Any]) -> Signer:
    if isinstance(keys, TestKeys):
        able = [name for name in _algorithms(settings) if keys.signs(name)]
        return Signer.of(keys, _chosen(able, headers, settings))
    if keys is not None:
        raise SettingsError(f"keys is {type(keys).__name__}; write keys=TestKeys()")
    if not isinstance(settings.keys, SharedSecrets):
        raise SettingsError(
            f"kind {settings.name!r} verifies with public keys, and only their owner can sign; make keys = TestKeys(), "
            "give the settings keys.static('RS256'), and write mint(settings, keys=keys)"
        )
    algorithm, secret = _chosen(settings.algorithms, headers, settings), settings.keys.in_order[0]
    return Signer(algorithm, None, lambda data: shared_signature(data, secret, algorithm))


def _algorithms(settings: SignedTokens) -> Sequence[str]:
    """The algorithms that the settings' keys are for; all that they name where the keys are not known yet."""
    if not isinstance(settings.keys, StaticKeys):
        return settings.algorithms
    fitting = {key.algorithm for key in settings.keys.prepared(settings.algorithms)}
    return [name for name in settings.algorithms if name in fitting]


def _chosen(able: Sequence[str], headers: Mapping[str, Any], settings: SignedTokens) -> str:
    """The algorithm that the test names in the header, if it is one of these, else the first of them."""
    if not able:
        raise SettingsError(
            f"kind {settings.name!r} takes {', '.join(settings.algorithms)}, and TestKeys signs with none of them"
        )
    return next((name for name in able if name == headers.get("alg")), able[0])
