"""What everything takes in Redis: what is reckoned from the sizes, and where it is written."""

from __future__ import annotations

import pytest

from .sizes import ANSWER, FLEETS, LOG, ONCE, TENANT, TOKEN, Fleet, as_markdown

SIZES = {TENANT: 100.0, TOKEN: 110.0, ONCE: 120.0, ANSWER: 1000.0, LOG: 1_000_000.0}


@pytest.mark.parametrize(
    ("fleet", "bytes_in_all"),
    [
        pytest.param(Fleet("nothing"), 1_000_000, id="only the log"),
        pytest.param(Fleet("revoked", revoked=10), 1_001_000, id="revocations"),
        pytest.param(Fleet("used", used_per_second=1, life=300), 1_540_000, id="one-time use, for 75 minutes"),
        pytest.param(Fleet("opaque", tokens_per_minute=1000), 2_000_000, id="answers, for a minute"),
    ],
)
def test_adds_up_what_a_fleet_keeps(fleet: Fleet, bytes_in_all: float) -> None:
    assert fleet.bytes(SIZES) == bytes_in_all


def test_tells_all_sizes_and_all_fleets() -> None:
    text = as_markdown("valkey 9.1", SIZES)
    assert all(f"| {name} |" in text for name in SIZES)
    assert all(f"| {fleet.says} |" in text for fleet in FLEETS)
