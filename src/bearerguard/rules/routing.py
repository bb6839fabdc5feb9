"""Which of several kinds of token a token is judged as. The unverified issuer merely selects."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from .. import journal
from ..carriers import Carrier
from ..claim_rules import UNCHECKED, IfPresent, holds
from ..errors import InvalidToken, SettingsError
from ..settings import Kind


def kind_for(values: dict[str, Any] | None, kinds: Sequence[Kind]) -> Kind:
    """The one kind whose issuer the token names, else the one that asks for no issuer; InvalidToken for no route.

    `values` are the unverified claims; only their `iss` is looked at.
    """
    issuer = values.get("iss") if values else None
    named = [kind for kind in kinds if isinstance(issuer, str) and _claims_issuer(kind, issuer)]
    if len(named) == 1:
        return named[0]
    unnamed = [kind for kind in kinds if takes_any_issuer(kind)]
    if named or len(unnamed) != 1:
        raise InvalidToken("no_route")
    return unnamed[0]


def takes_any_issuer(kind: Kind) -> bool:
    """Whether a token without an issuer may be of this kind."""
    return kind.issuer is UNCHECKED or isinstance(kind.issuer, IfPresent)


def _claims_issuer(kind: Kind, issuer: str) -> bool:
    if kind.issuer is UNCHECKED:
        return False
    rule = kind.issuer.rule if isinstance(kind.issuer, IfPresent) else kind.issuer
    try:
        return holds(rule, issuer, present=True)
    except Exception as error:  # a predicate that raises claims nothing
        journal.rule_raised(f"issuer of {kind.name}", error)
        return False


def check_routes(kinds: Sequence[Kind]) -> None:
    """SettingsError where a token could be judged as two kinds."""
    names = [kind.name for kind in kinds]
    if len(set(names)) != len(names):
        raise SettingsError(
            f"two kinds are called {max(names, key=names.count)!r}; give each settings object its own name="
        )
    for index, kind in enumerate(kinds):
        for other in kinds[:index]:
            if set(kind.carriers) & set(other.carriers) and _overlap(kind, other):
                raise SettingsError(
                    f"the kinds {other.name!r} and {kind.name!r} take the same issuers from the same carrier; "
                    "give one of them another carrier, or use two verifiers"
                )


def kinds_overlap(kinds: Sequence[Kind]) -> bool:
    """Whether the issuer alone would not tell the kinds apart, as it must for a token that came in no carrier."""
    return any(_overlap(kind, other) for index, kind in enumerate(kinds) for other in kinds[:index])


def _overlap(kind: Kind, other: Kind) -> bool:
    if takes_any_issuer(kind) and takes_any_issuer(other):
        return True
    return (
        any(_claims_issuer(other, value) for value in _values(kind))
        or any(_claims_issuer(kind, value) for value in _values(other))
        or (callable(kind.issuer) and kind.issuer == other.issuer)
    )


def _values(kind: Kind) -> Sequence[str]:
    rule = kind.issuer.rule if isinstance(kind.issuer, IfPresent) else kind.issuer
    if isinstance(rule, str):
        return (rule,)
    return tuple(rule) if isinstance(rule, AbstractSet) else ()


def kinds_of(carrier: Carrier | None, kinds: Sequence[Kind]) -> tuple[Kind, ...]:
    """The kinds that take their token from `carrier`; all of them for a token that came in no carrier."""
    return tuple(kind for kind in kinds if carrier is None or carrier in kind.carriers)
