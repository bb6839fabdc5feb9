"""Who must know that this process is the child of a fork."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Inherited(Protocol):
    """Something that a child process must not use as its parent left it."""

    def after_fork(self) -> None:
        """This process is a new one."""


_inherited: WeakSet[Inherited] = WeakSet()


def tell_after_fork(thing: Inherited) -> None:
    """Call `thing.after_fork()` in every child process, for as long as `thing` lives."""
    _inherited.add(thing)


def _tell_all() -> None:
    for thing in tuple(_inherited):
        thing.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_tell_all)
