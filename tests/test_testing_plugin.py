"""What is for tests stays with tests: fixtures for those who ask for them, and nothing of it anywhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ASKED_FOR = """
pytest_plugins = ["bearerguard.testing.plugin"]
"""

TESTS = """
from bearerguard import InvalidToken, Verifier
from bearerguard.platforms import oauth, whatalo
from bearerguard.testing import Clock, FakeProvider, TestKeys, authenticated_as, mint
import pytest

verifier = Verifier(whatalo.session_tokens(client_id="ours", client_secret="a secret of thirty-two bytes, or more"))


def test_provider(bearerguard_provider, bearerguard_keys):
    assert bearerguard_provider.keys is bearerguard_keys
    settings = oauth.jwt_access_tokens(bearerguard_provider.issuer, "https://orders.example.com")
    with Verifier(settings) as verifier:
        assert verifier.verify(mint(settings, keys=bearerguard_keys, user="anna")).user == "anna"


def test_clock(bearerguard_clock):
    before = bearerguard_clock()
    assert bearerguard_clock.advance(5) == before + 5


def test_authenticated(bearerguard_authenticated_as):
    claims = bearerguard_authenticated_as(verifier, tenant="acme")
    assert verifier.verify("x") is claims
    assert bearerguard_authenticated_as(verifier, tenant="globex").tenant == verifier.verify("x").tenant == "globex"


def test_nobody_is_authenticated_any_more():
    with pytest.raises(InvalidToken):
        verifier.verify("x")
"""


def pytest_in(folder: Path, *arguments: str, autoload: bool) -> subprocess.CompletedProcess[str]:
    """What pytest says of the tests in a folder, where every warning is an error."""
    (folder / "test_app.py").write_text(TESTS)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:valkey", *arguments]
    environment = os.environ | ({} if autoload else {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("way", ["conftest", "argument"])
def test_gives_fixtures_to_those_who_ask_for_them(tmp_path: Path, way: str) -> None:
    if way == "conftest":
        (tmp_path / "conftest.py").write_text(ASKED_FOR)
    asked = ("-p", "bearerguard.testing.plugin") if way == "argument" else ()
    said = pytest_in(tmp_path, *asked, autoload=False)
    assert "4 passed" in said.stdout, said.stdout + said.stderr
    assert "warning" not in said.stdout


def test_does_not_load_itself(tmp_path: Path) -> None:
    said = pytest_in(tmp_path, autoload=True)
    assert "fixture 'bearerguard_provider' not found" in said.stdout
    assert "1 passed, 3 errors" in said.stdout
    assert [each.value for each in entry_points(group="pytest11") if each.value.startswith("bearerguard")] == []


def test_is_imported_by_nothing_else() -> None:
    doors = "asgi, wsgi, fastapi, flask, otel, sinks, events"
    platforms = "from bearerguard.platforms import jtl, oauth, shopify, whatalo"
    script = (
        f"import sys, bearerguard\nfrom bearerguard import {doors}\n{platforms}\n"
        "bearerguard.ClientCredentials\n"
        "print([name for name in sys.modules if name.startswith('bearerguard.testing')])"
    )
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
