"""Which requests pass the door without their token being read: exempt paths and true CORS preflights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import SettingsError
from .credentials import Head

METHOD_OVERRIDES = frozenset({"x-http-method-override", "x-http-method", "x-method-override"})

_DOUBTFUL = re.compile(r"//|/\.{1,2}(?:/|$)|/$|[\\%\x00-\x1f\x7f-\x9f\ufffd]")


@dataclass(frozen=True, slots=True)
class Exempt:
    """Paths that need no token: some exact ones, and everything below some others."""

    exact: frozenset[str]
    below: tuple[str, ...]

    def covers(self, path: str) -> bool:
        """Whether `path` is exempt; one that could be read in two ways never is."""
        if not (path in self.exact or (self.below and path.startswith(self.below))):
            return False
        return path == "/" or not _DOUBTFUL.search(path)


NOTHING_EXEMPT = Exempt(frozenset(), ())


def exempt_paths(patterns: Iterable[str]) -> Exempt:
    """The exempt paths of a door; SettingsError for a pattern that would open more than it says."""
    if isinstance(patterns, str):
        raise SettingsError(f"exempt takes several paths; write exempt=({patterns!r},)")
    patterns = tuple(patterns)
    for pattern in patterns:
        _check(pattern)
    return Exempt(
        frozenset(pattern for pattern in patterns if not pattern.endswith("/*")),
        tuple(pattern[:-1] for pattern in patterns if pattern.endswith("/*")),
    )


def _check(pattern: object) -> None:
    if not isinstance(pattern, str) or not pattern.startswith("/"):
        raise SettingsError(f"the exempt path {pattern!r} does not begin with '/'; write '/health' or '/static/*'")
    if pattern == "/*":
        raise SettingsError("exempt='/*' would let every request pass; use optional=True, or leave the door out")
    plain = pattern.removesuffix("/*")
    if "*" in plain or (pattern != "/" and _DOUBTFUL.search(plain)):
        raise SettingsError(
            f"the exempt path {pattern!r} has a '*' inside, a trailing slash, a '%', or an empty, '.' or '..' segment; "
            "write a plain path, or a plain path and '/*'"
        )


def is_preflight(head: Head, credential_headers: Sequence[str]) -> bool:
    """Whether this is a true CORS preflight: a question of the browser, without credentials and without a body."""
    return (
        head.method == "OPTIONS"
        and not head.is_websocket
        and _is_one(head.fields("origin"))
        and _is_one(head.fields("access-control-request-method"))
        and not any(head.fields(name) for name in ("authorization", *credential_headers))
        and not _has_body(head)
    )


def _is_one(values: Sequence[str]) -> bool:
    return len(values) == 1 and values[0] != "" and "," not in values[0]


def _has_body(head: Head) -> bool:
    return bool(head.fields("transfer-encoding")) or any(
        length.strip() not in ("", "0") for length in head.fields("content-length")
    )
