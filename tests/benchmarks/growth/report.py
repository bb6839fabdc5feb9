"""What a run says: tables for the page, and the same facts for machines."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from tests.marked_pages import DOCS
from tests.servers import redis_binaries

from .series import FLAT, Series

MARKER = "growth"
PAGE = DOCS / "performance.md"


def as_markdown(found: Sequence[Series]) -> str:
    """The section of the page."""
    judged = [one for one in found if one.most is not None]
    goals = ["| a check | slowest, x the first | may be | verdict |", "| --- | --: | --: | --- |", *map(_goal, judged)]
    sizes = ["| a check | with | time | x the first |", "| --- | --- | --: | --: |", *_rows(found)]
    return "\n".join([surroundings(), "", "### Does it grow?", "", *goals, "", "### At each size", "", *sizes])


def surroundings() -> str:
    """When and where it was measured."""
    when, python = datetime.now(UTC).strftime("%Y-%m-%d"), platform.python_version()
    server = redis_binaries()[0].name
    return f"Measured on {when} with CPython {python} on {platform.system()}, {os.cpu_count()} processors, {server}."


def as_dict(found: Sequence[Series]) -> dict[str, Any]:
    """The same for machines."""
    series = [asdict(one) | {"growth": one.growth, "met": one.met()} for one in found]
    return {"surroundings": surroundings(), "flat": FLAT, "series": series}


def _goal(one: Series) -> str:
    return f"| {one.check} | {one.growth:.2f} | {one.most:.2f} | {_verdict(one)} |"


def _verdict(one: Series) -> str:
    if not one.met():
        return "**grows**"
    return "flat" if one.growth <= FLAT else "explained"


def _rows(found: Sequence[Series]) -> Iterator[str]:
    for one in found:
        for point in one.points:
            yield (
                f"| {one.check} | {one.grows}: {point.size} | {_time(point.microseconds)} "
                f"| {point.times_smallest:.2f} |"
            )


def _time(microseconds: float) -> str:
    return f"{microseconds:.1f} us" if microseconds < 100 else f"{microseconds:,.0f} us"
