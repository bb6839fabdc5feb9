"""The log of a denylist in Redis, and the marks beside it, as a replica reads them."""

from __future__ import annotations

from ...core.ports import run_sync
from ...errors import StoreUnavailable
from ...rules.replica import Heard, Told, heard, told_in
from ..breaker import Breaker
from ..layout import KeyLayout
from .commands import RedisCommands, decoded, parts_of, text_or_nothing
from .replica_scripts import PAGE, POLL
from .wire import Wire

MOST_LINES = 1000
KEYS_PER_PAGE = 500
# Well below the silence that a wire takes for a failure.
NEWS_MILLISECONDS = 150

_SECONDS = 0.5
_NAMES = ("epoch", "log")


class DenylistLog:
    """Each method asks once and blocks, for half a second at most, and raises a `WireError` or `StoreUnavailable`."""

    def __init__(self, wire: Wire, layout: KeyLayout) -> None:
        self._wire = wire
        # One of its own: that a reader of the log fails is no reason to refuse checks.
        self._commands = RedisCommands(wire, layout=layout, breaker=Breaker())
        self._key = layout.key("log")

    def poll(self, since: str | None) -> Heard:
        """Epoch, ends of the log, and its lines from `since` on: that one and the next ones, but not too many."""
        values = (since or "", str(1 + MOST_LINES))
        reply = run_sync(self._commands.run(POLL, _NAMES, values, within=_SECONDS, twice=True))
        epoch, first, last, text = parts_of(reply, 4)
        return heard(text_or_nothing(epoch), _ascii(first), _ascii(last), _ascii(text), self._commands.memory)

    def page(self, cursor: str) -> tuple[str, list[Told]]:
        """Some of the marks, and the cursor of the next page: "0" after the last one."""
        values = (cursor, str(KEYS_PER_PAGE))
        reply = run_sync(self._commands.run(PAGE, _NAMES, values, within=_SECONDS, twice=True))
        following, text = parts_of(reply, 2)
        return _ascii(following), told_in(_ascii(text))

    def await_news(self, since: str) -> None:
        """Wait for a line after `since`, but not for long."""
        waiting = ("COUNT", "1", "BLOCK", str(NEWS_MILLISECONDS), "STREAMS", self._key, since)
        run_sync(self._commands.ask("XREAD", *waiting, within=_SECONDS))

    def close(self) -> None:
        """Close the connection; the next use opens a new one."""
        run_sync(self._wire.close())


def _ascii(value: object) -> str:
    text = decoded(value) if isinstance(value, bytes) else None
    if text is None or not text.isascii():
        raise StoreUnavailable("store_unreadable")
    return text
