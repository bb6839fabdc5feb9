"""What the log says: one line each, no token, no secret, and never a flood."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from . import events
from .errors import REASONS

logger: logging.Logger = logging.getLogger("bearerguard")

LINES_PER_SECOND = 10


class Allowance:
    """How many lines of one kind may still be written in this second, and how many were kept back.

    Without a lock, which a fork could leave shut: threads that meet here may miscount by a line.
    """

    __slots__ = ("_kept_back", "_per_second", "_second", "_written")

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._second = 0
        self._written = 0
        self._kept_back = 0

    def take(self, now: float) -> int | None:
        """How many lines were kept back before this one; None to keep this one back too."""
        if int(now) != self._second:
            self._second, self._written = int(now), 0
        if self._written >= self._per_second:
            self._kept_back += 1
            return None
        self._written += 1
        kept_back, self._kept_back = self._kept_back, 0
        return kept_back


_allowances: dict[str, Allowance] = {}


class Line(NamedTuple):
    """What is said of an event: how loudly, and what it counts as where lines are kept back."""

    level: int
    subject: str
    text: str
    per_second: int = 1


def to_log(event: events.Event) -> None:
    """The sink that says it in the log of `bearerguard`; there from the beginning, until `set_sinks` leaves it out."""
    line = line_of(event)
    if line is not None:
        _say(line)


def line_of(event: events.Event) -> Line | None:
    """What the log says of an event; nothing of good news."""
    says = _LINES.get(type(event))
    return None if says is None else says(event)


def _refused(event: events.TokenRefused) -> Line:
    level = logging.INFO if event.reason == "missing_token" else logging.WARNING
    kind = f" (kind {event.kind})" if event.kind else ""
    text = f"refused {event.status} {event.reason}: {event.detail}{kind}"
    return Line(level, event.reason, text, LINES_PER_SECOND)


def _closed(event: events.WebSocketClosed) -> Line:
    text = f"closed a WebSocket with {event.code} {event.reason}: {REASONS[event.reason]}"
    return Line(logging.INFO, f"closed {event.reason}", text, LINES_PER_SECOND)


def _passed_unchecked(event: events.PassedUnchecked) -> Line:
    text = f"the {event.dependency} could not be asked, and the settings let the request pass (kind {event.kind})"
    return Line(logging.WARNING, f"passed without {event.dependency}", text)


def _outlives(event: events.TokenOutlivesHorizon) -> Line:
    text = (
        f"a token lives longer than assumed_lifetime says, so it may outlive the revocation of its user or tenant; "
        f"raise assumed_lifetime (kind {event.kind})"
    )
    return Line(logging.WARNING, f"lifetime of {event.kind}", text)


def _rule_raised(event: events.RuleRaised) -> Line:
    text = f"the rule {event.rule} raised {event.error}; the token was refused"
    return Line(logging.ERROR, f"rule {event.rule}", text, LINES_PER_SECOND)


def _failed(event: events.ComponentFailed) -> Line:
    text = f"{event.component} failed after {event.elapsed:.3f} s: {event.error}"
    if event.asked is not None:
        text += f" (asked {event.asked})"
    return Line(logging.WARNING, event.component, text)


def _client_refused(event: events.ClientRefused) -> Line:
    text = f"{event.component}: the provider refused our own client_id and client_secret; check them in the settings"
    return Line(logging.ERROR, f"credentials of {event.component}", text)


def _metadata_unusable(event: events.MetadataUnusable) -> Line:
    return Line(logging.ERROR, f"metadata of {event.component}", f"{event.component}: {event.what}")


def _forged(event: events.CacheForged) -> Line:
    what = "an entry in the store fails its check and is not used; somebody else may write to the store"
    return Line(logging.WARNING, f"forged entry of {event.component}", f"{event.component}: {what}")


def _not_kept(event: events.CacheNotKept) -> Line:
    text = f"{event.component}: an entry could not be kept in the store: {event.error}"
    return Line(logging.WARNING, f"entry of {event.component}", text)


def _old_client_secret(event: events.OldClientSecretUsed) -> Line:
    what = f"the provider refused the newest client secret and took the one at index {event.index}"
    return Line(logging.WARNING, f"old client secret of {event.component}", f"{event.component}: {what}")


def _old_secret(event: events.OldSecretUsed) -> Line:
    return Line(logging.INFO, "old secret", f"a token was signed with the shared secret at index {event.index}")


def _met_empty(event: events.StoreMetEmpty) -> Line:
    if event.trusted:
        text = "the store is empty; it is trusted as a new one, and an epoch is begun"
    else:
        text = "the store is empty; tokens issued before now are refused until they would have ended"
    return Line(logging.WARNING, "empty store", text)


def _forgot(_: events.StoreForgot) -> Line:
    text = "the store has lost its memory; tokens issued before now are refused until they would have ended"
    return Line(logging.ERROR, "store forgot", text)


def _evicts(event: events.StoreEvicts) -> Line:
    text = f"the store throws revocations away when it is full: set maxmemory-policy noeviction (it is {event.policy})"
    return Line(logging.WARNING, "store evicts", text)


def _unwatched(_: events.StoreUnwatched) -> Line:
    text = "we may not run INFO on the store, so its restarts and its eviction policy go unseen; add +info to its user"
    return Line(logging.WARNING, "store unwatched", text)


def _dropped(event: events.ReplicaDropped) -> Line:
    text = f"the replica of the denylist is dropped, and checks go to the store: {event.why}"
    return Line(logging.WARNING, "replica", text)


# What is missing here is good news, and no line is written about it.
_LINES: Mapping[type[events.Event], Callable[[Any], Line]] = {
    events.TokenRefused: _refused,
    events.WebSocketClosed: _closed,
    events.TokenOutlivesHorizon: _outlives,
    events.PassedUnchecked: _passed_unchecked,
    events.RuleRaised: _rule_raised,
    events.ComponentFailed: _failed,
    events.StoreFailed: _failed,
    events.ProviderFailed: _failed,
    events.ClientRefused: _client_refused,
    events.MetadataUnusable: _metadata_unusable,
    events.CacheForged: _forged,
    events.CacheNotKept: _not_kept,
    events.OldClientSecretUsed: _old_client_secret,
    events.OldSecretUsed: _old_secret,
    events.StoreMetEmpty: _met_empty,
    events.StoreForgot: _forgot,
    events.StoreEvicts: _evicts,
    events.StoreUnwatched: _unwatched,
    events.ReplicaDropped: _dropped,
}


def sink_raised(name: str, error: Exception) -> None:
    """A sink raised, which is a bug of the sink; where it is the log itself that raises, nobody is left to tell."""
    text = f"the sink {name} raised {type(error).__name__}; it missed an event"
    with suppress(Exception):
        _say(Line(logging.ERROR, f"sink {name}", text))


def _say(line: Line) -> None:
    if not logger.isEnabledFor(line.level):
        return
    allowance = _allowances.setdefault(line.subject, Allowance(line.per_second))
    kept_back = allowance.take(time.monotonic())
    if kept_back is not None:
        logger.log(line.level, "%s%s", line.text, f" (and {kept_back} more like it)" if kept_back else "")
