"""The wheel and the sdist: what is in them, and what they say of themselves."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.distributions import EXTRAS, PROJECT, ROOT, Distributions, built, in_repository

# What only the repository is for.
LEFT_OUT = (".ci/",)


@pytest.mark.parametrize("which", ["wheel", "sdist"])
def test_passes_the_check_of_the_index(distributions: Distributions, which: str) -> None:
    command = [sys.executable, "-m", "twine", "--no-color", "check", "--strict", str(getattr(distributions, which))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, "PASSED" in ended.stdout, "warning" in ended.stdout) == (0, True, False), ended.stdout


def test_the_wheel_has_all_of_the_package_and_nothing_else(distributions: Distributions) -> None:
    source = {name.removeprefix("src/"): text for name, text in in_repository("src/bearerguard").items()}
    packed = {name: text for name, text in distributions.in_wheel.items() if ".dist-info/" not in name}
    assert packed.keys() == source.keys()
    assert [name for name, text in source.items() if packed[name] != text] == []
    assert "bearerguard/py.typed" in packed


def test_the_sdist_has_all_of_the_repository(distributions: Distributions) -> None:
    source = {name: text for name, text in in_repository().items() if not name.startswith(LEFT_OUT)}
    packed = {name: text for name, text in distributions.in_sdist.items() if name != "PKG-INFO"}
    assert packed.keys() == source.keys()
    assert [name for name, text in source.items() if packed[name] != text] == []


def test_the_sdist_builds_the_wheel_that_the_repository_builds(distributions: Distributions, tmp_path: Path) -> None:
    """`distributions` has the one from the sdist."""
    (wheel,) = built(tmp_path, "--wheel")
    assert wheel.name == distributions.wheel.name
    assert wheel.read_bytes() == distributions.wheel.read_bytes()


def test_both_hold_the_licence(distributions: Distributions) -> None:
    licence = (ROOT / "LICENSE").read_bytes()
    (name,) = (name for name in distributions.in_wheel if name.endswith(".dist-info/licenses/LICENSE"))
    assert distributions.in_wheel[name] == distributions.in_sdist["LICENSE"] == licence
    assert distributions.metadata["License-Expression"] == "MIT"
    assert distributions.metadata.get_all("License-File") == ["LICENSE"]


def test_the_wheel_is_for_every_system(distributions: Distributions) -> None:
    assert distributions.wheel.name == f"bearerguard-{PROJECT['version']}-py3-none-any.whl"


def test_says_what_the_project_says(distributions: Distributions) -> None:
    said = distributions.metadata
    words = {"Name": "name", "Version": "version", "Summary": "description", "Requires-Python": "requires-python"}
    assert {word: said[word] for word in words} == {word: PROJECT[name] for word, name in words.items()}
    assert sorted(said.get_all("Provides-Extra", [])) == sorted(EXTRAS)
    assert sorted(said.get_all("Classifier", [])) == sorted(PROJECT["classifiers"])


def test_shows_a_readme_whose_links_lead_somewhere(distributions: Distributions, tmp_path: Path) -> None:
    """An index knows no files beside the README, and shows no comments."""
    text = distributions.metadata.get_payload()
    assert isinstance(text, str)
    (tmp_path / "README.md").write_text(text)
    command = [sys.executable, "-m", "readme_renderer", str(tmp_path / "README.md")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "<h1" in shown
    targets = re.findall(r'(?:href|src|srcset)="([^"]*)"', shown)
    anchors = {f"#{anchor}" for anchor in re.findall(r'id="([^"]*)"', shown)}
    assert [target for target in targets if not target.startswith("https://") and target not in anchors] == []
    assert "<!--" not in text
    assert "reader." not in text
