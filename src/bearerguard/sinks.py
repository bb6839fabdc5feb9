"""Who hears of events: any number of callables, of which the log is the first."""

from __future__ import annotations

import inspect
import os
import threading
import time
from collections.abc import Callable
from typing import TypeAlias

from .checks import called_function
from .errors import SettingsError, Unavailable
from .events import Event, StoreFailed, error_class
from .journal import sink_raised, to_log

__all__ = ["Sink", "add_sink", "set_sinks", "to_log"]

Sink: TypeAlias = Callable[[Event], object]
"""Hears every event, in the thread or loop in which it happens: it must not block, and is no coroutine function."""

acceptance_is_heard: bool = False
"""Whether anybody listens but the log, which says nothing of accepted tokens: else that event is not even made."""

# Replaced whole and never edited, so whoever tells needs no lock.
_sinks: tuple[Sink, ...] = (to_log,)
_changing = threading.Lock()


def add_sink(sink: Sink) -> Callable[[], None]:
    """Tell `sink` of every event from now on; gives what takes it away again.

    ```python
    stop = add_sink(lambda event: counts.update([type(event).__name__]))
    ```

    A sink that was added before is told once all the same. One that raises harms neither the request nor other sinks.
    """
    _check(sink)
    _change(lambda present: present if sink in present else (*present, sink))

    def remove() -> None:
        _change(lambda present: tuple(each for each in present if each != sink))

    return remove


def set_sinks(*sinks: Sink) -> Callable[[], None]:
    """Tell these sinks and no others, the log only if `to_log` is among them; gives what brings the former ones back.

    With none at all nobody is told anything.
    """
    for sink in sinks:
        _check(sink)
    former = _change(lambda _: sinks)

    def bring_back() -> None:
        _change(lambda _: former)

    return bring_back


def tell(event: Event) -> None:
    """Tell every sink of an event."""
    for sink in _sinks:
        try:
            sink(event)
        except Exception as error:
            sink_raised(_name_of(sink), error)


class told_if_unavailable:
    """Tell of it if what is done in here, with the store, raises `Unavailable`."""

    __slots__ = ("_component", "_started")

    def __init__(self, component: str) -> None:
        self._component = component

    def __enter__(self) -> None:
        self._started = time.monotonic()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Unavailable):
            tell_failure(self._component, error, since=self._started)


def tell_failure(component: str, error: Unavailable, *, since: float) -> None:
    """Tell that a component failed, which was asked at that moment of the monotonic clock."""
    tell(StoreFailed(component=component, error=error_class(error), elapsed=time.monotonic() - since))


def _change(change: Callable[[tuple[Sink, ...]], tuple[Sink, ...]]) -> tuple[Sink, ...]:
    """Replace the sinks; gives the former ones."""
    global _sinks, acceptance_is_heard
    with _changing:
        former, _sinks = _sinks, change(_sinks)
        acceptance_is_heard = any(sink is not to_log for sink in _sinks)
    return former


def _check(sink: object) -> None:
    called = called_function(sink)
    if not callable(sink) or inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
        raise SettingsError(
            f"the sink {sink!r} is no plain function; use a def function that takes one event and does not wait, "
            "such as one that puts the event into a queue"
        )


def _name_of(sink: Sink) -> str:
    return getattr(sink, "__qualname__", type(sink).__name__)


def _new_lock() -> None:
    """A forked child has none of the threads that could open the lock again."""
    global _changing
    _changing = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)
