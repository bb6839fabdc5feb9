"""The command, run in this process or in one of its own; and tokens and apps for it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bearerguard.cli import main
from tests.minting import SECRET, mint

ROOT = Path(__file__).resolve().parent.parent

WHATALO = ("--preset", "whatalo.session", "--client-id", "wcl_1")


@dataclass(frozen=True)
class Ran:
    """How a run of the command ended."""

    code: int
    out: str
    err: str

    @property
    def facts(self) -> dict[str, Any]:
        """What was told to programs: one JSON object, and nothing else."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    def assert_one_clear_line(self, code: int) -> str:
        """That it ended with that code, and one line about why, which nothing in it spoils; gives the line."""
        assert (self.code, self.out) == (code, "")
        assert self.err.startswith("bearerguard: ")
        assert self.err.count("\n") == 1
        assert self.err.strip("\n").isprintable()
        return self.err


class _Bytes(io.TextIOWrapper):
    def __init__(self, text: str | bytes) -> None:
        super().__init__(io.BytesIO(text if isinstance(text, bytes) else text.encode()))


def run(*argv: str, stdin: str | bytes = "") -> Ran:
    """Run the command in this process."""
    out, err, was = io.StringIO(), io.StringIO(), sys.stdin
    sys.stdin = _Bytes(stdin)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = main(argv)
    finally:
        sys.stdin = was
    return Ran(code, out.getvalue(), err.getvalue())


def run_process(*argv: str, stdin: str = "", cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> Ran:
    """Run the command in a process of its own."""
    import os

    command = [sys.executable, "-m", "bearerguard", *argv]
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=60, cwd=cwd, env={**os.environ, **(env or {})}
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a good session token of Whatalo, with these changed; one that is changed to `...` is left out."""
    now = int(time.time())
    whole: dict[str, Any] = {
        "iss": "whatalo",
        "aud": "wcl_1",
        "sub": "str_1",
        "storeId": "str_1",
        "scopes": ["read:orders"],
        "iat": now,
        "exp": now + 300,
        "jti": "5b0e4a52",
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def token(**changes: Any) -> str:
    """Such a token."""
    return mint(claims(**changes))


@pytest.fixture
def whatalo(tmp_path: Path) -> Sequence[str]:
    """The options that make Whatalo's settings, with the secret in a file."""
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    return (*WHATALO, "--client-secret-file", str(tmp_path / "secret"))
