"""The table of tokens seen before: what it must look at again each time, and what it must not hold."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from types import FunctionType, ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bearerguard import UNCHECKED, InvalidToken, MemoryStore, SignedTokens, Verifier
from bearerguard.asgi import BearerMiddleware
from bearerguard.carriers import Header
from bearerguard.encoding import from_base64url
from tests.hostile import AUDIENCE, GOOD, ISSUER, NOW, Clock, claims, key_of, settings, static, verdict, verifier
from tests.minting import OLD_SECRET, mint

HOUR = 3600


# --- Time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "changed_settings", "step", "expected"),
    [
        pytest.param({}, {}, 309, GOOD, id="just before its end"),
        pytest.param({}, {}, 310, "expired", id="at its end"),
        pytest.param({}, {}, HOUR, "expired", id="an hour on"),
        pytest.param({}, {}, -20, GOOD, id="just after it was issued"),
        pytest.param({}, {}, -21, "not_yet_valid", id="before it was issued"),
        pytest.param({}, {}, -HOUR, "not_yet_valid", id="an hour back"),
        pytest.param({"iat": ...}, {}, -HOUR, GOOD, id="an hour back, and no iat"),
        pytest.param({"iat": ..., "nbf": NOW - 5}, {}, -15, GOOD, id="just before its beginning"),
        pytest.param({"iat": ..., "nbf": NOW - 5}, {}, -16, "not_yet_valid", id="before its beginning"),
        pytest.param({"iat": NOW}, {"max_age": 60}, 69, GOOD, id="just before its age ends it"),
        pytest.param({"iat": NOW}, {"max_age": 60}, 70, "expired", id="when its age ends it"),
        pytest.param({"exp": ..., "iat": NOW}, {"max_age": 60, "required": ()}, 70, "expired", id="no end but its age"),
    ],
)
def test_looks_at_the_clock_each_time(
    changes: dict[str, Any], changed_settings: dict[str, Any], step: int, expected: str
) -> None:
    clock, token = Clock(), mint(claims(changes))
    judge = verifier(clock=clock, **changed_settings)
    assert verdict(judge, token) == GOOD
    for _ in range(3):
        clock.now = NOW + step
        assert verdict(judge, token) == expected
        clock.now = NOW
        assert verdict(judge, token) == GOOD


@given(st.lists(st.integers(min_value=-2 * HOUR, max_value=2 * HOUR), max_size=12))
def test_says_of_a_token_seen_before_what_it_says_of_a_stranger(steps: list[int]) -> None:
    clock, tokens = (
        Clock(),
        [mint(claims(changes)) for changes in ({}, {"nbf": NOW}, {"iat": ...}, {"exp": NOW + HOUR})],
    )
    judge = verifier(clock=clock, max_age=None)
    for step in (0, *steps):
        clock.now = NOW + step
        for token in tokens:
            assert verdict(judge, token) == verdict(verifier(clock=clock), token)


@pytest.mark.parametrize("steps", [(HOUR, 0), (-HOUR, 0), (HOUR, -HOUR, 0), (-HOUR, HOUR, 0)])
@pytest.mark.parametrize("how", ["token", "id", "user", "tenant"])
def test_revives_nothing_when_the_clock_steps(how: str, steps: tuple[int, ...]) -> None:
    clock, monotonic = Clock(), Clock(0)
    judge = verifier(clock=clock, monotonic=monotonic, tenant="store", user="sub", max_lifetime=2 * HOUR)
    token = mint(claims({"store": "str_1", "exp": NOW + HOUR}))
    held = judge.verify(token)
    _revokers(judge, held)[how]()
    assert verdict(judge, token) == "revoked"
    for step in steps:
        clock.now = NOW + step
        monotonic.now += 1
        assert verdict(judge, token) != GOOD
    assert verdict(judge, token) == "revoked"


def _revokers(judge: Verifier[SignedTokens], held: Any) -> dict[str, Callable[[], None]]:
    return {
        "token": lambda: judge.denylist.revoke(held),
        "id": lambda: judge.denylist.revoke_id("5f7c0f5e", until=NOW + HOUR),
        "user": lambda: judge.denylist.revoke_user("ana"),
        "tenant": lambda: judge.denylist.revoke_tenant("str_1"),
    }


# --- Revocation, and the checks of each time -------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["token", "id", "user", "tenant"])
def test_refuses_a_token_that_is_revoked_after_it_was_seen(how: str) -> None:
    store = MemoryStore()
    kind = settings(tenant="store", user="sub", max_lifetime=HOUR)
    judge, other = (Verifier(kind, store=store, clock=lambda: NOW) for _ in range(2))
    token, untouched = mint(claims({"store": "str_1"})), mint(claims({"store": "str_2", "sub": "bob", "jti": "x"}))
    for _ in range(3):
        assert (verdict(judge, token), verdict(judge, untouched)) == (GOOD, GOOD)
    _revokers(other, other.verify(token))[how]()
    for _ in range(3):
        assert (verdict(judge, token), verdict(judge, untouched)) == ("revoked", GOOD)
        assert (verdict(other, token), verdict(other, untouched)) == ("revoked", GOOD)


def test_refuses_a_token_without_an_id_that_is_revoked_after_it_was_seen() -> None:
    judge = verifier(max_lifetime=HOUR)
    token, twin = mint(claims({"jti": ...})), mint(claims({"jti": ..., "sub": "bob"}))
    assert (verdict(judge, token), verdict(judge, twin)) == (GOOD, GOOD)
    judge.denylist.revoke(judge.verify(token))
    assert (verdict(judge, token), verdict(judge, twin)) == ("revoked", GOOD)


def test_asks_the_checks_of_each_time_each_time() -> None:
    asked: list[str | None] = []
    answers: list[Any] = [True, True, False, True, 1, None, True]

    def open_shop(held: Any) -> Any:
        asked.append(held.tenant)
        return answers[len(asked) - 1]

    judge, token = verifier(each_time=(open_shop,), tenant="store"), mint(claims({"store": "str_1"}))
    expected = [GOOD if answer is True else "rule_failed" for answer in answers]
    assert [verdict(judge, token) for _ in answers] == expected
    assert asked == ["str_1"] * len(answers)


def test_asks_the_checks_of_each_time_in_async_code_too() -> None:
    asked: list[object] = []
    judge = verifier(each_time=(noting(asked),))
    token = mint(claims())

    async def thrice() -> None:
        for _ in range(3):
            await judge.averify(token)

    asyncio.run(thrice())
    assert len(asked) == 3


def test_refuses_a_changed_token_though_the_true_one_was_seen() -> None:
    judge, token = verifier(), mint(claims())
    for place in range(0, len(token), 7):
        assert verdict(judge, token) == GOOD
        letter = "A" if token[place] != "A" else "B"
        assert verdict(judge, token[:place] + letter + token[place + 1 :]) != GOOD
    for other in (token.upper(), token.lower(), token + "A", token[:-1], " " + token, token + "\n"):
        assert verdict(judge, other) != GOOD


# --- Kinds and carriers ----------------------------------------------------------------------------------------------


def two_kinds(**changes: Any) -> Verifier[SignedTokens]:
    """Two kinds that only their carriers tell apart; the second takes a stricter sort of the first's tokens."""
    one = settings(name="one", carriers=(Header("X-One"), Header("X-Both")), issuer=ISSUER)
    fields = {"name": "two", "carriers": (Header("X-Two"),), "rules": {"role": "owner"}}
    return Verifier(one, settings(**fields | changes), any_kind=True, clock=lambda: NOW)


