"""How a provider's answer is shared: under which name, with which proof, for how long it is fresh."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from hashlib import sha256
from typing import Any, NamedTuple

from ..claim_rules import ClaimText, IfPresent, Word
from ..encoding import base64url, from_base64url, is_base64url, strict_json_object
from ..keys.derived import BegunMac, derived_key, length_prefixed, prefixed
from ..settings import OpaqueTokens

_VERSION = "1"


class Answer(NamedTuple):
    """What the provider said of an active token, when it was asked, and for how long that may be remembered."""

    facts: Mapping[str, Any]
    sent_at: float
    seconds: float

    def fresh_for(self, *, now: float, at_most: float) -> float:
        """For how long it may still be used; nothing where its time is over, or has not yet come."""
        age = now - self.sent_at
        return max(0.0, min(self.seconds, at_most) - age) if age >= 0 else 0.0


class Forged(ValueError):
    """An entry that was not written for this name by one who knows the client secret."""


class EntryKeys:
    """The keys of one kind at one endpoint. Another secret, provider, client or audience finds other names."""

    __slots__ = ("_id", "_names", "_proofs")

    def __init__(self, settings: OpaqueTokens, endpoint: str) -> None:
        secret = settings.secrets.in_order[0]
        issuer = "" if isinstance(settings.issuer, Word) else settings.issuer
        words = (issuer, endpoint, settings.client_id)
        bound = prefixed(length_prefixed((*words, settings.client_auth, *_spelt(settings))))
        name_key = derived_key(secret, "cache-key", *words)
        self._names = BegunMac(name_key, bound)
        self._proofs = BegunMac(derived_key(secret, "cache-mac", *words), bound)
        self._id = base64url(sha256(b"bearerguard/key-id" + name_key).digest()[:8])

    def name(self, digest: bytes) -> str:
        """Under which name the answer about a token is kept; its digest cannot be told from it."""
        return f"i:{self._id}:{base64url(self._names.of(prefixed(digest)))}"

    def entry(self, name: str, answer: Answer, denial_names: Sequence[str]) -> str:
        """The answer as a text for the store."""
        facts = json.dumps(dict(answer.facts), separators=(",", ":"))
        body = base64url(f"{answer.sent_at!r} {answer.seconds!r} {facts}".encode())
        names = " ".join(denial_names)
        return f"{_VERSION}|{names}|{body}.{self._proof(name, names, body)}"

    def answer(self, name: str, entry: str) -> tuple[Answer, Sequence[str]]:
        """What an entry under `name` says, and the names of denials that it was written with; Forged for any other."""
        version, names, body, proof = _parts(entry)
        if version != _VERSION or not hmac.compare_digest(proof, self._proof(name, names, body)):
            raise Forged("the entry's proof does not fit")
        sent_at, seconds, facts = from_base64url(body.encode("ascii")).split(b" ", 2)
        return Answer(strict_json_object(facts), float(sent_at), float(seconds)), tuple(names.split())

    def _proof(self, name: str, names: str, body: str) -> str:
        return base64url(self._proofs.of(prefixed(length_prefixed((name, names, body)))))


def _parts(entry: str) -> tuple[str, str, str, str]:
    pieces = entry.split("|")
    if len(pieces) != 3 or not entry.isascii():
        raise Forged("the entry has another form")
    body, _, proof = pieces[2].partition(".")
    if not body or not is_base64url(body.encode("ascii")):
        raise Forged("the entry has another form")
    return pieces[0], pieces[1], body, proof


def _spelt(settings: OpaqueTokens) -> tuple[str, ...]:
    """For whom tokens must be issued, and what revokes them, as words that tell settings apart as far as words can."""
    return (
        *(_rule(rule) for rule in (settings.audience, settings.clients, settings.tenant, settings.user)),
        settings.vouched_by,
    )


def _rule(rule: object) -> str:
    if isinstance(rule, IfPresent):
        return f"if present {_rule(rule.rule)}"
    if isinstance(rule, ClaimText):
        return f"claim {rule.claim} {_rule(rule.normalise)}"
    if isinstance(rule, re.Pattern):
        return f"pattern {rule.flags} {rule.pattern}"
    if isinstance(rule, AbstractSet):
        return "set " + length_prefixed(sorted(rule)).decode("utf-8")
    return f"text {rule}" if isinstance(rule, str) else _function(rule)


def _function(rule: object) -> str:
    if isinstance(rule, Callable):  # type: ignore[arg-type]
        return f"function {getattr(rule, '__module__', '')}.{getattr(rule, '__qualname__', '')}"
    return f"word {rule!r}"
