"""The page about MCP servers says what is true."""

from __future__ import annotations

from tests.test_docs import ELSEWHERE, run


def test_runs_the_code_of_the_page() -> None:
    (page,) = ELSEWHERE
    run(page)
