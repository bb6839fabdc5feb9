"""Guards for single routes: `requires_token`, `requires_scope`, `requires_any_scope`, `requires_kind`, `single_use`.

All guards of a view merge into one, so their order does not matter. They stand below the route decorator:

```python
@app.get("/orders")
@requires_scope("read:orders")
async def orders(): ...
```
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
import sys
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any, TypeVar

from .access import NO_DOOR, Access, current_access
from .checks import called_function
from .errors import InsufficientScope, MissingToken, SettingsError
from .signatures import HIDDEN_ARGUMENT, documented_signature

_AnyView = TypeVar("_AnyView", bound=Callable[..., Any])
_Note = TypeVar("_Note")

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a view asks of a token; the sum of its guards."""

    every: tuple[str, ...] = ()
    any_of: tuple[tuple[str, ...], ...] = ()
    kinds: frozenset[str] | None = None
    once: bool = False

    @property
    def scopes(self) -> tuple[str, ...]:
        """Every scope that the view names, for challenges and documentation."""
        return tuple(dict.fromkeys((*self.every, *(scope for group in self.any_of for scope in group))))

    def and_also(self, other: Requirement) -> Requirement:
        """Both requirements in one."""
        kinds = self.kinds if other.kinds is None else other.kinds if self.kinds is None else self.kinds & other.kinds
        if kinds is not None and not kinds:
            raise SettingsError(
                "the guards of this view ask for different kinds of token, so none would pass; name one kind"
            )
        every = tuple(dict.fromkeys((*self.every, *other.every)))
        return Requirement(every, self.any_of + other.any_of, kinds, self.once or other.once)

    def check(self, access: Access | None) -> Access:
        """`access`, if its token is enough; else the refusal, as the framework around wants it raised."""
        if access is None:
            raise RuntimeError(NO_DOOR)
        if access.claims is None:
            raise access.door.raised(MissingToken(), self.scopes)
        if self.kinds is None:
            if access.door.kinds_must_be_named:
                raise SettingsError(NAME_A_KIND)
        elif access.claims.kind not in self.kinds:
            raise access.door.raised(_of_kind(InsufficientScope("wrong_kind"), access))
        if (self.every or self.any_of) and not self._is_met_by(access.claims.scopes):
            raise access.door.raised(_of_kind(InsufficientScope(), access), self.scopes)
        return access

    def _is_met_by(self, granted: frozenset[str]) -> bool:
        return granted.issuperset(self.every) and all(granted.intersection(group) for group in self.any_of)


def _of_kind(error: InsufficientScope, access: Access) -> InsufficientScope:
    error.kind = None if access.claims is None else access.claims.kind
    return error


NAME_A_KIND = (
    "this verifier takes several kinds of token, and the guard does not say which one may pass; "
    "write requires_scope(..., kind='...') or requires_kind('...'), or Verifier(..., any_kind=True)"
)

_View = Callable[..., Any]

_guarded: weakref.WeakKeyDictionary[_View, tuple[_View, Requirement]] = weakref.WeakKeyDictionary()
_decorated: weakref.WeakKeyDictionary[_View, str] = weakref.WeakKeyDictionary()
_renamed: weakref.WeakKeyDictionary[_View, weakref.WeakSet[_View]] = weakref.WeakKeyDictionary()


def requirement_of(view: _View) -> Requirement | None:
    """What the guards of `view` ask; None for a view that none guards."""
    found = _found(_guarded, view)
    return None if found is None else found[1]


def was_guarded_too_late(view: _View) -> bool:
    """Whether a routed view was guarded after its route had taken it, so that the route serves it unguarded.

    A view that keeps its name, or whose guarded form lives on, was guarded on purpose, for another route.
    """
    if _found(_decorated, view) is not None:
        return True
    guarded = _found(_renamed, view)
    named = getattr(view, "__globals__", {}).get(getattr(view, "__qualname__", ""))
    if guarded is None or named is view:
        return False
    return named in guarded if named is not None else not guarded


def _found(notes: weakref.WeakKeyDictionary[_View, _Note], view: _View) -> _Note | None:
    try:
        return notes.get(view)
    except TypeError:  # what has no hash, or cannot be referred to weakly, was never noted
        return None


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
    bare, asked = _found(_guarded, view) or (view, Requirement())
    asked = asked.and_also(_asked_further_in(bare)).and_also(requirement)
    guarded = _wrapped(bare, asked)
    _guarded[guarded] = (bare, asked)
    _note_origin(view, guarded)
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


def _asked_further_in(view: _View) -> Requirement:
    """What guards ask that another decorator stands above; they still ask it themselves, but first of all we do."""
    for inner in _wrapped_in(view):
        found = requirement_of(inner)
        if found is not None:
            return replace(found, once=False)
    return Requirement()


def _wrapped_in(view: Any) -> Iterator[Any]:
    """What `view` wraps, from the outside in, where its decorators say so."""
    while hasattr(view, "__wrapped__"):
        view = view.__wrapped__
        yield view


def _note_origin(view: _View, guarded: _View) -> None:
    """Remember what `guarded` was made from, for a route that may have taken it before."""
    on_purpose = _has_its_name_already(view)
    for origin in (view, *_wrapped_in(view)):
        # An object that cannot be referred to weakly was made on the spot, and no route has it.
        with contextlib.suppress(TypeError):
            if on_purpose:
                _renamed.setdefault(origin, weakref.WeakSet()).add(guarded)
            else:
                _decorated[origin] = getattr(origin, "__qualname__", type(origin).__name__)


def _has_its_name_already(view: _View) -> bool:
    """Whether `view` stands under its name where it was defined; a decorator is called before a view gets there."""
    name, scope = getattr(view, "__name__", ""), getattr(view, "__qualname__", "").rpartition(".<locals>.")[0]
    if not scope:
        return getattr(view, "__globals__", {}).get(name) is view
    caller: FrameType | None = sys._getframe()
    while caller is not None and caller.f_code.co_qualname != scope:
        caller = caller.f_back
    return caller is None or caller.f_locals.get(name) is view


def _wrapped(view: _View, requirement: Requirement) -> _View:
    called = called_function(view)
    if inspect.isasyncgenfunction(called):
        guarded = _around_async_generator(view, requirement)
    elif inspect.iscoroutinefunction(called):
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


class _GuardedApplication:
    """A guarded object that is called, as ASGI applications are: frameworks tell such objects from functions."""

    def __init__(self, view: _View, guarded: _View) -> None:
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


def _around_function(view: Callable[..., Any], requirement: Requirement) -> Callable[..., Any]:
    check, once = requirement.check, requirement.once

    def guarded(*args: Any, **kwargs: Any) -> Any:
        access = check(current_access())
        if once:
            access.spend()
        if kwargs:
            kwargs.pop(HIDDEN_ARGUMENT, None)
        return view(*args, **kwargs)

    return guarded


def _around_coroutine(view: Callable[..., Any], requirement: Requirement) -> Callable[..., Any]:
    check, once = requirement.check, requirement.once

    async def guarded(*args: Any, **kwargs: Any) -> Any:
        access = check(current_access())
        if once:
            await access.aspend()
        if kwargs:
            kwargs.pop(HIDDEN_ARGUMENT, None)
        return await view(*args, **kwargs)

    return guarded


def _around_async_generator(view: Callable[..., Any], requirement: Requirement) -> Callable[..., Any]:
    if requirement.once:
        raise SettingsError(
            "single_use cannot wait before an async generator answers; return a StreamingResponse instead"
        )
    return _around_function(view, requirement)
