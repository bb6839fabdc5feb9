"""What a token of given settings says: the sample of its platform, what its rules name, and what a test asks for."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from ..checks import check_seconds
from ..claim_rules import NO_SCOPES, UNCHECKED, ClaimText, IfPresent, TextSource, holds, rule_pairs
from ..errors import SettingsError
from ..rules.acceptance import MISSING
from ..settings import Kind, SignedTokens

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_ANY = re.compile(r".+", re.DOTALL)
_LONGEST_LIFE = 315_360_000


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a test asks of a token. What it does not ask for is as the platform's sample has it.

    `reads_back`: tenant, user and scopes must stand in the claims, where the settings would find them.
    """

    tenant: str | None = None
    user: str | None = None
    scopes: Collection[str] | None = None
    lifetime: float = 60
    claims: Mapping[str, Any] = field(default_factory=dict)
    without: Collection[str] = ()
    reads_back: bool = True

    def __post_init__(self) -> None:
        check_seconds("lifetime", self.lifetime, -_LONGEST_LIFE, _LONGEST_LIFE)
        check_names("without", self.without, _ANY)
        if self.scopes is not None:
            check_names("scopes", self.scopes)

    @property
    def said(self) -> AbstractSet[str]:
        """The claims that the test has its own mind about."""
        return {*self.claims, *self.without}


def check_names(what: str, names: object, pattern: re.Pattern[str] = _SCOPE) -> None:
    """SettingsError unless these are several names, each of which is a scope, or matches another pattern."""
    if isinstance(names, (str, bytes, Mapping)) or not isinstance(names, Collection):
        raise SettingsError(f"{what} takes several names; write {what}=({names!r},)")
    for name in names:
        if not isinstance(name, str) or not pattern.fullmatch(name):
            raise SettingsError(f"{what} has {name!r}; give each name as a text of its own, without blanks")


def payload(kind: Kind, wanted: Wanted, *, now: float) -> dict[str, Any]:
    """The claims of a token that was issued at `now`; SettingsError where nobody could know what to write."""
    values = _ruled(kind, dict(kind.sample))
    values |= _times(kind, wanted.lifetime, issued_at=int(now))
    _put_scopes(kind, values, wanted)
    for name in kind.required if isinstance(kind, SignedTokens) else ():
        if name not in values and name not in dict(_rules(kind)):
            values[name] = f"{name}-1"
    _put_tenant(kind, values, wanted)
    _put_user(kind, values, wanted)
    values = {name: value for name, value in {**values, **wanted.claims}.items() if name not in wanted.without}
    _check_known(kind, values, wanted.said)
    return values


