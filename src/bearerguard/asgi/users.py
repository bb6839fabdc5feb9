"""Who a request's token speaks for, in Starlette's own words."""

from __future__ import annotations

from starlette.authentication import AuthCredentials, BaseUser, UnauthenticatedUser
from starlette.types import Scope

from ..claims import Claims
from ..core.recall import Verdict


class VerifiedUser(BaseUser):
    """`request.user` behind the door: whoever the token speaks for."""

    def __init__(self, claims: Claims) -> None:
        self._claims = claims

    @property
    def claims(self) -> Claims:
        """The claims of the token."""
        return self._claims

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
        return self._claims.user or self._claims.subject or self._claims.tenant or ""


class Granted(AuthCredentials):
    """`request.auth` behind the door: the scopes of the token, as a new list each time that they are read."""

    def __init__(self, claims: Claims) -> None:
        self._claims = claims

    @property
    def scopes(self) -> list[str]:  # type: ignore[override]
        """The scopes, in alphabetical order."""
        return sorted(self._claims.scopes)


class Nobody(UnauthenticatedUser):
    """`request.user` of a request that passed without a token."""

    claims: None = None


def attach(scope: Scope, verdict: Verdict | None) -> None:
    """Put the claims, or nobody, where the code below the door looks for them; whatever stood there goes."""
    if verdict is None:
        scope.update(bearerguard=None, user=Nobody(), auth=AuthCredentials())
        return
    if verdict.companion is None:
        verdict.companion = VerifiedUser(verdict.claims), Granted(verdict.claims)
    scope["bearerguard"] = verdict.claims
    scope["user"], scope["auth"] = verdict.companion
