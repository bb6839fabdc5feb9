"""What pyproject.toml and tox.ini say twice is the same both times."""

from __future__ import annotations

import re
import tomllib
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SETTINGS: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = SETTINGS["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
TOX = ConfigParser(interpolation=None)
TOX.read(ROOT / "tox.ini")

# redis-py's own affair; `tox -e package` tries the newest.
NOT_AT_THEIR_LOWEST = {"hiredis"}


def versions(requirements: list[str], sign: str) -> dict[str, str]:
    """The version that follows `sign`, for each package that has one."""
    found = (re.match(rf"\s*([\w\[\]-]+){sign}([\w.]+)", each) for each in requirements)
    return {match[1]: match[2] for match in found if match}


FLOORS = versions([*PROJECT["dependencies"], *(each for extra in EXTRAS.values() for each in extra)], ">=")


# --- Floors ----------------------------------------------------------------------------------------------------------


def test_every_requirement_has_a_floor_and_no_ceiling() -> None:
    requirements = [*PROJECT["dependencies"], *(each for extra in EXTRAS.values() for each in extra)]
    assert [each for each in requirements if not re.fullmatch(r"[\w\[\]-]+>=[\d.]+", each)] == []


def test_the_lowest_versions_are_the_floors() -> None:
    lowest = [section for section in TOX.sections() if section.endswith("lowest")]
    pinned = versions([each for section in lowest for each in TOX[section]["deps"].splitlines()], "==")
    expected = {name: floor for name, floor in FLOORS.items() if name not in NOT_AT_THEIR_LOWEST}
    assert {name: pinned.get(name) for name in expected} == expected


@pytest.mark.parametrize("group", SETTINGS["dependency-groups"])
def test_groups_ask_for_the_same_floors(group: str) -> None:
    named = [each for each in SETTINGS["dependency-groups"][group] if isinstance(each, str)]
    asked = versions(named, ">=")
    assert {name: floor for name, floor in asked.items() if FLOORS.get(name, floor) != floor} == {}


# --- Pythons ---------------------------------------------------------------------------------------------------------


def pythons() -> list[tuple[int, int]]:
    """Every Python that the classifiers name, the oldest first."""
    named = (re.fullmatch(r"Programming Language :: Python :: 3\.(\d+)", each) for each in PROJECT["classifiers"])
    return sorted((3, int(match[1])) for match in named if match)


def test_the_oldest_python_is_the_one_that_is_required() -> None:
    (major, minor), *_ = pythons()
    assert PROJECT["requires-python"] == f">={major}.{minor}"
    assert SETTINGS["tool"]["ruff"]["target-version"] == f"py{major}{minor}"
    assert SETTINGS["tool"]["mypy"]["python_version"] == f"{major}.{minor}"
    assert SETTINGS["tool"]["pyright"]["pythonVersion"] == f"{major}.{minor}"
    assert TOX["testenv:lowest"]["base_python"] == f"py{major}{minor}"


def test_the_tests_run_with_every_python_that_is_named() -> None:
    listed = re.findall(r"\bpy3(\d+)\b", TOX["tox"]["env_list"])
    assert sorted((3, int(minor)) for minor in listed) == pythons()


# --- The version -----------------------------------------------------------------------------------------------------


def test_the_version_is_written_in_one_place() -> None:
    """Code asks the installed package; README and changelog speak of versions in words."""
    number = re.compile(rf"(?<![\w.]){re.escape(PROJECT['version'])}(?![\w.])")
    texts = [*(ROOT / "src").rglob("*.py"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.py")]
    assert [path.name for path in texts if number.search(path.read_text(encoding="utf-8"))] == []


def test_the_changelog_begins_with_this_version() -> None:
    (first, *_) = re.findall(r"^## \[?([\w.]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first in (PROJECT["version"], "Unreleased")


# --- Environments ----------------------------------------------------------------------------------------------------


def test_the_docs_say_what_every_environment_is_for() -> None:
    said = (ROOT / "docs" / "development.md").read_text()
    rows = {
        name for row in re.findall(r"^\| (`[^|]+) \|", said, re.MULTILINE) for name in re.findall(r"`([\w-]+)`", row)
    }
    named = {section.removeprefix("testenv:") for section in TOX.sections() if section.startswith("testenv:")}
    assert named - rows == set()


def test_every_extra_has_a_script_that_uses_it() -> None:
    scripts = {path.stem for path in (ROOT / "tests" / "packaging" / "uses").glob("*.py")}
    assert EXTRAS.keys() - scripts == set()
