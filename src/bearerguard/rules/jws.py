"""The outside of a signed token: three segments, a header, a signature. Nothing here trusts the payload."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..encoding import from_plain_base64, plain_segments, strict_json_object
from ..errors import InvalidToken
from ..keys.algorithms import VerifyingKey

MAX_KID = 256
MAX_KEYS_TRIED = 16

_TYPES = frozenset({None, "jwt", "at+jwt"})


class SignedText(NamedTuple):
    """A token taken apart; still nobody's word. Header and payload are in the standard alphabet of base64."""

    header: bytes
    payload: bytes
    signing_input: bytes
    signature: bytes


class JoseHeader(NamedTuple):
    """The three words of a header that mean anything."""

    algorithm: str
    kid: str | None
    typ: str | None


class KeyRing:
    """Prepared keys, found by the algorithm and kid that a token names."""

    __slots__ = ("_by_algorithm", "_by_kid", "keys")

    def __init__(self, keys: Sequence[VerifyingKey], *, ignores_kid: bool = False) -> None:
        self.keys: tuple[VerifyingKey, ...] = tuple(keys)
        self._by_algorithm: dict[str, tuple[VerifyingKey, ...]] = {}
        self._by_kid: dict[tuple[str, str], tuple[VerifyingKey, ...]] | None = None if ignores_kid else {}
        for key in self.keys:
            self._by_algorithm[key.algorithm] = (*self._by_algorithm.get(key.algorithm, ()), key)
            if self._by_kid is not None and key.kid is not None:
                named = (key.algorithm, key.kid)
                self._by_kid[named] = (*self._by_kid.get(named, ()), key)

    def candidates(self, header: JoseHeader) -> Sequence[VerifyingKey]:
        """The keys that may verify: those of exactly this kid, or a bounded number where the token names none."""
        if header.kid is None or self._by_kid is None:
            return self._by_algorithm.get(header.algorithm, ())[:MAX_KEYS_TRIED]
        return self._by_kid.get((header.algorithm, header.kid), ())[:MAX_KEYS_TRIED]

    def knows(self, header: JoseHeader) -> bool:
        """Whether there is a key for what the header names; without a kid one can never be sure."""
        return header.kid is not None and bool(self.candidates(header))

    def thumbprints(self) -> frozenset[tuple[str, str | None, bytes]]:
        """What tells this ring from another."""
        return frozenset((key.algorithm, key.kid, key.thumbprint) for key in self.keys)


def taken_apart(token: bytes) -> SignedText:
    """The segments of a token; InvalidToken unless each is spelt in the one canonical way."""
    try:
        segments = plain_segments(token)
        if len(segments) == 3 and all(segments):
            header, payload, signature = segments
            return SignedText(header, payload, token[: -len(signature) - 1], from_plain_base64(signature))
    except ValueError:
        pass
    raise InvalidToken("malformed")


def jose_header(segment: bytes) -> JoseHeader:
    """The words of a header; InvalidToken for one that asks for anything unusual."""
    members = json_segment(segment)
    algorithm, kid = members.get("alg"), members.get("kid")
    if not isinstance(algorithm, str):
        raise InvalidToken("bad_algorithm")
    if "kid" in members and not (isinstance(kid, str) and 0 < len(kid) <= MAX_KID):
        raise InvalidToken("bad_header")
    # RFC 7515, 4.1.11 and RFC 7797: what is critical is not understood here, and no payload is unencoded.
    if "crit" in members or members.get("b64", True) is not True:
        raise InvalidToken("bad_header")
    return JoseHeader(algorithm, kid, _type(members))


def _type(members: dict[str, Any]) -> str | None:
    typ = members.get("typ")
    if "typ" not in members:
        return None
    if not isinstance(typ, str):
        raise InvalidToken("bad_type")
    plain = typ.lower().removeprefix("application/")
    if plain not in _TYPES:
        raise InvalidToken("bad_type")
    return plain


def json_segment(segment: bytes) -> dict[str, Any]:
    """The JSON object that a segment of a `SignedText` spells; InvalidToken where it spells none."""
    try:
        return strict_json_object(from_plain_base64(segment))
    except ValueError:
        raise InvalidToken("malformed") from None


def verifying_key(keys: Sequence[VerifyingKey], text: SignedText) -> VerifyingKey | None:
    """The first key that verifies the signature."""
    for key in keys:
        if key.verifies(text.signing_input, text.signature):
            return key
    return None
