"""`bearerguard mint`: tokens of made-up keys, and real ones within narrow bounds."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from bearerguard.encoding import from_base64url
from tests.command_line import WHATALO, run, whatalo
from tests.minting import SECRET

__all__ = ["whatalo"]


def payload(token: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(from_base64url(token.split(".")[1].encode()))
    return found


SIGNED = {
    "shopify.admin": ("--client-id", "x"),
    "shopify.pos": ("--client-id", "x"),
    "shopify.checkout": ("--client-id", "x"),
    "shopify.customer_account": ("--client-id", "x"),
    "whatalo.session": ("--client-id", "x"),
    "jtl.app": ("--app-id", "x"),
    "jtl.session": ("--client-id", "x"),
    "oauth.jwt": ("--issuer", "https://id.example.com", "--audience", "x"),
}


@pytest.mark.parametrize("name", SIGNED)
def test_mints_what_the_same_settings_accept(name: str, tmp_path: Path) -> None:
    keys, options = tmp_path / "keys", ("--preset", name, *SIGNED[name])
    minted = run("mint", *options, "--save-keys", str(keys))
    assert (minted.code, minted.out.count("\n")) == (0, 1)
    assert f"accepted as {name}" in minted.err
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    what = "--jwks-file" if keys.read_text().startswith("{") else "--client-secret-file"
    assert run("inspect", "-", *options, what, str(keys), stdin=minted.out).code == 0


def test_saves_no_private_key(tmp_path: Path) -> None:
    run("mint", "--preset", "jtl.app", "--app-id", "x", "--save-keys", str(tmp_path / "keys"))
    (key,) = json.loads((tmp_path / "keys").read_text())["keys"]
    assert not key.keys() & {"d", "p", "q", "dp", "dq", "qi", "k"}


def test_writes_over_nothing(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("mine")
    said = run("mint", *WHATALO, "--save-keys", str(tmp_path / "keys")).assert_one_clear_line(2)
    assert "is not written over; name another file; or sign" in said
    assert said.endswith("--with-real-secret --client-secret-file FILE\n")
    said = run("mint", "--preset", "jtl.app", "--app-id", "x", "--save-keys", str(tmp_path / "keys")).err
    assert said.endswith("name another file\n")  # a public key set signs nothing
    assert (tmp_path / "keys").read_text() == "mine"


def test_says_what_the_token_is_to_say() -> None:
    wishes = ("--tenant", "str_9", "--scope", "a", "--scope", "b", "--lifetime", "120", "--claim", "appId=x")
    minted = run("mint", *WHATALO, *wishes, "--claim", 'more={"a": [1]}', "--claim", "equals=a=b", "--json")
    said = payload(minted.facts["token"])
    assert (said["storeId"], said["scopes"], said["appId"]) == ("str_9", ["a", "b"], "x")
    assert (said["more"], said["equals"]) == ({"a": [1]}, "a=b")
    assert minted.facts["verdict"]["expires_at"] - time.time() > 60
    assert (minted.facts["kind"], minted.facts["real"]) == ("whatalo.session", False)


def test_says_why_a_token_would_be_refused() -> None:
    minted = run("mint", *WHATALO, "--without", "jti", "--header", "kid=7", "--json")
    assert minted.code == 0
    assert minted.facts["verdict"]["accepted"] is False
    assert "refused: 401 missing_claim" in run("mint", *WHATALO, "--without", "jti").err


APP = f"""\
from bearerguard import Verifier
from bearerguard.platforms import jtl, oauth, whatalo
secret = "{SECRET}"
one = Verifier(whatalo.session_tokens(client_id="wcl_1", client_secret=secret))
two = Verifier(
    whatalo.session_tokens(client_id="wcl_1", client_secret=secret),
    jtl.app_tokens(app_id="app-1"),
)
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "minting_app.py").write_text(APP)
    monkeypatch.syspath_prepend(tmp_path)
    return "minting_app"


