"""What the code below a door may know of the request's token: the claims, and how to spend or refuse it."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Protocol, overload

from .claims import Claims
from .errors import AuthError, MissingToken, Unavailable


class Door(Protocol):
    """What an `Access` asks of the door that made it."""

    @property
    def kinds_must_be_named(self) -> bool:
        """Whether a guard must say which kind of token it means."""
        ...

    def kinds_of_shape(self, shape: type[object]) -> frozenset[str]:
        """The names of the kinds of token whose claims are of this TypedDict."""
        ...

    def raised(self, error: AuthError | Unavailable, scopes: tuple[str, ...] = ()) -> Exception:
        """`error` as the framework below the door wants it raised."""
        ...

    def spend(self, access: Access) -> None:
        """Claim the one-time token, blocking."""

    async def aspend(self, access: Access) -> None:
        """Claim the one-time token."""


class Access:
    """One request's passage through a door: with claims, or as nobody."""

    __slots__ = ("claims", "door", "is_spent", "verdict")

    def __init__(self, door: Door, claims: Claims | None = None, verdict: object = None) -> None:
        self.door: Door = door
        self.claims: Claims | None = claims
        self.verdict: object = verdict
        self.is_spent: bool = False

    def spend(self) -> None:
        """Claim the one-time token, once for this request."""
        if self.is_spent:
            return
        try:
            self.door.spend(self)
        except (AuthError, Unavailable) as error:
            raise self.door.raised(error) from error.__cause__
        self.is_spent = True

    async def aspend(self) -> None:
        """Claim the one-time token, once for this request."""
        if self.is_spent:
            return
        try:
            await self.door.aspend(self)
        except (AuthError, Unavailable) as error:
            raise self.door.raised(error) from error.__cause__
        self.is_spent = True


_current: ContextVar[Access | None] = ContextVar("bearerguard_access", default=None)

current_access: Callable[[], Access | None] = _current.get


enter: Callable[[Access | None], Token[Access | None]] = _current.set
"""Make an access the one of the code that runs from here on."""


def leave(entered: Token[Access | None]) -> None:
    """Undo `enter`, where it was done in this context."""
    try:
        _current.reset(entered)
    except ValueError:  # a task that is thrown away is closed in the context of whoever throws it away
        return


def forget(access: Access, outer: Access | None = None) -> None:
    """Give this context back to the door outside, if there is one, unless another request has taken it over."""
    if _current.get() is access:
        _current.set(outer)


@overload
def current_claims() -> Claims: ...
@overload
def current_claims(default: None, /) -> Claims | None: ...
def current_claims(*default: None) -> Claims | None:
    """The claims of the request that is being answered.

    `current_claims()` raises `MissingToken` (401) for an anonymous request, and RuntimeError where no door is around;
    `current_claims(None)` answers None instead.
    """
    access = _current.get()
    if access is not None and access.claims is not None:
        return access.claims
    if default:
        return None
    if access is None:
        raise RuntimeError(NO_DOOR)
    raise access.door.raised(MissingToken())


NO_DOOR = (
    "no bearerguard door is around this code, so nobody has checked a token; "
    "add one: app.add_middleware(SessionTokenMiddleware, verifier=verifier), or in Flask "
    "init_app(app, SessionTokenMiddleware, verifier=verifier)"
)


def as_raised(error: AuthError | Unavailable) -> Exception:
    """`error` as the framework around this code wants it raised; itself where no door is around."""
    access = _current.get()
    return error if access is None else access.door.raised(error)
