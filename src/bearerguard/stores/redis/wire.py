"""What the Redis port asks of a client, and how a client fails. No redis in here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ...rules.epochs import Memory

MOST_CONNECTIONS = 16
SILENCE_SECONDS = 0.25
GUIDE_SECONDS = 0.1
"""How long a command may be held up to ask whether another server is the one to ask by now."""


class WireError(Exception):
    """Redis did not do what it was asked.

    The text is the name of a class or an error code: what redis-py itself says may hold keys and values.
    """


class Crowded(WireError):
    """So much of the time went by in the queue that the server was not asked, or had hardly time to let us in."""


class NotSent(WireError):
    """The command was not done: it never left, or it was refused before it was looked at."""


class ReplyGone(WireError):
    """The command may have been done: it left, and no whole reply came back."""


class ReplyLate(ReplyGone):
    """The time was over before the reply had come, after SILENCE_SECONDS at the least."""


class ReplyNotAwaited(ReplyGone):
    """So much of the time went by in the queue that the server had less than SILENCE_SECONDS to answer."""


class Unconfirmed(ReplyGone):
    """The command was done, and no replica has said that it has it, too."""


def connection_overdue(seconds_left: float) -> WireError:
    """What it means that no connection came, although that much time was left for it."""
    return (NotSent if seconds_left >= SILENCE_SECONDS else Crowded)("TimeoutError")


def reply_overdue(seconds_left: float) -> ReplyGone:
    """What it means that no reply came, although that much time was left for it when the command was sent."""
    return (ReplyLate if seconds_left >= SILENCE_SECONDS else ReplyNotAwaited)("TimeoutError")


class Refused(WireError):
    """The server answered with an error."""


class ScriptUnknown(Refused):
    """The server has not seen the script of this digest yet."""


class ElsewhereNow(Refused):
    """Another server has to be asked: the slot has moved, or this one takes no writes any more."""


class Moved(ElsewhereNow):
    """The slot has moved; the server did not look at the command."""


class NotPermitted(Refused):
    """The server's user has no right to the command, or to a key."""


class ValueUnreadable(Refused):
    """The server holds a value of a wrong type or form."""


def packed(command: Sequence[str]) -> list[bytes]:
    """A command as it travels; redis-py would take ten times as long for it."""
    words = [word.encode() for word in command]
    return [b"*%d\r\n" % len(words) + b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words])]


def wait_command(seconds_left: float) -> tuple[str, ...]:
    """Asks whether a replica has all that was written on this connection; zero would mean: wait for ever."""
    return "WAIT", "1", str(max(1, int(min(seconds_left, SILENCE_SECONDS) * 800)))


def confirmed(answer: Any, copies: object) -> Any:
    """`answer`, once so many replicas have confirmed it; else `Unconfirmed`."""
    return answer if isinstance(copies, int) and copies >= 1 else Unconfirmed("no replica confirmed it")


class Wire(Protocol):
    """A way to one Redis, of either flavour."""

    @property
    def is_replicated(self) -> bool:
        """Whether a write counts only once a replica has it."""
        ...

    @property
    def memory(self) -> Memory | None:
        """Whose memory has been asked of late; None where nobody can tell, or where it is never lost."""
        ...

    async def execute(self, *command: str, within: float, is_write: bool = False) -> Any:
        """The reply to one command, undecoded, or a `WireError`. A write is confirmed where the store is replicated."""
        ...

    async def close(self) -> None:
        """Close what is open; the next command opens anew."""


class LoopWire(Wire, Protocol):
    """A wire whose connections live in one event loop."""

    def abandon(self) -> None:
        """Close the sockets of a loop that is closed itself."""
