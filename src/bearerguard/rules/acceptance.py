"""What tokens of every kind are judged by: who issued them for whom, their words and rules, and how long they live."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from .. import sinks
from ..checks import LATEST_TIME
from ..claim_rules import NO_SCOPES, UNCHECKED, ClaimText, Expected, IfPresent, TextSource, holds, rule_pairs
from ..claims import Claims
from ..errors import InvalidToken, TokenExpired
from ..events import RuleRaised
from ..settings import ClaimSettings, ScopeSource

MAX_TOKEN_ID = 256
MISSING: tuple[Any, ...] = (None, "", [], {})

_NUMBERS = frozenset({int, float})
_NOT_THERE: Any = object()
_NO_NAME = frozenset({""})


def claims_of(values: dict[str, Any], settings: ClaimSettings, audience_claim: str, signed: bytes | None) -> Claims:
    """The claims that `values` make under `settings`, if they keep every rule but those about time.

    `signed` tells the token from all others where it has no jti.
    """
    if values.get("iss") != settings.issuer:
        check_bound(values.get("iss"), settings.issuer, "wrong_issuer", "iss")
    if values.get(audience_claim) != settings.audience:
        check_audience(values.get(audience_claim), settings.audience, audience_claim)
    check_words(values)
    if settings.rules or settings.checks:
        _check_rules(values, settings)
    return Claims(
        values,
        kind=settings.name,
        tenant=None if settings.tenant is None else claim_text(values, settings.tenant),
        user=None if settings.user is None else claim_text(values, settings.user),
        scopes=claim_scopes(values, settings.scopes),
        shape=settings.claims_type,
        authority=settings.vouched_by,
        signed=signed,
    )


def check_time(starts_at: float, dies_at: float, *, now: float) -> None:
    """InvalidToken outside the token's life; asked again each time that the token is seen."""
    if now >= dies_at:
        raise TokenExpired
    if now < starts_at:
        raise InvalidToken("not_yet_valid")


def time_claim(values: Mapping[str, Any], name: str) -> float | None:
    """A claim that is a time; InvalidToken where it is none."""
    value: Any = values.get(name, _NOT_THERE)
    if value is _NOT_THERE:
        return None
    if type(value) not in _NUMBERS or not 0 <= value < LATEST_TIME:
        raise InvalidToken("bad_claim")
    return value  # type: ignore[no-any-return]


def missing_claim(name: str) -> InvalidToken:
    """The refusal of a token without a claim that the settings ask for, which the log names."""
    return InvalidToken("missing_claim", detail=f"the required claim {name!r} is missing, empty or null")


def check_bound(value: Any, expected: Expected, reason: str, claim: str) -> None:
    """InvalidToken unless a claim that binds the token to somebody is what the settings expect."""
    if expected is UNCHECKED:
        if value is not None and not isinstance(value, str):
            raise InvalidToken("bad_claim")
        return
    if isinstance(expected, IfPresent):
        if value is not None:
            check_bound(value, expected.rule, reason, claim)  # type: ignore[arg-type]
        return
    if value in MISSING:
        raise missing_claim(claim)
    if not isinstance(value, str) or not rule_holds(reason, expected, value):
        raise InvalidToken(reason)


def check_audience(value: Any, expected: Expected, claim: str) -> None:
    """InvalidToken unless one of the audiences is what the settings expect."""
    if expected is UNCHECKED:
        return
    if not isinstance(value, list):
        check_bound(value, expected, "wrong_audience", claim)
        return
    if not value:
        raise missing_claim(claim)
    if not all(isinstance(item, str) for item in value):
        raise InvalidToken("bad_claim")
    if not any(rule_holds("wrong_audience", expected, item) for item in value if item):
        raise InvalidToken("wrong_audience")


def check_words(values: Mapping[str, Any]) -> None:
    """InvalidToken for a token that is bound to a key, or whose jti or sub are no texts."""
    token_type = values.get("token_type", "Bearer")
    # RFC 7800: a token that names a key is worth nothing without proof of that key, which is not checked here.
    if "cnf" in values or not isinstance(token_type, str) or token_type.lower() != "bearer":
        raise InvalidToken("sender_constrained")
    token_id, subject = values.get("jti", "-"), values.get("sub", "")
    if not isinstance(subject, str) or not isinstance(token_id, str) or not 0 < len(token_id) <= MAX_TOKEN_ID:
        raise InvalidToken("bad_claim")


def _check_rules(values: Mapping[str, Any], settings: ClaimSettings) -> None:
    for name, rule in rule_pairs(settings.rules):
        if not rule_holds(name, rule, values.get(name), present=name in values):
            raise InvalidToken("rule_failed")
    for check in settings.checks:
        if not returns_true(check, values):
            raise InvalidToken("rule_failed")


def rule_holds(name: str, rule: Any, value: Any, *, present: bool = True) -> bool:
    """Whether a claim keeps its rule; InvalidToken where the rule raises, which is told."""
    try:
        return holds(rule, value, present=present)
    except Exception as error:
        _tell_that_it_raised(name, error)
    # Not raised from within the except block: what a rule raises may quote the claims.
    raise InvalidToken("rule_failed")


def returns_true(check: Callable[[Any], bool], subject: Any) -> bool:
    """Whether a check returns True itself; one that raises does not, and is told of."""
    try:
        return check(subject) is True
    except Exception as error:
        _tell_that_it_raised(name_of_function(check), error)
        return False


def name_of_function(function: Callable[[Any], Any]) -> str:
    """What a function of the settings is called."""
    return getattr(function, "__qualname__", type(function).__name__)


def _tell_that_it_raised(rule: str, error: Exception) -> None:
    sinks.tell(RuleRaised(rule=rule, error=type(error).__name__))


def check_each_time(claims: Claims, settings: ClaimSettings) -> None:
    """InvalidToken unless the checks that run on every request return True."""
    for check in settings.each_time:
        if not returns_true(check, claims):
            raise InvalidToken("rule_failed")


def claim_text(values: Mapping[str, Any], source: TextSource) -> str | None:
    """The tenant or the user that the claims name, in its one spelling; InvalidToken where that is no text."""
    if isinstance(source, str):
        value = values.get(source)
    elif isinstance(source, ClaimText):
        value = values.get(source.claim)
    else:
        value = None if source is None else _extracted(source, values)
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
        _tell_that_it_raised(name_of_function(function), error)
    raise InvalidToken("rule_failed")


def claim_scopes(values: Mapping[str, Any], source: ScopeSource) -> frozenset[str]:
    """The scopes that the claims grant; InvalidToken where they are no scopes."""
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
    if isinstance(granted, str):
        return _scopes_of_text(granted)
    if not isinstance(granted, (list, tuple, set, frozenset)) or not all(isinstance(name, str) for name in granted):
        raise InvalidToken("bad_claim")
    return frozenset(granted) - _NO_NAME


@lru_cache(maxsize=1024)
def _scopes_of_text(text: str) -> frozenset[str]:
    """Tokens are many and their scopes few, so equal texts share one set."""
    return frozenset(text.split(" ")) - _NO_NAME
