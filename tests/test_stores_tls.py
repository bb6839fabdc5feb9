"""A store behind TLS: both sides show who they are, by what the URL says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.fleet_desks import (
    cluster_that_names,
    confirm_what_is_written,
    each_binary,
    offices_over,
    posts_over,
    refusal_of,
    sentinel_that_names,
    token_of_now,
)
from tests.hostile import GOOD
from tests.revoking import Desk, seconds_until
from tests.servers import RedisServer, open_redis
from tests.tls_front import Authority, Certificate, TlsFront

EXPIRED = timedelta(hours=-1)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody here trusts."""
    return Authority(tmp_path_factory.mktemp("tls"), "another")


# One is enough here: what they say goes through unread.
standing_server = each_binary(lambda binary: closing(open_redis(binary.name)), only=slice(1))


@pytest.fixture
def server(standing_server: RedisServer) -> RedisServer:
    """A server with an empty database."""
    standing_server.flush()
    return standing_server


@pytest.fixture
def strict_front(server: RedisServer, authority: Authority) -> Iterator[TlsFront]:
    """A server that wants to see a client's certificate."""
    with TlsFront(server.port, authority, demands_certificate=True) as front:
        yield front


def assert_kept_out(url: str) -> None:
    """Nobody is let in, with no more and no less than a 503."""
    with offices_over(url) as offices:
        for office in offices:
            assert refusal_of(partial(office.desk().verify, token_of_now(office))) == "store_unavailable"


def is_let_in(desk: Desk, text: str) -> bool:
    return desk.verdict(text) == GOOD


def assert_served(url: str) -> None:
    with offices_over(url) as offices:
        for office in offices:
            desk, once = office.desk(), token_of_now(office)
            # In a busy machine the first to shake hands may come too late.
            seconds_until(partial(is_let_in, desk, once), at_most=5)
            assert [desk.spend(once), desk.spend(once)] == [GOOD, "replayed"]
            desk.denylist.revoke(desk.verify(once))
            assert desk.verdict(once) == "revoked"


@pytest.mark.timed
def test_shows_its_certificate_to_a_server_that_wants_to_see_one(strict_front: TlsFront, authority: Authority) -> None:
    assert_served(strict_front.url + authority.query(authority.client()))
    assert strict_front.passed >= 2


SHOWN: dict[str, Callable[[Authority, Authority], Certificate | None]] = {
    "none": lambda _, __: None,
    "expired": lambda known, _: known.client(lifetime=EXPIRED),
    "another authority's": lambda _, other: other.client(),
    "a server's": lambda known, _: known.server(),
}


@pytest.mark.timed
@pytest.mark.parametrize("shown", SHOWN)
def test_is_503_where_the_server_does_not_take_the_certificate(
    strict_front: TlsFront, authority: Authority, another: Authority, shown: str
) -> None:
    assert_kept_out(strict_front.url + authority.query(SHOWN[shown](authority, another)))
    assert strict_front.passed == 0


SERVERS: dict[str, Callable[[Authority, Authority], Certificate]] = {
    "another authority vouches for": lambda _, other: other.server(),
    "has another name": lambda known, _: known.server("redis.example"),
    "has expired": lambda known, _: known.server(lifetime=EXPIRED),
    "is a client": lambda known, _: known.client(),
}


@pytest.mark.timed
@pytest.mark.parametrize("which", SERVERS)
def test_says_nothing_to_a_server_that(
    server: RedisServer, authority: Authority, another: Authority, which: str
) -> None:
    with TlsFront(server.port, authority, certificate=SERVERS[which](authority, another)) as front:
        assert_kept_out(front.url + authority.query())
    assert server.cli("DBSIZE") == 0


@pytest.mark.timed
def test_trusts_nobody_by_default(server: RedisServer, authority: Authority) -> None:
    """An authority of one's own must be named."""
    with TlsFront(server.port, authority) as front:
        assert_kept_out(front.url)
        assert_served(front.url + "?ssl_cert_reqs=none")


@pytest.mark.timed
def test_a_name_may_go_unchecked_where_the_url_says_so(
    server: RedisServer, authority: Authority, another: Authority
) -> None:
    certificate = authority.server("redis.example")
    with TlsFront(server.port, authority, certificate=certificate) as front:
        assert_served(front.url + authority.query() + "&ssl_check_hostname=no")
        assert_kept_out(front.url + another.query() + "&ssl_check_hostname=no")


@pytest.mark.timed
def test_does_not_speak_plainly_to_a_server_that_speaks_tls(strict_front: TlsFront) -> None:
    assert_kept_out(strict_front.url.replace("rediss://", "redis://"))


@pytest.mark.parametrize("wrong", ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile"])
def test_a_file_that_is_not_there_lets_nobody_in(
    strict_front: TlsFront, authority: Authority, tmp_path: Path, wrong: str
) -> None:
    client = authority.client()
    files = {"ssl_ca_certs": authority.path, "ssl_certfile": client.path, "ssl_keyfile": client.key_path}
    files[wrong] = tmp_path / "missing.pem"
    assert_kept_out(f"{strict_front.url}?" + "&".join(f"{name}={path}" for name, path in files.items()))
    assert strict_front.passed == 0


# --- Fleets ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def followed(standing_server: RedisServer) -> Iterator[RedisServer]:
    """A server with a replica, so that what is written can be confirmed."""
    replica = open_redis(standing_server.name)
    try:
        standing_server.cli("CONFIG", "SET", "repl-diskless-sync-delay", 0)
        replica.cli("REPLICAOF", "127.0.0.1", standing_server.port)
        seconds_until(partial(confirm_what_is_written, standing_server), at_most=20)
        yield standing_server
    finally:
        replica.close()


@pytest.mark.timed
@pytest.mark.parametrize("guide", [sentinel_that_names, cluster_that_names])
def test_shows_its_certificate_to_those_who_know_the_server_too(
    followed: RedisServer, authority: Authority, another: Authority, guide: Callable[..., object]
) -> None:
    with (
        TlsFront(followed.port, authority, demands_certificate=True) as front,
        guide(front.port) as plain,  # type: ignore[attr-defined]
        TlsFront(int(plain.partition("127.0.0.1:")[2].partition("/")[0]), authority, demands_certificate=True) as known,
    ):
        url = plain.replace("redis+", "rediss+").replace(str(known.upstream_port), str(known.port))
        with posts_over(url + authority.query(authority.client())):
            assert known.passed >= 2
            assert front.passed >= 2
        assert_kept_out(url + authority.query())
        assert_kept_out(url + another.query(authority.client()))
