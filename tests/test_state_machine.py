"""Any order of issuing, revoking, spending, waiting and failing: what may be answered is what a model says, no more.

Two verifiers stand for two processes over one store. The model knows nothing of how the store is written to: it keeps
what was asked for, what was confirmed, and what was lost, and says of each question which answers are permitted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, TypeAlias

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bearerguard import Claims, MemoryStore, Verifier
from tests.hostile import GOOD, Clock
from tests.revoking import HORIZON, STEM, Desk, Office, office_of, refused_after, shop_settings, token
from tests.servers import RedisServer, own_redis_names
from tests.store_calls import Flavour

LEEWAY = 10
LONG_ON_OTHER_SERVERS = True
MARGIN = 4200
"""For how long a revocation outlives what it revokes (RULES.md, section 4)."""

UNAVAILABLE = frozenset({"store_unavailable", "token_state_unknown"})

# What FAULTS.md allows, twice: the machine may be busy.
DEADLINE = 2 * 0.5
WELL_AGAIN = 2 * 1.0
GIVEN_UP_AFTER = 0.2

# The server's own time cannot be moved, so all else is in its past; see `Redis.has_noticed`.
AGO = 30 * 86_400

Kept: TypeAlias = Literal["all", "snapshot", "nothing"]
"""What a server that was killed still has when it is back."""


# --- The model -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Issued:
    """A token, and what the model must know of it; it was issued at `born`, whatever it says itself."""

    jti: str | None
    user: str
    tenant: str
    iat: float | None
    exp: float
    born: float
    text: str = field(repr=False)

    @property
    def identity(self) -> str:
        """What it is revoked and spent under."""
        return self.text if self.jti is None else self.jti

    @property
    def dies_at(self) -> float:
        """Until when it is accepted."""
        return math.floor(self.exp) + LEEWAY


@dataclass(frozen=True)
class Mark:
    """A revocation, or a use: about whom, for tokens of which age, until when, and whether it was confirmed."""

    kind: Literal["token", "user", "tenant", "use"]
    name: str
    ends: float
    made: float
    latest: float = math.inf
    is_sure: bool = True

    def is_about(self, issued: Issued) -> bool:
        """Whether it concerns a token."""
        named = {"user": issued.user, "tenant": issued.tenant}.get(self.kind, issued.identity)
        return self.name == named and (issued.iat is None or issued.iat <= self.latest + LEEWAY)


class Model:
    """What has happened, and which answers it permits.

    `now` is the right time, by which tokens are issued; the processes' clock may be wrong by `wrong_by`.
    """

    def __init__(self, now: float) -> None:
        self.now = now
        self.wrong_by = 0.0
        self.is_frozen = False
        self.lost_at: float | None = None
        """When the store lost its memory, as it tells; infinity while nobody has noticed."""
        self.marks: tuple[Mark, ...] = ()
        self.snapshot: tuple[Mark, ...] = ()
        self.confirmed: list[Mark] = []

    @property
    def clock(self) -> float:
        """What the processes think the time is."""
        return self.now + self.wrong_by

    def mark(self, kind: Literal["token", "user", "tenant", "use"], name: str, until: float, latest: float) -> Mark:
        """A mark that is made now and kept until then, by the processes' clock, and somewhat longer."""
        return Mark(kind, name, self.now + max(0, until - self.clock + MARGIN), self.now, latest)

    def take(self, mark: Mark, *, is_sure: bool) -> None:
        """A mark was asked for; the store confirmed it, or did not say."""
        self.marks += (replace(mark, is_sure=is_sure),)
        if is_sure:
            self.confirmed.append(mark)

    def lose(self, kept: Kept) -> None:
        """The store came back with a part of its memory, or with all of it while nobody can know that."""
        self.marks = {"all": self.marks, "snapshot": self.snapshot, "nothing": ()}[kept]
        self.snapshot = () if kept == "nothing" else self.marks
        self.lost_at = math.inf

    def verdicts(self, issued: Issued) -> frozenset[str]:
        """What may be said of a token."""
        if self.clock >= issued.dies_at:
            return frozenset({"expired"})
        if issued.iat is not None and self.clock < issued.iat - LEEWAY:
            return frozenset({"not_yet_valid"})
        if self.is_frozen:
            return frozenset({"store_unavailable"})
        if self.is_of_lost_memory(issued):
            return frozenset({"memory_lost"})
        return self._marked(issued, "revoked", "token", "user", "tenant")

    def is_of_lost_memory(self, issued: Issued) -> bool:
        """Whether it was issued when what is lost could have told of it."""
        if self.lost_at is None:
            return False
        latest_lost = self.lost_at + 1 + LEEWAY
        is_over = self.clock >= latest_lost + HORIZON + LEEWAY
        return not is_over and (issued.iat is None or issued.iat < latest_lost)

    def outcomes_of_use(self, issued: Issued) -> frozenset[str]:
        """What may come of an attempt to use a token that is taken once."""
        verdicts = self.verdicts(issued)
        return verdicts - {GOOD} | self._marked(issued, "replayed", "use") if GOOD in verdicts else verdicts

    def _marked(self, issued: Issued, refusal: str, *kinds: str) -> frozenset[str]:
        """Refused where a mark surely stands; either way where the store did not say, or may have dropped it by now."""
        about = [mark for mark in self.marks if mark.kind in kinds and mark.is_about(issued)]
        if any(mark.is_sure and self.now < mark.ends for mark in about):
            return frozenset({refusal})
        return frozenset({refusal, GOOD} if about else {GOOD})

    def is_never_good(self, issued: Issued, *, is_use: bool) -> bool:
        """What must never be, whatever was lost: expired, revoked when it was there already, used before."""
        return self.clock >= issued.dies_at or any(
            mark.is_about(issued) and issued.born <= mark.made and self.now < mark.ends
            for mark in self.confirmed
            if is_use or mark.kind != "use"
        )


