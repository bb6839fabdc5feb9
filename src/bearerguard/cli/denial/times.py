"""Times as people write them on a command line."""

from __future__ import annotations

from datetime import datetime

from ...checks import LATEST_TIME
from ..outcomes import WrongUsage
from ..paper import plain

FORMS = "seconds since 1970, 2026-10-01T12:00:00Z, or +300 for 300 s from now"


def time_given(flag: str, text: str, *, now: float) -> float:
    """The time that a text means, in seconds since 1970."""
    seconds = _seconds(text, now)
    if seconds is None or not 0 <= seconds < LATEST_TIME:
        raise WrongUsage(f"{flag} is {plain(text)!r}; write {FORMS}")
    return seconds


def _seconds(text: str, now: float) -> float | None:
    digits = text.removeprefix("+")
    if digits.isascii() and digits.replace(".", "", 1).isdigit():
        return float(digits) + (now if text.startswith("+") else 0)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.timestamp()
