"""What the store's answers mean: tables and properties of the pure functions."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bearerguard import Claims, StoreUnavailable, TokenRevoked
from bearerguard.rules.epochs import EPOCH_NAME, Epoch, check_epoch, continues, epoch
from bearerguard.rules.revocation import (
    MARGIN_SECONDS,
    check_marks,
    denial_names,
    identity_of,
    keep_seconds,
    spent_name,
    spent_nonce,
    tenant_name,
    token_identity,
    token_name,
    user_name,
)

TIMES = st.integers(0, 253_402_300_799)
LEEWAYS = st.one_of(st.integers(0, 300), st.floats(0, 300))
INCARNATIONS = st.text("ABCxyz019_-", min_size=1, max_size=22)
EPOCHS = st.builds(Epoch, TIMES, INCARNATIONS, st.integers(0, 10**15 - 1))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SINCE = 1_800_000_000


# --- The epoch: reading it -------------------------------------------------------------------------------------------


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


# --- The epoch: whether it goes on -----------------------------------------------------------------------------------


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


# --- The epoch: what it refuses --------------------------------------------------------------------------------------


def refuses_epoch(
    since: int | None, issued_at: float | None, now: float, horizon: float | None = 100, leeway: float = 0
) -> bool:
    present = None if since is None else Epoch(since, "a", 3)
    try:
        check_epoch(present, issued_at=issued_at, ahead=leeway, lives=horizon, now=now)
    except TokenRevoked as refusal:
        return refusal.reason == "memory_lost"
    return False


@pytest.mark.parametrize(
    ("since", "issued_at", "now", "horizon", "leeway", "refused"),
    [
        pytest.param(None, SINCE - 1, SINCE, 100, 0, False, id="no epoch"),
        pytest.param(0, SINCE - 1, SINCE, 100, 0, False, id="since always"),
        pytest.param(0, None, 5, 100, 10, False, id="since always, no iat"),
        pytest.param(SINCE, SINCE - 1, SINCE, 100, 0, True, id="issued before"),
        pytest.param(SINCE, SINCE, SINCE, 100, 0, True, id="issued in that second"),
        pytest.param(SINCE, SINCE + 0.5, SINCE + 1, 100, 0, True, id="issued later in that second"),
        pytest.param(SINCE, SINCE + 1, SINCE + 1, 100, 0, False, id="issued later"),
        pytest.param(SINCE, SINCE + 10, SINCE, 100, 10, True, id="issued ahead"),
        pytest.param(SINCE, SINCE + 11, SINCE, 100, 10, False, id="issued further ahead"),
        pytest.param(SINCE, None, SINCE, 100, 0, True, id="no iat"),
        pytest.param(SINCE, SINCE - 1, SINCE + 100, 100, 0, True, id="just inside the horizon"),
        pytest.param(SINCE, SINCE - 1, SINCE + 101, 100, 0, False, id="beyond the horizon"),
        pytest.param(SINCE, SINCE - 1, SINCE + 9e9, None, 0, True, id="no horizon"),
        pytest.param(SINCE, SINCE - 1, SINCE - 50, 100, 0, True, id="a clock that was set back"),
    ],
)
def test_refuses_what_may_have_been_forgotten(
    since: int | None, issued_at: float | None, now: float, horizon: float | None, leeway: float, refused: bool
) -> None:
    assert refuses_epoch(since, issued_at, now, horizon, leeway) is refused


@given(TIMES, st.one_of(st.none(), TIMES), TIMES, st.one_of(st.none(), st.integers(1, 10**6)), LEEWAYS)
def test_an_earlier_token_is_never_let_in_where_a_later_one_is_refused(
    since: int, issued_at: int | None, now: int, horizon: int | None, leeway: float
) -> None:
    if refuses_epoch(since, issued_at, now, horizon, leeway):
        assert refuses_epoch(since, None, now, horizon, leeway)
        if issued_at is not None:
            assert refuses_epoch(since, max(0, issued_at - 1), now, horizon, leeway)


# --- Marks -----------------------------------------------------------------------------------------------------------

NAMES = denial_names("a", "identity", user="ana", tenant="str_1")


def refuses_marks(*values: str | None, issued_at: float | None = SINCE, leeway: float = 0) -> bool:
    try:
        check_marks(NAMES, values, issued_at=issued_at, ahead=leeway)
    except TokenRevoked as refusal:
        return refusal.reason == "revoked"
    return False


@pytest.mark.parametrize(
    ("values", "issued_at", "leeway", "refused"),
    [
        pytest.param((None, None, None), SINCE, 0, False, id="nothing"),
        pytest.param(("1|0", None, None), SINCE, 0, True, id="the token, whenever"),
        pytest.param(("1|9999999999", None, None), None, 0, True, id="the token, no iat"),
        pytest.param((None, f"1|{SINCE}", None), SINCE, 0, True, id="the user, in that second"),
        pytest.param((None, f"1|{SINCE - 1}", None), SINCE, 0, False, id="the user, before"),
        pytest.param((None, f"1|{SINCE - 1}", None), SINCE, 1, True, id="the user, within leeway"),
        pytest.param((None, f"1|{SINCE - 1}", None), SINCE, 0.5, False, id="the user, beyond leeway"),
        pytest.param((None, None, f"1|{SINCE + 5}"), SINCE, 0, True, id="the tenant"),
        pytest.param((None, "1|0", f"1|{SINCE}"), SINCE, 0, True, id="the tenant, not the user"),
        pytest.param((None, "1|0", "1|0"), SINCE, 300, False, id="both long ago"),
        pytest.param((None, "1|0", None), None, 0, True, id="a watermark, no iat"),
    ],
)
def test_refuses_by_marks(
    values: tuple[str | None, ...], issued_at: float | None, leeway: float, refused: bool
) -> None:
    assert refuses_marks(*values, issued_at=issued_at, leeway=leeway) is refused


@pytest.mark.parametrize("value", ["", "1", "1|", "|5", "2|5", "1|-5", "1| 5", "1|5 ", "1|5.0", "1|5|6", "1|\u0665"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_cannot_read_what_is_no_mark(value: str, place: int) -> None:
    values: list[str | None] = [None, None, None]
    values[place] = value
    with pytest.raises(StoreUnavailable) as caught:
        refuses_marks(*values)
    assert caught.value.reason == "store_unreadable"


@given(st.one_of(st.text(), st.integers(0, 10**30).map(lambda number: f"1|{number}")), LEEWAYS)
@example("1|" + "9" * 4301, 0)
@example("1|" + "9" * 400, 0.5)
def test_reads_a_mark_or_is_unavailable(value: str, leeway: float) -> None:
    try:
        refuses_marks(None, value, None, leeway=leeway)
    except StoreUnavailable:
        return
    assert re.fullmatch(r"1\|[0-9]+", value)


@given(TIMES, TIMES, TIMES, LEEWAYS)
def test_a_higher_watermark_refuses_no_less(issued_at: int, mark: int, more: int, leeway: float) -> None:
    if refuses_marks(None, f"1|{mark}", None, issued_at=issued_at, leeway=leeway):
        assert refuses_marks(None, f"1|{mark + more}", None, issued_at=issued_at, leeway=leeway)


def test_asks_for_as_many_values_as_names() -> None:
    with pytest.raises(ValueError, match="zip"):
        check_marks(NAMES, [None], issued_at=None, ahead=0)


@pytest.mark.parametrize("value", ["", "1", "1|", "2|nonce"])
def test_cannot_read_what_is_no_nonce(value: str) -> None:
    with pytest.raises(StoreUnavailable):
        spent_nonce(value)


def test_reads_a_nonce() -> None:
    assert (spent_nonce(None), spent_nonce("1|abc"), spent_nonce("1|a|b")) == (None, "abc", "a|b")


# --- How long --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("until", "seconds"),
    [
        pytest.param(SINCE, 600, id="ends now"),
        pytest.param(SINCE + 100, 700, id="ends later"),
        pytest.param(SINCE + 0.01, 601, id="rounded up"),
        pytest.param(SINCE - 0.5, 600, id="ended just now"),
        pytest.param(SINCE - 10_000, 1, id="ended long ago"),
        pytest.param(0, 1, id="the beginning of time"),
    ],
)
def test_keeps_an_entry_beyond_the_end(until: float, seconds: int) -> None:
    assert keep_seconds(until, now=SINCE) == seconds


@given(st.floats(0, 253_402_300_799), st.floats(0, 253_402_300_799))
def test_never_keeps_an_entry_too_short(until: float, now: float) -> None:
    kept = keep_seconds(until, now=now)
    assert type(kept) is int
    assert kept >= max(1, math.floor(until - now) + MARGIN_SECONDS)


# --- Names -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=2, max_size=2, unique=True))
def test_two_pairs_never_have_one_name(pairs: list[tuple[str, str]]) -> None:
    for name in (token_identity, user_name, tenant_name):
        assert name(*pairs[0]) != name(*pairs[1])


@given(TEXTS, TEXTS)
def test_names_say_nothing_of_what_they_name(authority: str, text: str) -> None:
    names = [token_name(token_identity(authority, text)), spent_name(token_identity(authority, text))]
    names += [user_name(authority, text), tenant_name(authority, text)]
    assert all(re.fullmatch(r"[dsut]:[A-Za-z0-9_-]{43}", name) for name in names)
    assert len({name[2:] for name in names}) == 3
    assert EPOCH_NAME not in names


@pytest.mark.parametrize(
    ("user", "tenant", "letters"),
    [(None, None, "d"), ("", None, "du"), ("u", None, "du"), (None, "t", "dt"), ("u", "t", "dut")],
)
def test_asks_under_every_name_there_is(user: str | None, tenant: str | None, letters: str) -> None:
    assert "".join(name[0] for name in denial_names("a", "i", user=user, tenant=tenant)) == letters


def test_knows_a_token_by_its_id_or_else_by_what_was_signed() -> None:
    named = Claims({"jti": "id"}, kind="k", authority="a", signed=b"signed")
    nameless = Claims({}, kind="k", authority="a", signed=b"signed")
    assert identity_of(named) == token_identity("a", "id")
    assert identity_of(nameless) not in (None, identity_of(named), token_identity("a", b"signed".hex()))
    assert identity_of(Claims({"jti": "id"}, kind="k")) is None
    assert identity_of(Claims({}, kind="k", authority="a")) is None