# --- Where it all happens --------------------------------------------------------------------------------------------


class Memory:
    """Two verifiers of one process over its own memory."""

    def __init__(self, flavour: Flavour) -> None:
        self._stack = ExitStack()
        self._monotonic = Clock(0)
        store = MemoryStore(monotonic=self._monotonic)
        self.office = self._stack.enter_context(office_of(store, flavour))
        self.desks = {name: self.office.desk() for name in "AB"}

    def let_pass(self, seconds: float) -> None:
        """Time passes."""
        self._monotonic.now += seconds

    def close(self) -> None:
        """Done."""
        self._stack.close()


_AGE = """
for _, key in ipairs(redis.call("KEYS", "*")) do
  local left = redis.call("PTTL", key)
  if left > 0 then redis.call("PEXPIRE", key, math.max(0, left - ARGV[1])) end
end
"""


class Redis:
    """Two processes over a real server, which is emptied first."""

    def __init__(self, server: RedisServer, flavour: Flavour, *, is_durable: bool) -> None:
        self.server = server
        self.is_durable = is_durable
        self.is_frozen = False
        self._stack = ExitStack()
        self.office: Office = self._stack.enter_context(office_of(server.url, flavour))
        self._passed = self._aged = self._aged_when_saved = 0.0
        self._began = int(time.time())
        server.flush()
        self.desks = {name: self.office.desk(durable=is_durable) for name in "AB"}

    def meet(self) -> None:
        """Both look at the store for the first time; what they do not know of, they cannot miss."""
        now = self.office.clock.now
        for desk in self.desks.values():
            assert desk.verdict(token(iat=now, exp=now + 1)) == GOOD
        self.save()

    def let_pass(self, seconds: float) -> None:
        """Time passes, also for what the server keeps; where that is frozen, once it has thawed."""
        self._passed += seconds
        if not self.is_frozen:
            self._age()

    def _age(self) -> None:
        self.server.cli("EVAL", _AGE, 0, int((self._passed - self._aged) * 1000))
        self._aged = self._passed

    def save(self) -> None:
        """A snapshot."""
        self.server.cli("SAVE")
        self._aged_when_saved = self._aged

    def freeze(self) -> None:
        """It stands still."""
        self.server.freeze()
        self.is_frozen = True

    def thaw(self) -> None:
        """It goes on."""
        self.server.thaw()
        self.is_frozen = False
        self._age()

    def restart(self, kept: Kept) -> None:
        """It is killed, frozen or not, and is back."""
        if kept == "all":
            self.save()
        self.server.restart(empty=kept == "nothing")
        self.is_frozen = False
        self._aged = self._passed if kept == "nothing" else self._aged_when_saved
        self._age()
        if kept == "nothing":
            self.save()

    def has_noticed(self, at: float) -> bool:
        """Whether a process has noticed a loss just now, and written down when; that time is then set right to `at`.

        What stands there until then is the time on the wall, which is far ahead: it refuses all that there is.
        """
        key = f"{STEM}epoch"
        version, since, incarnation, seq = (self.server.cli("GET", key) or b"1|0||0").decode().split("|")
        if int(since) < self._began:
            return False
        self.server.cli("SET", key, f"{version}|{int(at)}|{incarnation}|{seq}")
        return True

    def close(self) -> None:
        """Done; the server goes on."""
        if self.is_frozen:
            self.server.thaw()
        self._stack.close()


