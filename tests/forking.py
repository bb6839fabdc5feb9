"""Work that a forked child does, for tests."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable


def in_a_child(work: Callable[[], str]) -> str:
    """What the work gives in a forked child; nothing where it fails there."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of a fork among threads
        pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            os.write(writing, work().encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(pid, 0)
    return said
