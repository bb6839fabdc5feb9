"""Walks an application's routes, to find guards that stand where they guard nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from .errors import SettingsError
from .guarded_views import requirement_of, was_guarded_too_late
from .requirements import NAME_A_KIND


class Boundary:
    """A door, as the walk sees it: guards below answer to it, and to no door further out."""

    __slots__ = ()


def check_guard_order(door: Boundary, app: object, outermost: object, *, kinds_must_be_named: bool) -> None:
    """SettingsError for a view whose guard stands above its route decorator, or must name its kind and does not.

    `app` is what the door stands around, and `outermost` the application that it is a part of, if that is known.
    """
    for view in views_of((outermost, app)):
        if was_guarded_too_late(view):
            raise SettingsError(
                f"the view {_name(view)} is guarded above its route decorator, so its route would serve it unguarded; "
                "put the guard below: first @app.get(...), then @requires_scope(...), then the function"
            )
    if kinds_must_be_named:
        _check_kinds_are_named(_views_below(door, app, outermost))


def _check_kinds_are_named(views: Iterable[Callable[..., Any]]) -> None:
    for view in views:
        requirement = requirement_of(view)
        if requirement is not None and requirement.kinds is None:
            raise SettingsError(f"{_name(view)}: {NAME_A_KIND}")


def _name(view: Callable[..., Any]) -> str:
    return getattr(view, "__qualname__", type(view).__name__)


def _views_below(door: Boundary, app: object, outermost: object) -> Iterator[Callable[..., Any]]:
    """The views that no nearer door stands before; where `app` cannot be looked into, those of the application."""
    below = [] if _has_a_door(app) else list(views_of((app,), is_apart=_has_a_door))
    if below or not any(each is door for each in _wrappers_of(outermost)):
        yield from below
    else:
        yield from views_of((outermost,), is_apart=_has_a_door)


def _has_a_door(part: object) -> bool:
    """Whether a route, a mount, a router or an application has a door of its own."""
    return any(isinstance(wrapper, Boundary) or _will_have_a_door(wrapper) for wrapper in _wrappers_of(part))


def _will_have_a_door(app: object) -> bool:
    """Whether a door is among the middleware of an application of Starlette's that was not called yet."""
    added = getattr(app, "user_middleware", None)
    kinds = [getattr(each, "cls", None) for each in added] if isinstance(added, list) else []
    return any(isinstance(kind, type) and issubclass(kind, Boundary) for kind in kinds)


def _wrappers_of(part: object) -> list[object]:
    """What a part is wrapped in, as far as each wrapper tells what it wraps."""
    wrappers: list[object] = []
    while part is not None and not any(part is each for each in wrappers):
        wrappers.append(part)
        inner = [getattr(part, name, None) for name in ("middleware_stack", "wsgi_app", "app")]
        part = next((one for one in inner if one is not None), None)
    return wrappers


def views_of(
    apps: Iterable[object], *, is_apart: Callable[[object], bool] = lambda _: False
) -> Iterator[Callable[..., Any]]:
    """Every view that applications route to, as far as Starlette's and Flask's tables tell."""
    for part in parts_of(apps, is_apart=is_apart):
        yield from _views_at(part)


def parts_of(apps: Iterable[object], *, is_apart: Callable[[object], bool] = lambda _: False) -> Iterator[object]:
    """The applications, and whatever is mounted, wrapped or routed in them, each once."""
    found: list[object] = [app for app in apps if app is not None]
    met: set[int] = set()
    while found:
        part = found.pop()
        if id(part) in met:
            continue
        met.add(id(part))
        yield part
        found += [inner for inner in _parts_of(part) if not is_apart(inner)]


def _views_at(part: object) -> Iterator[Callable[..., Any]]:
    endpoint = getattr(part, "endpoint", None)
    candidates = [endpoint, getattr(getattr(part, "dependant", None), "call", None)]
    views = getattr(part, "view_functions", None)
    candidates += list(views.values()) if isinstance(views, Mapping) else []
    yield from (view for view in candidates if callable(view))


def _parts_of(part: object) -> list[object]:
    """Where to look further: mounted and wrapped applications, routers and routes."""
    inner = [getattr(part, name, None) for name in ("app", "wsgi_app", "router", "original_router", "__self__")]
    routes, mounts = getattr(part, "routes", None), getattr(part, "mounts", None)
    return [
        *(one for one in inner if one is not None),
        *(routes if isinstance(routes, (list, tuple)) else ()),
        *(mounts.values() if isinstance(mounts, Mapping) else ()),
    ]