# --- What may happen -------------------------------------------------------------------------------------------------

DESKS = st.sampled_from("AB")
USERS = st.sampled_from(["ana", "bob"])
TENANTS = st.sampled_from(["str_1", "str_2"])
TOKEN_IDS = st.sampled_from(["j1", "j2", "j3"])
AGES = st.sampled_from([0, 0, -1, -LEEWAY, 1, 60, 900, HORIZON - 1]) | st.integers(-LEEWAY, HORIZON)
LIVES = st.sampled_from([HORIZON, HORIZON, 60]) | st.integers(1, HORIZON)
PASSING = st.sampled_from([0.25, 1, 1, 12, 12, 60, 600, HORIZON])
WRONG_BY = st.sampled_from([-3600, -601, -30, 30, 601, 3600])
BEFORE = st.none() | st.sampled_from([-600, -0.5, 0, 30, 900])


class Machine(RuleBasedStateMachine):
    """What befalls every store."""

    tokens = Bundle("tokens")

    def __init__(self, world: Memory | Redis, now: float) -> None:
        super().__init__()
        self.world = world
        self.model = Model(now)
        self.known: list[Issued] = []
        self.is_watched = False
        self.well_at = 0.0
        self.set_clocks()

    def teardown(self) -> None:
        self.world.close()

    def set_clocks(self) -> None:
        """The processes look at the clock."""
        self.world.office.clock.now = self.model.clock

    @initialize(target=tokens, is_watched=st.booleans())
    def begin(self, is_watched: bool) -> MultipleResults[Issued]:
        self.is_watched = is_watched
        return multiple(
            self.issued("j1", "ana", "str_1", self.model.now, HORIZON, says_when=True),
            self.issued("j2", "bob", "str_1", self.model.now, HORIZON, says_when=True),
            self.issued(None, "bob", "str_2", self.model.now, HORIZON, says_when=True),
        )

    @invariant()
    def both_are_right_about_all_tokens(self) -> None:
        if self.is_watched and not self.model.is_frozen and self.model.lost_at != math.inf:
            self.verify_all()

    @precondition(lambda self: not self.model.is_frozen)
    @rule(
        target=tokens,
        jti=st.none() | TOKEN_IDS,
        user=USERS,
        tenant=TENANTS,
        age=AGES,
        life=LIVES,
        says_when=st.sampled_from([True, True, True, False]),
    )
    def issue(self, jti: str | None, user: str, tenant: str, age: float, life: float, says_when: bool) -> Issued:
        return self.issued(jti, user, tenant, self.model.now - age, life, says_when=says_when)

    @rule(issued=tokens, desk=DESKS)
    def verify(self, issued: Issued, desk: str) -> None:
        self.check(desk, issued)

    @precondition(lambda self: not self.model.is_frozen)
    @rule()
    def verify_all(self) -> None:
        for issued in self.known:
            for desk in self.world.desks:
                self.check(desk, issued)

    @rule(issued=tokens, desk=DESKS)
    def spend(self, issued: Issued, desk: str) -> None:
        self.use(desk, issued, self.model.outcomes_of_use(issued))

    @rule(issued=tokens, desk=DESKS)
    def revoke(self, issued: Issued, desk: str) -> None:
        claims = claims_of(issued)
        mark = self.model.mark("token", issued.identity, issued.exp, math.inf)
        self.tell(desk, mark, lambda at: at.denylist.revoke(claims))

    @rule(jti=TOKEN_IDS, left=LIVES, desk=DESKS)
    def revoke_id(self, jti: str, left: float, desk: str) -> None:
        until = self.model.now + left
        mark = self.model.mark("token", jti, until, math.inf)
        self.tell(desk, mark, lambda at: at.denylist.revoke_id(jti, until=until))

    @rule(user=USERS, before=BEFORE, desk=DESKS)
    def revoke_user(self, user: str, before: float | None, desk: str) -> None:
        self.tell_watermark(desk, "user", user, before)

    @rule(tenant=TENANTS, before=BEFORE, desk=DESKS)
    def revoke_tenant(self, tenant: str, before: float | None, desk: str) -> None:
        self.tell_watermark(desk, "tenant", tenant, before)

    @rule(seconds=PASSING)
    def let_pass(self, seconds: float) -> None:
        self.model.now += seconds
        self.world.let_pass(seconds)
        self.set_clocks()

    @precondition(lambda self: not self.model.wrong_by and not self.model.is_frozen)
    @rule(seconds=WRONG_BY)
    def step_the_clock(self, seconds: float) -> None:
        self.model.wrong_by = seconds
        self.set_clocks()

    @precondition(lambda self: self.model.wrong_by)
    @rule()
    def set_the_clock_right(self) -> None:
        self.model.wrong_by = 0
        self.set_clocks()

    # --- Asking ------------------------------------------------------------------------------------------------------

    def issued(self, jti: str | None, user: str, tenant: str, iat: float, life: float, *, says_when: bool) -> Issued:
        """A new token."""
        names = {"jti": ... if jti is None else jti, "sub": user, "tenant": tenant}
        text = token(**names, iat=iat if says_when else ..., exp=iat + life)
        issued = Issued(jti, user, tenant, iat if says_when else None, iat + life, self.model.now, text)
        self.known.append(issued)
        return issued

    def check(self, desk: str, issued: Issued) -> None:
        """Ask one process about a token."""
        permitted = self.model.verdicts(issued)
        verdict = self.answer(lambda: self.world.desks[desk].verify(issued.text))
        self.judge(desk, "the verdict on", issued, verdict, permitted)
        self.settle()

    def use(
        self,
        desk: str,
        issued: Issued,
        permitted: frozenset[str],
        between: Callable[[], object] = lambda: None,
    ) -> None:
        """Use a token at one process, once. There is no second attempt: who knows what came of the first one."""
        mark = self.model.mark("use", issued.identity, issued.dies_at, math.inf)
        outcome, seconds = refused_after(lambda: self.world.desks[desk].claim(issued.text, between))
        # It is verified first, and claimed then.
        assert seconds < 2 * DEADLINE, f"answered after {seconds:.2f} s"
        self.allow_for_a_busy_machine(seconds)
        self.judge(desk, "the use of", issued, outcome, permitted | self.still_unavailable(), is_use=True)
        if outcome == GOOD or outcome in UNAVAILABLE:
            self.model.take(mark, is_sure=outcome == GOOD)
        self.settle()

    def tell_watermark(self, desk: str, kind: Literal["user", "tenant"], name: str, before: float | None) -> None:
        """Revoke all that was issued before some time, or before now."""
        issued_before = None if before is None else self.model.clock - before
        latest = math.ceil(self.model.clock if issued_before is None else issued_before)
        mark = self.model.mark(kind, name, max(self.model.clock, latest) + HORIZON, latest)
        options = {} if issued_before is None else {"issued_before": issued_before}
        self.tell(desk, mark, lambda at: getattr(at.denylist, f"revoke_{kind}")(name, **options))

    def tell(self, desk: str, mark: Mark, call: Callable[[Desk], object]) -> None:
        """Tell one process to revoke, which either confirms it or says that it could not."""
        outcome = self.answer(lambda: call(self.world.desks[desk]))
        expected = "store_unavailable" if self.model.is_frozen else GOOD
        assert outcome == expected, f"{desk} answered {outcome!r} when told to revoke, and not {expected!r}"
        self.model.take(mark, is_sure=outcome == GOOD)
        self.settle()

    def answer(self, call: Callable[[], object]) -> str:
        """What one process answers: soon, and again and again while the store is just coming back."""
        while True:
            outcome, seconds = refused_after(call)
            assert seconds < DEADLINE, f"answered after {seconds:.2f} s"
            self.allow_for_a_busy_machine(seconds)
            if outcome not in self.still_unavailable():
                return outcome
            time.sleep(0.02)

    def still_unavailable(self) -> frozenset[str]:
        """What may be answered because the store is just coming back."""
        is_back = not self.model.is_frozen and time.monotonic() < self.well_at
        return UNAVAILABLE if is_back else frozenset()

    def allow_for_a_busy_machine(self, seconds: float) -> None:
        """Where a sound server took so long that it was given up, it need not be well before it is asked again."""
        if seconds > GIVEN_UP_AFTER:
            self.well_at = max(self.well_at, time.monotonic() + WELL_AGAIN)

    def judge(
        self, desk: str, what: str, issued: Issued, said: str, permitted: frozenset[str], *, is_use: bool = False
    ) -> None:
        """The model's word on an answer."""
        told = f"{what} {issued} at {desk} is {said!r}, and the model permits {sorted(permitted)} at {self.model.clock}"
        assert said in permitted, told
        assert said != GOOD or not self.model.is_never_good(issued, is_use=is_use), f"never: {told}"

    def settle(self) -> None:
        """Look whether somebody has noticed a loss."""