def as_json(what: str, members: Mapping[str, Any]) -> str:
    """Claims or headers as a token spells them."""
    try:
        spelt = json.dumps(dict(members), allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        spelt = None
    if spelt is None:
        # Not raised from within the except block: what json raises may quote the value.
        raise SettingsError(f"a {what} cannot be written as JSON; use texts, finite numbers, lists and dicts")
    return spelt


# --- What the settings themselves say --------------------------------------------------------------------------------


def audience_claim(kind: Kind) -> str:
    """The claim that says for whom a token is."""
    return kind.audience_claim if isinstance(kind, SignedTokens) else "aud"


def _rules(kind: Kind) -> Iterator[tuple[str, Any]]:
    """Every claim that has a rule, with the rule."""
    yield "iss", kind.issuer
    yield audience_claim(kind), kind.audience
    if not isinstance(kind, SignedTokens) and kind.clients is not None:
        yield "client_id", kind.clients
    yield from rule_pairs(kind.rules)


def _ruled(kind: Kind, values: dict[str, Any]) -> dict[str, Any]:
    """`values`, and instead of those that break their rules what the rules name, if they name anything."""
    for name, rule in _rules(kind):
        if _fits(rule, name, values):
            continue
        values.pop(name, None)
        named = _named_by(rule)
        if named is not None and not _fits(rule, name, values):
            values[name] = named
    return values


def _fits(rule: Any, name: str, values: Mapping[str, Any]) -> bool:
    value = values.get(name)
    if rule is UNCHECKED:
        return True
    if isinstance(value, list):
        return any(_holds(rule, item, present=True) for item in value)
    return _holds(rule, value, present=name in values)


def _holds(rule: Any, value: Any, *, present: bool) -> bool:
    try:
        return holds(rule, value, present=present)
    except Exception:  # a rule that raises refuses
        return False


def _named_by(rule: Any) -> Any:
    """A value that keeps the rule, if the rule names one."""
    if isinstance(rule, IfPresent):
        return _named_by(rule.rule)
    if isinstance(rule, AbstractSet):
        return min(rule)
    return rule if isinstance(rule, (str, bool, int)) else None


def _times(kind: Kind, lifetime: float, *, issued_at: int) -> dict[str, Any]:
    """When the token was issued, begins and ends, and its id, as far as tokens of this kind say so."""
    made: dict[str, Any] = {"iat": issued_at, "nbf": issued_at, "jti": str(uuid.uuid4())}
    usual = kind.sample or ("iat", "jti")
    asked: Collection[str] = kind.required if isinstance(kind, SignedTokens) else ()
    if isinstance(kind, SignedTokens) and (kind.max_age is not None or kind.max_lifetime is not None):
        asked = (*asked, "iat")
    ends_at = {"exp": issued_at + lifetime}
    return ends_at | {name: value for name, value in made.items() if name in usual or name in asked}


# --- What the test asks for ------------------------------------------------------------------------------------------


def _put_tenant(kind: Kind, values: dict[str, Any], wanted: Wanted) -> None:
    """The tenant, wherever the sample has its own: a shop stands in several claims."""
    claim = _claim_of("tenant", kind, kind.tenant, wanted.tenant, wanted)
    if claim is None or wanted.tenant is None:
        return
    tenant, old = kind.normalised_tenant(wanted.tenant), _spelt(kind.tenant, values)
    if not old:
        values[claim] = tenant
    else:
        texts = {name: value for name, value in values.items() if isinstance(value, str)}
        values |= {name: text.replace(old, tenant) for name, text in texts.items()}
    _check_name("tenant", wanted.tenant, claim, kind, values)


def _put_user(kind: Kind, values: dict[str, Any], wanted: Wanted) -> None:
    claim = _claim_of("user", kind, kind.user, wanted.user, wanted)
    if claim is not None and wanted.user is not None:
        values[claim] = kind.normalised_user(wanted.user)
        _check_name("user", wanted.user, claim, kind, values)


def _put_scopes(kind: Kind, values: dict[str, Any], wanted: Wanted) -> None:
    """The scopes, spelt as in the sample; a token grants nothing that was not asked for."""
    scopes = sorted(set(wanted.scopes or ()))
    if kind.scopes is NO_SCOPES:
        if scopes:
            raise SettingsError(f"tokens of kind {kind.name!r} carry no scopes; leave scopes= out")
        return
    if not isinstance(kind.scopes, (str, type(None))):
        if scopes and wanted.reads_back:
            raise SettingsError(_unreadable("scopes", kind))
        return
    claim = kind.scopes or "scope"
    as_list = isinstance(values.pop(claim, None if claim == "scope" else []), list)
    if as_list or scopes:
        values[claim] = scopes if as_list else " ".join(scopes)


def _claim_of(what: str, kind: Kind, source: TextSource, value: str | None, wanted: Wanted) -> str | None:
    """The claim in which tokens of this kind name a tenant or user; None where a function finds it."""
    if value is None:
        return None
    if source is None:
        raise SettingsError(f"tokens of kind {kind.name!r} name no {what}; leave {what}= out")
    if isinstance(source, (str, ClaimText)):
        return source if isinstance(source, str) else source.claim
    if wanted.reads_back:
        raise SettingsError(_unreadable(what, kind))
    return None


def _unreadable(what: str, kind: Kind) -> str:
    return (
        f"the {what} of kind {kind.name!r} is found by a function of yours, so nobody knows which claims it reads; "
        f"give those claims by name, and leave {what}= out"
    )


def _spelt(source: TextSource, values: Mapping[str, Any]) -> str | None:
    """The tenant that the sample names, as the settings spell it."""
    claim, normalise = _reading(source)
    value = values.get(claim)
    return normalise(value) if isinstance(value, str) else None


def _reading(source: TextSource) -> tuple[str, Callable[[str], str | None]]:
    return (source.claim, source.normalise) if isinstance(source, ClaimText) else (str(source), str)


def _check_name(what: str, given: str, claim: str, kind: Kind, values: Mapping[str, Any]) -> None:
    """SettingsError for a tenant or user that the rules of its claim would refuse."""
    for name, rule in _rules(kind):
        if name == claim and not _fits(rule, name, values):
            like = f"; its tokens name one like {kind.sample[claim]!r}" if claim in kind.sample else ""
            raise SettingsError(f"{given!r} is no {what} of kind {kind.name!r}{like}")


# --- What nobody could know ------------------------------------------------------------------------------------------


def _check_known(kind: Kind, values: Mapping[str, Any], said: AbstractSet[str]) -> None:
    """SettingsError where the settings would refuse these claims, and the test has not asked for that."""
    for name, rule in _rules(kind):
        if name not in said and not _fits(rule, name, values):
            raise SettingsError(_ask_for(name, kind, "is held against a rule that names no value"))
    for name in kind.required if isinstance(kind, SignedTokens) else ():
        if name not in said and values.get(name) in MISSING:
            raise SettingsError(_ask_for(name, kind, "is required"))
    for check in () if said else kind.checks:
        if not _holds(check, values, present=True):
            called = getattr(check, "__qualname__", type(check).__name__)
            raise SettingsError(
                f"{called}, a check of kind {kind.name!r}, refuses what mint would write; "
                "give the claims that it looks at by name"
            )


def _ask_for(name: str, kind: Kind, why: str) -> str:
    argument = f"{name}=..." if name.isidentifier() else f"**{{{name!r}: ...}}"
    return f"the claim {name!r} of kind {kind.name!r} {why}; give it: {argument}"
