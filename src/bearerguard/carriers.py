"""Where in a request a token may stand: a header, a cookie or the query."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from .errors import SettingsError

_ORIGIN = re.compile(r"https?://([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True)
class Header:
    """A header; with a `scheme` the token follows it, without one the token is the whole value.

    ```python
    Header("Authorization", scheme="Bearer"), Header("X-Session-Token")
    ```
    """

    name: str
    scheme: str | None = None

    def __post_init__(self) -> None:
        for word in (self.name, self.scheme):
            if word is not None and not _TOKEN.fullmatch(word):
                raise SettingsError(f"{word!r} is no header name or scheme; use letters, digits and '-'")
        object.__setattr__(self, "name", self.name.lower())
        object.__setattr__(self, "scheme", self.scheme and self.scheme.lower())


@dataclass(frozen=True, slots=True, init=False)
class Cookie:
    """A cookie. Do not use one where a header can be used: browsers attach cookies to requests of other sites.

    Unsafe methods and WebSockets are therefore refused unless they come from the same origin or from one of `origins`:

    ```python
    Cookie("session_token", origins={"https://app.example.com"})
    ```
    """

    name: str
    origins: frozenset[str]

    def __init__(self, name: str, *, origins: Iterable[str] = ()) -> None:
        if not _TOKEN.fullmatch(name):
            raise SettingsError(f"{name!r} is no cookie name; use letters, digits, '-' and '_'")
        if isinstance(origins, str):
            raise SettingsError("origins is a set of origins; write origins={'https://app.example.com'}")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "origins", frozenset(origins))
        for origin in self.origins:
            if not _is_origin(origin):
                raise SettingsError(f"{origin!r} is no origin; write it as 'https://app.example.com', with no path")


@dataclass(frozen=True, slots=True)
class Query:
    """A query parameter. Do not use one for API calls: addresses end in logs and histories.

    It is read on GET requests for documents only, and taken out of what the application and its logs see.
    """

    name: str

    def __post_init__(self) -> None:
        if not _TOKEN.fullmatch(self.name):
            raise SettingsError(f"{self.name!r} is no query parameter name; use letters, digits, '-' and '_'")


Carrier: TypeAlias = Header | Cookie | Query

BEARER = Header("Authorization", scheme="Bearer")


def is_header(name: str, value: str) -> bool:
    """Whether a header can be sent as it is."""
    return _TOKEN.fullmatch(name) is not None and value.isascii() and value.isprintable()


def _is_origin(text: str) -> bool:
    return _ORIGIN.fullmatch(text) is not None
