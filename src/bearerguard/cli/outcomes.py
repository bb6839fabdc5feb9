"""How a command ends: what it found out, or why it could not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """What the shell is told."""

    FINE = 0
    NO = 1
    WRONG_USAGE = 2
    COULD_NOT_ASK = 3
    BROKEN = 4
    INTERRUPTED = 130
    PIPE_CLOSED = 141


MEANINGS: Mapping[ExitCode, str] = {
    ExitCode.FINE: "fine: the token is accepted, all checks hold, it is done",
    ExitCode.NO: "the answer is no: the token is refused or revoked, or a check of doctor failed",
    ExitCode.WRONG_USAGE: "wrong usage: arguments, files, settings, or an app that cannot be imported",
    ExitCode.COULD_NOT_ASK: "could not be asked: Redis, a provider or a key set",
    ExitCode.BROKEN: "broken: the output cannot be written, or a mistake of bearerguard's own",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C)",
    ExitCode.PIPE_CLOSED: "whoever read the output has closed the pipe",
}


class Failure(Exception):
    """Why a command ends without an answer, in one line; nothing in it is secret."""

    code = ExitCode.BROKEN


class WrongUsage(Failure):
    """The command line, a file, or the settings are wrong."""

    code = ExitCode.WRONG_USAGE


class CouldNotAsk(Failure):
    """Redis, a provider or a key set could not be asked."""

    code = ExitCode.COULD_NOT_ASK


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command found out: for programs as `facts`, for people as lines of `text`.

    What is said `aside` goes to the error output, out of the way of whoever uses the text.
    """

    code: ExitCode
    facts: Mapping[str, Any]
    text: Sequence[str]
    aside: Sequence[str] = field(default=())
