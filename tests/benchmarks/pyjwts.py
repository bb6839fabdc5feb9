"""A second PyJWT beside the installed one: the version of before, in a directory that the environment names."""

from __future__ import annotations

import importlib
import os
import sys
from functools import cache
from types import ModuleType

from .harness import LeftOut

OLD_PYJWT = "2.13"
DIRECTORY_VARIABLE = "BEARERGUARD_BENCH_OLD_PYJWT"


@cache
def old_pyjwt() -> ModuleType:
    """PyJWT 2.13; LeftOut where there is none."""
    directory = os.environ.get(DIRECTORY_VARIABLE)
    if not directory:
        raise LeftOut(f"{DIRECTORY_VARIABLE} names no directory with it")
    module = imported_from(directory, "jwt")
    if not str(module.__version__).startswith(f"{OLD_PYJWT}."):
        raise LeftOut(f"{DIRECTORY_VARIABLE} leads to PyJWT {module.__version__}")
    return module


def old_version() -> str | None:
    """Which one that is, where there is one."""
    try:
        return str(old_pyjwt().__version__)
    except LeftOut:
        return None


def imported_from(directory: str, package: str) -> ModuleType:
    """The package as it is in this directory; whatever has been imported under its name stays what it is."""
    installed = _taken_out(package)
    sys.path.insert(0, directory)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(package)
    finally:
        sys.path.remove(directory)
        _taken_out(package)
        sys.modules.update(installed)


def _taken_out(package: str) -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name == package or name.startswith(f"{package}.")]
    return {name: sys.modules.pop(name) for name in names}