STRICTER: list[dict[str, Any]] = [
    {},
    {"audience": "https://two.example.com"},
    {"max_age": 5},
    {"max_lifetime": 5},
    {"required": ("exp", "role")},
    {"typ": "at+jwt"},
]


@pytest.mark.parametrize("changes", STRICTER, ids=repr)
def test_refuses_a_token_of_one_kind_as_another(changes: dict[str, Any]) -> None:
    judge, token = two_kinds(**changes), mint(claims())
    for _ in range(3):
        assert judge.verify(token, kind="one").kind == "one"
        with pytest.raises(InvalidToken):
            judge.verify(token, kind="two")


def test_refuses_a_token_that_was_seen_in_another_carrier() -> None:
    judge = two_kinds()
    plain, owner = mint(claims()), mint(claims({"role": "owner"}))
    rows = [
        ("x-one", plain, 200),
        ("x-two", plain, 401),
        ("x-both", plain, 200),
        ("x-two", plain, 401),
        ("x-two", owner, 200),
        ("x-one", owner, 200),
        ("x-two", plain, 401),
        ("authorization", plain, 401),
    ]
    assert asyncio.run(_statuses(judge, rows)) == [status for _, _, status in rows]


def test_refuses_a_token_whose_issuer_belongs_to_no_kind_of_the_carrier() -> None:
    other = "https://other.example.com"
    one = settings(name="one", carriers=(Header("X-One"),))
    two = settings(name="two", carriers=(Header("X-Two"),), issuer=other, audience=UNCHECKED)
    judge = Verifier(one, two, any_kind=True, clock=lambda: NOW)
    ours, theirs = mint(claims()), mint(claims({"iss": other}))
    rows = [("x-one", ours, 200), ("x-two", ours, 401), ("x-two", theirs, 200), ("x-one", theirs, 401)] * 2
    assert asyncio.run(_statuses(judge, rows)) == [status for _, _, status in rows]


