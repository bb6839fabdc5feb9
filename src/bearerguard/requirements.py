"""What a view asks of a token: the sum of its guards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from .access import NO_DOOR, Access
from .errors import InsufficientScope, MissingToken, SettingsError

_Shape = TypeVar("_Shape")


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a view asks of a token; the sum of its guards."""

    every: tuple[str, ...] = ()
    any_of: tuple[tuple[str, ...], ...] = ()
    kinds: frozenset[str] | None = None
    once: bool = False

    @property
    def scopes(self) -> tuple[str, ...]:
        """Every scope that the view names, for challenges and documentation."""
        return tuple(dict.fromkeys((*self.every, *(scope for group in self.any_of for scope in group))))

    def and_also(self, other: Requirement) -> Requirement:
        """Both requirements in one."""
        kinds = self.kinds if other.kinds is None else other.kinds if self.kinds is None else self.kinds & other.kinds
        if kinds is not None and not kinds:
            raise SettingsError(
                "the guards of this view ask for different kinds of token, so none would pass; name one kind"
            )
        every = tuple(dict.fromkeys((*self.every, *other.every)))
        return Requirement(every, self.any_of + other.any_of, kinds, self.once or other.once)

    def check(self, access: Access | None) -> Access:
        """`access`, if its token is enough; else the refusal, as the framework around wants it raised."""
        if access is None:
            raise RuntimeError(NO_DOOR)
        if access.claims is None:
            raise access.door.raised(MissingToken(), self.scopes)
        if self.kinds is None:
            if access.door.kinds_must_be_named:
                raise SettingsError(NAME_A_KIND)
        elif access.claims.kind not in self.kinds:
            raise access.door.raised(_of_kind(InsufficientScope("wrong_kind"), access))
        if (self.every or self.any_of) and not self._is_met_by(access.claims.scopes):
            raise access.door.raised(_of_kind(InsufficientScope(), access), self.scopes)
        return access

    def _is_met_by(self, granted: frozenset[str]) -> bool:
        return granted.issuperset(self.every) and all(granted.intersection(group) for group in self.any_of)


def _of_kind(error: InsufficientScope, access: Access) -> InsufficientScope:
    error.kind = None if access.claims is None else access.claims.kind
    return error


def shaped_claims(access: Access | None, shape: type[_Shape], *, kind: str | None, scopes: tuple[str, ...]) -> _Shape:
    """The claims of `access` as `shape`, where its token is of a kind that has this TypedDict and grants `scopes`."""
    if access is None:
        raise RuntimeError(NO_DOOR)
    kinds = access.door.kinds_of_shape(shape) if kind is None else frozenset({kind})
    if len(kinds) > 1 and access.door.kinds_must_be_named:
        raise SettingsError(f"{NAME_ONE_OF_SHAPE}: claims_as({shape.__name__}, kind={min(kinds)!r})")
    claims = Requirement(every=scopes, kinds=kinds).check(access).claims
    return claims.typed(shape)  # type: ignore[union-attr]


NAME_ONE_OF_SHAPE = "several kinds of token of this verifier have these claims, and any of them would pass; write"

NAME_A_KIND = (
    "this verifier takes several kinds of token, and the guard does not say which one may pass; "
    "write requires_scope(..., kind='...') or requires_kind('...'), or Verifier(..., any_kind=True)"
)