def claims_of(issued: Issued) -> Claims:
    """The claims of a token, as somebody has them who asked when it was good."""
    with Verifier(shop_settings(), clock=Clock(issued.exp - 0.5)) as reader:
        return reader.verify(issued.text)


class MemoryMachine(Machine):
    """What befalls a process with a memory of its own."""

    def __init__(self, flavour: Flavour) -> None:
        super().__init__(Memory(flavour), 1_800_000_000)


class RedisMachine(Machine):
    """What befalls two processes over a server, which freezes, dies and forgets."""

    world: Redis

    def __init__(self, server: RedisServer, flavour: Flavour, *, is_durable: bool) -> None:
        super().__init__(Redis(server, flavour, is_durable=is_durable), int(time.time()) - AGO)
        self.world.meet()

    @precondition(lambda self: not self.model.is_frozen)
    @rule()
    def freeze(self) -> None:
        self.world.freeze()
        self.model.is_frozen = True

    @precondition(lambda self: self.model.is_frozen)
    @rule()
    def thaw(self) -> None:
        self.world.thaw()
        self.be_back()

    @precondition(lambda self: not self.model.is_frozen)
    @rule()
    def save(self) -> None:
        self.world.save()
        self.model.snapshot = self.model.marks

    @precondition(lambda self: not self.model.is_frozen)
    @rule(kept=st.sampled_from(["all", "snapshot", "nothing"]))
    def restart(self, kept: Kept) -> None:
        # Whoever calls a server durable says that it comes back with all that it has confirmed, or with nothing.
        self.world.restart(kept := self.within_what_was_promised(kept))
        self.lose(kept)

    @precondition(lambda self: self.model.is_frozen)
    @rule(kept=st.sampled_from(["snapshot", "nothing"]))
    def restart_frozen(self, kept: Kept) -> None:
        self.world.restart(kept := "nothing" if self.world.is_durable else kept)
        self.lose(kept)

    @precondition(lambda self: not self.model.is_frozen)
    @rule(issued=Machine.tokens, desk=DESKS)
    def spend_while_it_freezes(self, issued: Issued, desk: str) -> None:
        if self.model.verdicts(issued) == {GOOD}:
            self.use(desk, issued, UNAVAILABLE, self.freeze)

    @precondition(lambda self: not self.model.is_frozen)
    @rule(issued=Machine.tokens, desk=DESKS, kept=st.sampled_from(["all", "snapshot", "nothing"]))
    def spend_while_it_restarts(self, issued: Issued, desk: str, kept: Kept) -> None:
        kept = self.within_what_was_promised(kept)
        forgets_nothing = self.world.is_durable and kept == "all"
        if self.model.verdicts(issued) == {GOOD}:
            permitted = self.model.outcomes_of_use(issued) if forgets_nothing else frozenset[str]()
            self.use(desk, issued, UNAVAILABLE | permitted, lambda: self.restart(kept))

    def within_what_was_promised(self, kept: Kept) -> Kept:
        """What a server may still have when it is back."""
        return "all" if self.world.is_durable and kept == "snapshot" else kept

    def lose(self, kept: Kept) -> None:
        """It is back; unless the settings say that it is durable, nobody can know what it has lost."""
        if kept != "all" or not self.world.is_durable:
            self.model.lose(kept)
        else:
            self.model.snapshot = self.model.marks
        self.be_back()
        self.let_pass(1)

    def be_back(self) -> None:
        """It answers again, soon."""
        self.model.is_frozen = False
        self.well_at = time.monotonic() + WELL_AGAIN

    def settle(self) -> None:
        if self.model.lost_at is None or self.model.is_frozen:
            return
        at = int(min(self.model.lost_at, self.model.now))
        if self.world.has_noticed(at):
            self.model.lost_at = at


