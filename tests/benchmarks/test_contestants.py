"""Who takes part answers rightly, or it is said what not."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import jwt
import pytest

from .floor import Refused
from .floors import RedisFloor, ShopifyFloor, denied_names, floor_verifier
from .groups import GROUPS, Group
from .harness import BARE, FLOOR, OURS, Serve, Served, WrongAnswer
from .pyjwts import imported_from
from .rows import Entrants, check_answers
from .tokens import claims, shared_secret

FORGED = "a changed signature"


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: f"{group.door}, {group.algorithms[0]}")
def test_everybody_who_can_be_set_up_answers_rightly(group: Group) -> None:
    with asyncio.Runner() as runner, group.line_up(group.algorithms[0], runner) as line_up:
        entrants = Entrants(line_up, peers=True)
    assert {BARE, FLOOR, OURS} <= entrants.contestants.keys()
    assert entrants.contestants.keys() | entrants.left_out.keys() == line_up.builders.keys()


class Two:
    """A good token and a bad one."""

    def token(self) -> str:
        return "good"

    def bad_tokens(self) -> Iterable[tuple[str, str]]:
        yield FORGED, "bad"


def lets_in(*admitted: str) -> Serve:
    def serve(tokens: Sequence[str | None]) -> Served:
        return Served([1], [200 if token in admitted else 401 for token in tokens])

    return serve


@pytest.mark.parametrize(
    ("admitted", "known", "told"),
    [
        pytest.param(("good",), (), (), id="nothing bad"),
        pytest.param(("good", "bad"), (FORGED,), (FORGED,), id="what it is known for"),
        pytest.param(("good",), (FORGED,), (), id="what it was known for, and does no more"),
    ],
)
def test_it_is_told_what_a_contestant_lets_in(
    admitted: Sequence[str], known: Sequence[str], told: Sequence[str]
) -> None:
    assert check_answers("one", lets_in(*admitted), Two(), known) == told


@pytest.mark.parametrize(
    "admitted",
    [pytest.param(("good", "bad"), id="a bad token"), pytest.param((), id="no good token"),
     pytest.param(("good", None), id="no token")],
)  # fmt: skip
def test_nobody_is_measured_who_answers_wrongly(admitted: Sequence[str]) -> None:
    with pytest.raises(WrongAnswer):
        check_answers("one", lets_in(*admitted), Two())


# --- The floors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"dest": "https://other.myshopify.com"}, id="for another shop"),
        pytest.param({"iss": "https://other.myshopify.com/admin"}, id="issued by another shop"),
        pytest.param({"sub": "staff"}, id="no member of staff"),
        pytest.param({"sid": ""}, id="no session"),
    ],
)
def test_the_floor_of_one_shop_refuses(changed: dict[str, object]) -> None:
    shop = "pine-lane.myshopify.com"
    secret = str(shared_secret().public)
    floor = ShopifyFloor(secret, shop=shop, audience="https://orders.example.com")
    said = claims() | {"iss": f"https://{shop}/admin", "dest": f"https://{shop}", "sub": "81234567890"}
    assert floor.verify(jwt.encode(said, secret, "HS256").encode())["sub"] == "81234567890"
    with pytest.raises(Refused):
        floor.verify(jwt.encode(said | changed, secret, "HS256").encode())


class Marks:
    """A Redis that holds these keys."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def mget(self, names: Sequence[str]) -> list[str | None]:
        return ["" if name in self.names else None for name in names]


@pytest.mark.parametrize("which", range(3), ids=["token", "user", "tenant"])
def test_the_floor_with_redis_asks_on_every_call(which: int) -> None:
    signs, store = shared_secret(), Marks()
    floor, token = RedisFloor(floor_verifier(signs), store), signs.token().encode()
    store.names = (denied_names(floor.verify(token))[which],)
    with pytest.raises(Refused):
        floor.verify(token)


# --- Two of one name -------------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "jwt").mkdir()
    (tmp_path / "jwt" / "__init__.py").write_text("from .inner import VERSION\n")
    (tmp_path / "jwt" / "inner.py").write_text("VERSION = 'the older one'\n")
    path = [*sys.path]
    yield tmp_path
    assert sys.path == path


def test_an_older_library_stands_beside_the_installed_one(elsewhere: Path) -> None:
    older = imported_from(str(elsewhere), "jwt")
    assert older.VERSION == "the older one"
    assert sys.modules["jwt"] is jwt
    assert "jwt.inner" not in sys.modules
