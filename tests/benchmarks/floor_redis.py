"""The floor of an answer in Redis: the entry is proved, read and judged by hand, and no more than that.

Where an entry stands, and how it is proved, is bearerguard's own format; everything around it is left out.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from hashlib import sha256

from bearerguard.rules.introspection_entries import EntryKeys
from bearerguard.rules.revocation import denial_names, token_identity
from bearerguard.settings import OpaqueTokens

from .floor import Claims, Refused
from .floor_opaque import MOST_SECONDS, OpaqueFloor


class RedisFloor:
    """What one process asks and finds of another's answers; `command` is bearerguard's own, for any token."""

    def __init__(self, kind: OpaqueTokens, endpoint: str, command: Sequence[str], rules: OpaqueFloor) -> None:
        self._authority = kind.vouched_by
        self._keys = EntryKeys(kind, endpoint)
        self._rules = rules
        self._verb, self._script, self._count, key, *self._rest = command
        self._stem = key[: key.index("}:") + 2]

    def command(self, token: str) -> Sequence[str]:
        """What Redis is asked about a token."""
        name = self._keys.name(sha256(token.encode()).digest())
        return self._verb, self._script, self._count, self._stem + name, *self._rest

    def claims(self, token: str, reply: object) -> Claims:
        """The claims that the entry gives, if it is ours, fresh, of this very token, and not denied."""
        if not isinstance(reply, bytes):
            raise Refused(401, "there is no entry, or the token has been revoked")
        left, size, rest = reply.split(b" ", 2)
        entry = rest[max(0, int(size)) :].decode()
        name = self._keys.name(sha256(token.encode()).digest())
        answer, names = self._keys.answer(name, entry)
        facts = dict(answer.facts)
        if int(left) <= 0 or not 0 <= time.time() - answer.sent_at < min(MOST_SECONDS, answer.seconds):
            raise Refused(401, "the answer is too old")
        known = self._rules.read(facts, answer.sent_at, time.monotonic())
        identity = token_identity(self._authority, known.token_id)
        if tuple(names) != denial_names(self._authority, identity, user=facts["sub"], tenant=facts["tenant"]):
            raise Refused(401, "another token's answer")
        return known.claims
