"""Growth: that a check stays as cheap as it is where a test run can afford to look, and what is made of the figures."""

from __future__ import annotations

import pytest

from bearerguard import SignedTokens, Verifier
from tests.marked_pages import section_of
from tests.servers import redis_binaries

from .growth import denylists, key_sets, tables
from .growth.report import MARKER, PAGE, as_dict, as_markdown
from .growth.series import FLAT, of_times
from .growth.users import kind, new_token

SLACK = 2.0
"""Only what has gone badly wrong is found here: a test run shares its machine."""

TIMES = {"1": [1.0, 2.0, 4.0], "10": [1.0, 2.2, 4.0], "100": [2.0, 4.0, 8.0]}


@pytest.mark.timed
def test_checks_as_fast_against_a_long_denylist_in_memory() -> None:
    assert denylists.in_memory(20, sizes=(100, 50_000)).met(SLACK)


@pytest.mark.timed
def test_checks_as_fast_against_a_long_denylist_in_redis() -> None:
    assert redis_binaries()
    in_redis, in_replica = denylists.with_redis(20, sizes=(100, 20_000))
    assert in_redis.met(SLACK)
    assert in_replica.met(SLACK)


@pytest.mark.timed
def test_checks_as_fast_with_many_keys_in_the_set() -> None:
    assert all(one.met(SLACK) for one in key_sets.measured(10, sizes=(1, 100)))


@pytest.mark.timed
def test_checks_as_fast_with_a_full_table() -> None:
    def make() -> Verifier[SignedTokens]:
        return Verifier(kind(remember_tokens=1000))

    assert all(one.met(SLACK) for one in tables.of_sort("a token", make, new_token, 10, 1000))


def test_compares_each_size_with_the_smallest_in_the_same_round() -> None:
    found = of_times("a check", "things", TIMES)
    assert [point.microseconds for point in found.points] == [2.0, 2.2, 4.0]
    assert [point.times_smallest for point in found.points] == [1.0, 1.0, 2.0]
    assert found.growth == 2.0


@pytest.mark.parametrize(
    ("most", "met", "verdict"),
    [
        pytest.param(FLAT, False, "**grows**", id="it should be flat"),
        pytest.param(2.5, True, "explained", id="the page says why"),
    ],
)
def test_says_what_grows(most: float, met: bool, verdict: str) -> None:
    found = of_times("a check", "things", TIMES, most=most)
    assert found.met() is met
    assert f"| a check | 2.00 | {most:.2f} | {verdict} |" in as_markdown([found])
    assert as_dict([found])["series"][0]["met"] is met


def test_judges_no_yardstick() -> None:
    found = of_times("a yardstick", "things", TIMES, most=None)
    assert found.met()
    assert as_markdown([found]).count("a yardstick") == len(TIMES)


def test_the_page_shows_a_whole_run() -> None:
    section = section_of(PAGE.read_text(encoding="utf-8"), MARKER)
    assert section.count("1,000,000") == 3
    assert "**grows**" not in section
