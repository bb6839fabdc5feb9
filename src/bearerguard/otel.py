"""Events for OpenTelemetry: counters, and attributes of the span in which a request is answered."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TypeAlias

from .events import (
    ComponentFailed,
    Event,
    PassedUnchecked,
    Revoked,
    TokenAccepted,
    TokenRefused,
    WebSocketClosed,
)
from .extras import brought_by

with brought_by("otel"):
    from opentelemetry.metrics import MeterProvider, get_meter
    from opentelemetry.trace import get_current_span

__all__ = ["OpenTelemetrySink"]

_Attributes: TypeAlias = Mapping[str, str | int]

# Fields by which other events are told apart. Each takes few values, for each value is a time series of its own.
_TELLING = {
    **{name: f"bearerguard.{name}" for name in ("component", "index", "kind", "policy", "rule", "dependency")},
    "error": "error.type",
}


class OpenTelemetrySink:
    """Counts events, and says on the current span how a request was judged.

    ```python
    add_sink(OpenTelemetrySink())
    ```

    Without a `meter_provider` it counts with the global one. Spans are those of the OpenTelemetry middleware around the
    door. Tenants are never counted by; `tenant_on_span=True` writes them on spans.
    """

    def __init__(self, meter_provider: MeterProvider | None = None, *, tenant_on_span: bool = False) -> None:
        meter = get_meter("bearerguard", _our_version(), meter_provider)
        self._tokens = meter.create_counter("bearerguard.tokens", "{token}", "Requests judged, by their outcome")
        self._failures = meter.create_counter("bearerguard.failures", "{failure}", "Components that could not be asked")
        self._revocations = meter.create_counter("bearerguard.revocations", "{revocation}", "Revocations confirmed")
        self._others = meter.create_counter("bearerguard.events", "{event}", "Everything else that was told")
        self._tenant_on_span = tenant_on_span

    def __call__(self, event: Event) -> None:
        """Take in an event."""
        if isinstance(event, TokenAccepted):
            self._accepted(event)
        elif isinstance(event, TokenRefused):
            self._refused(event)
        elif isinstance(event, ComponentFailed):
            self._failures.add(1, {"bearerguard.component": event.component, "error.type": event.error})
        elif isinstance(event, Revoked):
            self._revocations.add(1, {"bearerguard.what": event.what})
        else:
            self._others.add(1, _told_apart(event))
            if isinstance(event, PassedUnchecked):
                _say_on_span({"bearerguard.unchecked": event.dependency})

    def _accepted(self, event: TokenAccepted) -> None:
        said = {"bearerguard.outcome": "accepted", "bearerguard.kind": event.kind}
        self._tokens.add(1, {**said, "bearerguard.seen_before": event.seen_before})
        tenant = {"bearerguard.tenant": event.tenant} if self._tenant_on_span and event.tenant is not None else {}
        _say_on_span({**said, **tenant})

    def _refused(self, event: TokenRefused) -> None:
        outcome = "unavailable" if event.status == 503 else "refused"
        said = {"bearerguard.outcome": outcome, "bearerguard.reason": event.reason}
        if event.kind is not None:
            said["bearerguard.kind"] = event.kind
        self._tokens.add(1, {**said, "http.response.status_code": event.status})
        _say_on_span(said)


def _our_version() -> str:
    """Nothing where we were copied into an application, and not installed."""
    try:
        return version("bearerguard")
    except PackageNotFoundError:
        return ""


def _told_apart(event: Event) -> _Attributes:
    """The name of an event, and what tells it from others of that name."""
    said: dict[str, str | int] = {"bearerguard.event": type(event).__name__}
    if isinstance(event, WebSocketClosed):
        return {**said, "bearerguard.reason": event.reason, "bearerguard.close_code": event.code}
    found = {called: getattr(event, name, None) for name, called in _TELLING.items()}
    return said | {called: value for called, value in found.items() if value is not None}


def _say_on_span(said: _Attributes) -> None:
    span = get_current_span()
    if span.is_recording():
        span.set_attributes(dict(said))
