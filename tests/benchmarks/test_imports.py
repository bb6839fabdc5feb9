"""The import: that our part takes no longer than Python's, and what is made of the figures."""

from __future__ import annotations

import dataclasses

import pytest

from .imports import MOST_TIMES_PYTHONS, NOTHING, OURS, PYTHONS, Imports, as_markdown, measure, modules_brought

TIMES = {OURS: 30.0, PYTHONS: 20.0, NOTHING: 0.0}
GOOD = Imports(100, 60, TIMES, TIMES, 1.5)


@pytest.mark.timed
def test_is_imported_within_twice_the_time_of_what_it_brings_of_pythons() -> None:
    assert min(measure(rounds=5).times_pythons for _ in range(2)) <= MOST_TIMES_PYTHONS


def test_brings_nothing_but_its_own_and_pythons() -> None:
    ours, pythons = modules_brought()
    assert "bearerguard" in ours
    assert "typing" in pythons
    assert not {name.partition(".")[0] for name in pythons} & {"bearerguard", "httpx", "redis", "cryptography", "jwt"}


@pytest.mark.parametrize(
    ("ratio", "says"),
    [pytest.param(2.0, "met", id="just met"), pytest.param(2.1, "**missed**", id="missed")],
)
def test_judges_the_ratio(ratio: float, says: str) -> None:
    found = dataclasses.replace(GOOD, times_pythons=ratio)
    assert found.is_good is (says == "met")
    assert f"takes {ratio:.2f} times as long; the goal is 2: {says}." in as_markdown(found)
