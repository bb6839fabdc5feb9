"""What every test has: the real Redis and Valkey servers, and its place in the run."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import settings

from bearerguard import journal
from tests.servers import (
    NO_OWN_REDIS,
    NO_REDIS,
    REDIS_URL_VARIABLE,
    RedisServer,
    open_redis,
    own_redis_names,
    redis_names,
)
from tests.store_calls import Flavour

# The machine's load must not decide whether a property holds.
settings.register_profile("bearerguard", deadline=None)
settings.load_profile("bearerguard")

_NONE_FOUND = "no server found"
_MOST_WORKERS = 4
_LONG_FILES = {
    f"test_{name}.py"
    for name in (
        *("workers", "replica_doors", "soak", "sentinel", "cluster", "state_machine", "canaries", "store_faults"),
        *("introspection_faults", "redis_bounds", "introspection_cache", "client_credentials_http", "key_sets"),
        *("replica", "introspection_fleet", "fleet", "acl", "open_policies", "server_memory", "stores_tls"),
    )
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """How many share the tests with `-n auto`: one more than there are processors, for tests wait half of their time.

    None do where the environment names one server for all, which each test empties.
    """
    if os.environ.get(REDIS_URL_VARIABLE):
        return 0
    return min((os.cpu_count() or 1) + 1, _MOST_WORKERS)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on every server found, and once, to fail, where there is none.

    A module that says LONG_ON_OTHER_SERVERS leaves all but the first one to `-m long`.
    """
    marks = [pytest.mark.long] if getattr(metafunc.module, "LONG_ON_OTHER_SERVERS", False) else []
    for fixture, names in (("redis_server", redis_names), ("own_redis_server", own_redis_names)):
        if fixture in metafunc.fixturenames:
            first, *others = names() or [_NONE_FOUND]
            servers = [first, *(pytest.param(name, marks=marks) for name in others)]
            metafunc.parametrize(fixture, servers, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take long, so that no worker begins one when the others are done.

    Give a test that asserts a bound in time a second try, of which the summary tells; no other test has one.
    """
    items.sort(key=lambda item: item.path.name not in _LONG_FILES)
    for item in items:
        if item.get_closest_marker("timed"):
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_collection_finish() -> None:
    keep_what_is_there()


@pytest.fixture(scope="module", autouse=True)
def nothing_old_is_looked_through() -> Iterator[None]:
    """What a file leaves, such as the reports of its tests, stays to the end, like all that was collected."""
    yield
    keep_what_is_there()


def keep_what_is_there() -> None:
    """Let Python not look through it again with every collection of garbage, which holds up whoever is timed."""
    gc.collect()
    gc.freeze()


@pytest.fixture(params=["sync", "async"])
def flavour(request: pytest.FixtureRequest) -> Flavour:
    """A test that asks for it runs once from blocking code and once from an event loop."""
    flavour: Flavour = request.param
    return flavour


@pytest.fixture(autouse=True)
def nothing_was_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is kept back from the log because another test has said it in this second."""
    monkeypatch.setattr(journal, "_allowances", {})


@pytest.fixture(scope="session")
def redis_servers() -> Iterator[Mapping[str, RedisServer]]:
    """Every server found, by name, started once for the whole run."""
    names = redis_names()
    if not names:
        pytest.fail(NO_REDIS)
    servers: dict[str, RedisServer] = {}
    try:
        for name in names:
            servers[name] = open_redis(name)
        yield servers
    finally:
        for server in servers.values():
            server.close()


@pytest.fixture
def redis_server(request: pytest.FixtureRequest, redis_servers: Mapping[str, RedisServer]) -> RedisServer:
    """A real server with an empty database; the test runs once on each server found."""
    server = redis_servers[request.param]
    server.flush()
    return server


@pytest.fixture
def own_redis_server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A real server that is this test's alone, to freeze, kill and configure; once for each that can be started."""
    if request.param == _NONE_FOUND:
        pytest.fail(NO_OWN_REDIS)
    server = open_redis(request.param)
    try:
        yield server
    finally:
        server.close()
