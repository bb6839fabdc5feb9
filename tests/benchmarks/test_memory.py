"""What a process keeps is bounded, whoever comes with whatever, and no larger than the page says."""

from __future__ import annotations

import pytest

from bearerguard.platforms import shopify, whatalo

from .memory import KEPT, MOST_TOKENS, SECRET, Kept, as_markdown, bytes_held, bytes_per_entry, stated

FEWER = 300
"""So many tokens may be kept in a test, which has no time for ten thousand."""

bounded = pytest.mark.parametrize("kept", [kept for kept in KEPT if kept.most], ids=lambda kept: kept.what)
every_sort = pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept.what)


@bounded
def test_holds_no_more_than_its_bound_when_three_times_as_many_come(kept: Kept) -> None:
    most = FEWER if kept.can_be_set else kept.most or 0
    assert bytes_held(kept, most=most, come=3 * most) <= most * stated()[kept.what]


@every_sort
def test_takes_no_more_for_an_entry_than_the_page_says(kept: Kept) -> None:
    most = FEWER if kept.can_be_set or kept.most is None else kept.most
    assert 0.5 * stated()[kept.what] < bytes_per_entry(kept, most) <= stated()[kept.what]


def test_remembers_ten_thousand_tokens_unless_the_settings_say_otherwise() -> None:
    session = shopify.admin(client_id="e0b4a3c2d1f5", client_secret=SECRET)
    access = whatalo.access_tokens(client_id="cli_5f2a9c71", client_secret=SECRET, clients={"cli_1"})
    assert session.remember_tokens == access.remember_tokens == MOST_TOKENS
    assert all(kept.most <= MOST_TOKENS for kept in KEPT if kept.most is not None)


def test_rounds_up_what_it_states() -> None:
    section = as_markdown({kept.what: 1001.0 for kept in KEPT})
    assert "| a Shopify session token, for each kind | 10,000 | 1,060 | 11 MB |" in section
    assert "| a header of a signed token, for each kind | 256 | 1,060 | 272 kB |" in section
    assert "| a revocation in a MemoryStore | - | 1,060 | - |" in section
