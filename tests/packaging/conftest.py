"""What is built once, and installed once in each way, for all tests of the packages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.packaging.distributions import EXTRAS, Distributions, built
from tests.packaging.venvs import Venv, venv_with

ALL = ",".join(EXTRAS)


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """An sdist, and the wheel that is built from it."""
    wheel, sdist = built(tmp_path_factory.mktemp("dist"))
    return Distributions(wheel, sdist)


@pytest.fixture(scope="session")
def installing(
    distributions: Distributions, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Future[Venv]]]:
    """Each way to install, on its way: the wheel, the sdist, the wheel with each extra alone, and with all of them."""
    home, wheel = tmp_path_factory.mktemp("venvs"), str(distributions.wheel)
    ways = {"wheel": wheel, "sdist": str(distributions.sdist)}
    ways |= {f"[{extras}]": f"{wheel}[{extras}]" for extras in (*EXTRAS, ALL)}
    with ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(venv_with, home / str(place), way) for place, (name, way) in enumerate(ways.items())}


@pytest.fixture(params=["wheel", "sdist"])
def plain(installing: Mapping[str, Future[Venv]], request: pytest.FixtureRequest) -> Venv:
    """Where bearerguard is installed without any extra."""
    return installing[request.param].result()


@pytest.fixture(params=EXTRAS)
def extra(request: pytest.FixtureRequest) -> str:
    """The name of each extra."""
    name: str = request.param
    return name


@pytest.fixture
def with_extra(installing: Mapping[str, Future[Venv]], extra: str) -> Venv:
    """Where it is installed with that extra alone."""
    return installing[f"[{extra}]"].result()


@pytest.fixture
def with_all(installing: Mapping[str, Future[Venv]]) -> Venv:
    """Where it is installed with all extras."""
    return installing[f"[{ALL}]"].result()
