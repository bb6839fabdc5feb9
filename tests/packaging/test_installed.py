"""What was installed works: away from the repository, with each extra alone, and with no more than it asks for."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.distributions import EXTRAS, PROJECT
from tests.packaging.venvs import Venv
from tests.servers import RedisServer, open_redis, own_redis_names

_SENTENCE = re.compile(r'(bearerguard\.\w+) needs [\w.]+, which comes with an extra: install "bearerguard\[(\w+)\]"')
# redis-py finds the one by itself; the other brings a server that stands behind the ASGI door.
_WITHOUT_A_MODULE = {"hiredis", "mcp"}


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    server = open_redis(own_redis_names()[0])
    yield server
    server.close()


def modules_that_cannot_be_imported(where: Venv) -> dict[str, str]:
    """Their names, and what is said."""
    said: dict[str, str] = json.loads(where.use("modules"))
    return said


# --- Without any extra -----------------------------------------------------------------------------------------------


def test_has_what_it_asks_for(plain: Venv) -> None:
    assert "No broken requirements" in plain.pip("check")


def test_is_the_one_that_was_installed(plain: Venv) -> None:
    said = plain.says(
        "import bearerguard, importlib.metadata as m; print(bearerguard.__file__); print(m.version('bearerguard'))"
    )
    place, version = said.splitlines()
    assert Path(place).is_relative_to(plain.home)
    assert version == PROJECT["version"]


def test_works_without_any_extra(plain: Venv) -> None:
    assert plain.use("plain") == ""


def test_says_which_extra_a_module_needs(plain: Venv) -> None:
    said = modules_that_cannot_be_imported(plain)
    matches = {module: _SENTENCE.fullmatch(sentence) for module, sentence in said.items()}
    assert {module: match and match[2] for module, match in matches.items()} == {
        f"bearerguard.{extra}": extra for extra in EXTRAS if extra not in _WITHOUT_A_MODULE
    }


# --- With extras -----------------------------------------------------------------------------------------------------


def test_works_with_an_extra_alone(extra: str, with_extra: Venv, redis_server: RedisServer) -> None:
    arguments = [redis_server.url] if extra == "hiredis" else []
    assert with_extra.use(extra, *arguments) == ""


def test_an_extra_brings_all_that_it_needs(with_extra: Venv) -> None:
    assert "No broken requirements" in with_extra.pip("check")


def test_an_extra_brings_its_module(extra: str, with_extra: Venv) -> None:
    assert f"bearerguard.{extra}" not in modules_that_cannot_be_imported(with_extra)


def test_all_extras_go_together(with_all: Venv) -> None:
    assert "No broken requirements" in with_all.pip("check")
    assert modules_that_cannot_be_imported(with_all) == {}


# --- For those who write against it ----------------------------------------------------------------------------------


def test_the_type_of_every_name_is_known(with_all: Venv) -> None:
    """As a type checker sees it where it is installed: pyright looks at the Python that stands first on PATH."""
    command = [sys.executable, "-m", "pyright", "--outputjson", "--ignoreexternal", "--verifytypes", "bearerguard"]
    found = json.loads(with_all.ends(*command).stdout)["typeCompleteness"]
    unknown = [symbol["name"] for symbol in found["symbols"] if symbol["isExported"] and not symbol["isTypeKnown"]]
    assert (unknown, found["completenessScore"]) == ([], 1)
