"""Says which extra to install where a package is missing that an extra brings."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def brought_by(extra: str) -> Generator[None, None, None]:
    """What is imported in here, for the module of the same name, comes with `extra`."""
    try:
        yield
    except ModuleNotFoundError as error:
        said = f'bearerguard.{extra} needs {error.name}, which comes with an extra: install "bearerguard[{extra}]"'
        raise ModuleNotFoundError(said, name=error.name) from error
