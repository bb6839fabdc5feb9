"""What the soak knows while it runs: faults, losses, revocations, and what it has counted so far."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from .oracle import (
    QUEUE_SECONDS,
    REVOKING_SECONDS,
    Asked,
    Door,
    Fault,
    Loss,
    Need,
    Revocation,
    Troubles,
    Verdict,
    bound_seconds,
    permitted,
    replays_are_explained,
)
from .tokens import LONGEST_LIFE, Token
from .wire import Answer

KEPT_SECONDS = LONGEST_LIFE + 60.0
MOST_VIOLATIONS = 50
MOST_DURATIONS = 20_000
BUSY = "the machine was busy"
UNEXPLAINED = "503 without a fault"


@dataclass(frozen=True, slots=True)
class Question:
    """A request that is under way."""

    token: Token
    door: Door
    sent_at: float
    fleet: str


@dataclass(slots=True)
class Count:
    """What is reported at the end."""

    verdicts: Counter[str] = field(default_factory=Counter)
    fleets: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    revocations: Counter[str] = field(default_factory=Counter)
    due: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    unexplained: int = 0
    slowest: dict[str, float] = field(default_factory=dict)
    bounds: dict[str, float] = field(default_factory=dict)
    durations: dict[str, deque[float]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=MOST_DURATIONS))
    )

    @property
    def decisions(self) -> int:
        """How many answers were judged."""
        return sum(self.verdicts.values())


class Ledger:
    """The books of one soak."""

    def __init__(self, say: Callable[[str], None] = print) -> None:
        self.count = Count()
        self._say = say
        self.told: list[str] = []
        self.opaque: dict[str, Token] = {}
        self.faults: list[Fault] = []
        self.losses: list[Loss] = []
        self.known_workers: dict[str, dict[int, float]] = {}
        self._watermarks: dict[str, list[Revocation]] = defaultdict(list)
        self._started = time.time()

    # --- Faults

    @contextmanager
    def fault(self, name: str, *takes: Need) -> Iterator[None]:
        """Something is broken while this lasts."""
        self.count.faults[name] += 1
        fault = Fault(name, frozenset(takes), time.time())
        self.faults.append(fault)
        try:
            yield
        finally:
            self.faults[self.faults.index(fault)] = replace(fault, ended_at=time.time())

    def note_stall(self, began_at: float, ended_at: float) -> None:
        """The machine gave us no time: nobody knows who else got none."""
        self.count.faults[BUSY] += 1
        self.faults.append(Fault(BUSY, frozenset(Need) - {Need.WORKER}, began_at, ended_at))

    # --- Revocations

    def revocations_of(self, token: Token) -> list[Revocation]:
        """Everything that was revoked that the token may be among."""
        return [*token.revocations, *self._watermarks[token.user], *self._watermarks[token.tenant]]

    @contextmanager
    def revoking(self, grounds: list[Revocation], *, is_watermark: bool) -> Iterator[set[str]]:
        """A revocation that goes on while this lasts; it is done if the set has the word "done" at its end."""
        revocation = Revocation(time.time(), is_watermark=is_watermark)
        grounds.append(revocation)
        how = set[str]()
        try:
            yield how
        finally:
            done = replace(revocation, ended_at=time.time(), confirmed="done" in how)
            grounds[grounds.index(revocation)] = done
            self.count.revocations["confirmed" if done.confirmed else "unknown"] += 1

    def watermarks(self, name: str) -> list[Revocation]:
        """What was revoked of a user or a tenant."""
        return self._watermarks[name]

    # --- Questions

    def asks(self, token: Token, door: Door, fleet: str) -> Question:
        """A request is sent now."""
        if door is Door.ONCE:
            token.under_way += 1
        return Question(token, door, time.time(), fleet)

    def hears(self, question: Question, answer: Answer) -> None:
        """Its answer has come: is it right, and in time?"""
        now, token, door = time.time(), question.token, question.door
        if door is Door.ONCE:
            token.under_way -= 1
        asked = Asked(door, question.sent_at, now)
        shown = token.shown(self.revocations_of(token))
        right = permitted(asked, shown, Troubles(self.faults, self.losses))
        self._count(question, answer, right)
        self._note_noticed(answer.verdict, question.sent_at)
        if answer.verdict not in right:
            self._violated(_sort(answer.verdict), question, answer, now, right)
        if self._is_late(f"{_kind(token)}, {door}", question.sent_at, now, answer.took, bound_seconds(door, shown)):
            self._violated("late", question, answer, now, right)
        if answer.verdict is Verdict.PASSED and answer.pid:
            self.known_workers.setdefault(question.fleet, {})[answer.pid] = now
        if door is Door.ONCE:
            self._note_use(question, answer, now)

    def _note_use(self, question: Question, answer: Answer, now: float) -> None:
        token = question.token
        token.passed += answer.verdict is Verdict.PASSED
        token.unknown += answer.verdict in (Verdict.UNAVAILABLE, Verdict.LOST)
        token.replays += answer.verdict is Verdict.REPLAYED
        uses = token.shown(()).uses
        if not uses.under_way and not replays_are_explained(token.replays, uses):
            self._violated("wrong 401", question, answer, now, frozenset())

    def _count(self, question: Question, answer: Answer, right: frozenset[Verdict]) -> None:
        count = self.count
        count.verdicts[answer.verdict] += 1
        count.fleets[question.fleet] += 1
        count.due["must not pass"] += not right & {Verdict.PASSED, Verdict.LACKS_SCOPE}
        count.due["must pass"] += right <= {Verdict.PASSED, Verdict.LACKS_SCOPE}

    def hears_of_revocation(self, sent_at: float, answer: Answer) -> None:
        """A worker has answered an order to revoke: in time?"""
        if answer.verdict not in (Verdict.PASSED, Verdict.UNAVAILABLE, Verdict.LOST):
            self.violated("broken answer", f"to a revocation: {answer}")
        if self._is_late("revocation", sent_at, time.time(), answer.took, REVOKING_SECONDS):
            self.violated("late", f"a revocation that was sent {self.clock(sent_at)}: {answer}")

    def _is_late(self, name: str, sent_at: float, now: float, took: float | None, bound: float) -> bool:
        """Whether the worker took longer than it may, or the caller waited much longer than that."""
        count, slack = self.count, self._slack(sent_at, now)
        lasted = now - sent_at - slack
        inside = max(0.0, (took if took is not None else lasted) - slack)
        count.slowest[name] = max(inside, count.slowest.get(name, 0.0))
        count.durations[name].append(took if took is not None else now - sent_at)
        count.bounds[name] = bound
        return inside > bound or lasted > bound + QUEUE_SECONDS

    def _slack(self, sent_at: float, now: float) -> float:
        """How long its worker, or all of us, may have stood still meanwhile."""
        return sum(
            max(0.0, min(now, fault.ended_at) - max(sent_at, fault.began_at))
            for fault in self.faults
            if Need.WORKER in fault.takes or fault.name == BUSY
        )

    def _note_noticed(self, verdict: Verdict, sent_at: float) -> None:
        for number, loss in enumerate(self.losses):
            if math.isinf(loss.noticed_at) and loss.is_noticed_by(verdict, sent_at):
                self.losses[number] = replace(loss, noticed_at=time.time())

    # --- Violations

    def violated(self, sort: str, what: str) -> None:
        """Something is not as it must be."""
        self.count.violations[sort] += 1
        if len(self.told) < MOST_VIOLATIONS:
            self.told.append(f"{sort}: {what}")
            self._say(self.told[-1])

    def _violated(self, sort: str, question: Question, answer: Answer, now: float, right: Iterable[Verdict]) -> None:
        token = question.token
        around = [fault for fault in self.faults if fault.ended_at + 10 > question.sent_at]
        self.violated(
            sort,
            f"{answer.verdict} ({answer.status}) of {question.fleet} pid {answer.pid} at {question.door}, "
            f"permitted {sorted(right)}, sent {self.clock(question.sent_at)} answered {self.clock(now)}\n"
            f"    token opaque={token.is_opaque} flawed={token.is_flawed} issued {self.clock(token.issued_at)} "
            f"ends {self.clock(token.ends_at)} withdrawn {token.withdrawn_at and self.clock(token.withdrawn_at)} "
            f"passed={token.passed} unknown={token.unknown} under_way={token.under_way} {token.user} {token.tenant}\n"
            f"    revocations {[self._spans(one) for one in self.revocations_of(token)]}\n"
            f"    faults {[(one.name, *self._spans(one)) for one in around]}\n"
            f"    losses {[self._spans(one) for one in self.losses]}\n"
            f"    answer {answer.text[:300]!r}",
        )

    def clock(self, at: float) -> str:
        """A time, in seconds since the soak began."""
        return f"{at - self._started:.3f}"

    def _spans(self, one: Fault | Loss | Revocation) -> list[str]:
        times = [one.began_at, one.back_at if isinstance(one, Loss) else one.ended_at]
        confirmed = ["confirmed" if one.confirmed else "unknown"] if isinstance(one, Revocation) else []
        return [self.clock(at) for at in times] + confirmed

    # --- Housekeeping

    def tidy(self) -> None:
        """Forget what no token is old enough to care about."""
        edge = time.time() - KEPT_SECONDS
        self.faults = [fault for fault in self.faults if fault.ended_at > edge + LONGEST_LIFE]
        self.losses = [loss for loss in self.losses if loss.back_at > edge]
        for name, grounds in self._watermarks.items():
            self._watermarks[name][:] = [one for one in grounds if one.ended_at > edge]
        for text, token in [*self.opaque.items()]:
            if token.ends_at < edge:
                del self.opaque[text]


def _kind(token: Token) -> str:
    return "opaque" if token.is_opaque else "signed"


def _sort(verdict: Verdict) -> str:
    return {
        Verdict.PASSED: "wrong accept",
        Verdict.LACKS_SCOPE: "wrong accept",
        Verdict.UNAVAILABLE: UNEXPLAINED,
        Verdict.LOST: "no answer",
        Verdict.BROKEN: "broken answer",
    }.get(verdict, "wrong 401")
