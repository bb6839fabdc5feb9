"""Lets FastAPI see a guard in a view's signature, so that the lock and the scopes stand in its OpenAPI."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from types import FrameType, MappingProxyType
from typing import Any

HIDDEN_ARGUMENT = "bearerguard_access"
"""The keyword under which FastAPI hands a guarded view the outcome of its security dependency."""


class _DocumentedSignature(inspect.Signature):
    """A signature that has a security dependency for FastAPI, and none for other frameworks in the same process.

    A view may be guarded before fastapi is imported, so who reads is looked at when the signature is read.
    """

    __slots__ = ("_check", "_scopes")

    def with_guard(self, check: Callable[[Any], object], scopes: tuple[str, ...]) -> inspect.Signature:
        """This signature, of a view whose guard asks `check`."""
        self._check = check
        self._scopes = scopes
        return self

    @property
    def parameters(self) -> MappingProxyType[str, inspect.Parameter]:
        """The view's own parameters, and the guard's where FastAPI may read it."""
        own = super().parameters
        if "fastapi" not in sys.modules or not hasattr(self, "_check") or not _fastapi_reads():
            return own
        from .fastapi import security_parameter

        return MappingProxyType(_with_keyword(own, security_parameter(HIDDEN_ARGUMENT, self._check, self._scopes)))


def _fastapi_reads() -> bool:
    """Whether FastAPI, or a package that extends it and is named so, asks for a signature, and nobody else."""
    reader: FrameType | None = sys._getframe(1)
    while reader is not None and _name_of(reader) in _GO_BETWEENS:
        reader = reader.f_back
    return reader is not None and _name_of(reader).startswith("fastapi")


def _name_of(frame: FrameType) -> str:
    name: str = frame.f_globals.get("__name__", "")
    return name


_GO_BETWEENS = (__name__, "inspect", "functools", "typing")


def _with_keyword(own: Mapping[str, inspect.Parameter], added: inspect.Parameter) -> dict[str, inspect.Parameter]:
    together = sorted((*own.values(), added), key=lambda parameter: parameter.kind)
    return {parameter.name: parameter for parameter in together}


def documented_signature(
    view: Callable[..., Any], check: Callable[[Any], object], scopes: tuple[str, ...]
) -> inspect.Signature | None:
    """The signature that a guarded view shows; None where Python knows none."""
    try:
        own = inspect.signature(view)
    except (TypeError, ValueError):
        return None
    documented = _DocumentedSignature(list(own.parameters.values()), return_annotation=own.return_annotation)
    return documented.with_guard(check, scopes)
