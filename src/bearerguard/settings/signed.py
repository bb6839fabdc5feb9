"""Settings for signed tokens: session tokens and JWT access tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from ..carriers import BEARER, Carrier
from ..checks import check_count, check_seconds, check_text
from ..claim_rules import Expected, NamedRules, TextSource, checked_rules, frozen_rule
from ..claims import Claims
from ..errors import SettingsError
from ..keys import JwksKeys, KeySource, SharedSecrets, StaticKeys
from ..keys.algorithms import ALGORITHMS
from .fields import (
    RefusalHeaders,
    ScopeSource,
    a_tuple,
    check_carriers,
    check_expected,
    check_name,
    check_sources,
    checked_headers,
    checked_sample,
    normalised,
    unchecked,
)


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class SignedTokens:
    """Settings for signed tokens: session tokens and JWT access tokens.

    `issuer` and `audience` have no default, because a token for somebody else is the classic hole:

    ```python
    SignedTokens(
        keys=JwksKeys("https://id.example.com/jwks.json"),
        algorithms=("RS256",),
        issuer="https://id.example.com",
        audience="https://orders.example.com",
    )
    ```
    """

    _: KW_ONLY
    keys: KeySource
    algorithms: Sequence[str]
    issuer: Expected
    audience: Expected
    name: str = "signed"
    authority: str | None = None
    audience_claim: str = "aud"
    required: Sequence[str] = ("exp",)
    nullable: AbstractSet[str] = frozenset()
    leeway: float = 10
    iat_leeway: float | None = None
    max_age: float | None = None
    max_lifetime: float | None = None
    assumed_lifetime: float | None = None
    typ: str | None = None
    scopes: ScopeSource = None
    tenant: TextSource = None
    user: TextSource = None
    rules: NamedRules = ()
    checks: Sequence[Callable[[Mapping[str, Any]], bool]] = ()
    each_time: Sequence[Callable[[Claims], bool]] = ()
    carriers: Sequence[Carrier] = (BEARER,)
    refusal_headers: RefusalHeaders | None = None
    max_bytes: int = 8192
    remember_tokens: int = 10_000
    allow_short_secret: bool = False
    claims_type: type[Any] | None = None
    sample: Mapping[str, Any] = field(default_factory=dict, repr=False)
    warnings: Sequence[str] = field(default=(), repr=False)

    ahead: float = field(init=False, repr=False)
    """How far an iat may lie in the future: `iat_leeway`, else `leeway`."""

    vouched_by: str = field(init=False, repr=False)
    """The authority, else the issuer where that is one plain value, else the name."""

    horizon: float | None = field(init=False, repr=False)
    """How long a token of this kind can live at most, where that is known."""

    def __post_init__(self) -> None:
        self._normalise()
        check_name(self.name)
        _check_keys(self)
        check_expected("issuer", self.issuer)
        check_expected("audience", self.audience)
        _check_times(self)
        _check_claim_names(self)
        check_sources(self)
        check_carriers(self.carriers)
        check_count("max_bytes", self.max_bytes, 64, 1_048_576)
        check_count("remember_tokens", self.remember_tokens, 0, 10_000_000)

    def _normalise(self) -> None:
        put = object.__setattr__
        for name in ("algorithms", "required", "checks", "each_time", "carriers", "warnings"):
            put(self, name, a_tuple(name, getattr(self, name)))
        put(self, "nullable", frozenset(a_tuple("nullable", self.nullable)))
        put(self, "issuer", frozen_rule(self.issuer))
        put(self, "audience", frozen_rule(self.audience))
        put(self, "typ", self.typ.lower().removeprefix("application/") if isinstance(self.typ, str) else self.typ)
        put(self, "rules", checked_rules(self.rules))
        put(self, "ahead", self.leeway if self.iat_leeway is None else self.iat_leeway)
        put(self, "vouched_by", self.authority or (self.issuer if isinstance(self.issuer, str) else self.name))
        put(self, "horizon", _horizon(self))
        put(self, "refusal_headers", checked_headers(self.refusal_headers))
        put(self, "sample", checked_sample(self.sample))

    @property
    def unchecked(self) -> tuple[str, ...]:
        """Which of the two claims that bind a token to somebody are not checked."""
        return unchecked(self.issuer, self.audience)

    def normalised_tenant(self, tenant: str) -> str:
        """`tenant` as these settings spell it; SettingsError where their tokens name none."""
        return normalised("tenant", self.tenant, tenant, self.name)

    def normalised_user(self, user: str) -> str:
        """`user` as these settings spell it; SettingsError where their tokens name none."""
        return normalised("user", self.user, user, self.name)


def _horizon(settings: SignedTokens) -> float | None:
    if "exp" not in settings.required:
        return settings.max_age
    known = settings.max_lifetime if settings.max_lifetime is not None else settings.assumed_lifetime
    return known if known is not None else settings.max_age


def _check_keys(settings: SignedTokens) -> None:
    keys, algorithms = settings.keys, settings.algorithms
    names: Sequence[object] = algorithms
    if not isinstance(keys, (SharedSecrets, StaticKeys, JwksKeys)):
        raise SettingsError("keys is none of SharedSecrets, StaticKeys, JwksKeys; write keys=SharedSecrets('...')")
    unknown = [name for name in names if not isinstance(name, str) or name not in ALGORITHMS]
    if unknown or not algorithms:
        raise SettingsError(f"algorithms has {unknown or 'no name'}; use names from {', '.join(ALGORITHMS)}")
    shared = {name for name in algorithms if ALGORITHMS[name].key_type == "oct"}
    if isinstance(keys, SharedSecrets) and shared != set(algorithms):
        raise SettingsError("SharedSecrets verify HS256, HS384 and HS512 only; name one of them in algorithms")
    if not isinstance(keys, SharedSecrets) and shared:
        raise SettingsError("HS* algorithms take SharedSecrets; never check them with a public key")
    if isinstance(keys, SharedSecrets) and not settings.allow_short_secret:
        _check_secret_length(keys, algorithms)
    if not isinstance(keys, JwksKeys):
        keys.prepared(algorithms)


def _check_secret_length(keys: SharedSecrets, algorithms: Sequence[str]) -> None:
    needed = max(ALGORITHMS[name].hash_bytes for name in algorithms)
    if keys.shortest() < needed:
        raise SettingsError(
            f"a shared secret has {keys.shortest()} bytes and {'/'.join(algorithms)} needs {needed}; use a longer one, "
            "or say allow_short_secret=True if the platform gives you no other"
        )


def _check_times(settings: SignedTokens) -> None:
    check_seconds("leeway", settings.leeway, 0, 300)
    check_seconds("iat_leeway", settings.ahead, 0, 300)
    for name in ("max_age", "max_lifetime", "assumed_lifetime"):
        if getattr(settings, name) is not None:
            check_seconds(name, getattr(settings, name), 1, 315_360_000)
    if "exp" not in settings.required and settings.max_age is None:
        raise SettingsError("a token without an end lives for ever; add 'exp' to required, or give max_age")


def _check_claim_names(settings: SignedTokens) -> None:
    for name in (*settings.required, *settings.nullable, settings.audience_claim):
        check_text("a claim name", name)
    if settings.typ is not None:
        check_text("typ", settings.typ)
