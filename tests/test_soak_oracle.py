"""The oracle of the soak: tables of what is permitted. It must be right before it says who is wrong."""

from __future__ import annotations

import math

import pytest

from tests.soak.ledger import Ledger
from tests.soak.oracle import (
    AHEAD_SECONDS,
    CACHE_SECONDS,
    HEALING_SECONDS,
    Asked,
    Door,
    Fault,
    Loss,
    Need,
    Revocation,
    Shown,
    Troubles,
    Uses,
    Verdict,
    bound_seconds,
    permitted,
    replays_are_explained,
)
from tests.soak.tokens import Token
from tests.soak.vitals import FEWEST_SAMPLES, Sample, growth_of
from tests.soak.wire import Answer, answer_of

ISSUED, SENT, ANSWERED, END = 90.0, 100.0, 100.1, 140.0
WHOLE_STORE = frozenset({Need.READS, Need.WRITES, Need.SCRIPTS})

PASSED, LACKS_SCOPE, EXPIRED = Verdict.PASSED, Verdict.LACKS_SCOPE, Verdict.EXPIRED
REVOKED, REPLAYED, INVALID = Verdict.REVOKED, Verdict.REPLAYED, Verdict.INVALID
UNAVAILABLE, LOST = Verdict.UNAVAILABLE, Verdict.LOST


def token(**changes: object) -> Shown:
    """A good signed token, but for what `changes`."""
    usual: dict[str, object] = {"issued_at": ISSUED, "ends_at": END}
    return Shown(**{**usual, **changes})  # type: ignore[arg-type]


def said(shown: Shown, door: Door = Door.PLAIN, *troubles: Fault | Loss) -> set[Verdict]:
    """What may be said of a token that is shown at 100 and answered a tenth of a second later."""
    faults = [one for one in troubles if isinstance(one, Fault)]
    losses = [one for one in troubles if isinstance(one, Loss)]
    return {*permitted(Asked(door, SENT, ANSWERED), shown, Troubles(faults, losses))}


def revoked(began_at: float, ended_at: float, *, confirmed: bool = True, is_watermark: bool = False) -> Shown:
    return token(revocations=[Revocation(began_at, ended_at, confirmed, is_watermark)])


@pytest.mark.parametrize(
    ("shown", "door", "right"),
    [
        pytest.param(token(), Door.PLAIN, {PASSED}, id="good"),
        pytest.param(token(), Door.SCOPED, {PASSED}, id="good, with the scope"),
        pytest.param(token(has_scope=False), Door.SCOPED, {LACKS_SCOPE}, id="without the scope"),
        pytest.param(token(has_scope=False), Door.PLAIN, {PASSED}, id="without the scope where none is asked"),
        pytest.param(token(has_scope=False), Door.ONCE, {PASSED}, id="once, which asks no scope"),
        pytest.param(token(is_flawed=True), Door.PLAIN, {INVALID}, id="tampered with"),
        pytest.param(token(ends_at=100.0), Door.PLAIN, {EXPIRED}, id="ended when it was sent"),
        pytest.param(token(ends_at=100.05), Door.PLAIN, {EXPIRED, PASSED}, id="ends meanwhile"),
        pytest.param(token(ends_at=100.2), Door.PLAIN, {PASSED}, id="ends after the answer"),
        pytest.param(token(ends_at=99.0, is_opaque=True), Door.PLAIN, {EXPIRED, INVALID}, id="opaque, ended"),
        pytest.param(token(ends_at=99.0, is_flawed=True), Door.PLAIN, {INVALID}, id="tampered with and ended"),
    ],
)
def test_knows_a_token_by_itself(shown: Shown, door: Door, right: set[Verdict]) -> None:
    assert said(shown, door) == right


