"""What both doors answer while a key set cannot be fetched, and how soon."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from bearerguard import JwksKeys, Verifier
from bearerguard.events import Event, KeysRefreshed, ProviderFailed
from bearerguard.sinks import add_sink
from tests.doors import Answer
from tests.hostile import NOW, Clock, settings
from tests.scripted_provider import (
    Play,
    ScriptedProvider,
    chunked,
    dripped_body,
    html,
    json_answer,
    reset,
    silent,
    status,
)
from tests.test_key_sets import fresh, keys
from tests.test_store_faults import SHOPS, Shop, assert_unavailable, timed

PROVIDER_SECONDS = 2.0
BUSY = 2

DOWN: dict[str, Play] = {
    "500": status(500),
    "reset": reset,
    "silent": silent,
    "html": html(),
    "no keys": json_answer({"keys": []}),
    "dripping": dripped_body(),
    "100 MB": chunked(100_000_000),
}


@dataclass
class Scene:
    """A shop whose keys are at a provider that the test spoils, and the clock that its patience goes by."""

    shop: Shop
    provider: ScriptedProvider
    clock: Clock
    told: list[Event]

    def count(self, kind: type[Event]) -> int:
        return sum(isinstance(event, kind) for event in self.told)


@pytest.fixture(params=SHOPS)
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    told: list[Event] = []
    remove, clock = add_sink(told.append), Clock(1_000.0)
    with ScriptedProvider(keys("one")) as provider:
        kind = settings(keys=JwksKeys(provider.url("/jwks")), algorithms=("EdDSA",))
        shop = SHOPS[request.param](Verifier(kind, clock=lambda: NOW, monotonic=clock))
        yield Scene(shop, provider, clock, told)
        shop.close()
    remove()


def asked(scene: Scene, text: str) -> tuple[Answer, float]:
    return timed(lambda: scene.shop.ask(text))


@pytest.mark.timed
@pytest.mark.parametrize("name", DOWN)
def test_says_503_in_time_where_no_key_was_ever_loaded(scene: Scene, name: str) -> None:
    scene.provider.play("/jwks", DOWN[name])
    answered, seconds = asked(scene, fresh("one"))
    assert_unavailable(answered)
    assert seconds < BUSY * PROVIDER_SECONDS
    assert (scene.count(ProviderFailed), scene.provider.count("/jwks")) == (1, 1)
    again, seconds = asked(scene, fresh("one"))
    assert_unavailable(again)
    assert seconds < BUSY * 0.1
    assert scene.provider.count("/jwks") == 1
    scene.provider.play("/jwks", keys("one"))
    scene.clock.now += 1
    assert asked(scene, fresh("one"))[0].status == 200
    assert scene.count(KeysRefreshed) == 1


@pytest.mark.timed
@pytest.mark.parametrize("name", DOWN)
def test_keeps_known_keys_to_their_own_end_and_nobody_waits(scene: Scene, name: str) -> None:
    assert asked(scene, fresh("one"))[0].status == 200
    scene.provider.play("/jwks", DOWN[name])
    scene.clock.now += 3599
    answered, seconds = asked(scene, fresh("one"))
    assert answered.status == 200
    assert seconds < BUSY * 0.1
    scene.clock.now += 2
    answered, seconds = asked(scene, fresh("one"))
    assert_unavailable(answered)
    assert seconds < BUSY * PROVIDER_SECONDS


@pytest.mark.timed
@pytest.mark.parametrize("is_down", [False, True], ids=["well", "down"])
def test_asks_once_in_a_cool_down_about_keys_that_nobody_knows(scene: Scene, is_down: bool) -> None:
    assert asked(scene, fresh("one"))[0].status == 200
    scene.clock.now += 31
    if is_down:
        scene.provider.play("/jwks", status(500))
    fetched = scene.provider.count("/jwks")
    for _ in range(50):
        answered, seconds = asked(scene, fresh("two"))
        assert (answered.status == 503) if is_down else (answered.status == 401)
        assert seconds < BUSY * PROVIDER_SECONDS
        assert asked(scene, fresh("one"))[0].status == 200
    assert scene.provider.count("/jwks") - fetched <= 2


def test_takes_the_new_key_of_a_set_that_was_rotated(scene: Scene) -> None:
    old = fresh("one")
    assert asked(scene, old)[0].status == 200
    scene.clock.now += 31
    scene.provider.play("/jwks", keys("two"))
    assert asked(scene, fresh("two"))[0].status == 200
    assert [scene.shop.ask(text).status for text in (old, fresh("one"))] == [401, 401]
