"""Several examinations at once, each in a thread of its own, none waited for longer than a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from .rows import Row, fail

EXAMINATION_SECONDS = 12.0

Examine = Callable[[Callable[[Row], None]], None]
"""Looks, and notes what it finds, row by row."""


@dataclass(frozen=True, slots=True)
class Part:
    """One examination, and what it is about."""

    about: str
    examine: Examine
    rows: list[Row] = field(default_factory=list)


def examined(parts: Sequence[Part], *, within: float = EXAMINATION_SECONDS) -> list[Row]:
    """All rows that the parts found in time, and one more for each part that did not end."""
    ends_at = time.monotonic() + within
    # Daemons: one that hangs, in a name server for example, must not hold up the end of the process.
    threads = [threading.Thread(target=_examine, args=(part,), daemon=True) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, ends_at - time.monotonic()))
    return list(_rows(zip(parts, threads, strict=True), within))


def _rows(pairs: Iterable[tuple[Part, threading.Thread]], within: float) -> Iterable[Row]:
    for part, thread in pairs:
        yield from tuple(part.rows)
        if thread.is_alive():
            do = "look whether names can be resolved, and whether a firewall swallows packets"
            yield fail("deadline", part.about, f"the examination did not end within {within:g} s", do)


def _examine(part: Part) -> None:
    try:
        part.examine(part.rows.append)
    except Exception as error:
        do = "this is a mistake of bearerguard's own, please report it"
        part.rows.append(fail("examination", part.about, f"it ended with {type(error).__name__}", do))
