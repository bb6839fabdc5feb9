"""What the pages on migration show of other libraries runs, and does what the pages say of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_docs import MIGRATIONS, name_of, run, surroundings

__all__ = ["surroundings"]


@pytest.mark.parametrize("page", MIGRATIONS, ids=name_of)
@pytest.mark.usefixtures("surroundings")
def test_runs_what_was_there_before(page: Path) -> None:
    run(page, before=True)