@pytest.mark.parametrize(
    ("shown", "right"),
    [
        pytest.param(revoked(98.0, 99.0), {REVOKED}, id="confirmed before it was sent"),
        pytest.param(revoked(98.0, 100.0), {REVOKED}, id="confirmed in that moment"),
        pytest.param(revoked(99.0, 100.05), {REVOKED, PASSED}, id="confirmed meanwhile"),
        pytest.param(revoked(100.05, math.inf, confirmed=False), {REVOKED, PASSED}, id="begun meanwhile"),
        pytest.param(revoked(100.2, math.inf, confirmed=False), {PASSED}, id="begun after the answer"),
        pytest.param(revoked(95.0, 96.0, confirmed=False), {REVOKED, PASSED}, id="nobody knows whether it is done"),
        pytest.param(revoked(98.0, 99.0, is_watermark=True), {REVOKED}, id="its user"),
        pytest.param(
            revoked(ISSUED - AHEAD_SECONDS, ISSUED, is_watermark=True), {REVOKED}, id="its user, within the leeway"
        ),
        pytest.param(
            revoked(ISSUED - AHEAD_SECONDS - 1.5, ISSUED - AHEAD_SECONDS - 1, is_watermark=True),
            {PASSED},
            id="its user, before it was issued",
        ),
        pytest.param(
            revoked(87.0, ISSUED - AHEAD_SECONDS - 0.5, is_watermark=True),
            {REVOKED, PASSED},
            id="its user, told so on the edge",
        ),
        pytest.param(
            revoked(84.0, 85.0, confirmed=False, is_watermark=True),
            {REVOKED, PASSED},
            id="its user, by an order that may have come late",
        ),
        pytest.param(
            revoked(78.0, 79.0, confirmed=False, is_watermark=True), {PASSED}, id="its user, long before it was issued"
        ),
    ],
)
def test_knows_what_was_revoked(shown: Shown, right: set[Verdict]) -> None:
    assert said(shown) == right


@pytest.mark.parametrize(
    ("withdrawn_at", "right"),
    [
        pytest.param(SENT + 1, {PASSED}, id="later"),
        pytest.param(SENT - 1, {PASSED, INVALID}, id="somebody may remember the answer"),
        pytest.param(SENT - CACHE_SECONDS, {PASSED, INVALID}, id="it is forgotten in this moment"),
        pytest.param(SENT - CACHE_SECONDS - 0.1, {INVALID}, id="nobody remembers it"),
        pytest.param(0.0, {INVALID}, id="never issued"),
    ],
)
def test_knows_what_the_provider_has_withdrawn(withdrawn_at: float, right: set[Verdict]) -> None:
    assert said(token(is_opaque=True, withdrawn_at=withdrawn_at)) == right


@pytest.mark.parametrize(
    ("uses", "right"),
    [
        pytest.param(Uses(), {PASSED}, id="never shown"),
        pytest.param(Uses(passed=1), {REPLAYED}, id="used"),
        pytest.param(Uses(under_way=1), {PASSED, REPLAYED}, id="shown by two at once"),
        pytest.param(Uses(passed=1, under_way=1), {REPLAYED}, id="the other one has passed"),
        pytest.param(Uses(unknown=1), {PASSED, REPLAYED}, id="a retry after a 503 may be told that it was spent"),
    ],
)
def test_knows_what_was_used(uses: Uses, right: set[Verdict]) -> None:
    assert said(token(uses=uses), Door.ONCE) == right
    assert said(token(uses=uses), Door.PLAIN) == {PASSED}


@pytest.mark.parametrize(
    ("uses", "replays", "explained"),
    [
        pytest.param(Uses(), 0, True, id="nothing happened"),
        pytest.param(Uses(passed=1), 3, True, id="one passed"),
        pytest.param(Uses(unknown=1), 3, True, id="one may have passed"),
        pytest.param(Uses(), 1, False, id="all were refused"),
    ],
)
def test_wants_somebody_to_have_passed_where_others_are_replays(uses: Uses, replays: int, explained: bool) -> None:
    assert replays_are_explained(replays, uses) is explained


def lost(began_at: float, gone_at: float = math.inf, noticed_at: float = math.inf) -> Loss:
    return Loss(began_at, gone_at, noticed_at, noticed_at)


@pytest.mark.parametrize(
    ("issued_at", "loss", "right"),
    [
        pytest.param(90.0, lost(95, 95.1, 96), {REVOKED}, id="issued before"),
        pytest.param(90.0, lost(99.9, 100.05), {REVOKED, PASSED}, id="it is being killed"),
        pytest.param(90.0, lost(99.8, 99.9), {REVOKED}, id="it is away"),
        pytest.param(95.05, lost(95, 95.1, 96), {REVOKED, PASSED}, id="issued while it died"),
        pytest.param(97.0, lost(95, 95.1, 96), {REVOKED, PASSED}, id="issued when it was just noticed"),
        pytest.param(99.9, lost(94, 94.1, 95), {PASSED}, id="issued well after"),
        pytest.param(90.0, lost(100.2), {PASSED}, id="it has not yet happened"),
    ],
)
def test_knows_what_may_have_been_forgotten(issued_at: float, loss: Loss, right: set[Verdict]) -> None:
    assert said(token(issued_at=issued_at), Door.PLAIN, loss) == right


