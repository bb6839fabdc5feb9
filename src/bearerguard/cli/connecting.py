"""Connections of the command's own, for questions that no verifier asks."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

from ..connections import Connections
from ..core.ports import Ports


@contextmanager
def own_ports() -> Generator[Ports]:
    """Ports over a store that remembers nothing, closed at the end."""
    connections = Connections("memory://", time.monotonic)
    try:
        yield connections.blocking()
    finally:
        connections.close()
