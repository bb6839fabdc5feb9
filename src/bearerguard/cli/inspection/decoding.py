"""A signed token taken apart for the eye. Nothing of it is verified here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...encoding import from_base64url, is_base64url, strict_json_object


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a token says of itself, and what is wrong with how it says so."""

    header: Mapping[str, Any] | None
    claims: Mapping[str, Any] | None
    signature_bytes: int | None
    troubles: tuple[str, ...]


def decoded(token: bytes) -> Decoded:
    """The parts of a token that can be read."""
    segments = token.split(b".")
    if len(segments) != 3:
        what = f"a signed token has three segments with dots between them, and this has {len(segments)}"
        return Decoded(None, None, None, (what,))
    troubles: list[str] = []
    header = _part("header", segments[0], troubles)
    claims = _part("payload", segments[1], troubles)
    signature = _bytes("signature", segments[2], troubles)
    return Decoded(header, claims, None if signature is None else len(signature), tuple(troubles))


def _part(name: str, segment: bytes, troubles: list[str]) -> Mapping[str, Any] | None:
    data = _bytes(name, segment, troubles)
    if data is None:
        return None
    try:
        return strict_json_object(data)
    except ValueError as error:
        troubles.append(f"the {name} is no strict JSON: {_why(error)}")
        return None


def _bytes(name: str, segment: bytes, troubles: list[str]) -> bytes | None:
    if not segment:
        troubles.append(f"the {name} is empty")
    elif not is_base64url(segment):
        troubles.append(f"the {name} has other letters than those of base64url, or '=' at its end")
    else:
        try:
            return from_base64url(segment)
        except ValueError as error:
            troubles.append(f"the {name} is {error}")
    return None


def _why(error: ValueError) -> str:
    # What Python's own parser says of a number may be long; ours are short.
    return str(error) if len(str(error)) < 40 else "a number is too long"
