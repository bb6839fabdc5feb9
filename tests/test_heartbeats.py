"""The clock by which tests find that a loop is held up: it sees who blocks the loop, and who keeps it busy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from tests.heartbeats import heartbeat

HELD_UP_SECONDS = 0.1


def block() -> None:
    time.sleep(HELD_UP_SECONDS)


def work() -> None:
    began = time.thread_time()
    while time.thread_time() - began < HELD_UP_SECONDS:
        pass


def longest_turn_with(task: Callable[[], None]) -> float:
    async def story() -> float:
        async with heartbeat() as seen:
            await asyncio.sleep(0.01)
            task()
            await asyncio.sleep(0.01)
        return seen.longest

    return asyncio.run(story())


@pytest.mark.parametrize("task", [block, work])
def test_sees_what_holds_up_a_loop(task: Callable[[], None]) -> None:
    assert longest_turn_with(task) > 0.9 * HELD_UP_SECONDS


@pytest.mark.timed
def test_sees_nothing_where_nothing_holds_it_up() -> None:
    assert longest_turn_with(lambda: None) < 0.9 * HELD_UP_SECONDS
