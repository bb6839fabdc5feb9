"""The command: `python -m tests.site` from the root of the repository builds the docs as a site."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from . import plots
from .looked_through import complaints
from .pages import ROOT, all_pages, staged

HERE = Path(__file__).parent


def main() -> int:
    """Stage, build, look through; exit code 1 if anything is wrong."""
    options = _options()
    if options.reference:
        return _reference()
    if options.plots:
        plots.renew()
        return 0
    stage = options.into.with_name(f"{options.into.name}-staged")
    _stage(stage)
    shutil.rmtree(options.into, ignore_errors=True)
    if _built(stage, options.into) != 0:
        return 1
    wrong = complaints(options.into)
    print(*wrong, f"{options.into}/index.html", sep="\n")
    return 1 if wrong else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.site", description="Build the docs as a site.")
    parser.add_argument("--into", type=Path, default=ROOT / "build" / "site", help="where the site goes")
    parser.add_argument("--reference", action="store_true", help="only: renew docs/api, which stands in the repository")
    parser.add_argument("--plots", action="store_true", help="only: renew the plots, from the tables of the pages")
    return parser.parse_args()


def _reference() -> int:
    """Needs what the tests need, for they know which modules are public."""
    from ..test_exported_members import MODULES
    from .reference import NOT_EVERYWHERE, write

    write([*MODULES, *NOT_EVERYWHERE])
    return 0


def _stage(where: Path) -> None:
    """What the site is made from, laid out as the site will be."""
    shutil.rmtree(where, ignore_errors=True)
    for page in all_pages().values():
        file = where / f"{page.name}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(staged(page), encoding="utf-8")
    shutil.copy(HERE / "conf.py", where)
    shutil.copytree(HERE / "static", where / "_static")
    shutil.copytree(ROOT / "docs" / "images", where / "images")


def _built(stage: Path, into: Path) -> int:
    """Sphinx' own exit code; a warning is an error."""
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-d", f"{stage}-cache", "-q", "-W", "--keep-going"]
    return subprocess.run([*command, str(stage), str(into)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
