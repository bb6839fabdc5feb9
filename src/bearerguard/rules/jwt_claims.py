"""The inside of a signed token: which claims are accepted, once a key has verified them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from .. import journal
from ..claim_rules import NO_SCOPES, UNCHECKED, ClaimText, Expected, IfPresent, TextSource, holds
from ..claims import Claims
from ..errors import InvalidToken, TokenExpired
from ..settings import SignedTokens
from .revocation import denial_names, nameless_identity, token_identity

MAX_TOKEN_ID = 256
LATEST_TIME = 253_402_300_800  # the year 10000: a time in milliseconds is beyond it

_MISSING: tuple[Any, ...] = (None, "", [], {})


@dataclass(frozen=True, slots=True)
class Accepted:
    """Claims that keep every rule, and what time and revocation can still change about them."""

    claims: Claims
    starts_at: float
    dies_at: float
    names: tuple[str, ...]


def accepted(values: dict[str, Any], settings: SignedTokens, *, signing_input: bytes, now: float) -> Accepted:
    """The claims that `values` make under `settings`; InvalidToken names the first rule that they break."""
    values = _without_nulls(values, settings.nullable)
    _check_required(values, settings)
    starts_at, dies_at = _life(values, settings)
    check_time(starts_at, dies_at, now=now)
    _check_expected(values.get("iss"), settings.issuer, "wrong_issuer")
    _check_audience(values, settings)
    _check_words(values)
    _check_rules(values, settings)
    identity = _identity(values, settings, signing_input)
    claims = _claims(values, settings, identity)
    names = denial_names(settings.authority or settings.name, identity, user=claims.user, tenant=claims.tenant)
    return Accepted(claims, starts_at, dies_at, names)


def check_time(starts_at: float, dies_at: float, *, now: float) -> None:
    """InvalidToken outside the token's life; asked again each time that the token is seen."""
    if now >= dies_at:
        raise TokenExpired
    if now < starts_at:
        raise InvalidToken("not_yet_valid")


def _without_nulls(values: dict[str, Any], nullable: AbstractSet[str]) -> dict[str, Any]:
    if not nullable:
        return values
    return {name: value for name, value in values.items() if value is not None or name not in nullable}


def _check_required(values: Mapping[str, Any], settings: SignedTokens) -> None:
    for name in settings.required:
        if values.get(name) in _MISSING:
            raise InvalidToken("missing_claim")


def _life(values: Mapping[str, Any], settings: SignedTokens) -> tuple[float, float]:
    expires, issued, starts = (_time(values, name) for name in ("exp", "iat", "nbf"))
    iat_leeway = settings.leeway if settings.iat_leeway is None else settings.iat_leeway
    _check_lifetime(expires, issued, settings)
    ends = [] if expires is None else [math.floor(expires) + settings.leeway]
    if settings.max_age is not None:
        if issued is None:
            raise InvalidToken("missing_claim")
        ends.append(issued + settings.max_age + settings.leeway)
    if not ends:
        raise InvalidToken("missing_claim")
    begins = (
        -math.inf if starts is None else starts - settings.leeway,
        -math.inf if issued is None else issued - iat_leeway,
    )
    return max(begins), min(ends)


def _time(values: Mapping[str, Any], name: str) -> float | None:
    if name not in values:
        return None
    value = values[name]
    if type(value) not in (int, float) or not 0 <= value < LATEST_TIME:
        raise InvalidToken("bad_claim")
    return value  # type: ignore[no-any-return]


def _check_lifetime(expires: float | None, issued: float | None, settings: SignedTokens) -> None:
    if settings.max_lifetime is None or expires is None:
        return
    if issued is None:
        raise InvalidToken("missing_claim")
    if expires - issued > settings.max_lifetime:
        raise InvalidToken("lifetime_too_long")


def _check_expected(value: Any, expected: Expected, reason: str) -> None:
    if expected is UNCHECKED:
        if value is not None and not isinstance(value, str):
            raise InvalidToken("bad_claim")
        return
    if isinstance(expected, IfPresent):
        if value is not None:
            _check_expected(value, expected.rule, reason)  # type: ignore[arg-type]
        return
    if value in _MISSING:
        raise InvalidToken("missing_claim")
    if not isinstance(value, str) or not _rule_holds(reason, expected, value):
        raise InvalidToken(reason)


