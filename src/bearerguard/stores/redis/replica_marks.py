"""What a replica of the denylist knows, and until when."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...rules.replica import ENDLESS, Told

SLOT_SECONDS = 30.0
"""Marks are forgotten this much after their end, at the most, and never before it."""

_EPOCH = "epoch"
_KINDS = frozenset(("d:", "u:", "t:"))
_NO_SLOT = -1


class Mark(NamedTuple):
    """A value, and the slot of time after which it is forgotten."""

    value: str
    slot: int


class Marks:
    """Marks by name. One thread writes; any number read `by_name`, of which only single entries ever change."""

    __slots__ = ("_names_of_slot", "by_name")

    def __init__(self) -> None:
        self.by_name: dict[str, Mark] = {}
        self._names_of_slot: dict[int, list[str]] = {}

    def take(self, told: Iterable[Told], *, now: float) -> None:
        """Put each mark in the place of the one before it; its life counts from `now`, after the store has spoken."""
        for name, value, milliseconds in told:
            slot = _NO_SLOT if milliseconds == ENDLESS else math.ceil((now + milliseconds / 1000) / SLOT_SECONDS)
            self.by_name[name] = Mark(value, slot)
            if slot != _NO_SLOT:
                self._names_of_slot.setdefault(slot, []).append(name)

    def sweep(self, now: float) -> None:
        """Forget what has ended."""
        for slot in [slot for slot in self._names_of_slot if slot * SLOT_SECONDS <= now]:
            for name in self._names_of_slot.pop(slot):
                mark = self.by_name.get(name)
                # One that was told again is in another slot by now.
                if mark is not None and mark.slot == slot:
                    del self.by_name[name]


@dataclass(frozen=True, slots=True)
class Known:
    """What the store held at one moment not before `sent_at`; the marks may be newer, and never older."""

    sent_at: float
    epoch: str | None
    marks: Mapping[str, Mark]

    def values_of(self, names: Sequence[str]) -> Sequence[str | None] | None:
        """The values under `names`; None where one of them is neither a mark's nor the epoch's."""
        # On the path of every request, where hardly ever anything is revoked: a check asks for the epoch and for marks.
        marks = names[1:] if names and names[0] == _EPOCH else names
        for name in marks:
            if name[:2] not in _KINDS:
                return self._one_by_one(names)
        if not self.marks.keys().isdisjoint(marks):
            return self._one_by_one(names)
        nothing = (None,) * len(marks)
        return nothing if marks is names else (self.epoch, *nothing)

    def _one_by_one(self, names: Sequence[str]) -> Sequence[str | None] | None:
        values: list[str | None] = []
        mark_of = self.marks.get
        for name in names:
            mark = mark_of(name)
            if mark is not None:
                values.append(mark.value)
            elif name[:2] in _KINDS:
                values.append(None)
            elif name == _EPOCH:
                values.append(self.epoch)
            else:
                return None
        return values


NOTHING = Known(-math.inf, None, {})


class Board:
    """Where the one who follows the store writes what is known, for all to read."""

    __slots__ = ("known",)

    def __init__(self) -> None:
        self.known: Known = NOTHING
