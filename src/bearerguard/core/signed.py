"""Judging signed tokens: the header, the key that verifies, the claims."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import InvalidToken
from ..rules.jws import JoseHeader, jose_header, json_segment, taken_apart
from ..rules.jwt_claims import accepted
from ..settings import SignedTokens
from .keys import Keys, keys_of
from .ports import Ports
from .recall import Judged, Recall, Seen

MAX_HEADERS = 256


class SignedJudge:
    """Judges signed tokens of one kind."""

    __slots__ = ("_backing", "_clock", "_headers", "_keys", "kind")

    def __init__(self, kind: SignedTokens, clock: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self.kind: SignedTokens = kind
        self._keys: Keys = keys_of(kind, monotonic)
        self._backing = self._keys if self._keys.can_change else None
        self._clock = clock
        self._headers: dict[bytes, JoseHeader] = {}

    @property
    def most_remembered(self) -> int:
        """How many tokens this process may remember."""
        return self.kind.remember_tokens

    async def judged(self, token: bytes, digest: bytes, table: Recall, ports: Ports) -> Judged:
        """The token, once its key and its claims are found good."""
        text = taken_apart(token)
        header = self._headers.get(text.header) or self._read_header(text.header)
        key_epoch = self._keys.verified_at_once(header, text)
        if key_epoch is None:
            key_epoch = await self._keys.verified(header, text, ports)
        if text.header not in self._headers:
            self._keep_header(text.header, header)
        values = json_segment(text.payload)
        now = self._clock()
        claims, starts_at, dies_at = accepted(values, self.kind, signing_input=text.signing_input, now=now)
        seen = Seen(self.kind, claims, starts_at, dies_at, self._backing, key_epoch)
        table.keep(digest, seen)
        return seen, None

    def _read_header(self, segment: bytes) -> JoseHeader:
        header = jose_header(segment)
        if header.algorithm not in self.kind.algorithms:
            raise InvalidToken("bad_algorithm")
        if self.kind.typ is not None and header.typ != self.kind.typ:
            raise InvalidToken("bad_type")
        return header

    def _keep_header(self, segment: bytes, header: JoseHeader) -> None:
        """Only headers that a key has verified are kept, so that nobody can crowd them out."""
        if len(self._headers) >= MAX_HEADERS:
            self._headers = {}
        self._headers[segment] = header