def _check_audience(values: Mapping[str, Any], settings: SignedTokens) -> None:
    if settings.audience is UNCHECKED:
        return
    value = values.get(settings.audience_claim)
    if not isinstance(value, list):
        _check_expected(value, settings.audience, "wrong_audience")
        return
    if not value:
        raise InvalidToken("missing_claim")
    if not all(isinstance(item, str) for item in value):
        raise InvalidToken("bad_claim")
    if not any(_rule_holds("wrong_audience", settings.audience, item) for item in value if item):
        raise InvalidToken("wrong_audience")


def _check_words(values: Mapping[str, Any]) -> None:
    token_type = values.get("token_type", "Bearer")
    # RFC 7800: a token that names a key is worth nothing without proof of that key, which is not checked here.
    if "cnf" in values or not isinstance(token_type, str) or token_type.lower() != "bearer":
        raise InvalidToken("sender_constrained")
    token_id, subject = values.get("jti", "-"), values.get("sub", "")
    if not isinstance(subject, str) or not isinstance(token_id, str) or not 0 < len(token_id) <= MAX_TOKEN_ID:
        raise InvalidToken("bad_claim")


def _check_rules(values: Mapping[str, Any], settings: SignedTokens) -> None:
    for name, rule in settings.claim_rules:
        if not _rule_holds(name, rule, values.get(name), present=name in values):
            raise InvalidToken("rule_failed")
    for check in settings.checks:
        if not _returns_true(check, values):
            raise InvalidToken("rule_failed")


def _rule_holds(name: str, rule: Any, value: Any, *, present: bool = True) -> bool:
    try:
        return holds(rule, value, present=present)
    except Exception as error:
        journal.rule_raised(name, error)
        raise InvalidToken("rule_failed") from None


def _returns_true(check: Callable[[Any], bool], subject: Any) -> bool:
    try:
        return check(subject) is True
    except Exception as error:
        journal.rule_raised(getattr(check, "__qualname__", type(check).__name__), error)
        return False


def check_each_time(claims: Claims, settings: SignedTokens) -> None:
    """InvalidToken unless the checks that run on every request return True."""
    for check in settings.each_time:
        if not _returns_true(check, claims):
            raise InvalidToken("rule_failed")


def _claims(values: dict[str, Any], settings: SignedTokens, identity: str) -> Claims:
    return Claims(
        values,
        kind=settings.name,
        tenant=_text(values, settings.tenant),
        user=_text(values, settings.user),
        scopes=_scopes(values, settings),
        identity=identity,
        shape=settings.claims_type,
    )


def _text(values: Mapping[str, Any], source: TextSource) -> str | None:
    if source is None:
        return None
    if callable(source) and not isinstance(source, (str, ClaimText)):
        value = _extracted(source, values)
    else:
        value = values.get(source.claim if isinstance(source, ClaimText) else source)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InvalidToken("bad_claim")
    return _spelt(source.normalise, value) if isinstance(source, ClaimText) else value


def _spelt(normalise: Callable[[str], str | None], value: str) -> str:
    spelt = _extracted(normalise, value)
    if not isinstance(spelt, str) or not spelt:
        raise InvalidToken("bad_claim")
    return spelt


def _extracted(function: Callable[[Any], Any], subject: Any) -> Any:
    try:
        return function(subject)
    except Exception as error:
        journal.rule_raised(getattr(function, "__qualname__", type(function).__name__), error)
        raise InvalidToken("rule_failed") from None


def _scopes(values: Mapping[str, Any], settings: SignedTokens) -> frozenset[str]:
    source = settings.scopes
    if source is NO_SCOPES:
        return frozenset()
    if source is None:
        source = "scope" if "scope" in values else "scopes"
    granted = values.get(source) if isinstance(source, str) else _extracted(source, values)
    return scope_set(granted)


def scope_set(granted: Any) -> frozenset[str]:
    """The scopes of a space-separated string or of an array of strings."""
    if granted is None:
        return frozenset()
    names = granted.split(" ") if isinstance(granted, str) else granted
    if not isinstance(names, (list, tuple, set, frozenset)) or not all(isinstance(name, str) for name in names):
        raise InvalidToken("bad_claim")
    return frozenset(name for name in names if name)


def _identity(values: Mapping[str, Any], settings: SignedTokens, signing_input: bytes) -> str:
    authority = settings.authority or settings.name
    token_id = values.get("jti")
    if token_id is not None:
        return token_identity(authority, token_id)
    return nameless_identity(authority, signing_input)
