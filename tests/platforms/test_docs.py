from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from bearerguard import Verifier
from tests.minting import OLD_SECRET, SECRET, SigningKey, mint, private_key, public_jwk

PAGES = Path(__file__).parents[2] / "docs" / "platforms"
ED = private_key("EdDSA")
RSA = private_key("RS256")


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for platform in ("SHOPIFY", "WHATALO"):
        monkeypatch.setenv(f"{platform}_CLIENT_ID", "ours")
        monkeypatch.setenv(f"{platform}_CLIENT_SECRET", SECRET)
    monkeypatch.setenv("SHOPIFY_OLD_CLIENT_SECRET", OLD_SECRET)
    monkeypatch.chdir(tmp_path)
    for file, key in (("jtl-jwks.json", ED), ("jwks.json", RSA)):
        (tmp_path / file).write_text(json.dumps({"keys": [public_jwk(key)]}))


def run(page: str) -> dict[str, Any]:
    blocks = re.findall(r"^```python\n(.*?)^```$", (PAGES / f"{page}.md").read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": page}
    exec("\n".join(blocks), names)
    return names


@pytest.mark.parametrize("page", [page.stem for page in sorted(PAGES.glob("*.md"))])
def test_runs_the_code_on_every_page(page: str) -> None:
    assert isinstance(run(page)["verifier"], Verifier)


@pytest.mark.parametrize(
    ("page", "name", "payload", "key", "alg"),
    [
        pytest.param(
            "whatalo",
            "verifier",
            {"iss": "whatalo", "aud": "ours", "sub": "s", "storeId": "s", "appId": "loyalty-stamps"},
            SECRET,
            "HS256",
            id="whatalo",
        ),
        pytest.param(
            "shopify", "verifier", {"dest": "a.myshopify.com", "aud": "ours"}, SECRET, "HS256", id="shopify checkout"
        ),
        pytest.param(
            "jtl",
            "legacy",
            {"userId": "8f0c9c6e-3b1d-4c2a-9d7e-5a4b3c2d1e0f", "tenantId": "f2f8ab7e-1d2c-4b3a-8e9f-0a1b2c3d4e5f"},
            ED,
            "EdDSA",
            id="jtl session",
        ),
    ],
)
def test_accepts_what_the_page_says_it_accepts(
    page: str, name: str, payload: dict[str, object], key: SigningKey, alg: str
) -> None:
    verifier: Verifier[Any] = run(page)[name]
    now = int(time.time())
    always: dict[str, object] = {"exp": now + 60, "iat": now, "jti": "one"}
    assert verifier.verify(mint(always | payload, key=key, alg=alg))["exp"] == now + 60


def test_has_a_page_for_every_preset() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} >= {"jtl", "oauth", "shopify", "whatalo"}
