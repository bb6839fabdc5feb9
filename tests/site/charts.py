"""Bar charts as SVG: text stays text, colours follow light and dark mode, and a title and a description say it all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

WIDTH, LABELS, RIGHT, ROW, HEAD = 820, 340, 150, 22, 30

Tone = Literal["ours", "yardstick", "other"]


@dataclass(frozen=True)
class Bar:
    """One figure."""

    label: str
    value: float
    text: str
    tone: Tone = "other"
    limit: float | None = None
    """Where a mark shows how much is allowed."""


@dataclass(frozen=True)
class Group:
    """Bars that are compared with each other, on a scale that all groups share."""

    title: str
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Chart:
    """A whole picture."""

    title: str
    note: str
    groups: Sequence[Group]

    def to_svg(self) -> str:
        """The picture as a file."""
        height = 70 + sum(HEAD + ROW * len(group.bars) + 8 for group in self.groups)
        parts = [_OPENING.format(width=WIDTH, height=height), *self._said(), _STYLE, _GROUND.format(height=height)]
        parts.append(_text(20, 30, self.title, "strong"))
        parts.append(_text(20, 50, self.note, "small"))
        return "\n".join([*parts, *self._drawn(), "</svg>\n"])

    def _said(self) -> Iterator[str]:
        told = [
            f"{group.title}: {', '.join(f'{bar.label} {bar.text}' for bar in group.bars)}." for group in self.groups
        ]
        yield f'  <title id="title">{escape(self.title)}</title>'
        yield f'  <desc id="desc">{escape(" ".join([f"{self.note}.", *told]))}</desc>'

    def _drawn(self) -> Iterator[str]:
        top = 66
        scale = (WIDTH - LABELS - RIGHT) / max(max(b.value, b.limit or 0) for g in self.groups for b in g.bars)
        for group in self.groups:
            yield _text(20, top + 18, group.title, "strong")
            for index, bar in enumerate(group.bars):
                yield from _drawn(bar, top + HEAD + ROW * index, scale)
            top += HEAD + ROW * len(group.bars) + 8


def _drawn(bar: Bar, top: int, scale: float) -> Iterator[str]:
    length = max(bar.value * scale, 1)
    yield _text(LABELS - 10, top + 13, bar.label, "label")
    yield f'  <rect class="{bar.tone}" x="{LABELS}" y="{top + 1}" width="{length:.1f}" height="16" rx="2"/>'
    if bar.limit is not None:
        yield f'  <rect class="limit" x="{LABELS + bar.limit * scale:.1f}" y="{top - 1}" width="2" height="20"/>'
    yield _text(LABELS + max(length, (bar.limit or 0) * scale) + 8, top + 13, bar.text, "value")


def _text(x: float, y: float, said: str, kind: str) -> str:
    return f'  <text class="{kind}" x="{x:.4g}" y="{y:g}">{escape(said)}</text>'


_OPENING = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
    'role="img" aria-labelledby="title desc">'
)
_GROUND = f'  <rect class="ground" width="{WIDTH}" height="{{height}}" rx="8"/>'
_STYLE = """\
  <style>
    text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; font-size: 13px;
           fill: #1f2328; }
    .strong { font-weight: 600; font-size: 14px; }
    .small, .value { fill: #4d5660; }
    .label { text-anchor: end; }
    .ground { fill: #ffffff; }
    .ours { fill: #2f6fbf; }
    .yardstick { fill: #8c959f; }
    .other { fill: #c98b3b; }
    .limit { fill: #b9453d; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .small, .value { fill: #aeb9c5; }
      .ground { fill: #16191f; }
      .ours { fill: #6cb0ff; }
      .yardstick { fill: #768390; }
      .other { fill: #d9a45b; }
      .limit { fill: #f08a80; }
    }
  </style>"""
