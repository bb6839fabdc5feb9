"""Walks an application's routes, to find guards that stand where they guard nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from .errors import SettingsError
from .guarded_views import requirement_of, was_guarded_too_late
from .requirements import NAME_A_KIND


def check_guard_order(apps: Iterable[object], *, kinds_must_be_named: bool) -> None:
    """SettingsError for a view whose guard stands above its route decorator, or must name its kind and does not."""
    for view in views_of(apps):
        if was_guarded_too_late(view):
            raise SettingsError(
                f"the view {_name(view)} is guarded above its route decorator, so its route would serve it unguarded; "
                "put the guard below: first @app.get(...), then @requires_scope(...), then the function"
            )
        requirement = requirement_of(view) if kinds_must_be_named else None
        if requirement is not None and requirement.kinds is None:
            raise SettingsError(f"{_name(view)}: {NAME_A_KIND}")


def _name(view: Callable[..., Any]) -> str:
    return getattr(view, "__qualname__", type(view).__name__)


def views_of(apps: Iterable[object]) -> Iterator[Callable[..., Any]]:
    """Every view that applications route to, as far as Starlette's and Flask's tables tell."""
    for part in parts_of(apps):
        yield from _views_at(part)


def parts_of(apps: Iterable[object]) -> Iterator[object]:
    """The applications, and whatever is mounted, wrapped or routed in them, each once."""
    found: list[object] = [app for app in apps if app is not None]
    met: set[int] = set()
    while found:
        part = found.pop()
        if id(part) in met:
            continue
        met.add(id(part))
        yield part
        found += _parts_of(part)


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
