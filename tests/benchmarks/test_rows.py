"""The rows that a test run can afford: is bearerguard still as near to the floor as it was?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from starlette.types import ASGIApp

from . import contestants_asgi, contestants_wsgi
from .floor import AsgiFloor, WsgiFloor
from .floors import floor_verifier
from .goals import BESIDE_FLOOR, beside_floor
from .harness import FIRST_SIGHT, IN_PROCESS_HIT, INTROSPECTION, OURS, REPEAT, Scenario
from .rows import Size
from .short import best
from .tokens import Signer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

SIZE = Size(rounds=25, block=20, peers=False)
FLOORS_IN_FRONT = 8

ROWS = [
    Scenario(door, INTROSPECTION if sight == IN_PROCESS_HIT else "HS256", sight)
    for sight in (FIRST_SIGHT, REPEAT, IN_PROCESS_HIT)
    for door in ("ASGI", "WSGI")
]


def test_no_door_is_without_a_limit() -> None:
    assert {(row.door, row.sight) for row in ROWS} == BESIDE_FLOOR.keys()


@pytest.mark.timed
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_is_as_near_to_the_floor_as_it_was(row: Scenario) -> None:
    (verdict,) = best([row], beside_floor, SIZE)
    assert verdict.met(), verdict


@pytest.fixture
def slowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bearerguard with some floors in front of it: so much slower, however fast the machine is."""
    asgi, wsgi = contestants_asgi.CONTESTANTS, contestants_wsgi.CONTESTANTS
    monkeypatch.setattr(contestants_asgi, "CONTESTANTS", {**asgi, OURS: _slowed_asgi(asgi[OURS])})
    monkeypatch.setattr(contestants_wsgi, "CONTESTANTS", {**wsgi, OURS: _slowed_wsgi(wsgi[OURS])})


def _slowed_asgi(build: Callable[[Signer], ASGIApp]) -> Callable[[Signer], ASGIApp]:
    def slower(signer: Signer) -> ASGIApp:
        app = build(signer)
        for _ in range(FLOORS_IN_FRONT):
            app = AsgiFloor(app, floor_verifier(signer))
        return app

    return slower


def _slowed_wsgi(build: Callable[[Signer], WSGIApplication]) -> Callable[[Signer], WSGIApplication]:
    def slower(signer: Signer) -> WSGIApplication:
        app = build(signer)
        for _ in range(FLOORS_IN_FRONT):
            app = WsgiFloor(app, floor_verifier(signer))
        return app

    return slower


@pytest.mark.timed
@pytest.mark.usefixtures("slowed")
@pytest.mark.parametrize("row", [Scenario("ASGI", "HS256", FIRST_SIGHT), Scenario("WSGI", "HS256", REPEAT)], ids=str)
def test_notices_what_has_become_slower(row: Scenario) -> None:
    (verdict,) = best([row], beside_floor, SIZE, attempts=3)
    assert not verdict.met(), verdict
