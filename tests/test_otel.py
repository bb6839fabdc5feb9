"""Events for OpenTelemetry, as the real SDK reads them: counters, and attributes of the span around a request."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from bearerguard import Verifier, requires_scope, single_use
from bearerguard.events import (
    CacheForged,
    CacheNotKept,
    ClientRefused,
    ComponentFailed,
    Event,
    KeysRefreshed,
    MetadataUnusable,
    OldClientSecretUsed,
    OldSecretUsed,
    PassedUnchecked,
    ProviderFailed,
    ReplicaDropped,
    Revoked,
    RuleRaised,
    StoreEvicts,
    StoreFailed,
    StoreForgot,
    StoreMetEmpty,
    StoreUnwatched,
    TokenAccepted,
    TokenRefused,
    WebSocketClosed,
)
from bearerguard.otel import OpenTelemetrySink
from bearerguard.sinks import set_sinks, to_log
from tests.doors import WORLDS, Ask, World, bearer
from tests.hostile import Clock
from tests.minting import SECRET
from tests.revoking import shop_settings, token
from tests.servers import free_port

Attributes = Mapping[str, Any]


class Telescope:
    """What OpenTelemetry has seen: the counters by their attributes, and the spans that have ended."""

    def __init__(self, **options: Any) -> None:
        self._reader = InMemoryMetricReader()
        self._spans = InMemorySpanExporter()
        self.meters = MeterProvider([self._reader])
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.sink = OpenTelemetrySink(self.meters, **options)

    def counted(self) -> dict[str, list[tuple[Attributes, int]]]:
        """For each counter, how often it counted what."""
        data: Any = self._reader.get_metrics_data()
        metrics = [] if data is None else [each for one in data.resource_metrics for each in one.scope_metrics]
        return {
            metric.name: [(dict(point.attributes), point.value) for point in metric.data.data_points]
            for scope in metrics
            for metric in scope.metrics
        }

    def units(self) -> dict[str, str]:
        """The unit of each counter, none of which is ever counted down."""
        (resource,) = self._reader.get_metrics_data().resource_metrics  # type: ignore[union-attr]
        (scope,) = resource.scope_metrics
        assert scope.scope.name == "bearerguard"
        assert all(metric.data.is_monotonic for metric in scope.metrics)  # type: ignore[union-attr]
        return {metric.name: metric.unit or "" for metric in scope.metrics}

    def within_span(self, work: Callable[[], object]) -> Attributes:
        """What is written on the span in which the work is done."""
        with self.tracers.get_tracer("a server's").start_as_current_span("GET /"):
            work()
        return dict(self._spans.get_finished_spans()[-1].attributes or {})

    def close(self) -> None:
        """Done."""
        self.meters.shutdown()
        self.tracers.shutdown()


@pytest.fixture
def telescope() -> Iterator[Telescope]:
    telescope = Telescope()
    bring_back = set_sinks(telescope.sink)
    yield telescope
    bring_back()
    telescope.close()


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> World:
    return WORLDS[request.param]


ACCEPTED = {"bearerguard.outcome": "accepted", "bearerguard.kind": "signed"}
REFUSED = {"bearerguard.outcome": "refused", "bearerguard.reason": "expired", "bearerguard.kind": "signed"}


# --- Counters --------------------------------------------------------------------------------------------------------

COUNTED: list[tuple[Event, str, Attributes]] = [
    (
        TokenAccepted(kind="signed", tenant="str_1", seen_before=True),
        "tokens",
        {**ACCEPTED, "bearerguard.seen_before": True},
    ),
    (
        TokenRefused(reason="expired", status=401, kind="signed", detail=""),
        "tokens",
        {**REFUSED, "http.response.status_code": 401},
    ),
    (
        TokenRefused(reason="missing_token", status=401, kind=None, detail=""),
        "tokens",
        {
            "bearerguard.outcome": "refused",
            "bearerguard.reason": "missing_token",
            "http.response.status_code": 401,
        },
    ),
    (
        TokenRefused(reason="store_unavailable", status=503, kind=None, detail=""),
        "tokens",
        {
            "bearerguard.outcome": "unavailable",
            "bearerguard.reason": "store_unavailable",
            "http.response.status_code": 503,
        },
    ),
    *(
        (failed, "failures", {"bearerguard.component": failed.component, "error.type": "KeyError"})
        for failed in (
            ComponentFailed(component="WebSocket watch", error="KeyError", elapsed=1.5),
            StoreFailed(component="store", error="KeyError", elapsed=1.5),
            ProviderFailed(component="key set", error="KeyError", elapsed=1.5),
        )
    ),
    (Revoked(what="tenant", authorities=("a", "b")), "revocations", {"bearerguard.what": "tenant"}),
    *(
        (event, "events", {"bearerguard.event": type(event).__name__, **told})
        for event, told in (
            (
                WebSocketClosed(code=1008, reason="revoked"),
                {"bearerguard.reason": "revoked", "bearerguard.close_code": 1008},
            ),
            (
                PassedUnchecked(dependency="store", kind="signed"),
                {"bearerguard.dependency": "store", "bearerguard.kind": "signed"},
            ),
            (RuleRaised(rule="picky", error="KeyError"), {"bearerguard.rule": "picky", "error.type": "KeyError"}),
            (StoreMetEmpty(), {}),
            (StoreForgot(), {}),
            (StoreEvicts(policy="allkeys-lru"), {"bearerguard.policy": "allkeys-lru"}),
            (StoreUnwatched(), {}),
            (ReplicaDropped(why="it lagged by 1.234 s"), {}),
            (ClientRefused(component="opaque"), {"bearerguard.component": "opaque"}),
            (MetadataUnusable(component="opaque", what="a long story"), {"bearerguard.component": "opaque"}),
            (CacheForged(component="opaque"), {"bearerguard.component": "opaque"}),
            (
                CacheNotKept(component="opaque", error="KeyError"),
                {"bearerguard.component": "opaque", "error.type": "KeyError"},
            ),
            (KeysRefreshed(kind="signed", keys=3), {"bearerguard.kind": "signed"}),
            (OldSecretUsed(index=1), {"bearerguard.index": 1}),
            (
                OldClientSecretUsed(component="opaque", index=1),
                {"bearerguard.component": "opaque", "bearerguard.index": 1},
            ),
        )
    ),
]


@pytest.mark.parametrize(("event", "counter", "attributes"), COUNTED, ids=[repr(event) for event, _, _ in COUNTED])
def test_counts_an_event_where_it_belongs(
    telescope: Telescope, event: Event, counter: str, attributes: Attributes
) -> None:
    for _ in range(3):
        telescope.sink(event)
    assert telescope.counted() == {f"bearerguard.{counter}": [(attributes, 3)]}


def test_counters_have_names_and_units_as_opentelemetry_asks(telescope: Telescope) -> None:
    for event, _, _ in COUNTED:
        telescope.sink(event)
    assert telescope.units() == {
        "bearerguard.tokens": "{token}",
        "bearerguard.failures": "{failure}",
        "bearerguard.revocations": "{revocation}",
        "bearerguard.events": "{event}",
    }


def test_counts_what_a_door_lets_pass_and_refuses(telescope: Telescope, world: World) -> None:
    same = token()
    ask = world(lambda: "done", Verifier(shop_settings(), clock=Clock()))
    for text in (same, same, same, token(exp=1)):
        ask(Ask(headers=[bearer(text)]))
    counted = telescope.counted()["bearerguard.tokens"]
    assert sorted(counted, key=str) == sorted(
        [
            ({**ACCEPTED, "bearerguard.seen_before": False}, 1),
            ({**ACCEPTED, "bearerguard.seen_before": True}, 2),
            ({**REFUSED, "http.response.status_code": 401}, 1),
        ],
        key=str,
    )


def test_tenants_make_no_time_series(world: World) -> None:
    telescope = Telescope(tenant_on_span=True)
    bring_back = set_sinks(telescope.sink)
    ask = world(lambda: "done", Verifier(shop_settings(), clock=Clock()))
    for number in range(50):
        ask(Ask(headers=[bearer(token(tenant=f"str_{number}"))]))
    bring_back()
    ((attributes, count),) = telescope.counted()["bearerguard.tokens"]
    telescope.close()
    assert count == 50
    assert "str_" not in str(attributes)


# --- Spans -----------------------------------------------------------------------------------------------------------


def spanned(world: World, telescope: Telescope, text: str, view: Any = lambda: "done", **where: Any) -> Attributes:
    """What the span around a request says."""
    ask = world(view, Verifier(shop_settings(), clock=Clock(), **where))
    return telescope.within_span(lambda: ask(Ask(headers=[bearer(text)])))


def test_says_on_the_span_how_a_request_was_judged(telescope: Telescope, world: World) -> None:
    assert spanned(world, telescope, token()) == ACCEPTED
    assert spanned(world, telescope, token(exp=1)) == REFUSED


def test_the_last_word_on_a_span_is_the_guards(telescope: Telescope, world: World) -> None:
    guarded = requires_scope("read:orders")(lambda: "done")
    assert spanned(world, telescope, token(), guarded) == REFUSED | {"bearerguard.reason": "insufficient_scope"}


def test_says_on_the_span_that_we_could_not_find_out(telescope: Telescope, world: World) -> None:
    assert spanned(world, telescope, token(), store=f"redis://127.0.0.1:{free_port()}/0") == {
        "bearerguard.outcome": "unavailable",
        "bearerguard.reason": "store_unavailable",
    }
    ((failed, _),) = telescope.counted()["bearerguard.failures"]
    assert failed == {"bearerguard.component": "store", "error.type": "NotSent"}


def test_says_on_the_span_that_a_request_passed_unchecked(telescope: Telescope) -> None:
    event = PassedUnchecked(dependency="keys", kind="signed")
    assert telescope.within_span(lambda: telescope.sink(event)) == {"bearerguard.unchecked": "keys"}


@pytest.mark.parametrize(
    ("options", "tenant", "said"),
    [
        pytest.param({}, "str_1", None, id="not asked for"),
        pytest.param({"tenant_on_span": True}, "str_1", "str_1", id="asked for"),
        pytest.param({"tenant_on_span": True}, None, None, id="asked for, and there is none"),
        pytest.param({"tenant_on_span": True}, "a\n" + "b" * 500, "a\\n" + "b" * 125, id="escaped and cut"),
    ],
)
def test_says_the_tenant_on_spans_only_when_asked(
    options: dict[str, Any], tenant: str | None, said: str | None
) -> None:
    telescope = Telescope(**options)
    event = TokenAccepted(kind="signed", tenant=tenant, seen_before=False)
    attributes = telescope.within_span(lambda: telescope.sink(event))
    telescope.close()
    assert attributes == ACCEPTED | ({} if said is None else {"bearerguard.tenant": said})


def test_needs_no_span(telescope: Telescope, world: World) -> None:
    assert world(lambda: "done", Verifier(shop_settings(), clock=Clock()))(Ask(headers=[bearer(token())])).status == 200
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_writes_nothing_on_spans_that_nobody_records(telescope: Telescope, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    tracer = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False).get_tracer("a server's")
    with tracer.start_as_current_span("GET /") as span:
        telescope.sink(TokenAccepted(kind="signed", tenant=None, seen_before=False))
    ended = tracer.start_span("ended")
    ended.end()
    with trace.use_span(ended):
        telescope.sink(TokenAccepted(kind="signed", tenant=None, seen_before=False))
    assert not span.is_recording()
    assert caplog.messages == []


def test_says_nothing_that_was_sent(telescope: Telescope, world: World) -> None:
    mark = "HuSh"
    texts = [token(jti=f"{mark}-jti", sub=f"{mark}-sub", **more) for more in ({}, {"exp": 1}, {"iss": mark})]
    ask = world(single_use(lambda: "done"), Verifier(shop_settings(), clock=Clock()))
    spans = [telescope.within_span(lambda text=text: ask(Ask(headers=[bearer(text)]))) for text in [*texts, *texts]]  # type: ignore[misc]
    said = f"{spans} {telescope.counted()}"
    assert "replayed" in said
    pieces = {piece for text in texts for piece in text.split(".")}
    assert [piece for piece in {mark, SECRET, "str_1", *pieces} if piece in said] == []


# --- What it takes ---------------------------------------------------------------------------------------------------


def run(script: str) -> str:
    """What a script prints, run by a Python of its own."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_counts_with_the_global_provider_also_where_that_is_set_later() -> None:
    script = """
from opentelemetry import metrics
from bearerguard.events import StoreForgot
from bearerguard.otel import OpenTelemetrySink
from bearerguard.sinks import add_sink, tell
add_sink(OpenTelemetrySink())
tell(StoreForgot())
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
tell(StoreForgot())
print(reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics[0].data.data_points[0].value)
"""
    assert run(script) == "1"


def test_needs_the_api_alone() -> None:
    script = """
import sys
from bearerguard.events import StoreForgot
from bearerguard.otel import OpenTelemetrySink
OpenTelemetrySink()(StoreForgot())
print([name for name in sys.modules if name.startswith("opentelemetry.sdk")])
"""
    assert run(script) == "[]"


def test_stands_beside_the_log(telescope: Telescope, caplog: pytest.LogCaptureFixture) -> None:
    bring_back = set_sinks(to_log, telescope.sink)
    verifier = Verifier(shop_settings(), clock=Clock())
    WORLDS["asgi"](lambda: "done", verifier)(Ask(headers=[bearer("a.b.c")]))
    bring_back()
    assert "malformed" in caplog.text
    assert [*telescope.counted()] == ["bearerguard.tokens"]
