"""The rules of settings in words."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any

from ...checks import called_function
from ...claim_rules import ABSENT, UNCHECKED, ClaimText, IfPresent
from ...rules.acceptance import name_of_function
from ..paper import moment, plain, quoted

LONGEST_WORDS = 120


def rule_in_words(rule: Any) -> str:
    """What a claim must be."""
    if rule is UNCHECKED:
        return "is not checked (UNCHECKED)"
    if rule is ABSENT:
        return "is not there"
    if isinstance(rule, IfPresent):
        return f"is not there, or {rule_in_words(rule.rule)}"
    if isinstance(rule, re.Pattern):
        return f"fits the pattern {plain(rule.pattern, longest=LONGEST_WORDS)}"
    if isinstance(rule, AbstractSet):
        return f"is one of {plain(', '.join(map(quoted, sorted(rule))), longest=LONGEST_WORDS)}"
    if callable(rule):
        return f"keeps this rule: {function_in_words(rule)}"
    return f"is {quoted(rule)}"


def function_in_words(function: Callable[..., Any]) -> str:
    """What a function asks, as the first line of its docstring has it; else its name."""
    called = called_function(function)
    is_pythons = not hasattr(called, "__code__") and not hasattr(called, "__func__")
    said = "" if is_pythons else (called.__doc__ or "").strip().partition("\n")[0].removesuffix(".")
    return plain(said.removeprefix("Whether ") or name_of_function(function), longest=LONGEST_WORDS)


def source_in_words(what: str, source: Any) -> str:
    """Where a tenant, a user or scopes come from."""
    if isinstance(source, ClaimText):
        return f"{what}: can be read from {plain(source.claim)}, and has a spelling there that is known"
    if isinstance(source, str):
        return f"{what}: can be read from {plain(source)}"
    return f"{what}: is what a function gives: {function_in_words(source)}"


def value_in_words(value: Any, *, present: bool) -> str:
    """What a claim is."""
    return f"it is {quoted(value)}" if present else "it is not there"


def time_in_words(seconds: float) -> str:
    """A time of a token."""
    return f"{quoted(seconds)}, {moment(seconds)}"
