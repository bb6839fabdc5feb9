"""Whose tokens can be revoked, how long they live, and how they spell users and tenants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from .checks import check_text
from .errors import SettingsError


class Revocable(Protocol):
    """Tokens of one authority, as far as revoking them goes; every settings object is one."""

    @property
    def name(self) -> str:
        """What messages call them."""
        ...

    @property
    def vouched_by(self) -> str:
        """The name that their revocations are kept under."""
        ...

    @property
    def ahead(self) -> float:
        """How far ahead of ours the clock of their issuer may be."""
        ...

    @property
    def leeway(self) -> float:
        """How long after its end one of them is still accepted."""
        ...

    @property
    def horizon(self) -> float | None:
        """How long one of them lives at most."""
        ...

    def normalised_user(self, user: str) -> str:
        """A user as these tokens spell it."""
        ...

    def normalised_tenant(self, tenant: str) -> str:
        """A tenant as these tokens spell it."""
        ...


class Unsettled(NamedTuple):
    """Tokens that this process has no settings for: names are taken as they are given."""

    vouched_by: str
    horizon: float | None
    name: str = "any"
    ahead: float = 300
    leeway: float = 300

    def normalised_user(self, user: str) -> str:
        """A user as it is given."""
        check_text("user", user)
        return user

    def normalised_tenant(self, tenant: str) -> str:
        """A tenant as it is given."""
        check_text("tenant", tenant)
        return tenant


class RevocableToken(NamedTuple):
    """A token, as far as its revocation goes."""

    names: Sequence[str]
    issued_at: float | None
    ahead: float
    lives: float | None


def lifetime(kind: Revocable) -> float | None:
    """How long after its issue one of these tokens may still be accepted; None where nobody knows."""
    return None if kind.horizon is None else kind.horizon + kind.leeway


def longest_horizon(kinds: Sequence[Revocable]) -> float:
    """How long a token of these kinds lives at most; SettingsError where nobody knows."""
    horizons = [kind.horizon for kind in kinds]
    known = [horizon for horizon in horizons if horizon is not None]
    if len(known) != len(horizons):
        raise SettingsError(
            "nobody knows how long these tokens live, so nobody knows how long to keep a revocation; "
            "give the settings max_lifetime= or assumed_lifetime=, or Denylist its horizon="
        )
    return max(known)


def spelt_by(
    spellings: Sequence[tuple[Revocable, Callable[[str], str]]], value: str
) -> Sequence[tuple[Revocable, str]]:
    """`value` as each kind that knows such a thing spells it; SettingsError where none does."""
    spelt: list[tuple[Revocable, str]] = []
    refusals: list[SettingsError] = []
    for kind, spell in spellings:
        try:
            spelt.append((kind, spell(value)))
        except SettingsError as refusal:
            refusals.append(refusal)
    if not spelt:
        raise refusals[0]
    return spelt
