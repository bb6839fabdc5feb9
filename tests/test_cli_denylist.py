"""`bearerguard revoke` and `bearerguard status`, over real servers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from bearerguard import Denylist, Verifier
from bearerguard.cli.denial.times import time_given
from bearerguard.platforms import shopify
from tests.command_line import WHATALO, run, run_process, token, whatalo
from tests.minting import SECRET
from tests.servers import RedisServer, free_port

__all__ = ["whatalo"]

LONG_ON_OTHER_SERVERS = True

ALONE = ("--authority", "whatalo:wcl_1", "--horizon", "300")


def over(server: RedisServer, *more: str) -> tuple[str, ...]:
    return ("--store", server.url, *more)


def test_revokes_a_tenant_that_a_verifier_then_refuses(redis_server: RedisServer, whatalo: Sequence[str]) -> None:
    before = run("status", "tenant", "str_1", *whatalo, *over(redis_server))
    assert (before.code, before.out.splitlines()[0]) == (0, 'tenant "str_1" of whatalo:wcl_1: not revoked')
    revoked = run("revoke", "tenant", "str_1", *whatalo, *over(redis_server))
    assert (revoked.code, revoked.err, revoked.out.count("\n")) == (0, "", 1)
    assert revoked.out.startswith('revoked tenant "str_1" of whatalo:wcl_1: tokens issued up to ')
    after = run("status", "tenant", "str_1", *whatalo, *over(redis_server))
    assert (after.code, "are refused, and 30 s after it" in after.out) == (1, True)
    assert run("inspect", token(), *whatalo, *over(redis_server)).code == 1
    other = token(storeId="str_2", sub="str_2")
    assert run("inspect", other, *whatalo, *over(redis_server)).code == 0


def test_revokes_without_the_secrets(redis_server: RedisServer, whatalo: Sequence[str]) -> None:
    assert run("revoke", "id", "5b0e4a52", *over(redis_server, *ALONE)).code == 0
    ran = run("status", "id", "5b0e4a52", *over(redis_server, "--authority", "whatalo:wcl_1"), "--json")
    assert (ran.code, ran.facts["revoked"], ran.facts["found"][0]["revoked"]) == (1, True, True)
    assert run("inspect", token(), *whatalo, *over(redis_server)).code == 1
    assert run("inspect", token(jti="another"), *whatalo, *over(redis_server)).code == 0


def test_revokes_a_user_in_the_spelling_of_the_tokens(redis_server: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    options = ("--preset", "shopify.admin", "--client-id", "x", "--client-secret-file", str(tmp_path / "secret"))
    ran = run("revoke", "tenant", "HTTPS://Pine-Lane.MyShopify.com", *options, *over(redis_server), "--json")
    assert ran.facts["revocations"] == [{"authority": "shopify:x", "value": "pine-lane.myshopify.com"}]
    assert run("revoke", "user", "81234567890", *options, *over(redis_server)).code == 0
    with Verifier(shopify.admin(client_id="x", client_secret=SECRET), store=redis_server.url):
        assert run("status", "user", "81234567890", *options, *over(redis_server)).code == 1
    assert "is no tenant of kind" in run(
        "revoke", "tenant", "evil.example.com", *options, *over(redis_server)
    ).assert_one_clear_line(2)


def test_revokes_a_token_as_it_is(redis_server: RedisServer, whatalo: Sequence[str]) -> None:
    good, options = token(), (*whatalo, *over(redis_server))
    assert run("status", "token", good, *options).code == 0
    assert run("revoke", "token", good, *options, "--dry-run").out.startswith("would revoke a token")
    revoked = run("revoke", "token", "-", *options, "--json", stdin=f"Bearer {good}\n")
    assert (revoked.code, revoked.facts["done"]) == (0, True)
    again = run("revoke", "token", good, *options)
    assert (again.code, again.out) == (0, "it is refused already: the token has been revoked\n")
    status = run("status", "token", good, *options, "--json")
    assert (status.code, status.facts["revoked"], status.facts["verdict"]["reason"]) == (1, True, "revoked")
    assert good.rpartition(".")[2] not in revoked.out + again.out + status.out


def test_revokes_no_token_that_is_refused_anyway(redis_server: RedisServer, whatalo: Sequence[str]) -> None:
    expired = token(exp=int(time.time()) - 60)
    ran = run("revoke", "token", expired, *whatalo, *over(redis_server))
    assert (ran.code, ran.out.startswith("nothing to revoke, refused: 401 expired")) == (1, True)


def test_does_nothing_when_it_is_only_asked_what_it_would_do(redis_server: RedisServer, whatalo: Sequence[str]) -> None:
    ran = run("revoke", "tenant", "str_1", *whatalo, *over(redis_server), "--dry-run")
    assert (ran.code, ran.out.startswith('would revoke tenant "str_1"')) == (0, True)
    assert redis_server.cli("DBSIZE") == 0
    elsewhere = ("--store", f"redis://127.0.0.1:{free_port()}")
    facts = run("revoke", "tenant", "str_1", *whatalo, *elsewhere, "--dry-run", "--json").facts
    assert (facts["done"], facts["dry_run"]) == (False, True)


def test_keeps_another_time_where_it_is_told_one(redis_server: RedisServer, whatalo: Sequence[str]) -> None:
    at = int(time.time()) - 100
    options = (*whatalo, *over(redis_server))
    assert run("revoke", "tenant", "str_1", "--issued-before", str(at), *options).code == 0
    assert run("inspect", token(), *options).code == 0
    assert run("status", "tenant", "str_1", *options, "--json").facts["found"][0]["issued_before"] == at


def test_has_a_prefix_of_its_own(redis_server: RedisServer) -> None:
    options = (*over(redis_server, *ALONE), "--prefix", "shop:")
    assert run("revoke", "user", "u", *options).code == 0
    assert run("status", "user", "u", *options).code == 1
    assert run("status", "user", "u", *over(redis_server, *ALONE)).code == 0


def test_takes_a_url_with_a_password_from_a_file_or_a_variable(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "url").write_text(f"{redis_server.url}\n")
    monkeypatch.setenv("THE_STORE", redis_server.url)
    assert run("status", "--store-file", str(tmp_path / "url"), *ALONE).code == 0
    assert run("status", "--store-env", "THE_STORE", *ALONE).code == 0


def test_tells_how_the_memory_of_the_store_stands(redis_server: RedisServer) -> None:
    assert "the store is empty" in run("status", *over(redis_server, *ALONE)).out
    Denylist(redis_server.url, authority="whatalo:wcl_1", horizon=300).revoke_user("u")
    ran = run("status", *over(redis_server, *ALONE), "--json")
    assert ran.facts["store"] == {"is_empty": False, "writes": 1, "memory_lost_at": None}
    redis_server.cli("SET", "bearerguard:{bearerguard}:epoch", "1|1800000000|abc|4")
    lost = run("status", *over(redis_server, *ALONE))
    assert (lost.code, "lost its memory at 2027-01-15" in lost.out) == (0, True)


@pytest.mark.parametrize("argv", [("revoke", "tenant", "x"), ("status", "tenant", "x"), ("status",)])
def test_says_that_the_store_could_not_be_asked(argv: Sequence[str]) -> None:
    said = run(*argv, "--store", f"redis://127.0.0.1:{free_port()}", *ALONE).assert_one_clear_line(3)
    assert "store_unavailable" in said


def test_says_so_in_a_process_of_its_own(whatalo: Sequence[str]) -> None:
    ran = run_process("revoke", "token", token(), *whatalo, "--store", f"redis://127.0.0.1:{free_port()}")
    assert "could not be asked" in ran.assert_one_clear_line(3)


def test_says_that_the_store_holds_something_else(redis_server: RedisServer) -> None:
    redis_server.cli("SET", "bearerguard:{bearerguard}:epoch", "nonsense")
    assert "store_unreadable" in run("status", *over(redis_server, *ALONE)).assert_one_clear_line(3)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        pytest.param(("revoke", "shop", "x", *ALONE), "invalid choice", id="no such thing"),
        pytest.param(("revoke", "user", "x", *WHATALO), "needs --client-secret-file", id="half of the settings"),
        pytest.param(("revoke", "user", "", *ALONE), "say which user", id="an empty user"),
        pytest.param(("revoke", "user", *ALONE), "say which user", id="no user"),
        pytest.param(("revoke", "id", "x", "--authority", "a"), "give the settings max_lifetime", id="no horizon"),
        pytest.param(("revoke", "tenant", "x", "--authority", "a"), "give the settings max_lifetime", id="none either"),
        pytest.param(("revoke", "id", "x", "--until", "tomorrow", *ALONE), "--until is 'tomorrow'", id="no time"),
        pytest.param(("revoke", "id", "x", "--until", "2026-10-01", *ALONE), "--until is '2026-10-01'", id="no zone"),
        pytest.param(("revoke", "id", "x", "--issued-before", "1", *ALONE), "takes --until", id="the other time"),
        pytest.param(("revoke", "user", "x", "--until", "1", *ALONE), "take --issued-before", id="the other way round"),
        pytest.param(("revoke", "token", "x", *ALONE), "only a verifier knows", id="a token, and no settings"),
        pytest.param(("status", "token", "x", *ALONE), "only a verifier knows", id="the same for status"),
        pytest.param(("revoke", "user", "x", "--horizon", "0", "--authority", "a"), "horizon is", id="no lifetime"),
    ],
)
def test_says_what_is_wrong(argv: Sequence[str], says: str) -> None:
    assert says in run(*argv, "--store", "redis://127.0.0.1:1").assert_one_clear_line(2)


def test_says_that_tokens_name_no_user(whatalo: Sequence[str]) -> None:
    ran = run("revoke", "user", "x", *whatalo, "--store", "redis://127.0.0.1:1")
    assert "name no user" in ran.assert_one_clear_line(2)


def test_says_that_there_is_no_such_authority(whatalo: Sequence[str]) -> None:
    ran = run("status", "tenant", "x", *whatalo, "--store", "redis://127.0.0.1:1", "--authority", "other")
    assert "--authority is other; the settings have whatalo:wcl_1" in ran.assert_one_clear_line(2)


@pytest.mark.parametrize("verb", ["revoke", "status"])
def test_does_not_pretend_to_reach_into_another_process(verb: str, whatalo: Sequence[str]) -> None:
    assert "of one process alone" in run(verb, "tenant", "x", *whatalo).assert_one_clear_line(2)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("1800000000", 1_800_000_000, id="seconds"),
        pytest.param("1800000000.5", 1_800_000_000.5, id="a fraction"),
        pytest.param("+300", 1300, id="from now"),
        pytest.param("2027-01-15T08:00:00Z", 1_800_000_000, id="ISO 8601"),
        pytest.param("2027-01-15 10:00+02:00", 1_800_000_000, id="in another zone"),
    ],
)
def test_reads_times(text: str, seconds: float) -> None:
    assert time_given("--until", text, now=1000) == seconds