# --- Running it ------------------------------------------------------------------------------------------------------

EVERY_FLAVOUR = ["sync", "async"]


def profile(examples: int, steps: int) -> settings:
    """How many stories are told, and how long they are."""
    return settings(
        deadline=None,
        max_examples=examples,
        stateful_step_count=steps,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


@pytest.mark.parametrize("flavour", EVERY_FLAVOUR)
@pytest.mark.parametrize(
    "told",
    [pytest.param(profile(40, 40), id="short"), pytest.param(profile(2000, 60), id="long", marks=pytest.mark.long)],
)
def test_memory_answers_as_the_model_permits(flavour: Flavour, told: settings) -> None:
    machine: Any = partial(MemoryMachine, flavour)
    run_state_machine_as_test(machine, settings=told)


@pytest.mark.timed
@pytest.mark.parametrize("flavour", EVERY_FLAVOUR)
@pytest.mark.parametrize("is_durable", [pytest.param(False, id="not durable"), pytest.param(True, id="durable")])
@pytest.mark.parametrize(
    "told",
    [pytest.param(profile(4, 30), id="short"), pytest.param(profile(150, 50), id="long", marks=pytest.mark.long)],
)
def test_redis_answers_as_the_model_permits(
    own_redis_server: RedisServer, flavour: Flavour, is_durable: bool, told: settings
) -> None:
    machine: Any = partial(RedisMachine, own_redis_server, flavour, is_durable=is_durable)
    run_state_machine_as_test(machine, settings=told)


# --- Clocks that are wrong for long ----------------------------------------------------------------------------------
# The model lets go of a mark a while after the end of what it is about; these do not.


@pytest.fixture(params=["memory", *own_redis_names()])
def world(request: pytest.FixtureRequest, redis_servers: Mapping[str, RedisServer]) -> Iterator[Memory | Redis]:
    """One of each, at the same time of the day."""
    memory = request.param == "memory"
    world = Memory("sync") if memory else Redis(redis_servers[request.param], "sync", is_durable=True)
    world.office.clock.now = 1_700_000_000
    yield world
    world.close()


def let_pass(world: Memory | Redis, seconds: float) -> None:
    world.office.clock.now += seconds
    world.let_pass(seconds)


def a_token_of_an_hour(world: Memory | Redis) -> str:
    return token(iat=world.office.clock.now, exp=world.office.clock.now + HORIZON)


@pytest.mark.parametrize("by", ["claims", "id"])
def test_what_is_revoked_while_the_clock_is_an_hour_ahead_stays_revoked(world: Memory | Redis, by: str) -> None:
    desk, clock = world.desks["A"], world.office.clock
    text = token(iat=clock.now, exp=clock.now + 60)
    claims = desk.verify(text)
    clock.now += 3600
    if by == "claims":
        desk.denylist.revoke(claims)
    else:
        desk.denylist.revoke_id(claims.token_id, until=claims.expires_at)
    clock.now -= 3600
    assert desk.verdict(text) == "revoked"
    let_pass(world, 10)
    assert desk.verdict(text) == "revoked"


@pytest.mark.parametrize("by", ["claims", "user", "tenant"])
def test_what_was_revoked_stays_revoked_while_the_clock_is_an_hour_behind(world: Memory | Redis, by: str) -> None:
    desk, clock, text = world.desks["A"], world.office.clock, a_token_of_an_hour(world)
    claims = desk.verify(text)
    subject = {"claims": claims, "user": claims.user, "tenant": claims.tenant}[by]
    getattr(desk.denylist, "revoke" if by == "claims" else f"revoke_{by}")(subject)
    clock.now -= 3600
    for _ in range(11):
        let_pass(world, 600)
        assert desk.verdict(text) in ("not_yet_valid", "revoked")
    let_pass(world, 1200)
    assert desk.verdict(text) == "expired"


def test_what_was_used_stays_used_while_the_clock_is_an_hour_behind(world: Memory | Redis) -> None:
    desk, clock, text = world.desks["A"], world.office.clock, a_token_of_an_hour(world)
    assert desk.spend(text) == GOOD
    clock.now -= 3600
    for _ in range(11):
        let_pass(world, 600)
        assert desk.spend(text) in ("not_yet_valid", "replayed")
    let_pass(world, 1200)
    assert desk.spend(text) == "expired"
