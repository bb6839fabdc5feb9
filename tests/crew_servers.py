"""The servers that crews work for: which one, the sort of its workers, and what was used before they were forked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.servers import AppServer

PROCESSES = 4

# What is left open is told of, wherever it is found.
_WARNED = {"PYTHONWARNINGS": "default::ResourceWarning"}
_BACKLOG = ("--backlog", "2048")


@dataclass(frozen=True)
class Variant:
    """A server and the sort of its workers, and what the application has seen before they are forked."""

    name: str
    serve: Callable[..., AbstractContextManager[AppServer]]
    app: str
    options: Sequence[str] = ()

    def started(self, env: Mapping[str, str], *, workers: int = PROCESSES) -> AbstractContextManager[AppServer]:
        """The server, which ends with the context."""
        return self.serve(self.app, *_BACKLOG, *self.options, workers=workers, env={**_WARNED, **env})


def variants(every: Iterable[Variant], *, in_every_run: Collection[str]) -> Sequence[Any]:
    """Parameters, of which the rest is left to `-m long`."""
    return [
        pytest.param(each, id=each.name, marks=() if each.name in in_every_run else pytest.mark.long) for each in every
    ]
