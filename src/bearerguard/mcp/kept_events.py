"""Keeps the stored events of one session from the others.

The SDK has one event store for all sessions and names streams by the ids of requests, which every client counts from
one. So who came back for the rest of a stream would be given the events of others that have the same number.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

from mcp.server.streamable_http import EventCallback, EventId, EventMessage, EventStore, StreamId

from ..views import parts_of

session_mark: ContextVar[str | None] = ContextVar("bearerguard_mcp_session_mark", default=None)
"""What the events of the session are marked with that this code runs for."""


class KeptApart(EventStore):
    """An event store that answers each session with its own events only."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def store_event(self, stream_id: StreamId, message: Any) -> EventId:
        """Store an event under a stream of its session."""
        mark = _mark()
        return f"{mark}{await self._store.store_event(f'{mark}{stream_id}', message)}"

    async def replay_events_after(self, last_event_id: EventId, send_callback: EventCallback) -> StreamId | None:
        """Replay what came after an event of this session; nothing after one of another's."""
        mark = _mark()
        if not last_event_id.startswith(mark):
            return None

        async def send_marked(event: EventMessage) -> None:
            await send_callback(EventMessage(event.message, event.event_id and f"{mark}{event.event_id}"))

        stream_id = await self._store.replay_events_after(last_event_id.removeprefix(mark), send_marked)
        return None if stream_id is None or not stream_id.startswith(mark) else stream_id.removeprefix(mark)


def keep_events_apart(apps: Iterable[object]) -> None:
    """Stand before the event stores of the servers in these applications."""
    for part in parts_of(apps):
        manager: Any = getattr(part, "session_manager", part)
        store = getattr(manager, "event_store", None)
        if isinstance(store, EventStore) and not isinstance(store, KeptApart):
            manager.event_store = KeptApart(store)


def _mark() -> str:
    mark = session_mark.get()
    if mark is None:
        raise RuntimeError("an event of no session; every request to this server must come through its McpMiddleware")
    return mark