@pytest.mark.parametrize(
    ("began_at", "right"),
    [
        pytest.param(ISSUED - AHEAD_SECONDS + 0.5, {REVOKED}, id="issued before it"),
        pytest.param(ISSUED - AHEAD_SECONDS - 0.5, {REVOKED, PASSED}, id="issued in the last second that it means"),
    ],
)
def test_knows_how_far_a_forgotten_watermark_reaches(began_at: float, right: set[Verdict]) -> None:
    shown = revoked(began_at, began_at + 0.1, is_watermark=True)
    loss = lost(began_at + 0.2, began_at + 0.3, began_at + 0.4)
    assert said(shown) == {REVOKED}
    assert said(shown, Door.PLAIN, loss) == right


def broken(*takes: Need, began_at: float = 99.0, ended_at: float = math.inf) -> Fault:
    return Fault("broken", frozenset(takes), began_at, ended_at)


@pytest.mark.parametrize(
    ("shown", "door", "fault", "right"),
    [
        pytest.param(token(), Door.PLAIN, broken(*WHOLE_STORE), {PASSED, UNAVAILABLE}, id="the store"),
        pytest.param(
            token(), Door.PLAIN, broken(*WHOLE_STORE, ended_at=99.5), {PASSED, UNAVAILABLE}, id="the store, until now"
        ),
        pytest.param(
            token(),
            Door.PLAIN,
            broken(*WHOLE_STORE, began_at=90, ended_at=SENT - HEALING_SECONDS - 0.1),
            {PASSED},
            id="the store, well again",
        ),
        pytest.param(token(), Door.PLAIN, broken(*WHOLE_STORE, began_at=100.2), {PASSED}, id="the store, later"),
        pytest.param(
            token(is_flawed=True), Door.PLAIN, broken(*WHOLE_STORE), {INVALID}, id="which a bad one needs not"
        ),
        pytest.param(token(ends_at=99.0), Door.PLAIN, broken(*WHOLE_STORE), {EXPIRED}, id="nor one that has ended"),
        pytest.param(token(), Door.PLAIN, broken(Need.WRITES), {PASSED}, id="writes, which a check needs not"),
        pytest.param(
            token(), Door.ONCE, broken(Need.WRITES), {PASSED, UNAVAILABLE}, id="writes, which one-time use needs"
        ),
        pytest.param(token(), Door.PLAIN, broken(Need.PROVIDER), {PASSED}, id="a provider that nobody asks"),
        pytest.param(
            token(is_opaque=True),
            Door.PLAIN,
            broken(Need.PROVIDER),
            {PASSED, UNAVAILABLE},
            id="the provider that is asked",
        ),
        pytest.param(
            token(is_opaque=True, withdrawn_at=0.0),
            Door.PLAIN,
            broken(Need.PROVIDER),
            {INVALID, UNAVAILABLE},
            id="the provider, asked about nothing",
        ),
        pytest.param(token(), Door.PLAIN, broken(Need.WORKER), {PASSED, LOST}, id="a worker"),
        pytest.param(token(is_flawed=True), Door.PLAIN, broken(Need.WORKER), {INVALID, LOST}, id="a worker, for all"),
        pytest.param(
            revoked(98.0, 99.0), Door.PLAIN, broken(*WHOLE_STORE), {REVOKED, UNAVAILABLE}, id="never an opening"
        ),
        pytest.param(
            token(uses=Uses(passed=1)),
            Door.ONCE,
            broken(*WHOLE_STORE),
            {REPLAYED, UNAVAILABLE},
            id="nor for the second use",
        ),
    ],
)
def test_knows_what_a_fault_excuses(shown: Shown, door: Door, fault: Fault, right: set[Verdict]) -> None:
    assert said(shown, door, fault) == right


