"""The blocking wire to Redis: commands over connections whose every wait ends at the deadline of the command."""

from __future__ import annotations

import time
from typing import Any

from ...rules.epochs import Memory
from ..forks import tell_after_fork
from ..gate import Gate
from .failures import connect_failure, leaves_connection_sound
from .sync_lines import SyncConnection, SyncLine, answer_over
from .wire import Crowded, ElsewhereNow, ReplyLate, WireError, confirmed, wait_command


class SyncWire:
    """One command at a time on each of at most `size` connections; who comes first is served first."""

    def __init__(self, line: SyncLine) -> None:
        self._line = line
        self._gate = Gate(line.size)
        tell_after_fork(self)

    @property
    def is_replicated(self) -> bool:
        """Whether a write counts only once a replica has it."""
        return self._line.watch.is_replicated

    @property
    def memory(self) -> Memory | None:
        """Whose memory has been asked of late."""
        return self._line.watch.memory

    async def execute(self, *command: str, within: float, is_write: bool = False) -> Any:
        """The reply to one command, undecoded; it blocks, and never suspends."""
        end, gate = time.monotonic() + within, self._gate
        if not gate.enter(within=within):
            raise Crowded("no connection came free in time")
        try:
            answer = self._exchange(command, end, is_write=is_write)
        finally:
            gate.leave()
        # Raised here and not where it was caught: what redis-py says may hold keys and values.
        if isinstance(answer, WireError):
            raise answer
        return answer

    async def close(self) -> None:
        """Close the connections that nobody uses now, and the others when they come back."""
        self._line.close()

    def after_fork(self) -> None:
        """The sockets are the parent's, and its threads may hold the gate."""
        self._gate = Gate(self._line.size)
        self._line.after_fork()

    def _exchange(self, command: tuple[str, ...], end: float, *, is_write: bool) -> Any:
        seconds_left = end - time.monotonic()
        try:
            connection = self._line.take(end)
        except Exception as error:
            return connect_failure(error, seconds_left=seconds_left)
        sound = False
        try:
            answer = self._answer(connection, command, end, is_write=is_write)
            sound = leaves_connection_sound(answer)
        finally:
            (self._line.give_back if sound else self._line.drop)(connection)
        if isinstance(answer, WireError) and self._is_to_be_left(answer):
            self._line.leave()
        return answer

    def _is_to_be_left(self, answer: WireError) -> bool:
        return isinstance(answer, ElsewhereNow) or (self.is_replicated and isinstance(answer, ReplyLate))

    def _answer(self, connection: SyncConnection, command: tuple[str, ...], end: float, *, is_write: bool) -> Any:
        answer = answer_over(connection, command, seconds_left=end - time.monotonic())
        if not (is_write and self.is_replicated) or isinstance(answer, WireError):
            return answer
        seconds_left = end - time.monotonic()
        return confirmed(answer, answer_over(connection, wait_command(seconds_left), seconds_left=seconds_left))
