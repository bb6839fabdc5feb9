"""New virtual environments far from the repository, with bearerguard installed in them and nothing else asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

_USES = Path(__file__).with_name("uses")
_USE = "import runpy, sys; sys.path.append('.'); runpy.run_module(sys.argv.pop(1), run_name='__main__')"


@dataclass(frozen=True)
class Venv:
    """A virtual environment, and a folder to work in that holds the scripts of `uses/` alone."""

    home: Path

    @property
    def programs(self) -> Path:
        """Where its commands are."""
        return self.home / ("Scripts" if os.name == "nt" else "bin")

    @property
    def elsewhere(self) -> Path:
        """The folder that its commands run in."""
        return self.home / "elsewhere"

    def ends(self, *command: str | Path, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """What a command comes to that is run in there, as if the environment were activated."""
        path = os.pathsep.join([str(self.programs), os.environ["PATH"]])
        return subprocess.run(
            command,
            cwd=self.elsewhere,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def says(self, code: str, *arguments: str) -> str:
        """What isolated Python code prints; no error and no warning beside it."""
        ended = self.ends(self.programs / "python", "-I", "-c", code, *arguments)
        assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
        return ended.stdout

    def use(self, name: str, *arguments: str) -> str:
        """What a script of `uses/` prints."""
        return self.says(_USE, f"tests.packaging.uses.{name}", *arguments)

    def pip(self, *arguments: str) -> str:
        """What our own pip prints of this environment, which has none."""
        command = [sys.executable, "-m", "pip", "--python", str(self.home), "--disable-pip-version-check", *arguments]
        ended = self.ends(*command, seconds=600)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout


def venv_with(home: Path, requirement: str) -> Venv:
    """A new virtual environment with this installed."""
    venv.create(home, with_pip=False, symlinks=os.name != "nt")
    made = Venv(home)
    shutil.copytree(_USES, made.elsewhere / "tests" / "packaging" / "uses")
    made.pip("install", "--quiet", "--no-compile", requirement)
    return made
