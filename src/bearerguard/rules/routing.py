"""Which of several kinds of token a token is judged as. The unverified issuer merely selects."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from .. import sinks
from ..carriers import Carrier
from ..claim_rules import UNCHECKED, IfPresent, holds
from ..encoding import has_three_segments
from ..errors import InvalidToken, SettingsError
from ..events import RuleRaised
from ..settings import Kind, OpaqueTokens, SignedTokens
from .jws import json_segment, taken_apart


def kind_for(token: bytes, kinds: Sequence[Kind]) -> Kind:
    """The one kind whose route the token takes, by its shape and by the issuer that it names; nothing is verified yet.

    InvalidToken where there is no route, or a token that is signed by its shape and malformed.
    """
    signed = [kind for kind in kinds if isinstance(kind, SignedTokens)]
    opaque = [kind for kind in kinds if isinstance(kind, OpaqueTokens)]
    if not signed or (opaque and not has_three_segments(token)):
        return _only(opaque)
    shaped = [kind for kind in opaque if kind.jwt_shaped]
    try:
        issuer = json_segment(taken_apart(token).payload).get("iss")
    except InvalidToken:
        if shaped:
            return _only(shaped)
        raise
    return _by_issuer(issuer, [*signed, *shaped])


def check_is_for(kind: Kind, token: bytes) -> None:
    """InvalidToken for a signed token, by its shape, that would be shown to the provider of opaque ones.

    In a verifier that takes signed tokens too it is somebody's live token, which is no other provider's business.
    """
    if isinstance(kind, OpaqueTokens) and not kind.jwt_shaped and has_three_segments(token):
        raise InvalidToken("no_route")


def _by_issuer(issuer: object, kinds: Sequence[Kind]) -> Kind:
    """The kind that claims the issuer, else the one that takes tokens without one."""
    named = [kind for kind in kinds if isinstance(issuer, str) and _claims_issuer(kind, issuer)]
    if named:
        return _only(named)
    none_named = issuer is None
    return _only([kind for kind in kinds if takes_any_issuer(kind) or (none_named and isinstance(kind, OpaqueTokens))])


def _only(kinds: Sequence[Kind]) -> Kind:
    if len(kinds) != 1:
        raise InvalidToken("no_route")
    return kinds[0]


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
        sinks.tell(RuleRaised(rule=f"issuer of {kind.name}", error=type(error).__name__))
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
    if isinstance(kind, OpaqueTokens) and isinstance(other, OpaqueTokens):
        return True  # nothing in an opaque token tells whose it is
    if not (_may_be_signed_in_shape(kind) and _may_be_signed_in_shape(other)):
        return False
    if _takes_no_issuer(kind) and _takes_no_issuer(other):
        return True
    return (
        any(_claims_issuer(other, value) for value in _values(kind))
        or any(_claims_issuer(kind, value) for value in _values(other))
        or (callable(kind.issuer) and kind.issuer == other.issuer)
    )


def _may_be_signed_in_shape(kind: Kind) -> bool:
    return isinstance(kind, SignedTokens) or kind.jwt_shaped


def _takes_no_issuer(kind: Kind) -> bool:
    return isinstance(kind, OpaqueTokens) or takes_any_issuer(kind)


def _values(kind: Kind) -> Sequence[str]:
    rule = kind.issuer.rule if isinstance(kind.issuer, IfPresent) else kind.issuer
    if isinstance(rule, str):
        return (rule,)
    return tuple(rule) if isinstance(rule, AbstractSet) else ()


def kinds_of(carrier: Carrier | None, kinds: Sequence[Kind]) -> tuple[Kind, ...]:
    """The kinds that take their token from `carrier`; all of them for a token that came in no carrier."""
    return tuple(kind for kind in kinds if carrier is None or carrier in kind.carriers)
