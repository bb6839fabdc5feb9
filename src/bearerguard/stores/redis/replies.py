"""Replies of Redis (RESP2), read out of its bytes as they come. Nothing in here waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from redis.exceptions import InvalidResponse

MOST_BYTES = 64 * 2**20
"""In one reply."""

MOST_ITEMS = 2**20
"""In one array."""

MOST_DEPTH = 8
"""How many arrays may be within one another."""

MOST_IN_A_LINE = 2**16
"""Bytes of a status, an error or a number."""

MORE: Final = object()
"""Instead of a reply that is not whole yet."""

_END = b"\r\n"
_MOST_DIGITS = len(str(MOST_BYTES))
_LONG = 256
_SHORT = {b"$%d" % size: size for size in range(_LONG)}


class Replies:
    """Takes bytes, cut as they may be, and gives the replies that they are.

    What is no reply raises, and raises again: whoever lost the thread never finds it again.
    """

    __slots__ = ("_at", "_came", "_data", "_error", "_later", "_needed", "_open", "_unread")

    def __init__(self, error: Callable[[str], object]) -> None:
        self._error = error
        self._data, self._at = b"", 0
        self._later: list[bytes] = []
        self._open: list[tuple[list[Any], int]] = []
        self._came = self._unread = 0
        self._needed = 1

    @property
    def is_at_rest(self) -> bool:
        """Whether all that came was read, to the end of a reply."""
        return not (self._unread or self._open)

    def feed(self, data: bytes) -> None:
        """Take what came."""
        self._later.append(data)
        self._came += len(data)
        self._unread += len(data)

    def next(self) -> Any:
        """The next reply, or MORE. An error reply is what `error` makes of it, unless that raises."""
        if self._came > MOST_BYTES:
            raise InvalidResponse("a reply that is too long")
        if self._unread < self._needed:
            return MORE
        if self._later:
            self._data = b"".join((self._data, *self._later))
            self._later.clear()
        value = self._filled(*self._open.pop()) if self._open else self._value()
        while self._open and value is not MORE:
            value = self._closed(value)
        self._data, self._at = self._data[self._at :], 0
        self._unread = len(self._data)
        if value is not MORE:
            self._came, self._needed = self._unread, 1
        return value

    def _closed(self, value: Any) -> Any:
        """The innermost open array, if `value` is its last one; else the value that comes after it."""
        items, size = self._open[-1]
        items.append(value)
        if len(items) < size:
            return self._value()
        self._open.pop()
        return items

    def _value(self) -> Any:
        """The value that comes now; of an array that is not done at once, the first one that is left."""
        data, at = self._data, self._at
        kind, end = data[at : at + 1], data.find(_END, at)
        if (len(data) if end < 0 else end) - at > MOST_IN_A_LINE:
            raise InvalidResponse("a line that is too long")
        if kind not in b"$*:+-":
            raise InvalidResponse("a reply of an unknown type")
        if end < 0:
            return self._more(len(data) - at + 1)
        line = data[at + 1 : end]
        if kind == b"*":
            return self._array(line, end + 2)
        if kind == b"$":
            return self._string(line, end + 2)
        value = line if kind == b"+" else _number(line) if kind == b":" else self._error(line.decode(errors="replace"))
        self._at = end + 2
        return value

    def _string(self, line: bytes, start: int) -> bytes | object | None:
        if line == b"-1":
            self._at = start
            return None
        stop = start + _size(line, MOST_BYTES)
        if len(self._data) < stop + 2:
            return self._more(stop + 2 - self._at)
        if not self._data.startswith(_END, stop):
            raise InvalidResponse("a string without an end")
        self._at = stop + 2
        return self._data[start:stop]

    def _array(self, line: bytes, start: int) -> Any:
        if line == b"-1":
            self._at = start
            return None
        size = _size(line, MOST_ITEMS)
        if len(self._open) == MOST_DEPTH:
            raise InvalidResponse("too many arrays within one another")
        self._at = start
        return self._filled([], size)

    def _filled(self, items: list[Any], size: int) -> Any:
        """The array, if nothing but short strings is left of it; else it is open, and this is what comes next."""
        strings, self._at = _short_strings(self._data, self._at, size - len(items))
        items += strings
        if len(items) == size:
            return items
        self._open.append((items, size))
        return self._value()

    def _more(self, needed: int) -> object:
        self._needed = needed
        return MORE


def _short_strings(data: bytes, at: int, most: int) -> tuple[list[bytes | None], int]:
    """The strings that come now, and where they end; what is long, odd or not whole is left to others."""
    strings: list[bytes | None] = []
    *whole, _ = data[at : at + most * _LONG].split(_END, 2 * most)
    lines = iter(whole)
    for _ in range(most):
        line = next(lines, None)
        if line == b"$-1":
            strings.append(None)
            at += 5
            continue
        value = next(lines, None)
        if line is None or value is None or _SHORT.get(line) != len(value):
            break
        strings.append(value)
        at += len(line) + len(value) + 4
    return strings, at


def _size(line: bytes, most: int) -> int:
    if not line.isdigit() or len(line) > _MOST_DIGITS or int(line) > most:
        raise InvalidResponse("a size that is none, or too big")
    return int(line)


def _number(line: bytes) -> int:
    digits = line[1:] if line[:1] in b"+-" else line
    if not digits.isdigit() or len(digits) > 19:
        raise InvalidResponse("a number that is none")
    return int(line)
