"""What a claim must be, written as data: a value, a set, a pattern, a function, or one of the words here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal, TypeAlias

from .checks import check_function, check_text
from .errors import SettingsError


class Word(Enum):
    """The words that settings take where a value would be a mistake."""

    UNCHECKED = "UNCHECKED"
    NO_SCOPES = "NO_SCOPES"
    ABSENT = "ABSENT"

    def __repr__(self) -> str:
        return self.value


UNCHECKED: Final[Literal[Word.UNCHECKED]] = Word.UNCHECKED
"""Do not check this claim; said at start as a WARNING."""

NO_SCOPES: Final[Literal[Word.NO_SCOPES]] = Word.NO_SCOPES
"""Tokens of this kind carry no scopes, whatever a claim is called."""

ABSENT: Final[Literal[Word.ABSENT]] = Word.ABSENT
"""The claim must not be there."""


@dataclass(frozen=True, slots=True)
class IfPresent:
    """A rule for a claim that may be missing, but must be right where it is there."""

    rule: ClaimRule


@dataclass(frozen=True, slots=True)
class ClaimText:
    """A claim whose text is brought to one spelling before it is kept or compared.

    ```python
    tenant=ClaimText("dest", normalise=shop_host)
    ```
    """

    claim: str
    normalise: Callable[[str], str | None]


ClaimRule: TypeAlias = (
    "str | int | bool | AbstractSet[str] | re.Pattern[str] | Callable[[Any], bool] | IfPresent | Literal[Word.ABSENT]"
)
NamedRules: TypeAlias = "Mapping[str, ClaimRule] | tuple[tuple[str, ClaimRule], ...]"
Expected: TypeAlias = (
    "str | AbstractSet[str] | re.Pattern[str] | Callable[[str], bool] | IfPresent | Literal[Word.UNCHECKED]"
)
TextSource: TypeAlias = "str | ClaimText | Callable[[Mapping[str, Any]], str | None] | None"


def holds(rule: ClaimRule, value: Any, *, present: bool) -> bool:
    """Whether a claim keeps its rule; strings are compared whole, and 1 is not True."""
    if rule is ABSENT:
        return not present
    if isinstance(rule, IfPresent):
        return not present or holds(rule.rule, value, present=True)
    if isinstance(rule, re.Pattern):
        return isinstance(value, str) and rule.fullmatch(value) is not None
    if isinstance(rule, AbstractSet):
        return isinstance(value, str) and value in rule
    if callable(rule):
        return present and rule(value) is True
    return type(value) is type(rule) and value == rule


def rule_pairs(rules: NamedRules) -> Iterable[tuple[str, ClaimRule]]:
    """Rules as pairs of a claim's name and its rule."""
    return rules.items() if isinstance(rules, Mapping) else rules


def checked_rules(rules: NamedRules) -> tuple[tuple[str, ClaimRule], ...]:
    """`rules` as pairs, once each is found to be one."""
    if not isinstance(rules, (Mapping, list, tuple)):
        raise SettingsError("rules maps claim names to rules; write rules={'token_use': 'access'}")
    pairs: tuple[Any, ...] = tuple(rule_pairs(rules))
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise SettingsError("rules maps claim names to rules; write rules={'token_use': 'access'}")
        check_text("a claim name in rules", pair[0])
        check_rule(f"the rule of {pair[0]!r}", pair[1])
    return tuple((name, frozen_rule(rule)) for name, rule in pairs)


def frozen_rule(rule: Any) -> Any:
    """`rule`, independent of the set that it was written with."""
    if isinstance(rule, IfPresent):
        return IfPresent(frozen_rule(rule.rule))
    return frozenset(rule) if isinstance(rule, AbstractSet) else rule


def check_rule(name: str, rule: object) -> None:
    """SettingsError unless `rule` is one of the forms above."""
    if isinstance(rule, IfPresent):
        check_rule(name, rule.rule)
    elif rule is ABSENT or isinstance(rule, (bool, int)):
        return
    elif isinstance(rule, re.Pattern):
        check_pattern(name, rule)
    elif isinstance(rule, (str, AbstractSet)):
        check_texts(name, rule)
    else:
        check_function(name, rule)


def check_pattern(name: str, pattern: re.Pattern[Any]) -> None:
    """A pattern for texts, and not for bytes."""
    if not isinstance(pattern.pattern, str):
        raise SettingsError(f"{name} is a pattern for bytes; write re.compile(r'...') without the b")


def check_texts(name: str, value: str | AbstractSet[Any]) -> None:
    """One text, or a set of texts; none of them empty."""
    texts = {value} if isinstance(value, str) else value
    if not texts:
        raise SettingsError(f"{name} is an empty set and would refuse every token; name a value")
    for text in texts:
        check_text(name, text)
