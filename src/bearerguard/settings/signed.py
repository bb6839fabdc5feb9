"""Which tokens are accepted: frozen settings, checked when built."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import KW_ONLY, dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from .carriers import BEARER, Carrier, Cookie, Header, Query, is_header
from .checks import check_count, check_function, check_seconds, check_text
from .claim_rules import (
    NO_SCOPES,
    UNCHECKED,
    ClaimText,
    Expected,
    IfPresent,
    NamedRules,
    TextSource,
    Word,
    check_pattern,
    check_texts,
    checked_rules,
    frozen_rule,
)
from .claims import Claims
from .errors import AuthError, SettingsError
from .keys import JwksKeys, KeySource, SharedSecrets, StaticKeys
from .keys.algorithms import ALGORITHMS

ScopeSource: TypeAlias = "str | Callable[[Mapping[str, Any]], AbstractSet[str]] | Literal[Word.NO_SCOPES] | None"
RefusalHeaders: TypeAlias = "Mapping[type[AuthError], Mapping[str, str]]"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, eq=False)
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
    warnings: Sequence[str] = field(default=(), repr=False)

    ahead: float = field(init=False, repr=False)
    """How far an iat may lie in the future: `iat_leeway`, else `leeway`."""

    vouched_by: str = field(init=False, repr=False)
    """The authority, else the issuer where that is one plain value, else the name."""

    def __post_init__(self) -> None:
        self._normalise()
        _check_name(self.name)
        _check_keys(self)
        _check_expected("issuer", self.issuer)
        _check_expected("audience", self.audience)
        _check_times(self)
        _check_sources(self)
        _check_carriers(self.carriers)
        check_count("max_bytes", self.max_bytes, 64, 1_048_576)
        check_count("remember_tokens", self.remember_tokens, 0, 10_000_000)

    def _normalise(self) -> None:
        put = object.__setattr__
        for name in ("algorithms", "required", "checks", "each_time", "carriers", "warnings"):
            put(self, name, _a_tuple(name, getattr(self, name)))
        put(self, "nullable", frozenset(_a_tuple("nullable", self.nullable)))
        put(self, "issuer", frozen_rule(self.issuer))
        put(self, "audience", frozen_rule(self.audience))
        put(self, "typ", self.typ.lower().removeprefix("application/") if isinstance(self.typ, str) else self.typ)
        put(self, "rules", checked_rules(self.rules))
        put(self, "ahead", self.leeway if self.iat_leeway is None else self.iat_leeway)
        put(self, "vouched_by", self.authority or (self.issuer if isinstance(self.issuer, str) else self.name))
        put(self, "refusal_headers", _checked_headers(self.refusal_headers))

    @property
    def horizon(self) -> float | None:
        """How long a token of this kind can live at most, where that is known."""
        if "exp" not in self.required:
            return self.max_age
        known = self.max_lifetime if self.max_lifetime is not None else self.assumed_lifetime
        return known if known is not None else self.max_age

    @property
    def unchecked(self) -> tuple[str, ...]:
        """Which of the two claims that bind a token to somebody are not checked."""
        return tuple(name for name in ("issuer", "audience") if getattr(self, name) is UNCHECKED)

    def normalised_tenant(self, tenant: str) -> str:
        """`tenant` as these settings spell it; SettingsError where their tokens name none."""
        return _normalised("tenant", self.tenant, tenant, self.name)

    def normalised_user(self, user: str) -> str:
        """`user` as these settings spell it; SettingsError where their tokens name none."""
        return _normalised("user", self.user, user, self.name)


Kind: TypeAlias = SignedTokens
"""Any settings that a verifier takes."""


def _normalised(what: str, source: TextSource, value: str, name: str) -> str:
    if source is None:
        raise SettingsError(
            f"tokens of kind {name!r} name no {what}, so none can be revoked; give {what}= to the settings"
        )
    check_text(what, value)
    spelt = _spelt(source, value) if isinstance(source, ClaimText) else value
    if not spelt:
        raise SettingsError(f"{value!r} is no {what} of kind {name!r}; give it as its tokens spell it")
    return spelt


def _spelt(source: ClaimText, value: str) -> str | None:
    try:
        return source.normalise(value)
    except Exception:  # a normaliser may say in any way that a text is none of its own
        return None


def _a_tuple(name: str, value: Any) -> tuple[Any, ...]:
    if isinstance(value, (str, bytes, Mapping)) or not hasattr(value, "__iter__"):
        raise SettingsError(f"{name} takes several values; write {name}=({value!r},)")
    return tuple(value)


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SettingsError(f"name is {name!r}; use small letters, digits, '.', '_' and '-', as in 'whatalo.session'")


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


def _check_expected(name: str, expected: object) -> None:
    if expected is UNCHECKED:
        return
    if isinstance(expected, IfPresent):
        rule: object = expected.rule
        _check_expected(name, None if rule is UNCHECKED else rule)
    elif isinstance(expected, (str, AbstractSet)):
        check_texts(name, expected)
    elif callable(expected):
        check_function(name, expected)
    elif isinstance(expected, re.Pattern):
        check_pattern(name, expected)
    else:
        raise SettingsError(f"{name} is {expected!r}; use a text, a set of texts, a pattern, a function or UNCHECKED")


def _check_times(settings: SignedTokens) -> None:
    check_seconds("leeway", settings.leeway, 0, 300)
    check_seconds("iat_leeway", settings.ahead, 0, 300)
    for name in ("max_age", "max_lifetime", "assumed_lifetime"):
        if getattr(settings, name) is not None:
            check_seconds(name, getattr(settings, name), 1, 315_360_000)
    if "exp" not in settings.required and settings.max_age is None:
        raise SettingsError("a token without an end lives for ever; add 'exp' to required, or give max_age")


def _check_sources(settings: SignedTokens) -> None:
    for name in (*settings.required, *settings.nullable, settings.audience_claim):
        check_text("a claim name", name)
    check_text("authority", settings.vouched_by)
    if settings.typ is not None:
        check_text("typ", settings.typ)
    if settings.scopes is not None and settings.scopes is not NO_SCOPES:
        _check_source("scopes", settings.scopes)
    for name in ("tenant", "user"):
        source = getattr(settings, name)
        if isinstance(source, ClaimText):
            check_text(name, source.claim)
            check_function(f"normalise of {name}", source.normalise)
        elif source is not None:
            _check_source(name, source)
    for function in (*settings.checks, *settings.each_time):
        check_function("a check", function)


def _check_source(name: str, source: object) -> None:
    check_text(name, source) if isinstance(source, str) else check_function(name, source)


def _check_carriers(carriers: Sequence[object]) -> None:
    for carrier in carriers:
        if not isinstance(carrier, (Header, Cookie, Query)):
            raise SettingsError(f"{carrier!r} is no carrier; use Header, Cookie or Query from bearerguard.carriers")
    if not carriers or len(set(carriers)) != len(carriers):
        raise SettingsError("carriers is empty or names one twice; write carriers=(Header('X-Session-Token'),)")


def _checked_headers(added: Any) -> RefusalHeaders:
    """The headers of refusals, frozen; SettingsError unless each stands under a class of our errors."""
    if not isinstance(added, (Mapping, type(None))):
        raise SettingsError("refusal_headers maps errors to headers; write {InvalidToken: {'X-Retry': '1'}}")
    frozen = {cause: _headers_of(cause, headers) for cause, headers in (added or {}).items()}
    return MappingProxyType(frozen)


def _headers_of(cause: Any, headers: Any) -> Mapping[str, str]:
    if not (isinstance(cause, type) and issubclass(cause, AuthError) and isinstance(headers, Mapping)):
        raise SettingsError(f"refusal_headers has {cause!r}; write {{InvalidToken: {{'X-Retry': '1'}}}}")
    for name, value in headers.items():
        if not (isinstance(name, str) and isinstance(value, str) and is_header(name, value)):
            raise SettingsError(f"refusal_headers has a header {name!r} that cannot be sent; use printable ASCII")
    return MappingProxyType(dict(headers))
