"""What the store's answers mean: tables and properties of the pure functions."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bearerguard import Claims, StoreUnavailable, TokenRevoked
from bearerguard.rules.epochs import EPOCH_NAME
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
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SINCE = 1_800_000_000


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
        pytest.param(SINCE, 4200, id="ends now"),
        pytest.param(SINCE + 100, 4300, id="ends later"),
        pytest.param(SINCE + 0.01, 4201, id="rounded up"),
        pytest.param(SINCE - 0.5, 4200, id="ended just now"),
        pytest.param(SINCE - 10_000, 4200, id="ended long ago by a clock that may be ahead"),
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
