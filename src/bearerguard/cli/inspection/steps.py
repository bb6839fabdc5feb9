"""The steps of a verdict: which rule was asked, and what it says. The verifier's own word settles what is open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from ...claims import Claims
from ...errors import AuthError, Unavailable

Outcome: TypeAlias = Literal["ok", "fails", "not checked", "could not be asked"]
Verdict: TypeAlias = Claims | AuthError | Unavailable

_ASKED = {"store": "revocation", "provider": "provider", "keys": "signature"}
_LET = "it could not be asked, and the settings let the token pass all the same"

STORE_WORDS = frozenset({"store_unavailable", "store_unreadable", "store_evicts", "memory_lost"})
PROVIDER_WORDS = frozenset({"provider_unavailable", "client_refused", "provider_mismatch", "keys_unavailable"})


@dataclass(frozen=True, slots=True)
class Step:
    """One rule: what it asks, and whether that holds. One that only the verifier can ask names what it `may_say`."""

    rule: str
    asks: str
    outcome: Outcome = "not checked"
    reason: str | None = None
    found: str | None = None
    may_say: frozenset[str] = frozenset()


class Trail:
    """Steps in the order of the verifier. A step whose needs an earlier one has not met is not taken."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def take(
        self, rule: str, asks: str, test: Callable[..., Any], *needs: Any, found: Callable[[], str] | None = None
    ) -> Any:
        """What `test` gives of its needs; None where it refuses, or where one of them is missing."""
        if any(need is None for need in needs):
            self.steps.append(Step(rule, asks))
            return None
        try:
            given = test(*needs)
        except AuthError as error:
            self.steps.append(Step(rule, asks, "fails", error.reason, None if found is None else found()))
            return None
        self.steps.append(Step(rule, asks, "ok"))
        return given

    def leave_open(self, rule: str, asks: str, may_say: frozenset[str]) -> None:
        """A step that only the verifier can take."""
        self.steps.append(Step(rule, asks, may_say=may_say))


def settled(steps: Sequence[Step], verdict: Verdict, *, passed: AbstractSet[str] = frozenset()) -> tuple[Step, ...]:
    """The steps with those that were open decided by the verdict; none of them where the two do not agree.

    `passed` are those who could not be asked, and whom the settings let do without an answer.
    """
    end = _end(steps, verdict)
    decided = tuple(_decided(step, index, end, verdict) for index, step in enumerate(steps))
    if not agrees(decided, verdict):
        return ()
    left = {_ASKED[who] for who in passed}
    return tuple(replace(step, outcome="not checked", found=_LET) if step.rule in left else step for step in decided)


def agrees(steps: Sequence[Step], verdict: Verdict) -> bool:
    """Whether the first step that does not hold is the reason of the verdict, and there is one if it is a refusal."""
    first = next((step for step in steps if step.outcome in ("fails", "could not be asked")), None)
    if isinstance(verdict, Claims):
        return first is None
    return first is not None and first.reason == verdict.reason


def _end(steps: Sequence[Step], verdict: Verdict) -> int:
    """Where the verifier stopped: at the first rule that fails, or before, at one that was open."""
    if isinstance(verdict, Claims):
        return len(steps)
    for index, step in enumerate(steps):
        if step.outcome == "fails" or verdict.reason in step.may_say:
            return index
    return len(steps)


def _decided(step: Step, index: int, end: int, verdict: Verdict) -> Step:
    if not step.may_say:
        return step
    if index < end:
        return replace(step, outcome="ok")
    if index == end and not isinstance(verdict, Claims):
        outcome: Outcome = "could not be asked" if isinstance(verdict, Unavailable) else "fails"
        return replace(step, outcome=outcome, reason=verdict.reason)
    return step
