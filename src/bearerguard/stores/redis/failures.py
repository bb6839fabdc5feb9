"""What redis-py's exceptions mean for us. It raises the same ones in both flavours."""

from __future__ import annotations

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from .scripts import UNREADABLE
from .wire import (
    ElsewhereNow,
    Moved,
    NotPermitted,
    NotSent,
    Refused,
    ReplyGone,
    ScriptUnknown,
    ValueUnreadable,
    WireError,
    connection_overdue,
    reply_overdue,
)

# Replies, too, although redis-py calls them connection errors: the server did not look at the command.
_NOT_LET_IN = (AuthenticationError, BusyLoadingError)
_TIMEOUTS = (RedisTimeoutError, TimeoutError)


def connect_failure(error: Exception, *, seconds_left: float) -> WireError:
    """Why there is no connection, for which so much time was left."""
    if isinstance(error, WireError):
        return error
    return connection_overdue(seconds_left) if isinstance(error, _TIMEOUTS) else NotSent(type(error).__name__)


def command_failure(error: Exception, *, seconds_left: float) -> WireError:
    """Why a command has no reply, which was sent when so much time was left, or which error is the reply."""
    name = type(error).__name__
    if isinstance(error, ResponseError):
        return _refusal(error)(name)
    if isinstance(error, _NOT_LET_IN):
        return NotSent(name)
    return reply_overdue(seconds_left) if isinstance(error, _TIMEOUTS) else ReplyGone(name)


def leaves_connection_sound(answer: object) -> bool:
    """Whether a whole reply was read, so that the next one will be the next command's."""
    return not isinstance(answer, WireError) or isinstance(answer, Refused)


def _refusal(error: ResponseError) -> type[Refused]:
    if isinstance(error, NoScriptError):
        return ScriptUnknown
    if isinstance(error, NoPermissionError):
        return NotPermitted
    if isinstance(error, MovedError):
        return Moved
    if isinstance(error, ReadOnlyError):
        return ElsewhereNow
    # Redis 6.2 puts words of its own before a script's error, later ones put them behind it.
    text = str(error)
    return ValueUnreadable if UNREADABLE in text or "WRONGTYPE" in text else Refused
