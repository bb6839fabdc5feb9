"""Who a request's token speaks for, in Starlette's own words."""

from __future__ import annotations

from functools import cached_property

from starlette.authentication import AuthCredentials, BaseUser, UnauthenticatedUser
from starlette.types import Scope

from ..claims import Claims


class VerifiedUser(BaseUser):
    """`request.user` behind the door: whoever the token speaks for."""

    __slots__ = ("claims",)

    def __init__(self, claims: Claims) -> None:
        self.claims: Claims = claims

    @property
    def is_authenticated(self) -> bool:
        """A verified token was sent."""
        return True

    @property
    def display_name(self) -> str:
        """The user, else the subject, else the tenant that the token names."""
        return self.identity

    @property
    def identity(self) -> str:
        """The user, else the subject, else the tenant that the token names."""
        return self.claims.user or self.claims.subject or self.claims.tenant or ""


class Granted(AuthCredentials):
    """`request.auth` behind the door: the scopes of the token, as a list of this request's own."""

    def __init__(self, claims: Claims) -> None:
        self._claims = claims

    @cached_property
    def scopes(self) -> list[str]:  # type: ignore[override]
        """The scopes, in alphabetical order."""
        return sorted(self._claims.scopes)


class Nobody(UnauthenticatedUser):
    """`request.user` of a request that passed without a token."""

    claims: None = None


def attach(scope: Scope, claims: Claims | None) -> None:
    """Put the claims, or nobody, where the code below the door looks for them; whatever stood there goes."""
    scope["bearerguard"] = claims
    scope["user"] = Nobody() if claims is None else VerifiedUser(claims)
    scope["auth"] = AuthCredentials() if claims is None else Granted(claims)
