"""Whether a store keeps what it is told: pure judgements of what a server says of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from ...rules.epochs import Epoch
from ...stores.redis.visit import ServerTime, Trial
from ..paper import moment, plain
from .rows import Row, fail, ok, skew, skipped, warn

STORE = "store"
OLDEST = (6, 2)
SLOW_MS, VERY_SLOW_MS = 20.0, 100.0

Facts = Mapping[str, str]


def memory_row() -> Row:
    """The store of one process."""
    says = "the store is memory: what one process revokes or spends, others do not know"
    return warn("store", STORE, says, 'with more than one process write store="redis://..."')


def version_row(facts: Facts) -> Row:
    """Which server it is, and whether it is new enough."""
    name = "valkey" if facts.get("server_name") == "valkey" or "valkey_version" in facts else "redis"
    version = facts.get("valkey_version", facts.get("redis_version", ""))
    spoken = _numbers(facts.get("redis_version", version))
    if spoken and spoken < OLDEST:
        return fail("version", STORE, f"{name} {plain(version)} is too old", "take Redis 6.2 or later, or Valkey")
    return ok("version", STORE, f"{name} {plain(version) or 'of an unknown version'}")


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")[:2]
    return tuple(map(int, parts)) if all(part.isascii() and part.isdigit() for part in parts) else ()


def latency_row(seconds: Sequence[float]) -> Row:
    """How long a round trip takes."""
    usual, longest = median(seconds) * 1000, max(seconds) * 1000
    says = f"a round trip takes {usual:.1f} ms, the longest of {len(seconds)} took {longest:.1f} ms"
    if usual < SLOW_MS:
        return ok("latency", STORE, says)
    do = "bring store and app together; each check is one round trip, and after 250 ms without a word it is 503"
    return (warn if usual < VERY_SLOW_MS else fail)("latency", STORE, says, do)


def eviction_row(facts: Facts, *, refuses: bool) -> Row:
    """Whether the server throws keys away for want of memory."""
    policy = facts.get("maxmemory_policy")
    if policy is None:
        return skipped("eviction", STORE, "the server does not say what it does when it is full")
    if policy == "noeviction":
        return ok("eviction", STORE, "when it is full it refuses writes, and forgets nothing")
    bounded = facts.get("maxmemory", "0") != "0"
    says = f"when it is full it throws revocations away ({plain(policy)})"
    if not bounded:
        says += ", though no maxmemory is set now"
    do = "set maxmemory-policy noeviction"
    return (fail if bounded or refuses else warn)("eviction", STORE, says, do)


def room_row(facts: Facts) -> Row | None:
    """How much of its memory is in use; nothing where it has no bound."""
    most, used = _whole(facts.get("maxmemory")), _whole(facts.get("used_memory"))
    if not most or used is None:
        return None
    part = used / most
    says = f"{part:.0%} of its memory is in use"
    return ok("room", STORE, says) if part < 0.8 else warn("room", STORE, says, "raise maxmemory before it is full")


def persistence_row(facts: Facts, *, fsync: str | None, is_durable: bool) -> Row:
    """What a restart would forget."""
    if "aof_enabled" not in facts:
        return skipped("persistence", STORE, "the server does not say what it writes to its disk")
    if facts["aof_enabled"] != "1":
        do = "set appendonly yes"
        if is_durable:
            return fail("persistence", STORE, "durable=True is not true: it has no append-only file", do)
        says = "a restart forgets revocations; it is noticed, and tokens issued before are refused"
        return warn("persistence", STORE, says, do)
    if facts.get("aof_last_write_status", "ok") != "ok":
        return fail("persistence", STORE, "its append-only file cannot be written", "look at the server's disk and log")
    if is_durable and fsync not in (None, "always"):
        says = f"durable=True is not true: a write is confirmed before it is on the disk (appendfsync {plain(fsync)})"
        return fail("persistence", STORE, says, "set appendfsync always, or leave durable=True out")
    return ok("persistence", STORE, "it has an append-only file")


def role_rows(facts: Facts, *, is_replicated: bool) -> Iterator[Row]:
    """Whether it takes writes, and whether somebody stands ready to take its place."""
    if facts.get("role") == "slave":
        yield fail("role", STORE, "it is a replica, which takes no writes and may lag", "name its master")
    elif is_replicated:
        count = _whole(facts.get("connected_slaves")) or 0
        if count:
            yield ok("role", STORE, f"it is the master of {count} replicas")
        else:
            says = "it has no replica, so no revocation is confirmed"
            yield fail("role", STORE, says, "start a replica, or give the plain URL of the one server")


def clock_row(told: ServerTime) -> Row:
    """How far its clock is from ours."""
    middle = (told.ours_before + told.ours_after) / 2
    return skew("clock", STORE, told.theirs - middle, unsure=(told.ours_after - told.ours_before) / 2)


def rights_rows(trial: Trial, prefix: str) -> Iterator[Row]:
    """What the user in the URL may not do, and what the server refuses for another reason."""
    if trial.forbidden or trial.out_of_reach:
        lacks = [*trial.forbidden, *([f"keys that begin with {prefix}"] if trial.out_of_reach else [])]
        grants = [*(f"+{name}" for name in trial.forbidden), *([f"~{prefix}*"] if trial.out_of_reach else [])]
        do = f"ACL SETUSER <user> {' '.join(grants)}"
        yield fail("rights", STORE, f"its user may not use {', '.join(lacks)}", do)
    else:
        yield ok("rights", STORE, "its user may do all that is needed")
    if trial.refused:
        words = ", ".join(sorted(set(trial.refused)))
        yield fail(
            "writes", STORE, f"it refuses writes ({plain(words)})", _WRITES.get(words, "look at the server's log")
        )


_WRITES = {
    "OOM": "it is full: raise maxmemory",
    "READONLY": "it is a replica: name its master",
    "MISCONF": "it cannot write to its disk: look at its log",
    "NOREPLICAS": "it waits for replicas: start them",
    "UNCONFIRMED": "no replica confirmed a write in time: look at the replicas",
}


def watched_row(facts: Facts | None) -> Row:
    """Whether the server says who it is, so that a restart is noticed."""
    if facts is not None and facts.get("run_id"):
        return ok("watch", STORE, "it says which run of the server it is, so a restart is noticed")
    says = "it does not say who it is (INFO), so restarts and its eviction policy go unseen"
    return warn("watch", STORE, says, "ACL SETUSER <user> +info")


def memory_of_store_row(present: Epoch | None) -> Row:
    """What the store remembers."""
    if present is None:
        return ok("memory", STORE, "it is empty: the first verifier that asks begins its memory")
    if present.since:
        says = f"it lost its memory at {moment(present.since)}; tokens issued before are refused"
        return warn("memory", STORE, says, "find out why it forgot, or was restarted; new tokens pass")
    return ok("memory", STORE, f"it remembers {present.seq} writes")


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 20 else None
