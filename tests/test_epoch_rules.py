"""How a lost memory is told by an epoch and by the server's own words: tables and properties of the pure functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bearerguard import StoreUnavailable, TokenRevoked
from bearerguard.rules.epochs import (
    Amnesia,
    Epoch,
    Memory,
    after_a_write,
    begins_anew,
    check_epoch,
    continues,
    epoch,
    is_same_memory,
    tells_of_a_loss_before,
)

TIMES = st.integers(0, 253_402_300_799)
LEEWAYS = st.one_of(st.integers(0, 300), st.floats(0, 300))
INCARNATIONS = st.text("ABCxyz019_-", min_size=1, max_size=22)
EPOCHS = st.builds(Epoch, TIMES, INCARNATIONS, st.integers(0, 10**15 - 1))
SINCE = 1_800_000_000


# --- Reading an epoch ------------------------------------------------------------------------------------------------


@given(EPOCHS)
def test_reads_every_epoch(wanted: Epoch) -> None:
    assert epoch(f"1|{wanted.since}|{wanted.incarnation}|{wanted.seq}") == wanted


def test_reads_no_epoch_where_there_is_none() -> None:
    assert epoch(None) is None


NO_EPOCHS = (
    *("", "1", "1|5", "1|5|a", "2|5|a|3", "|5|a|3", "01|5|a|3", "1||a|3", "1|5||3", "1|5|a|", "1|5|a|3|", "1|5|a|3|4"),
    *("1|-5|a|3", "1|+5|a|3", "1| 5|a|3", "1|5|a|3 ", "1|5.0|a|3", "1|0x5|a|3", "1|5_0|a|3", "1|\u0665|a|3"),
    *(f"1|{'9' * 5000}|a|3", f"1|5|a|{'9' * 5000}"),
)


@pytest.mark.parametrize("value", NO_EPOCHS, ids=range(len(NO_EPOCHS)))
def test_cannot_read_what_is_no_epoch(value: str) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        epoch(value)
    assert caught.value.reason == "store_unreadable"


@given(st.one_of(st.text(), st.from_regex(r"1\|[0-9]{0,30}\|[a-z|]{0,5}\|[0-9]{0,30}", fullmatch=True)))
@example("1|" + "9" * 4301 + "|a|3")
def test_reads_an_epoch_or_is_unavailable(value: str) -> None:
    try:
        read = epoch(value)
    except StoreUnavailable:
        return
    assert read is not None
    assert value == f"1|{value.split('|')[1]}|{read.incarnation}|{value.split('|')[3]}"
    assert "|" not in read.incarnation


# --- Whether an epoch goes on ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "now", "goes_on"),
    [
        pytest.param(None, None, True, id="a new process, a new store"),
        pytest.param(None, (5, "a", 3), True, id="a new process"),
        pytest.param((0, "a", 3), None, False, id="gone"),
        pytest.param((0, "a", 3), (0, "a", 3), True, id="the same"),
        pytest.param((0, "a", 3), (0, "a", 4), True, id="written to"),
        pytest.param((0, "a", 3), (0, "a", 2), False, id="an older snapshot"),
        pytest.param((0, "a", 3), (0, "b", 3), False, id="begun again, and trusted by who did not know"),
        pytest.param((0, "a", 3), (0, "b", 99), False, id="begun again, and written to often"),
        pytest.param((0, "a", 3), (5, "b", 0), True, id="another process noticed"),
        pytest.param((5, "a", 3), (9, "b", 0), True, id="another process noticed again"),
        pytest.param((9, "a", 3), (5, "b", 7), False, id="older than what was noticed"),
        pytest.param((5, "a", 3), (5, "b", 0), False, id="twice within a second"),
    ],
)
def test_knows_whether_the_store_remembers(
    seen: tuple[int, str, int] | None, now: tuple[int, str, int] | None, goes_on: bool
) -> None:
    assert continues(seen and Epoch(*seen), now and Epoch(*now)) is goes_on


# An incarnation began once, so it tells since when.
HONEST = st.builds(lambda since, letter, seq: Epoch(since, f"{since}{letter}", seq), *[st.integers(0, 3)] * 3)


@given(HONEST, HONEST, HONEST)
def test_what_goes_on_twice_goes_on(first: Epoch, second: Epoch, third: Epoch) -> None:
    if continues(first, second) and continues(second, third):
        assert continues(first, third)


@given(HONEST, HONEST)
def test_no_two_epochs_go_on_in_both_directions(one: Epoch, other: Epoch) -> None:
    assert continues(one, one)
    assert one == other or not (continues(one, other) and continues(other, one))


# --- Whether a server has the memory that another had ----------------------------------------------------------------

AFTER_AN_HOUR = 3700.0
SEEN = Memory(run="a" * 40, history="h1", history_before=None, leads=True, up_since=0, seen_at=100)
SEEN_REPLICATED = replace(SEEN, is_replicated=True)
OTHER_RUN: dict[str, Any] = {"run": "b" * 40, "up_since": 101, "seen_at": 102}
PROMOTED: dict[str, Any] = {"run": "b" * 40, "history": "h2", "history_before": "h1", "up_since": 5, "seen_at": 102}


@pytest.mark.parametrize(
    ("seen", "changes", "is_same"),
    [
        pytest.param(SEEN, {}, True, id="asked again"),
        pytest.param(SEEN, {"seen_at": AFTER_AN_HOUR}, True, id="asked again after an hour"),
        pytest.param(SEEN, {"history": "h2"}, True, id="a first replica came, or the last one left long ago"),
        pytest.param(SEEN, {"history": "h2", "history_before": "h1"}, True, id="a replica of nobody, and back"),
        pytest.param(SEEN, {"leads": False}, True, id="told to be a replica, and not synced yet"),
        pytest.param(
            SEEN,
            {"history": "h2", "history_before": "h1", "leads": False},
            True,
            id="a replica that lost nothing by it",
        ),
        pytest.param(SEEN, {"history": "o1", "leads": False}, False, id="another's replica now"),
        pytest.param(
            SEEN, {"history": "o2", "history_before": "o1"}, False, id="another's replica, and promoted again"
        ),
        pytest.param(
            SEEN, {"history": "o2", "history_before": "o1", "leads": False}, False, id="another's, which was promoted"
        ),
        pytest.param(SEEN, {"history": "h3", "history_before": "h2"}, False, id="a replica of nobody, and back, twice"),
        pytest.param(SEEN, OTHER_RUN | {"history": "h2"}, False, id="restarted"),
        pytest.param(
            SEEN, OTHER_RUN | {"history": "h2", "history_before": "h1"}, False, id="Redis 7 or later, restarted"
        ),
        pytest.param(SEEN, OTHER_RUN | {"run": "a" * 39 + "b"}, False, id="restarted, and a run that looks like it"),
        pytest.param(SEEN, OTHER_RUN | {"up_since": 0}, False, id="another server, up for long, of the same history"),
        pytest.param(SEEN, PROMOTED, False, id="a replica that was promoted, where no write waits for one"),
        pytest.param(SEEN_REPLICATED, PROMOTED, True, id="a replica that was promoted"),
        pytest.param(SEEN_REPLICATED, PROMOTED | {"up_since": 100}, False, id="a replica that started when we asked"),
        pytest.param(SEEN_REPLICATED, PROMOTED | {"up_since": 101}, False, id="Redis 7 or later, restarted, and leads"),
        pytest.param(SEEN_REPLICATED, PROMOTED | {"history_before": None}, False, id="promoted, with nothing before"),
        pytest.param(SEEN_REPLICATED, PROMOTED | {"history_before": "o1"}, False, id="another's replica was promoted"),
        pytest.param(
            SEEN_REPLICATED, PROMOTED | {"history": "h3", "history_before": "h2"}, False, id="two failovers in a row"
        ),
        pytest.param(
            SEEN_REPLICATED, {"history": "h3", "history_before": "h2"}, False, id="a failover, and back to the first"
        ),
        pytest.param(SEEN_REPLICATED, PROMOTED | {"history": "h1", "history_before": None}, False, id="a replica"),
        pytest.param(
            SEEN_REPLICATED, OTHER_RUN | {"history": "o1", "heir_of": "a" * 40}, True, id="the slot was handed over"
        ),
        pytest.param(
            SEEN_REPLICATED, OTHER_RUN | {"history": "o1", "heir_of": "c" * 40}, False, id="handed over by another"
        ),
        pytest.param(SEEN, OTHER_RUN | {"history": "o1", "heir_of": "a" * 40}, False, id="handed over by nobody"),
    ],
)
def test_knows_whether_a_server_remembers(seen: Memory, changes: dict[str, Any], is_same: bool) -> None:
    assert is_same_memory(seen, replace(seen, **changes)) is is_same


@pytest.mark.parametrize(("seen", "now"), [(None, None), (SEEN, None), (None, SEEN)])
def test_nobody_has_forgotten_who_says_nothing_of_himself(seen: Memory | None, now: Memory | None) -> None:
    assert is_same_memory(seen, now)


def test_a_history_that_begins_anew_in_the_same_run_hides_what_came_before_it() -> None:
    """A limit. Whoever asked the server in the meantime has noticed; who did not has the epoch's seq alone.

    It was another's replica, was promoted and had no replica for an hour (repl-backlog-ttl): INFO says nothing of that.
    """
    was_a_replica = replace(SEEN, history="o3", history_before=None, seen_at=AFTER_AN_HOUR)
    assert is_same_memory(SEEN, was_a_replica)
    on_the_way = [
        replace(SEEN, history="o1", leads=False),
        replace(SEEN, history="o2", history_before="o1"),
    ]
    assert [is_same_memory(SEEN, each) for each in on_the_way] == [False, False]


@dataclass
class Server:
    """One server as it lives, and which unbroken memory it has: the truth that INFO only hints at."""

    names: count[int]
    run: int = 0
    history: int = 0
    before: int | None = None
    leads: bool = True
    started: float = 0
    memory: int = 0
    was_led: bool = False

    def restart(self) -> None:
        """Redis 6.2: nothing of the old history is kept."""
        self.run, self.history, self.before = next(self.names), next(self.names), None
        self.leads, self.memory, self.started, self.was_led = True, next(self.names), 101, False

    def restart_with_its_history(self) -> None:
        """Redis 7 and later: a master claims the history that its snapshot names."""
        former = self.history
        self.restart()
        self.before = former

    def follow_another(self) -> None:
        """A full resynchronisation: another's history, another's data."""
        self.history, self.before = next(self.names), None
        self.leads, self.memory, self.was_led = False, next(self.names), True

    def follow_nobody(self) -> None:
        """Its master cannot be reached: it keeps what it has."""
        self.leads = False

    def be_promoted(self) -> None:
        if not self.leads:
            self.before, self.history, self.leads = self.history, next(self.names), True

    def have_a_first_replica(self) -> None:
        """It begins a history, unless it has a backlog from the time when it was led itself."""
        if self.leads and not self.was_led:
            self.history, self.before = next(self.names), None

    def seen(self, at: float, *, is_replicated: bool) -> Memory:
        before = None if self.before is None else f"h{self.before}"
        return Memory(f"r{self.run}", f"h{self.history}", before, self.leads, self.started, at, is_replicated)


FATES: Sequence[Callable[[Server], None]] = (
    Server.restart,
    Server.restart_with_its_history,
    Server.follow_another,
    Server.follow_nobody,
    Server.be_promoted,
    Server.have_a_first_replica,
)


@given(st.lists(st.sampled_from(FATES), max_size=8), st.lists(st.sampled_from(FATES), max_size=8), st.booleans())
def test_no_fate_of_a_server_within_an_hour_hides_a_loss(
    earlier: list[Callable[[Server], None]], later: list[Callable[[Server], None]], is_replicated: bool
) -> None:
    server = Server(count(1))
    for befalls in earlier:
        befalls(server)
    server.started, server.was_led = 0, False
    seen, memory = server.seen(100, is_replicated=is_replicated), server.memory
    for befalls in later:
        befalls(server)
    if is_same_memory(seen, server.seen(102, is_replicated=is_replicated)):
        assert server.memory == memory


# --- What an epoch says of a loss ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lost", "now", "anew"),
    [
        pytest.param(None, None, False, id="nothing was known"),
        pytest.param(None, (5, "b", 0), False, id="nothing was known, and there is one"),
        pytest.param((0, "a", 3), None, False, id="gone"),
        pytest.param((0, "a", 3), (0, "a", 9), False, id="the same"),
        pytest.param((0, "a", 3), (0, "b", 0), False, id="begun by one who knew of no loss"),
        pytest.param((0, "a", 3), (5, "b", 0), True, id="begun because of a loss"),
        pytest.param((5, "a", 3), (5, "b", 0), False, id="in the same second, so it cannot be told"),
        pytest.param((5, "a", 3), (9, "a", 0), False, id="the same, with another time: written by nobody of ours"),
        pytest.param((9, "a", 3), (5, "b", 0), False, id="an older loss"),
    ],
)
def test_knows_whether_an_epoch_tells_of_a_loss(
    lost: tuple[int, str, int] | None, now: tuple[int, str, int] | None, anew: bool
) -> None:
    assert begins_anew(lost and Epoch(*lost), now and Epoch(*now)) is anew


@given(EPOCHS, EPOCHS)
def test_an_epoch_that_tells_of_a_loss_is_continued_by_nothing_that_it_replaced(lost: Epoch, now: Epoch) -> None:
    if begins_anew(lost, now):
        assert continues(lost, now)
        assert not continues(now, lost)
        assert not begins_anew(now, lost)


RUNS = st.text("0123456789abcdef", min_size=40, max_size=40)


@given(RUNS, INCARNATIONS)
def test_an_epoch_tells_in_which_run_it_was_begun(run: str, rest: str) -> None:
    memory = replace(SEEN, run=run)
    assert tells_of_a_loss_before(memory, Epoch(5, f"{memory.tag}_{rest}", 0))
    assert not tells_of_a_loss_before(memory, Epoch(5, f"_{rest}", 0))
    assert not tells_of_a_loss_before(memory, Epoch(0, f"{memory.tag}_{rest}", 0))
    assert not tells_of_a_loss_before(memory, None)
    assert not tells_of_a_loss_before(None, Epoch(5, f"{memory.tag}_{rest}", 0))


@given(RUNS, RUNS, INCARNATIONS)
def test_an_epoch_of_one_run_is_not_taken_for_another_runs(run: str, other: str, rest: str) -> None:
    if run[:12] != other[:12]:
        assert not tells_of_a_loss_before(replace(SEEN, run=run), Epoch(5, f"{replace(SEEN, run=other).tag}_{rest}", 0))


@given(RUNS, INCARNATIONS)
def test_an_epoch_with_the_tag_of_a_run_can_be_read(run: str, rest: str) -> None:
    incarnation = f"{replace(SEEN, run=run).tag}_{rest}"
    assert epoch(f"1|5|{incarnation}|3") == Epoch(5, incarnation, 3)


@given(EPOCHS)
def test_a_write_must_be_seen_again(seen: Epoch) -> None:
    least = after_a_write(seen)
    assert least is not None
    assert continues(seen, least)
    assert not continues(least, seen)
    assert after_a_write(None) is None


# --- What an epoch refuses -------------------------------------------------------------------------------------------


def refusal_of_epoch(
    since: int | None,
    issued_at: float | None,
    now: float,
    *,
    lives: float | None = 100,
    ahead: float = 0,
    on_amnesia: Amnesia = "refuse",
) -> int | None:
    """The status that a token is answered with, None for one that passes."""
    present = None if since is None else Epoch(since, "a", 3)
    try:
        check_epoch(present, issued_at=issued_at, ahead=ahead, lives=lives, now=now, on_amnesia=on_amnesia)
    except (TokenRevoked, StoreUnavailable) as refusal:
        return refusal.status if refusal.reason == "memory_lost" else 500
    return None


@pytest.mark.parametrize(
    ("since", "issued_at", "now", "lives", "ahead", "refuse", "unavailable"),
    [
        pytest.param(None, SINCE - 1, SINCE, 100, 0, None, None, id="no epoch"),
        pytest.param(0, SINCE - 1, SINCE, 100, 0, None, None, id="since always"),
        pytest.param(0, None, 5, 100, 10, None, None, id="since always, no iat"),
        pytest.param(SINCE, SINCE - 1, SINCE, 100, 0, 401, 503, id="issued before"),
        pytest.param(SINCE, SINCE, SINCE, 100, 0, 401, 503, id="issued in that second"),
        pytest.param(SINCE, SINCE + 0.5, SINCE + 1, 100, 0, 401, 503, id="issued later in that second"),
        pytest.param(SINCE, SINCE + 1, SINCE + 1, 100, 0, None, 503, id="issued later"),
        pytest.param(SINCE, SINCE + 10, SINCE, 100, 10, 401, 503, id="issued ahead"),
        pytest.param(SINCE, SINCE + 11, SINCE, 100, 10, None, 503, id="issued further ahead"),
        pytest.param(SINCE, None, SINCE, 100, 0, 401, 503, id="no iat"),
        pytest.param(SINCE, SINCE - 1, SINCE + 100, 100, 0, 401, 503, id="just inside the horizon"),
        pytest.param(SINCE, SINCE - 1, SINCE + 100.9, 100, 0, 401, 503, id="at the last moment inside the horizon"),
        pytest.param(SINCE, SINCE - 1, SINCE + 101, 100, 0, None, None, id="beyond the horizon"),
        pytest.param(SINCE, SINCE - 1, SINCE + 110, 100, 10, 401, 503, id="inside the horizon of one who was ahead"),
        pytest.param(SINCE, None, SINCE + 111, 100, 10, None, None, id="beyond the horizon of one who was ahead"),
        pytest.param(SINCE, SINCE - 1, SINCE + 9e9, None, 0, 401, 503, id="no horizon"),
        pytest.param(SINCE, SINCE + 1, SINCE + 9e9, None, 0, None, 503, id="no horizon, and issued later"),
        pytest.param(SINCE, SINCE - 1, SINCE - 50, 100, 0, 401, 503, id="a clock that was set back"),
    ],
)
def test_refuses_what_may_have_been_forgotten(
    since: int | None,
    issued_at: float | None,
    now: float,
    lives: float | None,
    ahead: float,
    refuse: int | None,
    unavailable: int | None,
) -> None:
    assert refusal_of_epoch(since, issued_at, now, lives=lives, ahead=ahead) == refuse
    assert refusal_of_epoch(since, issued_at, now, lives=lives, ahead=ahead, on_amnesia="unavailable") == unavailable


@given(TIMES, st.one_of(st.none(), TIMES), TIMES, st.one_of(st.none(), st.integers(1, 10**6)), LEEWAYS)
def test_an_earlier_token_is_never_let_in_where_a_later_one_is_refused(
    since: int, issued_at: int | None, now: int, lives: int | None, ahead: float
) -> None:
    if refusal_of_epoch(since, issued_at, now, lives=lives, ahead=ahead):
        assert refusal_of_epoch(since, None, now, lives=lives, ahead=ahead)
        if issued_at is not None:
            assert refusal_of_epoch(since, max(0, issued_at - 1), now, lives=lives, ahead=ahead)


@given(TIMES, st.one_of(st.none(), TIMES), TIMES, st.one_of(st.none(), st.integers(1, 10**6)), LEEWAYS)
def test_nobody_passes_while_unavailable_who_would_be_refused(
    since: int, issued_at: int | None, now: int, lives: int | None, ahead: float
) -> None:
    refused = refusal_of_epoch(since, issued_at, now, lives=lives, ahead=ahead)
    unavailable = refusal_of_epoch(since, issued_at, now, lives=lives, ahead=ahead, on_amnesia="unavailable")
    assert unavailable in (None, 503)
    assert refused is None or unavailable == 503


@given(st.integers(1, 10**9), st.integers(0, 300), st.floats(0, 300), st.integers(1, 10**6), st.floats(0, 1))
def test_a_token_that_was_revoked_before_the_loss_is_refused_to_its_last_moment(
    since: int, leeway: int, ahead: float, lifetime: int, left: float
) -> None:
    """It was issued by a clock that runs ahead, and revoked in the second that the store's clock was cut from."""
    issued_at = since + 0.999 + ahead
    dies_at = issued_at + lifetime + leeway
    for moment in (since + 0.999, since + (dies_at - since) * left, dies_at - 0.01):
        assert refusal_of_epoch(since, issued_at, moment, lives=lifetime + leeway, ahead=ahead) == 401
