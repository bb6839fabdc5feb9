"""Which views are guarded, by what, and whether a guard came too late to be served."""

from __future__ import annotations

import contextlib
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import FrameType
from typing import Any, TypeVar

from .requirements import Requirement

_Note = TypeVar("_Note")

View = Callable[..., Any]

_guarded: weakref.WeakKeyDictionary[View, tuple[View, Requirement]] = weakref.WeakKeyDictionary()
_decorated: weakref.WeakKeyDictionary[View, str] = weakref.WeakKeyDictionary()
_renamed: weakref.WeakKeyDictionary[View, weakref.WeakSet[View]] = weakref.WeakKeyDictionary()


def requirement_of(view: View) -> Requirement | None:
    """What the guards of `view` ask; None for a view that none guards."""
    found = _found(_guarded, view)
    return None if found is None else found[1]


def was_guarded_too_late(view: View) -> bool:
    """Whether a routed view was guarded after its route had taken it, so that the route serves it unguarded.

    A view that keeps its name, or whose guarded form lives on, was guarded on purpose, for another route.
    """
    if _found(_decorated, view) is not None:
        return True
    guarded = _found(_renamed, view)
    named = _globals_of(view).get(getattr(view, "__qualname__", ""))
    if guarded is None or named is view:
        return False
    return named in guarded if named is not None else not guarded


def _found(notes: weakref.WeakKeyDictionary[View, _Note], view: View) -> _Note | None:
    try:
        return notes.get(view)
    except TypeError:  # what has no hash, or cannot be referred to weakly, was never noted
        return None


def already_asked(view: View) -> tuple[View, Requirement]:
    """The view that `view` is a guarded form of, or itself, and what its guards ask, also those further in."""
    bare, asked = _found(_guarded, view) or (view, Requirement())
    return bare, asked.and_also(_asked_further_in(bare))


def note_guarded(view: View, guarded: View, bare: View, requirement: Requirement) -> None:
    """Remember what `guarded` asks, and what it was made from."""
    _guarded[guarded] = (bare, requirement)
    _note_origin(view, guarded)


def _asked_further_in(view: View) -> Requirement:
    """What guards ask that another decorator stands above; they still ask it themselves, but first of all we do."""
    for inner in _wrapped_in(view):
        found = requirement_of(inner)
        if found is not None:
            return replace(found, once=False)
    return Requirement()


def _wrapped_in(view: Any) -> Iterator[Any]:
    """What `view` wraps, from the outside in, where its decorators say so."""
    while hasattr(view, "__wrapped__"):
        view = view.__wrapped__
        yield view


def _globals_of(view: View) -> Mapping[str, Any]:
    """The names of the module that a view, or what it was made from, was written in."""
    *_, written = (view, *_wrapped_in(view))
    found: Mapping[str, Any] = getattr(written, "__globals__", {})
    return found


def _note_origin(view: View, guarded: View) -> None:
    """Remember what `guarded` was made from, for a route that may have taken it before."""
    on_purpose = _has_its_name_already(view)
    for origin in (view, *_wrapped_in(view)):
        # An object that cannot be referred to weakly was made on the spot, and no route has it.
        with contextlib.suppress(TypeError):
            if on_purpose:
                _renamed.setdefault(origin, weakref.WeakSet()).add(guarded)
            else:
                _decorated[origin] = getattr(origin, "__qualname__", type(origin).__name__)


def _has_its_name_already(view: View) -> bool:
    """Whether `view` stands under its name where it was defined; a decorator is called before a view gets there."""
    name, scope = getattr(view, "__name__", ""), getattr(view, "__qualname__", "").rpartition(".<locals>.")[0]
    if not scope:
        return _globals_of(view).get(name) is view
    caller: FrameType | None = sys._getframe()
    while caller is not None and caller.f_code.co_qualname != scope:
        caller = caller.f_back
    return caller is None or caller.f_locals.get(name) is view
