"""New tokens and nothing else: the process stays as it is, in small and in a few seconds."""

from __future__ import annotations

import dataclasses

import pytest

from tests.soak.vitals import Growth

from .fresh_tokens import Outcome, as_markdown, soaked

SECONDS = 8.0
FEW = 200

FLAT = Growth(1, 60.0, (100.0, 104.0), (10.0, 11.0))
GOOD = Outcome(60.0, {"garbage": 1000}, 0, FLAT)


def test_does_not_grow_with_the_tokens_that_it_sees() -> None:
    outcome = soaked(SECONDS, remember_tokens=FEW)
    assert outcome.wrong == 0
    assert len(outcome.shown) == 6
    assert outcome.shown["signed, good"] > FEW
    assert outcome.shown["opaque, active"] > FEW
    assert outcome.growth.is_flat, outcome.growth


@pytest.mark.parametrize(
    ("outcome", "is_good", "says"),
    [
        pytest.param(GOOD, True, "stays as it is", id="as it should be"),
        pytest.param(dataclasses.replace(GOOD, wrong=1), False, "| wrong verdicts | 1 |", id="a wrong verdict"),
        pytest.param(
            dataclasses.replace(GOOD, growth=dataclasses.replace(FLAT, megabytes=(100.0, 109.0))),
            False,
            "**grows**",
            id="more memory",
        ),
        pytest.param(
            dataclasses.replace(GOOD, growth=dataclasses.replace(FLAT, descriptors=(10.0, 23.0))),
            False,
            "**grows**",
            id="more descriptors",
        ),
    ],
)
def test_judges_what_came_of_it(outcome: Outcome, is_good: bool, says: str) -> None:
    assert outcome.is_good is is_good
    assert says in as_markdown(outcome)
