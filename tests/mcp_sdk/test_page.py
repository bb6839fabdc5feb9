"""The page about MCP servers says what is true."""

from __future__ import annotations

from tests.test_docs import DOCS, run


def test_runs_the_code_of_the_page() -> None:
    run(DOCS / "mcp.md")
