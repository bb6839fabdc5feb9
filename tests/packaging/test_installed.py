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


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    server = open_redis(own_redis_names()[0])
    yield server
    server.close()


def what_importing_says(where: Venv) -> dict[str, str | None]:
    """What is said when each of our modules is imported; nothing where it can be. pytest alone loads its plugin."""
    said: dict[str, str | None] = json.loads(where.use("modules"))
    return {module: sentence for module, sentence in said.items() if module != "bearerguard.testing.plugin"}


def extra_for(module: str) -> str | None:
    """The extra that a module is for: the one of its own name, or of its package's."""
    name = f"{module}.".split(".")[1]
    return name if name in EXTRAS else None


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
    said = what_importing_says(plain)
    refused = {module: sentence for module, sentence in said.items() if sentence is not None}
    assert refused.keys() == {module for module in said if extra_for(module) is not None}
    for module, sentence in refused.items():
        match = _SENTENCE.fullmatch(sentence)
        assert match, sentence
        assert match[1].removeprefix("bearerguard.") == match[2] == extra_for(module)


def test_brings_the_commands_that_the_project_names_and_each_says_how_it_is_used(plain: Venv) -> None:
    code = "import importlib.metadata as m; print(*m.distribution('bearerguard').entry_points.select().names)"
    commands = PROJECT.get("scripts", {}).keys()
    assert {*plain.says(code).split()} == commands
    for command in commands:
        told = plain.ends(plain.programs / command, "--help")
        assert (told.returncode, told.stderr, command in told.stdout) == (0, "", True)


# --- With extras -----------------------------------------------------------------------------------------------------


def test_works_with_an_extra_alone(extra: str, with_extra: Venv, redis_server: RedisServer) -> None:
    arguments = [redis_server.url] if extra == "hiredis" else []
    assert with_extra.use(extra, *arguments) == ""


def test_an_extra_brings_all_that_it_needs(with_extra: Venv) -> None:
    assert "No broken requirements" in with_extra.pip("check")


def test_an_extra_brings_its_module(extra: str, with_extra: Venv) -> None:
    said = what_importing_says(with_extra)
    assert {module: sentence for module, sentence in said.items() if sentence and extra_for(module) == extra} == {}


def test_all_extras_go_together(with_all: Venv) -> None:
    assert "No broken requirements" in with_all.pip("check")
    assert {*what_importing_says(with_all).values()} == {None}


# --- For those who write against it ----------------------------------------------------------------------------------


def test_the_type_of_every_name_is_known(with_all: Venv) -> None:
    """As a type checker sees it where it is installed: pyright looks at the Python that stands first on PATH."""
    command = [sys.executable, "-m", "pyright", "--outputjson", "--ignoreexternal", "--verifytypes", "bearerguard"]
    found = json.loads(with_all.ends(*command).stdout)["typeCompleteness"]
    told = [
        (symbol["name"], each["message"])
        for symbol in found["symbols"]
        for each in symbol["diagnostics"]
        if each["severity"] == "error"
    ]
    # What is partially unknown is so for one of the other reasons.
    causes = [f"{name}: {message}" for name, message in told if "partially unknown" not in message]
    assert not causes, "\n".join(causes)
    assert found["completenessScore"] == 1
