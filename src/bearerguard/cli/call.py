"""One run of the command: what was asked, where texts come from, what was heard meanwhile."""

from __future__ import annotations

import logging
import threading
import time
from argparse import Namespace
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..events import Event
from ..sinks import set_sinks
from .given import Sources
from .paper import Paper


class Heard:
    """What happened in the library meanwhile, for each thread apart."""

    def __init__(self) -> None:
        self._events: dict[int, list[Event]] = {}

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        self._events.setdefault(threading.get_ident(), []).append(event)

    def mark(self) -> int:
        """How much this thread has heard so far."""
        return len(self._events.get(threading.get_ident(), ()))

    def since(self, mark: int) -> Sequence[Event]:
        """What this thread has heard since."""
        return self._events.get(threading.get_ident(), [])[mark:]


@dataclass(frozen=True, slots=True)
class Call:
    """What a verb is called with."""

    args: Namespace
    paper: Paper
    heard: Heard
    sources: Sources = field(default_factory=Sources)

    def now(self) -> float:
        """The time."""
        return time.time()


@contextmanager
def listening() -> Generator[Heard]:
    """What the library tells goes to us, and not to a log that nobody has set up."""
    heard, silence, logger = Heard(), logging.NullHandler(), logging.getLogger("bearerguard")
    logger.addHandler(silence)
    bring_back = set_sinks(heard)
    try:
        yield heard
    finally:
        bring_back()
        logger.removeHandler(silence)
