"""The TLS front speaks TLS, and refuses those who show no certificate where it demands one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.servers import RedisServer
from tests.tls_front import Authority, TlsFront

EXPIRED = timedelta(hours=-1)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def strict_front(redis_server: RedisServer, authority: Authority) -> Iterator[TlsFront]:
    with TlsFront(redis_server.port, authority, demands_certificate=True) as front:
        yield front


def ping(url: str) -> bool:
    with redis.Redis.from_url(url, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
        return bool(client.ping())


def test_speaks_tls(redis_server: RedisServer, authority: Authority) -> None:
    with (
        TlsFront(redis_server.port, authority) as front,
        redis.Redis.from_url(front.url + authority.query()) as client,
    ):
        big = b"x" * 1_000_000
        assert client.set("big", big)
        assert client.get("big") == big
    assert front.passed == 1
    assert redis_server.cli("STRLEN", "big") == len(big)


def test_is_not_believed_by_who_trusts_another(redis_server: RedisServer, authority: Authority, tmp_path: Path) -> None:
    with (
        TlsFront(redis_server.port, authority) as front,
        pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        ping(front.url + Authority(tmp_path).query())


@pytest.mark.parametrize(
    ("names", "lifetime", "reason"),
    [
        pytest.param(["redis.example"], timedelta(days=1), "mismatch", id="another host"),
        pytest.param([], EXPIRED, "expired", id="expired"),
    ],
)
def test_shows_a_bad_certificate_where_told_so(
    redis_server: RedisServer, authority: Authority, names: list[str], lifetime: timedelta, reason: str
) -> None:
    certificate = authority.server(*names, lifetime=lifetime)
    with (
        TlsFront(redis_server.port, authority, certificate=certificate) as front,
        pytest.raises(redis.ConnectionError, match=reason),
    ):
        ping(front.url + authority.query())


def test_takes_a_client_with_a_certificate(strict_front: TlsFront, authority: Authority) -> None:
    assert ping(strict_front.url + authority.query(authority.client()))


@pytest.mark.parametrize("shown", ["none", "expired", "another authority's", "a server's"])
def test_refuses_a_client_with(strict_front: TlsFront, authority: Authority, tmp_path: Path, shown: str) -> None:
    certificates = {
        "none": None,
        "expired": authority.client(lifetime=EXPIRED),
        "another authority's": Authority(tmp_path).client(),
        "a server's": authority.server(),
    }
    with pytest.raises(redis.ConnectionError):
        ping(strict_front.url + authority.query(certificates[shown]))
    assert strict_front.passed == 0


def test_a_plain_client_gets_nothing(strict_front: TlsFront) -> None:
    with pytest.raises(redis.ConnectionError):
        ping(strict_front.url.replace("rediss://", "redis://"))


def test_leaves_nothing_behind_when_it_is_closed(redis_server: RedisServer, authority: Authority) -> None:
    threads = threading.active_count()
    with TlsFront(redis_server.port, authority) as front:
        client = redis.Redis.from_url(front.url + authority.query(), retry=Retry(NoBackoff(), 0))
        assert client.ping()
    with client, pytest.raises(redis.ConnectionError):
        client.ping()
    assert threading.active_count() == threads
