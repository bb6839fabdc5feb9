"""Whose tokens are checked while everything grows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache
from typing import Any

from bearerguard import SignedTokens
from tests.houses import settings, token

USERS = 1_000

_LIFETIME_SECONDS = 6 * 3600


def kind(**changes: Any) -> SignedTokens:
    """Settings for tokens that outlive a long run."""
    return settings(assumed_lifetime=_LIFETIME_SECONDS, **changes)


def new_token(**changes: Any) -> str:
    """A token that was never seen before, and outlives a long run."""
    return token(exp=int(time.time()) + _LIFETIME_SECONDS, **changes)


@cache
def tokens_of_users() -> Sequence[str]:
    """A token of each of many users of as many tenants, so that no two checks look for the same entries."""
    return [new_token(sub=f"usr_{number}", tenant=f"str_{number}") for number in range(USERS)]
