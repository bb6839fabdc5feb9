"""What the rules that tokens of every kind are held against say of claims: time, issuer, audience, words, rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from ...claim_rules import NO_SCOPES, rule_pairs
from ...errors import InvalidToken
from ...rules.acceptance import (
    check_audience,
    check_bound,
    check_time,
    check_words,
    claim_scopes,
    claim_text,
    name_of_function,
    returns_true,
    rule_holds,
    time_claim,
)
from ...settings import Kind
from ..paper import ago
from .steps import STORE_WORDS, Trail
from .wording import function_in_words, rule_in_words, source_in_words, time_in_words, value_in_words

Values: TypeAlias = "dict[str, Any] | None"

_TIMES = ("exp", "iat", "nbf")


def take_times(trail: Trail, values: Values) -> Sequence[float | None] | None:
    """exp, iat and nbf, if they are times."""
    known: Sequence[float | None] | None = trail.take(
        "times",
        "exp, iat and nbf are times, where they are there",
        lambda values: [time_claim(values, name) for name in _TIMES],
        values,
    )
    return known


def take_life(
    trail: Trail, values: Values, life: tuple[float, float] | None, *, leeway: float, ahead: float | None, now: float
) -> None:
    """Whether the token has not ended, and has begun."""
    trail.take(
        "expiry",
        f"it has not ended, with {leeway:g} s for clocks that differ",
        lambda life: check_time(-math.inf, life[1], now=now),
        life,
        found=lambda: _end(values or {}, life, now),
    )
    by_iat = "" if ahead is None else f", and iat with {ahead:g} s"
    trail.take(
        "start",
        f"it has begun: nbf with {leeway:g} s{by_iat}",
        lambda life: check_time(life[0], math.inf, now=now),
        life,
        found=lambda: "" if life is None else f"it begins {ago(life[0], now=now)}",
    )


def _end(values: Mapping[str, Any], life: tuple[float, float] | None, now: float) -> str:
    said = f", and exp is {time_in_words(values['exp'])}" if "exp" in values else ""
    return "" if life is None else f"it ended {ago(life[1], now=now)}{said}"


def take_claims(trail: Trail, values: Values, kind: Kind, audience: str) -> None:
    """What all other rules say of the claims."""
    _take_parties(trail, values, kind, audience)
    asks = "it is bound to no key, and jti and sub are texts, where they are there"
    trail.take("words", asks, check_words, values)
    for name, rule in rule_pairs(kind.rules):
        asks = f"{name} {rule_in_words(rule)}"
        trail.take(f"rule.{name}", asks, partial(_check_rule, name, rule), values, found=found_of(values, name))
    for check in kind.checks:
        trail.take(f"check.{name_of_function(check)}", function_in_words(check), partial(_check, check), values)
    for what, source in (("tenant", kind.tenant), ("user", kind.user)):
        if source is not None:
            trail.take(what, source_in_words(what, source), partial(_read_text, source), values)
    if kind.scopes is not NO_SCOPES:
        trail.take("scopes", _scopes_in_words(kind), lambda values: claim_scopes(values, kind.scopes), values)
    leave_last_open(trail, kind)


def _take_parties(trail: Trail, values: Values, kind: Kind, audience: str) -> None:
    trail.take(
        "issuer",
        f"iss {rule_in_words(kind.issuer)}",
        lambda values: _check_issuer(values, kind),
        values,
        found=found_of(values, "iss"),
    )
    trail.take(
        "audience",
        f"{audience} {rule_in_words(kind.audience)}",
        lambda values: _check_audience(values, audience, kind),
        values,
        found=found_of(values, audience),
    )


def leave_last_open(trail: Trail, kind: Kind) -> None:
    """What is asked on every request, of the store and of functions that look each time."""
    asks = "neither the token nor its user or tenant is revoked"
    trail.leave_open("revocation", asks, STORE_WORDS | {"revoked"})
    if kind.each_time:
        asks = "; ".join(map(function_in_words, kind.each_time))
        trail.leave_open("each_time", f"on each request: {asks}", frozenset({"rule_failed"}))


def found_of(values: Values, name: str) -> Callable[[], str]:
    """What a claim is, in words."""
    return lambda: "" if values is None else value_in_words(values.get(name), present=name in values)


def _check_issuer(values: Mapping[str, Any], kind: Kind) -> None:
    if values.get("iss") != kind.issuer:
        check_bound(values.get("iss"), kind.issuer, "wrong_issuer", "iss")


def _check_audience(values: Mapping[str, Any], name: str, kind: Kind) -> None:
    if values.get(name) != kind.audience:
        check_audience(values.get(name), kind.audience, name)


def _check_rule(name: str, rule: Any, values: Mapping[str, Any]) -> None:
    if not rule_holds(name, rule, values.get(name), present=name in values):
        raise InvalidToken("rule_failed")


def _check(check: Callable[[Any], bool], values: Mapping[str, Any]) -> None:
    if not returns_true(check, values):
        raise InvalidToken("rule_failed")


def _read_text(source: Any, values: Mapping[str, Any]) -> str | None:
    return claim_text(values, source)


def _scopes_in_words(kind: Kind) -> str:
    return (
        "scopes: can be read from scope, else from scopes"
        if kind.scopes is None
        else source_in_words("scopes", kind.scopes)
    )
