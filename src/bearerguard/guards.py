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
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ParamSpec, TypeVar

from .access import NO_DOOR, Access, current_access
from .checks import called_function
from .errors import InsufficientScope, MissingToken, SettingsError
from .signatures import HIDDEN_ARGUMENT, documented_signature

_P = ParamSpec("_P")
_R = TypeVar("_R")
_View = TypeVar("_View", bound=Callable[..., Any])

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

_guarded: weakref.WeakKeyDictionary[Callable[..., Any], tuple[Callable[..., Any], Requirement]] = (
    weakref.WeakKeyDictionary()
)
_made_from: weakref.WeakKeyDictionary[Callable[..., Any], weakref.WeakSet[Callable[..., Any]]] = (
    weakref.WeakKeyDictionary()
)


def requirement_of(view: Callable[..., Any]) -> Requirement | None:
    """What the guards of `view` ask; None for a view that none guards."""
    found = _guarded.get(view)
    return None if found is None else found[1]


def was_guarded_too_late(view: Callable[..., Any], routed: Sequence[Callable[..., Any]]) -> bool:
    """Whether a routed view was guarded after its route had taken it, so that the route serves it unguarded.

    A view that is still known by its name was not decorated, but guarded on purpose for another route.
    """
    try:
        guarded = _made_from.get(view)
    except TypeError:
        return False
    if guarded is None or _is_known_by_name(view):
        return False
    return not ("<locals>" in getattr(view, "__qualname__", "") and any(one in guarded for one in routed))


def _is_known_by_name(view: Callable[..., Any]) -> bool:
    names: dict[str, object] = getattr(view, "__globals__", {})
    return names.get(getattr(view, "__qualname__", "")) is view


def requires_token(view: _View, /) -> _View:
    """Refuse requests without a token: 401.

    ```python
    @app.get("/me")
    @requires_token
    async def me(): ...
    ```
    """
    return _guarding(view, Requirement(), "requires_token")


def single_use(view: _View, /) -> _View:
    """Take each token once on this and all other `single_use` routes, in the whole fleet; the second time is 401.

    The token is claimed last, when every other guard has let it pass, and at most once: after a 503, or when the view
    itself fails, it counts as spent.
    """
    return _guarding(view, Requirement(once=True), "single_use")


def requires_scope(first: str, /, *more: str, kind: str | None = None) -> Callable[[_View], _View]:
    """Refuse tokens that do not grant every one of these scopes: 403.

    ```python
    @requires_scope("read:orders")
    @requires_scope("read:orders", kind="whatalo.session")      # where a verifier takes several kinds
    ```
    """
    requirement = Requirement(every=_scopes("requires_scope", (first, *more)), kinds=_kinds(kind))
    return functools.partial(_guarding, requirement=requirement, name="requires_scope")


def requires_any_scope(first: str, /, *more: str, kind: str | None = None) -> Callable[[_View], _View]:
    """Refuse tokens that grant none of these scopes: 403."""
    requirement = Requirement(any_of=(_scopes("requires_any_scope", (first, *more)),), kinds=_kinds(kind))
    return functools.partial(_guarding, requirement=requirement, name="requires_any_scope")


def requires_kind(first: str, /, *more: str) -> Callable[[_View], _View]:
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


def _guarding(view: _View, requirement: Requirement, name: str) -> _View:
    """`view` behind one guard, which also asks what the guards that `view` already has ask."""
    if inspect.isclass(view):
        raise SettingsError(f"@{name} stands on the class {view.__name__}; put it on its methods, or on as_view()")
    if not callable(view):
        raise SettingsError(
            f"@{name} stands on {type(view).__name__}, which is no view; write @{name} above a function"
        )
    bare, asked = _guarded.get(view, (view, Requirement()))
    asked = asked.and_also(_asked_further_in(bare)).and_also(requirement)
    guarded = _wrapped(bare, asked)
    _guarded[guarded] = (bare, asked)
    _remember_origin(view, guarded)
    return guarded  # type: ignore[return-value]


def _asked_further_in(view: Callable[..., Any]) -> Requirement:
    """What guards ask that another decorator stands above; they still ask it themselves, but first of all we do."""
    while hasattr(view, "__wrapped__"):
        view = view.__wrapped__
        found = requirement_of(view)
        if found is not None:
            return replace(found, once=False)
    return Requirement()


def _remember_origin(view: Callable[..., Any], guarded: Callable[..., Any]) -> None:
    # An object that cannot be referred to weakly was made on the spot, and no route has it.
    with contextlib.suppress(TypeError):
        _made_from.setdefault(view, weakref.WeakSet()).add(guarded)


def _wrapped(view: Callable[..., Any], requirement: Requirement) -> Callable[..., Any]:
    called = called_function(view)
    if inspect.isasyncgenfunction(called):
        guarded = _around_async_generator(view, requirement)
    elif inspect.iscoroutinefunction(called):
        guarded = _around_coroutine(view, requirement)
    else:
        guarded = _around_function(view, requirement)
    functools.update_wrapper(guarded, view)
    guarded.__signature__ = documented_signature(view, requirement.check, requirement.scopes)  # type: ignore[attr-defined]
    return guarded


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
