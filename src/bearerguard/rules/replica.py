"""What a replica of the denylist hears from its store, and whether it may go on from what it knew."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from ..errors import StoreUnavailable
from .epochs import MOST_DIGITS, Memory, epoch, is_same_memory

NO_LINE = "0-0"
"""The last line of a log that has none."""

ENDLESS = -1

_MARK = rf"([dut]:[A-Za-z0-9_-]+)%s(1\|[0-9]{{1,{MOST_DIGITS}}})%s(-1|[0-9]{{1,18}})"
_MARK_LINE = re.compile(_MARK % (" ", " "))
_LOG_LINE = re.compile(r"([0-9]{1,20}-[0-9]{1,20}) name " + _MARK % (" value ", " life "))


class Told(NamedTuple):
    """A mark as the store has it: its name, its value, and the milliseconds it has yet to live, or ENDLESS."""

    name: str
    value: str
    milliseconds: int


class Position(NamedTuple):
    """Up to where a store was heard: the epoch it showed, the last line of its log, and whose memory that was."""

    epoch: str
    last: str
    memory: Memory | None = None


class Heard(NamedTuple):
    """One answer of the store, read in one step: its epoch, and the ends of its log.

    Of the lines from the one that was asked for, the first one is only named: if it is that one, it was heard before.
    """

    epoch: str | None
    first: str
    last: str
    begin: str
    lines: Sequence[tuple[str, Told]]
    memory: Memory | None = None

    def position(self) -> Position | None:
        """Up to where it was heard; None for a store that has no epoch, and so vouches for nothing."""
        return None if self.epoch is None else Position(self.epoch, self.last, self.memory)


def heard(epoch_shown: str | None, first: str, last: str, text: str, memory: Memory | None = None) -> Heard:
    """The answer that these texts spell; StoreUnavailable where one of them cannot be read."""
    epoch(epoch_shown)
    for line_id in (first, last):
        _order(line_id)
    begin, *lines = text.split("\n")
    return Heard(epoch_shown, first, last, begin.partition(" ")[0], [_log_line(line) for line in lines], memory)


def told_in(text: str) -> list[Told]:
    """The marks of a page, one in each line; StoreUnavailable where one cannot be read."""
    return [_mark_line(line) for line in text.split("\n")] if text else []


def why_lost(seen: Position, now: Heard) -> str | None:
    """Why the store does not remember what it told us up to `seen`; None where nothing says so."""
    before, present = epoch(seen.epoch), epoch(now.epoch)
    if before is None or present is None:
        return "the store has no epoch any more"
    if present.incarnation != before.incarnation:
        return "the store has begun another epoch"
    if present.seq < before.seq:
        return "the store counts fewer writes than before"
    if not is_same_memory(seen.memory, now.memory):
        return "the store is another server, or was restarted"
    if _order(now.last) < _order(seen.last):
        return "the store's log is shorter than before"
    # What stands before our place was trimmed; but where older lines are kept, ours is not missing for its age.
    if now.begin != seen.last and now.first != NO_LINE and _order(now.first) <= _order(seen.last):
        return "the store's log is another than before"
    return None


def new_lines(seen: Position, now: Heard) -> Sequence[tuple[str, Told]] | None:
    """The lines after `seen`, for a store that has lost nothing; None where some of them may have been trimmed away."""
    has_none_yet = now.last == seen.last == NO_LINE
    return now.lines if now.begin == seen.last or has_none_yet else None


def _order(line_id: str) -> tuple[int, int]:
    milliseconds, _, number = line_id.partition("-")
    if not (milliseconds.isdecimal() and number.isdecimal()):
        raise StoreUnavailable("store_unreadable")
    return int(milliseconds), int(number)


def _log_line(line: str) -> tuple[str, Told]:
    match = _LOG_LINE.fullmatch(line)
    if match is None:
        raise StoreUnavailable("store_unreadable")
    return match[1], Told(match[2], match[3], int(match[4]))


def _mark_line(line: str) -> Told:
    match = _MARK_LINE.fullmatch(line)
    if match is None:
        raise StoreUnavailable("store_unreadable")
    return Told(match[1], match[2], int(match[3]))
