"""Base64url and JSON, read strictly: one spelling for each value, nothing else."""

from __future__ import annotations

import binascii
import json
import math
import re
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
MAX_DEPTH = 32

_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_TO_STANDARD_OR_ZERO = bytes(byte if byte in ALPHABET + b"." else 0 for byte in range(256)).translate(_TO_STANDARD)
_FROM_STANDARD = bytes.maketrans(b"+/", b"-_")
_PADDING = {2: b"==", 3: b"="}
_LAST_WITH_ZERO_BITS = {2: b"AQgw", 3: b"AEIMQUYcgkosw048"}
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


def base64url(data: bytes) -> str:
    """`data` in base64url without padding."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_FROM_STANDARD).decode()


def is_base64url(segment: bytes) -> bool:
    """Whether `segment` has only letters of the alphabet; padding is none of them."""
    return not segment.translate(None, ALPHABET)


def has_three_segments(token: bytes) -> bool:
    """Whether these are three segments of base64url with dots between them, as a signed token has."""
    segments = token.split(b".")
    return len(segments) == 3 and all(segments) and is_base64url(token.replace(b".", b""))


def from_base64url(segment: bytes) -> bytes:
    """The bytes that `segment` spells; ValueError unless it is their one canonical, unpadded spelling.

    The caller has checked the alphabet (`is_base64url`).
    """
    return from_plain_base64(segment.translate(_TO_STANDARD))


def plain_segments(token: bytes) -> list[bytes]:
    """What stands between the dots of `token`, in the standard alphabet; ValueError for letters that base64url has not.

    A whole token is looked through once, and not once for each segment.
    """
    plain = token.translate(_TO_STANDARD_OR_ZERO)
    if b"\0" in plain:
        raise ValueError("not base64url")
    return plain.split(b".")


def from_plain_base64(segment: bytes) -> bytes:
    """The bytes that a segment in the standard alphabet spells; ValueError unless it is their one spelling."""
    rest = len(segment) % 4
    if rest == 1 or (rest and segment[-1] not in _LAST_WITH_ZERO_BITS[rest]):
        raise ValueError("not canonical base64url")
    return binascii.a2b_base64(segment + _PADDING[rest] if rest else segment)


def strict_json_object(data: bytes) -> dict[str, Any]:
    """The JSON object that `data` spells in UTF-8; ValueError for anything doubtful.

    Refused are a BOM, lone surrogates, duplicate names, NaN and Infinity (also as 1e999) and deep nesting.
    """
    text = _utf8(data).strip(" \t\n\r")
    value, end = _scanned(text)
    if end != len(text):
        raise ValueError("more than one JSON value")
    if type(value) is not dict:
        raise ValueError("not a JSON object")
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise ValueError("nested too deeply")
    if b"\\u" in data and _SURROGATE_ESCAPE.search(data) and not _is_utf8(value):
        raise ValueError("lone surrogates")
    return value


def _is_utf8(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _utf8(data: bytes) -> str:
    # What is raised, here and below, must not carry the data along, as the errors of Python's own parsers do.
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    raise ValueError("not UTF-8")


def _scanned(text: str) -> tuple[Any, int]:
    try:
        return _scan(text, 0)
    except RecursionError:
        why = "nested too deeply"
    except (StopIteration, json.JSONDecodeError):
        why = "not JSON"
    raise ValueError(why)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate name")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def _no_constant(_: str) -> NoReturn:
    raise ValueError("not a JSON number")


_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant
).scan_once  # type: ignore[attr-defined]  # documented nowhere, there since Python 2.6


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [child for parent in level for child in _children(parent)]
    return depth - 1


def _children(value: Any) -> Iterable[Any]:
    if type(value) is dict:
        return value.values()
    return value if type(value) is list else ()
