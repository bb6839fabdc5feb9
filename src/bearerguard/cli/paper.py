"""What is written for people: nothing in it that a terminal would obey, colours only where they are welcome."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any, Literal

LONGEST_VALUE = 400

Colour = Literal["green", "yellow", "red", "dim", "bold"]
_CODES: Mapping[Colour, str] = {"green": "32", "yellow": "33", "red": "31", "dim": "2", "bold": "1"}


class Paper:
    """Writes in colours, or without."""

    def __init__(self, *, coloured: bool = False) -> None:
        self._coloured = coloured

    @classmethod
    def for_output(cls, output: IO[str] | None) -> Paper:
        """The paper that an output takes: in colours on a terminal, unless NO_COLOR says no (https://no-color.org)."""
        is_terminal = output is not None and output.isatty()
        return cls(coloured=is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")

    def in_colour(self, colour: Colour, text: str) -> str:
        """The text in a colour."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self._coloured else text

    def heading(self, text: str) -> str:
        """A line that begins a part."""
        return self.in_colour("bold", text)


def plain(text: str, *, longest: int | None = LONGEST_VALUE) -> str:
    """A text of others, as it may be shown: what does not print is spelt out, and what is long is cut."""
    rest = 0 if longest is None else max(0, len(text) - longest)
    text = text[: len(text) - rest]
    if not text.isprintable():
        text = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
    return f"{text}... ({rest:,} more)" if rest else text


def quoted(value: Any) -> str:
    """A value of a token as JSON spells it, in one line."""
    # Not at the top: whoever asks for help needs no json.
    import json

    return plain(json.dumps(value, ensure_ascii=False))


def columns(rows: Iterable[Sequence[str]], *, gap: str = "  ", indent: str = "  ") -> list[str]:
    """Rows as lines, all but the last column padded to one width."""
    table = [tuple(row) for row in rows]
    widths = [max(len(row[index]) for row in table) for index in range(len(table[0]) - 1)] if table else []
    return [
        (indent + gap.join([*(f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)), row[-1]])).rstrip()
        for row in table
    ]


def moment(seconds: float) -> str:
    """A time as people read it."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
    except (OverflowError, OSError, ValueError):
        return "out of all time"


def span(seconds: float) -> str:
    """A duration as people read it, in its two largest units."""
    whole = round(abs(seconds))
    units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    parts = []
    for unit, size in units:
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def ago(seconds: float, *, now: float) -> str:
    """How a time lies to now: "in 5 min" or "5 min ago"."""
    return f"in {span(seconds - now)}" if seconds > now else f"{span(seconds - now)} ago"
