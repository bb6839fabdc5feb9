"""Fixtures for pytest, for those who ask for them: `pytest_plugins = ["bearerguard.testing.plugin"]`.

It never loads itself. The names begin with `bearerguard_`, so that they take nobody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from ..claims import Claims
from ..verifier import Verifier
from . import Clock, FakeProvider, TestKeys, authenticated_as

__all__ = ["bearerguard_authenticated_as", "bearerguard_clock", "bearerguard_keys", "bearerguard_provider"]


@pytest.fixture(scope="session")
def bearerguard_keys() -> TestKeys:
    """Keys, the same for all tests."""
    return TestKeys()


@pytest.fixture
def bearerguard_clock() -> Clock:
    """A clock that stands still until the test moves it."""
    return Clock()


@pytest.fixture
def bearerguard_provider(bearerguard_keys: TestKeys) -> Iterator[FakeProvider]:
    """A provider, served until the test ends."""
    with FakeProvider(keys=bearerguard_keys).serve() as provider:
        yield provider


@pytest.fixture
def bearerguard_authenticated_as() -> Iterator[Callable[..., Claims]]:
    """`authenticated_as`, as a function whose effect lasts until the test ends."""
    with ExitStack() as stack:

        def authenticated(verifier: Verifier[Any], **asked: Any) -> Claims:
            return stack.enter_context(authenticated_as(verifier, **asked))

        yield authenticated