Message = MutableMapping[str, Any]


async def _statuses(judge: Verifier[SignedTokens], rows: Iterable[tuple[str, str, int]]) -> list[int]:
    door = BearerMiddleware(_greeting, judge)
    return [await _status(door, name, token.encode()) for name, token, _ in rows]


async def _greeting(scope: Message, receive: Any, send: Callable[[Message], Awaitable[None]]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def _status(door: Any, name: str, value: bytes) -> int:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": [(name.encode(), value)]}
    await door(scope | {"http_version": "1.1", "scheme": "http", "root_path": ""}, receive, send)
    status: int = sent[0]["status"]
    return status


@pytest.mark.timed
@pytest.mark.parametrize("exempt", [(), ("/health",)], ids=["the short way", "the long way"])
@pytest.mark.parametrize("letters", [b"A", b"A.", b" ", b"=", b"\xff", b",", b", a", b"."])
def test_refuses_ten_megabytes_at_the_door_before_they_cost(letters: bytes, exempt: tuple[str, ...]) -> None:
    door = BearerMiddleware(_greeting, verifier(), exempt=exempt)
    value = b"Bearer " + letters * (10_000_000 // len(letters))

    async def seconds() -> list[float]:
        spent = []
        for _ in range(5):
            started = time.perf_counter()
            assert await _status(door, "authorization", value) in (400, 401)
            spent.append(time.perf_counter() - started)
        return spent

    assert min(asyncio.run(seconds())) < 0.005


# --- What it holds ---------------------------------------------------------------------------------------------------


def noting(asked: list[object]) -> Callable[[object], bool]:
    """A check that is kept always, and notes that it was asked."""

    def check(subject: object) -> bool:
        asked.append(subject)
        return True

    return check


def judged_again(judge: Verifier[SignedTokens], tokens: list[str], asked: list[object], **kind: Any) -> int:
    """How many of the tokens are judged from the beginning when they come once more."""
    before = len(asked)
    for token in tokens:
        judge.verify(token, **kind)
    return len(asked) - before


@pytest.mark.parametrize("most", [0, 1, 2, 3, 10, 101])
def test_remembers_no_more_tokens_than_it_may(most: int) -> None:
    asked: list[object] = []
    judge = verifier(remember_tokens=most, checks=(noting(asked),))
    tokens = [mint(claims({"jti": f"{number}"})) for number in range(400)]
    assert judged_again(judge, tokens, asked) == 400
    for _ in range(3):
        assert judged_again(judge, tokens, asked) >= 400 - most
    assert _count(judge, "Claims") <= most


def test_remembers_a_token_that_comes_again_and_again() -> None:
    asked: list[object] = []
    judge = verifier(remember_tokens=10, checks=(noting(asked),))
    dear = mint(claims({"jti": "dear"}))
    judge.verify(dear)
    for number in range(200):
        judge.verify(mint(claims({"jti": f"{number}"})))
        assert judged_again(judge, [dear], asked) == 0


@pytest.mark.parametrize("most", [0, 4])
def test_remembers_for_each_kind_what_that_kind_allows(most: int) -> None:
    asked: list[object] = []
    other = "https://other.example.com"
    one = settings(name="one", remember_tokens=most, checks=(noting(asked),))
    two = settings(name="two", issuer=other, remember_tokens=1000)
    judge = Verifier(one, two, any_kind=True, clock=lambda: NOW)
    tokens = [mint(claims({"jti": f"{number}"})) for number in range(60)]
    judged_again(judge, tokens, asked)
    assert judged_again(judge, tokens, asked) >= 60 - most


def test_remembers_nothing_of_a_token_that_it_refused() -> None:
    judge = verifier()
    judge.verify(mint(claims()))
    verdict(judge, mint(claims(), key=OLD_SECRET))
    before = sum(1 for _ in _reachable(judge))
    for number in range(600):
        odd = {"kid": f"{number}", "jku": f"https://{number}.example"}
        assert verdict(judge, mint(claims({"jti": f"{number}"}), key=OLD_SECRET, headers=odd)) == "bad_signature"
        assert verdict(judge, mint(claims({"iss": f"{number}"}), headers={"alg": f"{number}"})) == "bad_algorithm"
        assert verdict(judge, mint(claims({"iss": f"{number}"}))) == "wrong_issuer"
        assert verdict(judge, f"{number}.{number}.{number}") == "malformed"
    assert sum(1 for _ in _reachable(judge)) < before + 60


def test_remembers_a_bounded_number_of_headers() -> None:
    judge = verifier(remember_tokens=0)
    judge.verify(mint(claims()))
    before = sum(1 for _ in _reachable(judge))
    for number in range(3000):
        judge.verify(mint(claims(), headers={"kid": f"{number}"}))
    assert sum(1 for _ in _reachable(judge)) < before + 3000


@pytest.mark.parametrize("alg", ["HS256", "RS256", "ES256", "EdDSA"])
def test_holds_no_token(alg: str) -> None:
    judge = verifier() if alg == "HS256" else static(alg)
    key = {} if alg == "HS256" else {"key": key_of(alg)}
    good = mint(claims(), alg=alg, **key)  # type: ignore[arg-type]
    odd = [good[:-5] + "AAAAA", good.replace(".", ".A"), mint(claims({"exp": NOW - HOUR}), alg=alg, **key)]  # type: ignore[arg-type]
    assert verdict(judge, good) == GOOD
    assert all(verdict(judge, token) != GOOD for token in odd)
    gc.collect()
    held = list(_strings(judge))
    assert any(AUDIENCE.encode() in text for text in held)
    for token in (good, *odd):
        _, payload, signed = token.encode().split(b".")
        for part in (token.encode(), payload, signed, payload[:40], signed[:20]):
            assert not any(part in text for text in held)
    raw = from_base64url(good.encode().split(b".")[2])
    assert not any(raw in text for text in held)


def test_gives_claims_that_nobody_can_change() -> None:
    judge: Any = verifier(tenant="store")
    token = mint(claims({"store": "str_1", "deep": {"list": [{"role": "guest"}]}, "roles": ["guest"], "scope": "read"}))
    first = judge.verify(token)
    for change in (
        lambda: first.__setitem__("store", "str_2"),
        lambda: first["deep"].__setitem__("role", "owner"),
        lambda: first["deep"]["list"][0].__setitem__("role", "owner"),
        lambda: first["deep"]["list"].append({"role": "owner"}),
        lambda: first["roles"].append("owner"),
        lambda: first.scopes.add("write"),
        lambda: setattr(first, "tenant", "str_2"),
        lambda: setattr(first, "scopes", frozenset({"write"})),
        lambda: setattr(first, "expires_at", NOW + HOUR * 24),
        lambda: setattr(first, "kind", "other"),
        lambda: setattr(first, "anything", "else"),
        lambda: delattr(first, "tenant"),
        lambda: first.pop("store"),
        lambda: first.update(store="str_2"),
    ):
        with pytest.raises((TypeError, AttributeError)):
            change()
    copy = first.to_dict()
    copy["store"], copy["roles"][0], copy["deep"]["list"][0]["role"] = "str_2", "owner", "owner"
    again = judge.verify(token)
    assert (again["store"], again.tenant, again["roles"], again.scopes) == ("str_1", "str_1", ("guest",), {"read"})
    assert again["deep"]["list"][0]["role"] == "guest"


def test_keeps_its_head_among_many_threads() -> None:
    judge = verifier(remember_tokens=8)
    good = [mint(claims({"jti": f"{number}"})) for number in range(24)]
    bad = [mint(claims({"jti": f"{number}"}), key=OLD_SECRET) for number in range(24)]

    def work(turn: int) -> set[tuple[str, str]]:
        mine = good[turn:] + good[:turn]
        return {(verdict(judge, one), verdict(judge, other)) for one, other in zip(mine, bad, strict=True)}

    with ThreadPoolExecutor(8) as pool:
        seen = set().union(*pool.map(work, [*range(24)] * 8))
    assert seen == {(GOOD, "bad_signature")}


def _reachable(root: object) -> Iterator[Any]:
    """Every object that `root` holds on to, however deep, but for what classes, modules and globals hold."""
    met: set[int] = set()
    found: list[Any] = [root]
    while found:
        one = found.pop()
        if id(one) in met or isinstance(one, (type, ModuleType)):
            continue
        met.add(id(one))
        yield one
        if isinstance(one, FunctionType):
            found += [cell.cell_contents for cell in one.__closure__ or ()]
        else:
            found += gc.get_referents(one)


def _strings(root: object) -> Iterator[bytes]:
    for one in _reachable(root):
        if isinstance(one, str):
            yield one.encode("utf-8", "surrogatepass")
        elif isinstance(one, (bytes, bytearray)):
            yield bytes(one)


def _count(root: object, name: str) -> int:
    return sum(type(one).__name__ == name for one in _reachable(root))
