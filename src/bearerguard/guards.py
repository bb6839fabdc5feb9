"""Guards for single routes: `requires_token`, `requires_scope`, `requires_any_scope`, `requires_kind`, `single_use`.

All guards of a view merge into one, so their order does not matter. They stand below the route decorator:

```python
@app.get("/orders")
@requires_scope("read:orders")
async def orders(): ...
```
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import re
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from .access import current_access
from .checks import called_function
from .errors import SettingsError
from .guarded_views import View, already_asked, note_guarded
from .requirements import Requirement
from .signatures import HIDDEN_ARGUMENT, documented_signature

_AnyView = TypeVar("_AnyView", bound=Callable[..., Any])

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")


def requires_token(view: _AnyView, /) -> _AnyView:
    """Refuse requests without a token: 401.

    ```python
    @app.get("/me")
    @requires_token
    async def me(): ...
    ```
    """
    return _guarding(view, Requirement(), "requires_token")


def single_use(view: _AnyView, /) -> _AnyView:
    """Take each token once on this and all other `single_use` routes, in the whole fleet; the second time is 401.

    The token is claimed last, when every other guard has let it pass, and at most once: after a 503, or when the view
    itself fails, it counts as spent.
    """
    return _guarding(view, Requirement(once=True), "single_use")


def requires_scope(first: str, /, *more: str, kind: str | None = None) -> Callable[[_AnyView], _AnyView]:
    """Refuse tokens that do not grant every one of these scopes: 403.

    ```python
    @requires_scope("read:orders")
    @requires_scope("read:orders", kind="whatalo.session")      # where a verifier takes several kinds
    ```
    """
    requirement = Requirement(every=_scopes("requires_scope", (first, *more)), kinds=_kinds(kind))
    return functools.partial(_guarding, requirement=requirement, name="requires_scope")


def requires_any_scope(first: str, /, *more: str, kind: str | None = None) -> Callable[[_AnyView], _AnyView]:
    """Refuse tokens that grant none of these scopes: 403."""
    requirement = Requirement(any_of=(_scopes("requires_any_scope", (first, *more)),), kinds=_kinds(kind))
    return functools.partial(_guarding, requirement=requirement, name="requires_any_scope")


def requires_kind(first: str, /, *more: str) -> Callable[[_AnyView], _AnyView]:
    """Refuse tokens of all other kinds: 403."""
    requirement = Requirement(kinds=frozenset(_scopes("requires_kind", (first, *more))))
    return functools.partial(_guarding, requirement=requirement, name="requires_kind")


def _scopes(guard: str, names: tuple[object, ...]) -> tuple[str, ...]:
    for name in names:
        if not isinstance(name, str) or not _SCOPE.fullmatch(name):
            raise SettingsError(f"{guard} takes names without spaces; write @{guard}('read:orders', 'write:orders')")
    return tuple(str(name) for name in names)


def _kinds(kind: str | None) -> frozenset[str] | None:
    return None if kind is None else frozenset(_scopes("kind=", (kind,)))


def _guarding(view: _AnyView, requirement: Requirement, name: str) -> _AnyView:
    """`view` behind one guard, which also asks what the guards that `view` already has ask."""
    _check_view(view, name)
    bare, asked = already_asked(view)
    asked = asked.and_also(requirement)
    guarded = _wrapped(bare, asked)
    note_guarded(view, guarded, bare, asked)
    return guarded  # type: ignore[return-value]


def _check_view(view: Any, name: str) -> None:
    if inspect.isclass(view):
        raise SettingsError(f"@{name} stands on the class {view.__name__}; put it on its methods, or on as_view()")
    if isinstance(view, (staticmethod, classmethod, property)):
        raise SettingsError(f"@{name} stands on a {type(view).__name__}; put it below @{type(view).__name__}")
    if not callable(view):
        raise SettingsError(
            f"@{name} stands on {type(view).__name__}, which is no view; write @{name} above a function"
        )


def _wrapped(view: View, requirement: Requirement) -> View:
    called = called_function(view)
    if inspect.isasyncgenfunction(called):
        guarded = _around_async_generator(view, requirement)
    elif _is_coroutine_function(called):
        guarded = _around_coroutine(view, requirement)
    else:
        guarded = _around_function(view, requirement)
    if not (inspect.isroutine(view) or isinstance(view, functools.partial)):
        kind = _GuardedAsyncApplication if inspect.iscoroutinefunction(guarded) else _GuardedApplication
        guarded = kind(view, guarded)
    else:
        functools.update_wrapper(guarded, view)
    signature = documented_signature(view, requirement.check, requirement.scopes)
    guarded.__signature__ = signature  # type: ignore[attr-defined]
    return guarded


def _is_coroutine_function(called: View) -> bool:
    """Whether calling it gives a coroutine, also where it only says so, as Django's class-based views do."""
    # Before Python 3.12 such a mark is one of asyncio's, which inspect does not know; from 3.14 on asyncio knows none.
    asks = asyncio.iscoroutinefunction if sys.version_info < (3, 12) else inspect.iscoroutinefunction
    return asks(called)


class _GuardedApplication:
    """A guarded object that is called, as ASGI applications are: frameworks tell such objects from functions."""

    def __init__(self, view: View, guarded: View) -> None:
        self.__wrapped__ = view
        self._guarded = guarded

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._guarded(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name == "__wrapped__":  # a copy that is being made has nothing inside yet
            raise AttributeError(name)
        return getattr(self.__wrapped__, name)


class _GuardedAsyncApplication(_GuardedApplication):
    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return await self._guarded(*args, **kwargs)


def _around_function(view: View, requirement: Requirement) -> View:
    check, once = requirement.check, requirement.once

    def guarded(*args: Any, **kwargs: Any) -> Any:
        access = check(current_access())
        if once:
            access.spend()
        if kwargs:
            kwargs.pop(HIDDEN_ARGUMENT, None)
        return view(*args, **kwargs)

    return guarded


def _around_coroutine(view: View, requirement: Requirement) -> View:
    check, once = requirement.check, requirement.once

    async def guarded(*args: Any, **kwargs: Any) -> Any:
        access = check(current_access())
        if once:
            await access.aspend()
        if kwargs:
            kwargs.pop(HIDDEN_ARGUMENT, None)
        return await view(*args, **kwargs)

    return guarded


def _around_async_generator(view: View, requirement: Requirement) -> View:
    if requirement.once:
        raise SettingsError(
            "single_use cannot wait before an async generator answers; return a StreamingResponse instead"
        )
    return _around_function(view, requirement)
