"""What works with the extra `otel`: events are counted by whatever meter provider there is, without any SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.metrics import Counter, Meter, MeterProvider, NoOpCounter, NoOpMeter

from bearerguard.otel import OpenTelemetrySink
from bearerguard.sinks import add_sink
from bearerguard.wsgi import SessionTokenMiddleware
from tests.packaging.uses.asking import answer_of_wsgi, session_token, session_verifier

counted: list[tuple[str, Mapping[str, Any]]] = []


class Tally(NoOpCounter):
    """Writes down what it is told."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._name = name

    def add(self, amount: float, attributes: Mapping[str, Any] | None = None, *_: Any, **__: Any) -> None:
        counted.append((self._name, attributes or {}))


class TallyMeter(NoOpMeter):
    """Makes such counters."""

    def create_counter(self, name: str, *_: Any, **__: Any) -> Counter:
        return Tally(name)


class Tallies(MeterProvider):
    """Gives such meters."""

    def get_meter(self, name: str, *_: Any, **__: Any) -> Meter:
        return TallyMeter(name)


def app(_: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b""]


if __name__ == "__main__":
    add_sink(OpenTelemetrySink())
    add_sink(OpenTelemetrySink(Tallies()))
    guarded = SessionTokenMiddleware(app, session_verifier())
    assert [answer_of_wsgi(guarded, token).status for token in (None, session_token())] == [401, 200]
    assert [name for name, _ in counted] == ["bearerguard.tokens", "bearerguard.tokens"]
    assert [told["bearerguard.outcome"] for _, told in counted] == ["refused", "accepted"]
