"""What doctor finds: one row for each check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Health: TypeAlias = Literal["ok", "warn", "fail", "skipped"]

FINE_SKEW_SECONDS = 2.0
MOST_SKEW_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Row:
    """One check: of what, how it is, and what to do about it."""

    check: str
    about: str
    health: Health
    says: str
    do: str | None = None


def ok(check: str, about: str, says: str) -> Row:
    """All is well."""
    return Row(check, about, "ok", says)


def warn(check: str, about: str, says: str, do: str) -> Row:
    """It works, and may hurt one day."""
    return Row(check, about, "warn", says, do)


def fail(check: str, about: str, says: str, do: str) -> Row:
    """It does not work, or it is not safe."""
    return Row(check, about, "fail", says, do)


def skipped(check: str, about: str, why: str) -> Row:
    """Nobody could look."""
    return Row(check, about, "skipped", why)


def skew(check: str, about: str, seconds: float, *, unsure: float) -> Row:
    """How far a clock is ahead of ours, give or take."""
    off = max(0.0, abs(seconds) - unsure)
    if off <= FINE_SKEW_SECONDS:
        return ok(check, about, "its clock and this machine's agree")
    says = f"its clock is {off:.0f} s {'ahead of' if seconds > 0 else 'behind'} this machine's"
    do = "set both clocks by NTP; tokens are refused as expired, or as not yet valid, where they differ"
    return (warn if off <= MOST_SKEW_SECONDS else fail)(check, about, says, do)
