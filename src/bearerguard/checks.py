"""Checks that several settings share; each raises SettingsError and says what to write."""

from __future__ import annotations

import functools
import inspect
from ipaddress import ip_address
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from .errors import SettingsError

OnFailure: TypeAlias = Literal["closed", "open"]
"""What is said where somebody cannot be asked: nobody passes, or everybody does who passes all other checks."""

LATEST_TIME = 253_402_300_800  # the year 10000: a time in milliseconds is beyond it


def check_seconds(name: str, value: object, low: float, high: float) -> None:
    """A duration inside its bounds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise SettingsError(f"{name} is {value!r}; use {low:g} to {high:g} seconds")


def check_word(name: str, value: object, words: tuple[str, ...]) -> None:
    """One of a few words."""
    if value not in words:
        raise SettingsError(f"{name} is {value!r}; use {' or '.join(map(repr, words))}")


def check_count(name: str, value: object, low: int, high: int) -> None:
    """A whole number inside its bounds."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise SettingsError(f"{name} is {value!r}; use a whole number from {low} to {high}")


def check_text(name: str, value: object) -> None:
    """A text that is not empty."""
    if not isinstance(value, str) or not value or not _is_unicode(value):
        raise SettingsError(f"{name} is empty or no text; give it as a str")


def check_time(name: str, value: object) -> None:
    """A time in seconds since 1970, as tokens have it."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value < LATEST_TIME:  # type: ignore[operator]
        raise SettingsError(f"{name} is {value!r}; give a time in seconds since 1970, as in a token's exp")


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def check_function(name: str, value: object) -> None:
    """A plain function: an async one would answer with a coroutine, and a coroutine is no verdict."""
    called = called_function(value)
    if not callable(value) or inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
        raise SettingsError(f"{name} is {value!r}; use a plain def function that returns True to accept")


def called_function(view: Any) -> Any:
    """The function that runs when `view`, perhaps a partial or an object, is called."""
    while isinstance(view, functools.partial):
        view = view.func
    return view if inspect.isroutine(view) else getattr(view, "__call__", view)  # noqa: B004


def check_url(name: str, url: object) -> None:
    """An absolute https URL, or http on this machine."""
    parts = _split(url)
    if parts is None:
        raise SettingsError(f"{name} is no absolute URL; write it as 'https://id.example.com/path'")
    scheme, host = parts
    if scheme != "https" and not (scheme == "http" and _is_loopback(host)):
        raise SettingsError(f"{name} must be https; http is taken for this machine's own addresses only")


def _split(url: object) -> tuple[str, str] | None:
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        whole = parts.hostname and parts.port != 0 and not (parts.username or parts.password or parts.fragment)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname) if whole and parts.hostname else None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_origin(name: str, origin: object) -> None:
    """An origin, whose requests may carry what is ours: https, or http on this machine."""
    check_url(name, origin)
    if origin != origin_of_url(str(origin)):
        raise SettingsError(f"{name} has {origin!r}; write an origin, as in 'https://api.example.com', with no path")


def origin_of_url(url: str) -> str:
    """Scheme, host and port of a URL, spelt in one way."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in (None, usual) else "")
