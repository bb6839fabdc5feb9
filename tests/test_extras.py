"""A module that needs an extra says which one, where it is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import bearerguard.extras


@pytest.mark.parametrize(
    ("extra", "package"), [("fastapi", "fastapi"), ("flask", "flask"), ("otel", "opentelemetry.metrics")]
)
def test_says_which_extra_is_missing(extra: str, package: str) -> None:
    script = f"import sys\nsys.modules[{package.split('.')[0]!r}] = None\nimport bearerguard.{extra}"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        f"ModuleNotFoundError: bearerguard.{extra} needs {package}, which comes with an extra: "
        f'install "bearerguard[{extra}]"'
    )


def test_keeps_the_cause_and_the_name_of_what_is_missing() -> None:
    missing = ModuleNotFoundError("No module named 'flask'", name="flask")
    with pytest.raises(ModuleNotFoundError) as caught, bearerguard.extras.brought_by("flask"):
        raise missing
    assert (caught.value.name, caught.value.__cause__) == ("flask", missing)


def test_says_nothing_of_extras_where_a_package_is_too_old() -> None:
    too_old = ImportError("cannot import name 'Security' from 'fastapi'", name="fastapi")
    with pytest.raises(ImportError) as caught, bearerguard.extras.brought_by("fastapi"):
        raise too_old
    assert caught.value is too_old
