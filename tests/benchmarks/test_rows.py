"""The rows that a test run can afford: does protection cost about what it should?"""

from __future__ import annotations

import pytest

from .goals import verdicts
from .harness import IN_PROCESS_HIT, INTROSPECTION, Scenario
from .rows import DOORS, Size, measure

SLACK = 2.0
"""Only what has gone badly wrong is found here: a test run shares its machine."""


@pytest.mark.timed
@pytest.mark.parametrize("door", DOORS)
def test_an_opaque_token_seen_before_costs_little(door: str) -> None:
    (result,) = measure([Scenario(door, INTROSPECTION, IN_PROCESS_HIT)], Size(rounds=25, block=20, peers=False))
    (verdict,) = verdicts([result])
    assert verdict.met(SLACK), verdict
