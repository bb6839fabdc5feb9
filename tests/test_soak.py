"""A minute of the soak: random faults, and an oracle that knows the right verdict. `tox -e soak` runs it at length."""

from __future__ import annotations

import asyncio
import time

from tests.soak.report import as_markdown
from tests.soak.run import Orders, soaked

SECONDS = 60.0
# Other tests run beside it, some of which assert bounds in time.
PER_SECOND = 200.0
FEWEST = 2_000


def test_gives_no_wrong_verdict_through_a_minute_of_faults() -> None:
    orders = Orders(seconds=SECONDS, at_most=2 * SECONDS, per_second=PER_SECOND, seed=int(time.time()))
    outcome = asyncio.run(soaked(orders, print))
    print(as_markdown(outcome))
    count = outcome.ledger.count
    assert not outcome.ledger.told, f"with --seed {orders.seed}:\n" + "\n\n".join(outcome.ledger.told)
    assert count.decisions >= FEWEST
    assert count.due["must pass"] > 0
    assert count.due["must not pass"] > 0
    assert count.verdicts.keys() >= {"passed", "revoked", "replayed", "expired", "invalid", "unavailable"}
