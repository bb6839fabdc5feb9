"""`bearerguard doctor`: what it finds, with real servers that are well, ill, and not there."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from bearerguard import JwksKeys, OpaqueTokens, RedisStore, SharedSecrets, Verifier
from bearerguard.cli.call import Heard, listening
from bearerguard.cli.doctor import store as health
from bearerguard.cli.doctor.examining import Part, examined
from bearerguard.cli.doctor.reachability import place_of_url, why_unreachable
from bearerguard.cli.doctor.rows import Row, ok, skew
from bearerguard.cli.doctor.verb import doctor_rows
from bearerguard.platforms import jtl, oauth
from bearerguard.rules.epochs import Epoch
from bearerguard.settings import Kind
from bearerguard.stores.redis.visit import ServerTime, Trial
from tests.command_line import Ran, run, run_process, whatalo
from tests.fleet_desks import confirm_what_is_written
from tests.hostile import AUDIENCE, ISSUER, settings
from tests.introspecting import CLIENT_ID, CLIENT_SECRET, ENDPOINT, OLD_CLIENT_SECRET
from tests.minting import OLD_SECRET, SECRET, private_key, public_jwk
from tests.redis_fleets import ClusterFleet, SentinelFleet
from tests.revoking import seconds_until
from tests.scripted_provider import Line, Play, ScriptedProvider, answer, json_answer, status
from tests.servers import RedisBinary, RedisServer, free_port, redis_binaries, start_redis
from tests.test_acl import LOGIN, RIGHTS, let_in, more_for

__all__ = ["whatalo"]

LONG_ON_OTHER_SERVERS = True

BOUND_SECONDS = 15.0


def healths(ran: Ran) -> dict[str, str]:
    """How each check of the store went."""
    return {row["check"]: row["health"] for row in ran.facts["checks"] if row["about"] == "store"}


# --- Stores ----------------------------------------------------------------------------------------------------------


def test_finds_a_store_well(redis_server: RedisServer) -> None:
    ran = run("doctor", "--store", redis_server.url, "--json")
    assert (ran.code, ran.facts["healthy"], ran.facts["counts"]["fail"]) == (0, True, 0)
    found = healths(ran)
    assert found.pop("persistence") == "warn"
    assert set(found.values()) == {"ok"}
    assert found.keys() >= {"store", "latency", "watch", "version", "eviction", "rights", "clock", "memory"}


def test_leaves_nothing_behind_in_the_store(redis_server: RedisServer) -> None:
    run("doctor", "--store", redis_server.url)
    assert redis_server.cli("DBSIZE") == 0


def test_shows_a_table_to_people(redis_server: RedisServer) -> None:
    ran = run("doctor", "--store", redis_server.url)
    lines = ran.out.splitlines()
    assert lines[-1].endswith("1 warn, 0 fail, 0 skipped")
    assert [line for line in lines if line.startswith("warn")] != []
    assert "-> set appendonly yes" in ran.out


def test_finds_out_why_a_store_does_not_answer() -> None:
    ran = run("doctor", "--store", f"redis://127.0.0.1:{(port := free_port())}", "--json")
    assert (ran.code, healths(ran)["store"], healths(ran)["rights"]) == (1, "fail", "skipped")
    assert f"nobody listens at 127.0.0.1:{port}" in ran.out


def test_shows_nothing_of_a_url_that_a_terminal_would_obey() -> None:
    ran = run("doctor", "--store", "redis://a%1bc:1")
    assert (ran.code, "\x1b" in ran.out) == (1, False)


def test_finds_a_host_that_is_not_there() -> None:
    assert "there is no host nohost.invalid" in run("doctor", "--store", "redis://nohost.invalid", "--json").out


def test_says_so_in_a_process_of_its_own() -> None:
    ran = run_process("doctor", "--store", f"redis://127.0.0.1:{free_port()}")
    assert (ran.code, ran.err, "nobody listens" in ran.out) == (1, "", True)


@pytest.mark.timed
def test_ends_in_time_with_a_frozen_store(own_redis_server: RedisServer) -> None:
    own_redis_server.freeze()
    started = time.monotonic()
    ran = run("doctor", "--store", own_redis_server.url, "--json")
    assert time.monotonic() - started < BOUND_SECONDS
    assert (ran.code, healths(ran)["store"]) == (1, "fail")
    assert "does not answer within a quarter of a second" in ran.out


def test_finds_a_wrong_password(tmp_path: Path) -> None:
    with closing(start_redis(redis_binaries()[0], password="right")) as server:
        for login in ("", ":wrong@"):
            (tmp_path / "url").write_text(f"redis://{login}127.0.0.1:{server.port}")
            ran = run("doctor", "--store-file", str(tmp_path / "url"), "--json")
            assert (ran.code, "refuses the user or the password" in ran.out) == (1, True)
            assert "wrong@" not in ran.out


def test_finds_a_store_that_evicts_and_one_that_is_full() -> None:
    with closing(start_redis(redis_binaries()[0], "--maxmemory", "9mb", "--maxmemory-policy", "allkeys-lru")) as server:
        ran = run("doctor", "--store", server.url, "--json")
        assert (ran.code, healths(ran)["eviction"]) == (1, "fail")
        server.cli("CONFIG", "SET", "maxmemory-policy", "noeviction")
        server.cli("CONFIG", "SET", "maxmemory", "1mb")
        full = run("doctor", "--store", server.url, "--json")
        assert (healths(full)["eviction"], healths(full)["room"], healths(full)["writes"]) == ("ok", "warn", "fail")
        assert "it is full: raise maxmemory" in full.out


def test_finds_a_replica(own_redis_server: RedisServer) -> None:
    own_redis_server.cli("REPLICAOF", "127.0.0.1", str(free_port()))
    ran = run("doctor", "--store", own_redis_server.url, "--json")
    assert (ran.code, healths(ran)["role"]) == (1, "fail")


@pytest.mark.parametrize("one", RIGHTS)
def test_finds_each_right_that_is_missing(one: str, own_redis_server: RedisServer, tmp_path: Path) -> None:
    url = let_in(own_redis_server, [right for right in RIGHTS if right != one])
    (tmp_path / "url").write_text(url)
    ran = run("doctor", "--store-file", str(tmp_path / "url"), "--json")
    advice = [row["do"] for row in ran.facts["checks"] if row["do"] is not None]
    assert any(one in words.split() for words in advice)
    assert ran.code == (0 if one == "+info" else 1)


def test_asks_for_no_more_rights_than_there_are(own_redis_server: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "url").write_text(let_in(own_redis_server, RIGHTS))
    ran = run("doctor", "--store-file", str(tmp_path / "url"), "--json")
    assert (ran.code, healths(ran)["rights"]) == (0, "ok")


@pytest.mark.long
@pytest.mark.parametrize("binary", redis_binaries(), ids=lambda binary: binary.name)
def test_finds_a_fleet_well_and_one_that_confirms_nothing(binary: RedisBinary) -> None:
    with SentinelFleet(binary) as fleet:
        seconds_until(lambda: confirm_what_is_written(fleet.master, replicas=1), at_most=20)
        ran = run("doctor", "--store", f"redis+sentinel://{fleet.addresses}/{fleet.service}", "--json")
        assert (ran.code, healths(ran)["role"], healths(ran)["rights"]) == (0, "ok", "ok")
    with ClusterFleet(binary) as cluster:
        ran = run("doctor", "--store", f"redis+cluster://{cluster.addresses}", "--json")
        assert (ran.code, healths(ran)["role"], healths(ran)["writes"]) == (1, "fail", "fail")


def test_finds_the_rights_that_a_replica_in_the_process_needs(own_redis_server: RedisServer) -> None:
    def rights(granted: Sequence[str]) -> Row:
        store = RedisStore(let_in(own_redis_server, granted), replica=True)
        return next(row for row in rows_of(settings(), store=store) if row.check == "rights")

    more = more_for("replica=True")
    assert rights((*RIGHTS, *more)).health == "ok"
    assert set(rights(RIGHTS).do.split()) >= set(more)  # type: ignore[union-attr]


def test_finds_keys_that_are_out_of_reach(own_redis_server: RedisServer) -> None:
    own_redis_server.cli("ACL", "SETUSER", "bearerguard", "on", f">{LOGIN[12:-1]}", "~other:*", "+@all")
    url = own_redis_server.url.replace("redis://", f"redis://{LOGIN}")
    (row,) = [row for row in rows_of(settings(), store=url) if row.check == "rights"]
    assert (row.health, "~bearerguard:*" in (row.do or "")) == ("fail", True)


# --- What follows from what a server says ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        pytest.param(health.version_row({"redis_version": "6.2.14"}), "ok", id="Redis 6.2"),
        pytest.param(health.version_row({"redis_version": "6.0.16"}), "fail", id="Redis 6.0"),
        pytest.param(health.version_row({"redis_version": "7.2.4", "valkey_version": "9.1.0"}), "ok", id="Valkey"),
        pytest.param(health.version_row({"redis_version": "x\x1b"}), "ok", id="a version that nobody can read"),
        pytest.param(health.version_row({}), "ok", id="no version"),
        pytest.param(health.latency_row([0.001] * 9 + [0.2]), "ok", id="one slow answer"),
        pytest.param(health.latency_row([0.05] * 10), "warn", id="slow"),
        pytest.param(health.latency_row([0.2] * 10), "fail", id="very slow"),
        pytest.param(health.eviction_row({}, refuses=False), "skipped", id="no word of eviction"),
        pytest.param(health.eviction_row({"maxmemory_policy": "noeviction"}, refuses=True), "ok", id="noeviction"),
        pytest.param(
            health.eviction_row({"maxmemory_policy": "volatile-lru", "maxmemory": "0"}, refuses=False),
            "warn",
            id="it would evict, and has no bound",
        ),
        pytest.param(
            health.eviction_row({"maxmemory_policy": "volatile-lru", "maxmemory": "0"}, refuses=True),
            "fail",
            id="the settings refuse it",
        ),
        pytest.param(
            health.eviction_row({"maxmemory_policy": "volatile-lru", "maxmemory": "1"}, refuses=False),
            "fail",
            id="it evicts",
        ),
        pytest.param(health.persistence_row({}, fsync=None, is_durable=False), "skipped", id="no word of a disk"),
        pytest.param(health.persistence_row({"aof_enabled": "0"}, fsync=None, is_durable=False), "warn", id="no file"),
        pytest.param(
            health.persistence_row({"aof_enabled": "0"}, fsync=None, is_durable=True), "fail", id="durable, and no file"
        ),
        pytest.param(
            health.persistence_row({"aof_enabled": "1"}, fsync="everysec", is_durable=True),
            "fail",
            id="durable, and a second late",
        ),
        pytest.param(
            health.persistence_row({"aof_enabled": "1"}, fsync="everysec", is_durable=False), "ok", id="a second late"
        ),
        pytest.param(health.persistence_row({"aof_enabled": "1"}, fsync="always", is_durable=True), "ok", id="durable"),
        pytest.param(
            health.persistence_row({"aof_enabled": "1", "aof_last_write_status": "err"}, fsync=None, is_durable=False),
            "fail",
            id="a full disk",
        ),
        pytest.param(health.watched_row(None), "warn", id="no INFO"),
        pytest.param(health.watched_row({"run_id": ""}), "warn", id="a proxy"),
        pytest.param(health.memory_of_store_row(Epoch(0, "a", 3)), "ok", id="it remembers"),
        pytest.param(health.memory_of_store_row(Epoch(1_800_000_000, "a", 3)), "warn", id="it forgot"),
        pytest.param(health.clock_row(ServerTime(100.0, 100.0, 100.2)), "ok", id="one clock"),
        pytest.param(health.clock_row(ServerTime(110.0, 100.0, 100.2)), "warn", id="ten seconds"),
        pytest.param(health.clock_row(ServerTime(10.0, 100.0, 100.2)), "fail", id="a minute and a half"),
        pytest.param(next(iter(health.rights_rows(Trial(), "p:"))), "ok", id="all rights"),
        pytest.param(next(iter(health.rights_rows(Trial(("set",)), "p:"))), "fail", id="no right to write"),
        pytest.param([*health.rights_rows(Trial((), ("OOM",)), "p:")][1], "fail", id="no room to write"),
        pytest.param(next(iter(health.role_rows({"role": "slave"}, is_replicated=True))), "fail", id="a replica"),
        pytest.param(next(iter(health.role_rows({"role": "master"}, is_replicated=True))), "fail", id="alone"),
        pytest.param(
            next(iter(health.role_rows({"role": "master", "connected_slaves": "2"}, is_replicated=True))),
            "ok",
            id="a master of two",
        ),
        pytest.param(skew("clock", "x", -3.0, unsure=1.5), "ok", id="nobody can be so sure"),
        pytest.param(health.memory_row(), "warn", id="memory"),
    ],
)
def test_judges_what_a_server_says(row: Row, wanted: str) -> None:
    assert row.health == wanted
    assert (row.do is None) == (wanted in ("ok", "skipped"))
    assert row.says.isprintable()


# --- Settings --------------------------------------------------------------------------------------------------------


def rows_of(*kinds: Kind, store: Any = "memory://") -> list[Row]:
    """What doctor finds of these settings."""
    with listening() as heard, Verifier(*kinds, store=store) as verifier:
        return doctor_rows(verifier, heard)


def found(rows: Sequence[Row], check: str) -> list[str]:
    return [row.health for row in rows if row.check == check]


def test_finds_settings_well(whatalo: Sequence[str]) -> None:
    ran = run("doctor", *whatalo, "--json")
    assert ran.code == 0
    assert [row["check"] for row in ran.facts["checks"] if row["health"] == "warn"] == ["store"]
    assert SECRET not in ran.out


def test_finds_what_is_not_checked_and_what_is_open() -> None:
    keys = JwksKeys(f"http://127.0.0.1:{free_port()}/keys", on_failure="open")
    rows = rows_of(jtl.session_tokens(client_id="x", keys=keys))
    assert found(rows, "bindings") == ["warn", "warn"]
    assert (found(rows, "settings"), found(rows, "policies")) == (["warn"], ["warn"])


def test_finds_short_secrets(redis_server: RedisServer) -> None:
    short = SharedSecrets(SECRET, "short")
    assert found(rows_of(settings(keys=short, allow_short_secret=True)), "secrets") == ["warn"]
    opaque = oauth.opaque_access_tokens(ISSUER, AUDIENCE, client_id="x", client_secret="short")
    assert found(rows_of(opaque, store=redis_server.url), "secrets") == ["warn"]


def test_finds_that_nobody_knows_how_long_tokens_live() -> None:
    assert found(rows_of(settings()), "lifetimes") == ["warn"]
    assert found(rows_of(settings(max_lifetime=60)), "lifetimes") == ["ok"]


# --- Providers -------------------------------------------------------------------------------------------------------


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider(status(404)) as provider:
        yield provider


def asked_by(provider: ScriptedProvider, **fields: Any) -> OpaqueTokens:
    usual: dict[str, Any] = {
        "issuer": provider.url(""),
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "audience": AUDIENCE,
        "assumed_lifetime": 60,
    }
    return OpaqueTokens(**usual | fields)


def publish(provider: ScriptedProvider, **metadata: Any) -> None:
    document = {"issuer": provider.url(""), "introspection_endpoint": provider.url(ENDPOINT), **metadata}
    provider.play("/.well-known/oauth-authorization-server", json_answer(document))


def takes(*secrets: str) -> Play:
    """A provider that takes these secrets, and knows no token."""
    import base64
    from urllib.parse import quote_plus

    pairs = {base64.b64encode(f"{quote_plus(CLIENT_ID)}:{quote_plus(one)}".encode()).decode() for one in secrets}

    def play(line: Line) -> None:
        taken = line.request.headers.get("authorization", "").removeprefix("Basic ") in pairs
        (json_answer({"active": False}) if taken else status(401))(line)

    return play


def test_finds_a_provider_well(provider: ScriptedProvider) -> None:
    publish(provider)
    provider.play(ENDPOINT, takes(CLIENT_SECRET))
    rows = rows_of(asked_by(provider))
    assert (found(rows, "discovery"), found(rows, "credentials")) == (["ok"], ["ok"])


def test_finds_which_of_two_client_secrets_is_refused(provider: ScriptedProvider) -> None:
    publish(provider)
    provider.play(ENDPOINT, takes(CLIENT_SECRET))
    rows = rows_of(asked_by(provider, client_secret=SharedSecrets(CLIENT_SECRET, OLD_CLIENT_SECRET)))
    assert found(rows, "credentials") == ["ok", "fail"]
    assert "client secret 2 of 2" in next(
        row.says for row in rows if row.check == "credentials" and row.health == "fail"
    )


@pytest.mark.parametrize(
    ("play", "says"),
    [
        pytest.param(json_answer({"active": True}), "calls a made-up token active", id="it takes anything"),
        pytest.param(json_answer({"active": True, "exp": "x"}), "calls a made-up token active", id="and says no end"),
        pytest.param(status(500), "answered status 500", id="broken"),
        pytest.param(answer(b"<html>"), "something that cannot be used", id="HTML"),
    ],
)
def test_finds_what_is_wrong_with_introspection(provider: ScriptedProvider, play: Play, says: str) -> None:
    publish(provider)
    provider.play(ENDPOINT, play)
    (row,) = [row for row in rows_of(asked_by(provider)) if row.check == "credentials"]
    assert (row.health, says in row.says) == ("fail", True)


@pytest.mark.parametrize(
    ("metadata", "says", "do"),
    [
        pytest.param({"issuer": "https://other.example"}, "names another issuer", "write issuer=", id="another issuer"),
        pytest.param({"introspection_endpoint": None}, "names no introspection_endpoint", "give the", id="no endpoint"),
        pytest.param({"introspection_endpoint": "https://x.example/i"}, "of another origin", "allow", id="elsewhere"),
    ],
)
def test_finds_metadata_that_does_not_fit(
    provider: ScriptedProvider, metadata: Mapping[str, Any], says: str, do: str
) -> None:
    publish(provider, **metadata)
    (row,) = [row for row in rows_of(asked_by(provider)) if row.check == "discovery"]
    assert (row.health, says in row.says, do in (row.do or "")) == ("fail", True, True)


def test_finds_no_provider_at_all() -> None:
    kind = OpaqueTokens(
        issuer=f"http://127.0.0.1:{(port := free_port())}", client_id="x", client_secret=SECRET, audience="y"
    )
    rows = rows_of(kind)
    assert f"nobody listens at 127.0.0.1:{port}" in [row.says for row in rows]
    assert found(rows, "credentials") == ["skipped"]


def key_set(provider: ScriptedProvider, **headers: str) -> Kind:
    document = {"keys": [public_jwk(private_key("ES256"))]}
    provider.play("/keys", json_answer(document, headers=headers))
    return settings(keys=JwksKeys(provider.url("/keys")), algorithms=("ES256",), issuer=provider.url(""))


def test_finds_a_key_set_well(provider: ScriptedProvider) -> None:
    kind = key_set(provider, date=formatdate(usegmt=True))
    publish(provider, jwks_uri=provider.url("/keys"))
    rows = rows_of(kind)
    assert (found(rows, "keys"), found(rows, "discovery"), found(rows, "clock")) == (["ok"], ["ok"], ["ok"])
    assert "has 1 that fit" in next(row.says for row in rows if row.check == "keys")


def test_tells_metadata_that_is_not_there_from_an_issuer_that_does_not_answer(provider: ScriptedProvider) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    for issuer, says in ((provider.url(""), "publishes no metadata"), (away, "could not be asked")):
        kind = dataclasses.replace(key_set(provider), issuer=issuer)
        (row,) = [row for row in rows_of(kind) if row.check == "discovery"]
        assert (row.health, says in row.says) == ("skipped", True)


def test_counts_keys_in_words() -> None:
    one, two = rows_of(settings()), rows_of(settings(keys=SharedSecrets(SECRET, OLD_SECRET)))
    assert any(row.says.startswith("1 secret, for") for row in one)
    assert any(row.says.startswith("2 secrets, for") for row in two)


def test_finds_that_the_metadata_names_another_key_set(provider: ScriptedProvider) -> None:
    kind = key_set(provider)
    publish(provider, jwks_uri="https://id.example.com/other-keys")
    rows = rows_of(kind)
    assert (found(rows, "discovery"), found(rows, "clock")) == (["warn"], ["skipped"])


@pytest.mark.parametrize(
    ("play", "says"),
    [
        pytest.param(status(404), "answered status 404", id="not there"),
        pytest.param(json_answer({"keys": []}), "something that cannot be used", id="no keys"),
        pytest.param(answer(b"<html>"), "something that cannot be used", id="HTML"),
    ],
)
def test_finds_what_is_wrong_with_a_key_set(provider: ScriptedProvider, play: Play, says: str) -> None:
    kind = key_set(provider)
    provider.play("/keys", play)
    (row,) = [row for row in rows_of(kind) if row.check == "keys"]
    assert (row.health, says in row.says) == ("fail", True)


@pytest.mark.parametrize(
    ("ahead", "age", "wanted"),
    [
        pytest.param(0, 0, "ok", id="one time"),
        pytest.param(-600, 600, "ok", id="an old answer that says how old it is"),
        pytest.param(10, 0, "warn", id="ten seconds ahead"),
        pytest.param(-120, 0, "fail", id="two minutes behind"),
    ],
)
def test_finds_clocks_that_differ(provider: ScriptedProvider, ahead: float, age: int, wanted: str) -> None:
    kind = key_set(provider, date=formatdate(time.time() + ahead, usegmt=True), age=str(age))
    assert found(rows_of(kind), "clock") == [wanted]


def test_looks_at_every_part_though_the_first_one_fails(provider: ScriptedProvider) -> None:
    publish(provider)
    provider.play(ENDPOINT, takes(CLIENT_SECRET))
    rows = rows_of(asked_by(provider), key_set(provider), store=f"redis://127.0.0.1:{free_port()}")
    assert found(rows, "store") == ["fail"]
    assert (found(rows, "credentials"), found(rows, "keys")) == (["ok"], ["ok"])


# --- In time ---------------------------------------------------------------------------------------------------------


def test_waits_no_longer_than_it_says_it_does() -> None:
    import threading

    never = threading.Event()

    def hangs(note: Any) -> None:
        note(ok("first", "slow", "this was found before"))
        never.wait()

    def quick(note: Any) -> None:
        note(ok("only", "quick", "this was found, too"))

    rows = examined([Part("slow", hangs), Part("quick", quick)], within=0.05)
    never.set()
    assert [(row.about, row.check, row.health) for row in rows] == [
        ("slow", "first", "ok"),
        ("slow", "deadline", "fail"),
        ("quick", "only", "ok"),
    ]


def test_tells_of_an_examination_that_broke() -> None:
    def breaks(_: Any) -> None:
        raise LookupError(SECRET)

    (row,) = examined([Part("any", breaks)])
    assert (row.health, "LookupError" in row.says, SECRET in row.says) == ("fail", True, False)


def test_hears_each_thread_apart() -> None:
    import threading

    from bearerguard.events import StoreForgot

    heard = Heard()
    other = threading.Thread(target=heard, args=(StoreForgot(),))
    other.start()
    other.join()
    assert (heard.mark(), heard.since(0)) == (0, [])


def test_tells_hosts_from_ports() -> None:
    assert place_of_url("redis://a:1/0") == ("a", 1)
    assert place_of_url("https://a/x") == ("a", 443)
    assert place_of_url("redis+sentinel://a:1,b:2/m") is None
    assert place_of_url("unix:///x") is None
    with ScriptedProvider(status(200)) as provider:
        port = int(provider.url("").rpartition(":")[2])
        assert "does not answer as it should" in why_unreachable("127.0.0.1", port)[0]
