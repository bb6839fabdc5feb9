"""Texts that are given to the command: tokens and secrets, from files, standard input, or a named variable."""

from __future__ import annotations

import getpass
import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import IO

from .outcomes import WrongUsage
from .paper import plain

STDIN = "-"
MOST_TOKEN_BYTES = 1_048_576
MOST_SECRET_BYTES = 65_536
_SLACK = 4096


class Sources:
    """Where texts come from in one run: standard input can be read once only."""

    def __init__(self) -> None:
        self._stdin_is_for: str | None = None

    def token(self, args: Namespace) -> tuple[str, tuple[str, ...]]:
        """The token that was given, without what people paste along; and what was left out, in words."""
        named, path = args.token, args.token_file
        if (named is None) == (path is None):
            raise WrongUsage("give one token: as an argument, as '-' for standard input, or with --token-file FILE")
        if named is not None and named != STDIN:
            _check_is_no_file(named)
            return _bare(named)
        return _bare(self._read("the token", STDIN if path is None else path, most=MOST_TOKEN_BYTES + _SLACK))

    def secret(self, flag: str, *, path: str | None, variable: str | None) -> str | None:
        """A secret from a file or from a variable; None where none is given."""
        if path is not None and variable is not None:
            raise WrongUsage(f"give one of --{flag}-file and --{flag}-env, not both")
        if variable is not None:
            return _of_variable(f"--{flag}-env", variable)
        if path is None:
            return None
        text = self._typed(flag) if path == STDIN and _is_typed() else self._read(f"--{flag}-file", path)
        secret = text.removesuffix("\n").removesuffix("\r")
        if not secret:
            raise WrongUsage(f"--{flag}-file: {plain(path)} is empty")
        return secret

    def text(self, flag: str, path: str) -> str:
        """What a file says that is no secret."""
        return self._read(f"--{flag}", path, most=MOST_TOKEN_BYTES)

    def _typed(self, flag: str) -> str:
        self._take_stdin(flag)
        return getpass.getpass(f"{flag}: ", stream=sys.stderr)

    def _read(self, what: str, path: str, *, most: int = MOST_SECRET_BYTES) -> str:
        if path == STDIN:
            self._take_stdin(what)
            return _decoded(what, "standard input", _standard_input(what), most)
        try:
            with Path(path).open("rb") as file:
                return _decoded(what, plain(path), file, most)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise WrongUsage(f"{what}: {plain(path)} cannot be read: {why}") from error

    def _take_stdin(self, what: str) -> None:
        if self._stdin_is_for is not None:
            raise WrongUsage(f"standard input is read for {self._stdin_is_for} already; give {what} in a file")
        self._stdin_is_for = what


def _is_typed() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _standard_input(what: str) -> IO[bytes]:
    if sys.stdin is None:
        raise WrongUsage(f"{what}: standard input is closed")
    return sys.stdin.buffer


def _decoded(what: str, where: str, file: IO[bytes], most: int) -> str:
    data = file.read(most + 1)
    if len(data) > most:
        raise WrongUsage(f"{what}: {where} is longer than {most:,} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        pass
    raise WrongUsage(f"{what}: {where} is no UTF-8 text")


def _of_variable(flag: str, name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise WrongUsage(f"{flag}: the variable {plain(name)} is not set, or empty")
    return value


def _check_is_no_file(token: str) -> None:
    """The name of a file in the place of a token would be judged, or even revoked, as if it were the token."""
    try:
        is_file = Path(token).is_file()
    except (OSError, ValueError):
        return
    if is_file:
        raise WrongUsage("what stands in the place of the token is the name of a file here; write --token-file FILE")


def _bare(text: str) -> tuple[str, tuple[str, ...]]:
    """A token without the blanks and the "Bearer " that come along when one copies it."""
    notes = []
    token = text.strip(" \t\r\n")
    if token != text.removesuffix("\n").removesuffix("\r"):
        notes.append("blanks around the token were left out")
    if token.lower().startswith("authorization:"):
        token = token.partition(":")[2].lstrip(" \t")
        notes.append("'Authorization:' before the token was left out")
    if token.lower().startswith("bearer "):
        token = token[7:].lstrip(" \t")
        notes.append("'Bearer ' before the token was left out; a server would be sent it in the header")
    if not token:
        raise WrongUsage("there is no token: what was given is empty")
    return token, tuple(notes)
