"""What a token endpoint grants us, and for how long we use it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ..encoding import strict_json_object
from ..errors import InvalidRequest
from .credentials import check_token68

LONGEST_SECONDS = 86_400.0
SHORTEST_SECONDS = 1.0
BACKOFF = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
_NEVER = -1e18


class Grant(NamedTuple):
    """A token, and for how many seconds it is used, counted from when it was asked for."""

    text: str
    seconds: float

    def __repr__(self) -> str:
        return f"<Grant for {self.seconds:g} s>"


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An access token of our own, and when it should and when it must be replaced. Times are monotonic."""

    text: str = field(repr=False)
    refresh_at: float
    ends_at: float


@dataclass(frozen=True, slots=True)
class Held:
    """The token we hold, and when the endpoint may be asked again; replaced whole, never edited."""

    token: AccessToken | None = None
    failures: int = 0
    ask_again_at: float = _NEVER
    reason: str = "provider_unavailable"

    def may_ask(self, now: float) -> bool:
        """Whether the pause after a failure is over."""
        return now >= self.ask_again_at


def grant_of(body: bytes) -> Grant:
    """What the answer grants (RFC 6749, section 5.1); ValueError for anything but a bearer token."""
    answer = strict_json_object(body)
    text, kind = answer.get("access_token"), answer.get("token_type", "Bearer")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise ValueError("the token is of another type than Bearer")
    if not isinstance(text, str):
        raise ValueError("the answer has no access token")
    try:
        check_token68(text.encode("utf-8", "surrogatepass"))
    except InvalidRequest:
        raise ValueError("the access token has letters that no header carries") from None
    return Grant(text, seconds_of(answer.get("expires_in")))


def seconds_of(expires_in: object) -> float:
    """For how long a token is used. Whatever is no number of seconds grants the shortest time there is.

    That time is also the least between two requests, so that no answer makes us ask in a loop.
    """
    if isinstance(expires_in, bool) or not isinstance(expires_in, (int, float)):
        return SHORTEST_SECONDS
    if not 0 < expires_in < math.inf:
        return SHORTEST_SECONDS
    return float(min(max(expires_in, SHORTEST_SECONDS), LONGEST_SECONDS))


def seconds_ahead(seconds: float, margin: float) -> float:
    """How long before its end a token is replaced; one that lives no longer than the margin is used to its end."""
    return min(margin, seconds - SHORTEST_SECONDS) if seconds > margin else 0.0


def access_token(grant: Grant, *, asked_at: float, margin: float) -> AccessToken:
    """The token of a grant that was asked for at that moment."""
    ends_at = asked_at + grant.seconds
    return AccessToken(grant.text, ends_at - seconds_ahead(grant.seconds, margin), ends_at)


def after_failure(held: Held, *, now: float, quiet_until: float, reason: str) -> Held:
    """What we hold after a failure: the same token, and more patience."""
    pause = BACKOFF[min(held.failures, len(BACKOFF) - 1)]
    return replace(held, failures=held.failures + 1, ask_again_at=max(now + pause, quiet_until), reason=reason)
