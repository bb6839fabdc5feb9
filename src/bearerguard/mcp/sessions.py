"""Whose an MCP session is: its id alone opens nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias
from uuid import uuid4

from ..claims import Claims

Owner: TypeAlias = tuple[str | bytes | None, ...]

MOST_SESSIONS = 50_000
"""More than one process holds; the one that was used least lately is forgotten, and its client begins a new one."""

_SESSION_ID = b"mcp-session-id"


class Session(NamedTuple):
    """One session."""

    owner: Owner
    mark: str


class Sessions:
    """The sessions that this process has told clients of, and whose they are."""

    def __init__(self, at_most: int = MOST_SESSIONS) -> None:
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()
        self._at_most = at_most

    def are_of(self, session_ids: Iterable[bytes], owner: Owner | None) -> bool:
        """Whether every one of these sessions is the owner's."""
        return all(self._is_of(session_id, owner) for session_id in session_ids)

    def mark_of(self, session_ids: Sequence[bytes]) -> str:
        """What the events of a session are marked with; a new mark for one that begins."""
        known = self._sessions.get(session_ids[0]) if session_ids else None
        return f"{uuid4().hex}-" if known is None else known.mark

    def begin(self, session_id: bytes, owner: Owner, mark: str) -> None:
        """Remember whose a new session is."""
        self._sessions[session_id] = Session(owner, mark)
        if len(self._sessions) > self._at_most:
            self._sessions.popitem(last=False)

    def end(self, session_id: bytes) -> None:
        """Forget a session."""
        self._sessions.pop(session_id, None)

    def _is_of(self, session_id: bytes, owner: Owner | None) -> bool:
        found = self._sessions.get(session_id)
        if owner is None or found is None or found.owner != owner:
            return False
        self._sessions.move_to_end(session_id)
        return True


def session_ids(headers: Iterable[tuple[bytes, bytes]]) -> Sequence[bytes]:
    """The session ids that a request or an answer names."""
    return [value for name, value in headers if name.lower() == _SESSION_ID]


def owner_of(claims: Claims, fingerprint: bytes) -> Owner:
    """Whom a session belongs to that this token opens; a token that names nobody owns its sessions alone."""
    names = (claims.client_id, claims.tenant, claims.user, claims.subject)
    alone = None if any(names) else fingerprint
    return (claims.kind, claims.issuer, *names, alone)