def test_mints_for_an_app_with_keys_that_it_does_not_trust(app: str) -> None:
    minted = run("mint", "--app", f"{app}:one", "--tenant", "str_9")
    assert "and that key, where your app has another, says: accepted as whatalo.session" in minted.err
    inspected = run("inspect", "-", "--app", f"{app}:one", "--json", stdin=minted.out)
    assert (inspected.code, inspected.facts["verdict"]["reason"]) == (1, "bad_signature")


def test_asks_which_kind_of_an_app(app: str) -> None:
    said = run("mint", "--app", f"{app}:two").assert_one_clear_line(2)
    assert "--kind with one of whatalo.session, jtl.app" in said
    assert run("mint", "--app", f"{app}:two", "--kind", "jtl.app").code == 0


def test_mints_a_real_token_for_whoever_says_so(whatalo: Sequence[str]) -> None:
    minted = run("mint", *whatalo, "--with-real-secret")
    assert "signed with the secret that you gave" in minted.err
    assert "under these settings, with that secret: accepted" in minted.err
    assert run("inspect", "-", *whatalo, stdin=minted.out).code == 0
    assert run("mint", *WHATALO, "--with-real-secret", "--client-secret-file", "-", stdin=SECRET).code == 0
    assert SECRET not in minted.out + minted.err


@pytest.mark.parametrize(
    "wish",
    [
        pytest.param(("--claim", "exp=99999999999"), id="an end far away"),
        pytest.param(("--claim", "exp=1e12"), id="an end as a fraction"),
        pytest.param(("--claim", 'exp="99999999999"'), id="an end as a text"),
        pytest.param(("--claim", "exp=true"), id="no end"),
        pytest.param(("--claim", "exp=null"), id="null"),
        pytest.param(("--without", "exp"), id="without an end"),
        pytest.param(("--lifetime", "3601"), id="a second too long"),
        pytest.param(("--lifetime", "inf"), id="for ever"),
        pytest.param(("--lifetime", "nan"), id="no number"),
    ],
)
def test_mints_no_real_token_that_lives_for_more_than_an_hour(wish: Sequence[str], whatalo: Sequence[str]) -> None:
    run("mint", *whatalo, "--with-real-secret", *wish).assert_one_clear_line(2)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        pytest.param((), "say what token", id="nothing"),
        pytest.param(("--lifetime", "0", *WHATALO), "--lifetime is 0", id="no lifetime"),
        pytest.param(("--lifetime", "-5", *WHATALO), "--lifetime is -5", id="a lifetime that is over"),
        pytest.param(("--claim", "x", *WHATALO), "write NAME=VALUE", id="no value"),
        pytest.param(("--claim", "tenant=x", *WHATALO), "that is called tenant", id="a word of ours"),
        pytest.param(("--preset", "whatalo.access", "--client-id", "x", "--audience", "y"), "are opaque", id="opaque"),
        pytest.param((*WHATALO, "--client-secret-env", "HOME"), "would be real", id="a secret, and no word of it"),
        pytest.param((*WHATALO, "--with-real-secret"), "takes --preset NAME and", id="no secret"),
        pytest.param(
            (*WHATALO, "--with-real-secret", "--client-secret-env", "HOME"), "takes --preset NAME", id="a variable"
        ),
        pytest.param(("--app", "a:b", "--with-real-secret"), "printenv NAME |", id="the secret of an app"),
        pytest.param(("--preset", "jtl.app", "--app-id", "x", "--scope", "a"), "leave --scope out", id="no scopes"),
        pytest.param((*WHATALO, "--save-keys", "/nowhere/at/all"), "cannot be written", id="nowhere to save"),
        pytest.param(
            ("--preset", "oauth.jwt", "--issuer", "https://i.example", "--audience", "x", "--algorithm", "ES512"),
            "no test keys for ES512",
            id="an algorithm without test keys",
        ),
    ],
)
def test_says_what_is_wrong(argv: Sequence[str], says: str) -> None:
    assert says in run("mint", *argv).assert_one_clear_line(2)


def test_mints_no_real_token_that_only_a_platform_can(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    options = ("--preset", "jtl.session", "--client-id", "x", "--client-secret-file", str(tmp_path / "secret"))
    assert "only the platform" in run("mint", *options, "--with-real-secret").assert_one_clear_line(2)
