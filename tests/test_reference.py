"""The API reference says what the docstrings say, and their examples run."""

from __future__ import annotations

import importlib
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import MagicMock

import fastapi
import flask
import pytest
import redis.asyncio
import redis.backoff
import redis.retry
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import bearerguard
from bearerguard import OpaqueTokens, SharedSecrets, SignedTokens, Verifier
from bearerguard.carriers import Header
from bearerguard.flask import init_app
from bearerguard.platforms import jtl, oauth, shopify, whatalo
from bearerguard.sinks import add_sink, set_sinks, to_log
from bearerguard.testing import TestKeys
from bearerguard.wsgi import SessionTokenMiddleware
from tests.minting import OLD_SECRET, SECRET, private_key, public_jwk
from tests.site.reference import FOLDER, NOT_EVERYWHERE, file_name, pages
from tests.test_exported_members import MODULES, THINGS

PAGES = pages([*MODULES, *NOT_EVERYWHERE])


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_says_what_the_docstrings_say(file: Path) -> None:
    hint = "renew it: python -m tests.site --reference"
    assert file.is_file(), hint
    assert file.read_text(encoding="utf-8") == PAGES[file], hint


def test_has_no_page_of_a_module_that_is_gone() -> None:
    assert set(FOLDER.glob("*")) == PAGES.keys()


@pytest.mark.parametrize("name", [name for name in THINGS if not name.startswith("bearerguard.carriers")])
def test_has_every_public_name(name: str) -> None:
    of_module = max((each for each in MODULES if name.startswith(f"{each}.")), key=len)
    text = (FOLDER / file_name(of_module)).read_text(encoding="utf-8")
    owner, _, member = name.removeprefix(f"{of_module}.").partition(".")
    assert f"\n## {owner}\n" in text
    assert not member or re.search(rf"^### \w+\.{member}$|^\| `{member}` \|", text, re.MULTILINE)


# --- The examples in docstrings --------------------------------------------------------------------------------------

OPAQUE = OpaqueTokens(
    issuer="https://id.example.com", client_id="ours", client_secret=SECRET, audience="https://orders.example.com"
)
SIGNED = SignedTokens(
    keys=SharedSecrets(SECRET), algorithms=["HS256"], issuer="us", audience="ours", tenant="shop", user="sub"
)
ELIDED = {
    '"..."': f'"{SECRET}"',
    '"new secret", "old secret"': f'"{SECRET}", "{OLD_SECRET}"',
    "wcl_...": "wcl_5f6a",
    "OpaqueTokens(...)": "OPAQUE",
    "jtl.client_credentials(...)": f'jtl.client_credentials(client_id="ours", client_secret="{SECRET}")',
    "redis.asyncio.Redis(..., ": "redis.asyncio.Redis(",
    f'"x": "{SECRET}"': f'"x": "{public_jwk(private_key("EdDSA"))["x"]}"',
}
"""What examples leave out for brevity."""


def examples() -> dict[str, str]:
    """Every example of a docstring, by the name that it belongs to."""
    said = {name: inspect.getdoc(thing) or "" for name, thing in THINGS.items()}
    said |= {name: importlib.import_module(name).__doc__ or "" for name in MODULES}
    found = {name: re.findall(r"```python\n(.*?)```", text, re.DOTALL) for name, text in said.items()}
    return {name: code for name, codes in found.items() for code in codes}


def surroundings() -> dict[str, Any]:
    """What examples take for granted."""
    key = private_key("EdDSA")
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return {
        **{name: getattr(bearerguard, name) for name in bearerguard.__all__},
        "bearerguard": bearerguard,
        "jtl": jtl,
        "oauth": oauth,
        "shopify": shopify,
        "whatalo": whatalo,
        "FastAPI": fastapi.FastAPI,
        "Depends": fastapi.Depends,
        "Annotated": Annotated,
        "init_app": init_app,
        "add_sink": add_sink,
        "counts": Counter(),
        "redis": redis,
        "Retry": redis.retry.Retry,
        "NoBackoff": redis.backoff.NoBackoff,
        "settings": SIGNED,
        "verifier": Verifier(SIGNED),
        "token": "",
        "claims": MagicMock(),
        "OPAQUE": OPAQUE,
        "jwks": public_jwk(key),
        "Path": MagicMock(return_value=MagicMock(read_text=lambda: pem)),
        "httpx": MagicMock(),
        "shop_host": str.lower,
        "current_claims": MagicMock(),
        "Header": Header,
        "keys": TestKeys(),
        "client": MagicMock(get=MagicMock(return_value=MagicMock(status_code=200))),
    }


def app_of(name: str) -> Any:
    """The application that an example would stand in."""
    is_flask = ".wsgi" in name or ".flask" in name
    return flask.Flask(name) if is_flask else fastapi.FastAPI()


@pytest.fixture
def nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Examples name stores and tokens that are not there."""
    for owner, method in ((Verifier, "verify"), (bearerguard.Denylist, "revoke_tenant")):
        monkeypatch.setattr(owner, method, MagicMock())
    bring_back = set_sinks(to_log)
    yield
    bring_back()


@pytest.mark.parametrize("name", examples())
@pytest.mark.usefixtures("nothing_is_asked")
def test_runs_the_example_of_a_docstring(name: str) -> None:
    code = examples()[name]
    for short, whole in ELIDED.items():
        code = code.replace(short, whole)
    if code.rstrip().splitlines()[-1].startswith("@"):
        code += "def view() -> None: ..."
    of_module = max((each for each in MODULES if name == each or name.startswith(f"{each}.")), key=len)
    names = {"SessionTokenMiddleware": SessionTokenMiddleware} | vars(importlib.import_module(of_module))
    names |= surroundings() | {"app": app_of(name)}
    exec(compile(code, name, "exec"), names)