@pytest.mark.parametrize(
    ("door", "is_opaque", "seconds"),
    [
        pytest.param(Door.PLAIN, False, 1.0, id="one look at the store"),
        pytest.param(Door.ONCE, False, 2.0, id="and one claim"),
        pytest.param(Door.SCOPED, True, 7.0, id="the provider, and three looks"),
        pytest.param(Door.ONCE, True, 8.0, id="and one claim more"),
    ],
)
def test_bounds_each_kind_of_request(door: Door, is_opaque: bool, seconds: float) -> None:
    assert bound_seconds(door, token(is_opaque=is_opaque)) == seconds


def test_books_each_violation_once() -> None:
    ledger = Ledger()
    shown = Token("text", issued_at=0.0)
    question = ledger.asks(shown, Door.ONCE, "fleet")
    ledger.hears(question, Answer(Verdict.PASSED, 200, 1))
    assert not ledger.count.violations
    ledger.hears(ledger.asks(shown, Door.ONCE, "fleet"), Answer(Verdict.PASSED, 200, 1))
    ledger.hears(ledger.asks(shown, Door.PLAIN, "fleet"), Answer(Verdict.BROKEN, 500))
    assert ledger.count.violations == {"wrong accept": 1, "broken answer": 1}
    assert ledger.count.decisions == 3


def test_books_a_replay_that_nobody_explains() -> None:
    ledger = Ledger()
    shown = Token("text", issued_at=0.0)
    first, second = (ledger.asks(shown, Door.ONCE, "fleet") for _ in range(2))
    ledger.hears(first, Answer(Verdict.REPLAYED, 401))
    assert not ledger.count.violations
    ledger.hears(second, Answer(Verdict.REPLAYED, 401))
    assert ledger.count.violations["wrong 401"]


CHALLENGE = b'WWW-Authenticate: Bearer error="invalid_token", error_description="%b"\r\n'


@pytest.mark.parametrize(
    ("status", "headers", "verdict"),
    [
        pytest.param(200, b"", PASSED, id="200"),
        pytest.param(401, CHALLENGE % b"the token has expired", EXPIRED, id="expired"),
        pytest.param(401, CHALLENGE % b"the token has been revoked", REVOKED, id="revoked"),
        pytest.param(401, CHALLENGE % b"the token has already been used", REPLAYED, id="used"),
        pytest.param(401, CHALLENGE % b"the token is not valid", INVALID, id="not valid"),
        pytest.param(401, CHALLENGE % b"something else", Verdict.BROKEN, id="words that nobody knows"),
        pytest.param(401, b"www-authenticate: Bearer\r\n", INVALID, id="no token"),
        pytest.param(401, b"", Verdict.BROKEN, id="401 without a challenge"),
        pytest.param(403, b"WWW-Authenticate: Bearer scope=x\r\n", LACKS_SCOPE, id="scope"),
        pytest.param(503, b"Retry-After: 1\r\n", UNAVAILABLE, id="503"),
        pytest.param(503, b"", Verdict.BROKEN, id="503 of somebody else"),
        pytest.param(503, b"Retry-After: 1\r\n" + CHALLENGE % b"x", Verdict.BROKEN, id="503 that blames the token"),
        pytest.param(500, b"", Verdict.BROKEN, id="500"),
    ],
)
def test_reads_answers(status: int, headers: bytes, verdict: Verdict) -> None:
    answer = answer_of(b"HTTP/1.1 %d Word\r\n%bX-Pid: 7\r\n\r\n" % (status, headers), b"")
    assert (answer.verdict, answer.status, answer.pid) == (verdict, status, 7)


@pytest.mark.parametrize(
    ("megabytes", "descriptors", "is_flat"),
    [
        pytest.param(0.0, 0.0, True, id="flat"),
        pytest.param(1.0, 0.0, False, id="memory leaks"),
        pytest.param(0.0, 1.0, False, id="descriptors leak"),
        pytest.param(0.05, 0.1, True, id="a little"),
    ],
)
def test_sees_what_grows(megabytes: float, descriptors: float, is_flat: bool) -> None:
    samples = [Sample(float(at), 60 + megabytes * at, int(20 + descriptors * at)) for at in range(3 * FEWEST_SAMPLES)]
    assert growth_of(1, samples).is_flat is is_flat
