"""How an access token is shared: under which name, sealed with what, for how long a copy is good."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256

from ..encoding import base64url, from_base64url, is_base64url, strict_json_object
from ..keys.derived import derived_key, length_prefixed, opened, sealed
from .token_answer import AccessToken, Grant, seconds_ahead
from .token_request import TokenRequest

_VERSION = "1"


class NotOurs(ValueError):
    """An entry that was not sealed for this place by one who knows the client secret."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A token that another process was granted, and for how long. Its times are on the wall clock."""

    text: str = field(repr=False)
    sent_at: float
    ends_at: float
    seconds_ahead: float


class TokenBox:
    """The place of one client's token. Another secret, provider, client or request finds another one."""

    __slots__ = ("_bound", "_key", "_margin", "name")

    def __init__(self, request: TokenRequest) -> None:
        words = (*request.provider, request.client_id)
        asked = [word for pair in sorted(request.fields.items()) for word in pair]
        self._key = derived_key(request.secrets.in_order[0], "cc-aead", *words)
        self._bound = length_prefixed((_VERSION, *words, *asked))
        self._margin = request.margin
        key_id = sha256(b"bearerguard/key-id" + self._key).digest()[:8]
        self.name: str = f"c:{base64url(key_id)}:{base64url(sha256(self._bound).digest()[:16])}"

    def seconds_kept(self, grant: Grant, *, sent_at: float, now: float) -> float:
        """For how long an entry stands: until its token should be replaced, so that one process is told to do so."""
        return sent_at + grant.seconds - seconds_ahead(grant.seconds, self._margin) - now

    def entry(self, grant: Grant, *, sent_at: float) -> str:
        """The grant as a text for the store."""
        ahead = seconds_ahead(grant.seconds, self._margin)
        said = {"token": grant.text, "sent": sent_at, "ends": sent_at + grant.seconds, "ahead": ahead}
        return f"{_VERSION}||{base64url(sealed(self._key, json.dumps(said).encode(), bound_to=self._bound))}"

    def token(self, entry: str, *, seconds_left: float, now: float, read_at: float) -> AccessToken | None:
        """The token of an entry as it may be used from `read_at` on; None for one that is too old.

        Of the two clocks that tell when it ends, the entry's own and the store's, the stricter one counts.
        """
        copy = self.copy(entry)
        left = min(copy.ends_at - now, seconds_left + copy.seconds_ahead)
        ahead = seconds_ahead(copy.ends_at - copy.sent_at, self._margin)
        return AccessToken(copy.text, read_at + left - ahead, read_at + left) if left > ahead else None

    def copy(self, entry: str) -> Copy:
        """What an entry holds; ValueError for one that is none, `NotOurs` where it was sealed by somebody else."""
        version, _, body = entry.partition("||")
        if version != _VERSION or not body.isascii() or not is_base64url(body.encode("ascii")):
            raise ValueError("the entry has another form")
        text = opened(self._key, from_base64url(body.encode("ascii")), bound_to=self._bound)
        if text is None:
            raise NotOurs("the entry was not sealed with our key, for this place")
        said = strict_json_object(text)
        return Copy(said["token"], said["sent"], said["ends"], said["ahead"])
