"""The wheel and the sdist, built as for a release."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROJECT: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: tuple[str, ...] = tuple(PROJECT["optional-dependencies"])


@dataclass(frozen=True)
class Distributions:
    """A wheel and an sdist, and what is in them."""

    wheel: Path
    sdist: Path

    @cached_property
    def in_wheel(self) -> Mapping[str, bytes]:
        """Every file of the wheel."""
        with zipfile.ZipFile(self.wheel) as opened:
            return {name: opened.read(name) for name in opened.namelist()}

    @cached_property
    def in_sdist(self) -> Mapping[str, bytes]:
        """Every file of the sdist, by its path below the one folder that it has."""
        with tarfile.open(self.sdist) as opened:
            files = {member.name: opened.extractfile(member) for member in opened if member.isfile()}
            return {name.split("/", 1)[1]: file.read() for name, file in files.items() if file is not None}

    @cached_property
    def metadata(self) -> Message:
        """What the wheel says of itself."""
        (found,) = (text for name, text in self.in_wheel.items() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(found.decode())


def built(into: Path, *options: str) -> list[Path]:
    """What `python -m build` makes of this repository."""
    command = [sys.executable, "-m", "build", *options, "--outdir", str(into), str(ROOT)]
    ended = subprocess.run(command, cwd=into, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return sorted(into.glob("bearerguard-*"))


def in_repository(*below: str) -> dict[str, bytes]:
    """Every file of the repository, or of these folders; what it ignores left out."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *below]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return {name: (ROOT / name).read_bytes() for name in listed if (ROOT / name).is_file()}
