"""The command `bearerguard`: how it is called, how it ends, and what it never does."""

from __future__ import annotations

import errno
import io
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bearerguard.cli import main
from bearerguard.cli.arguments import Parser, add_settings
from bearerguard.cli.command import whole_parser
from bearerguard.cli.outcomes import MEANINGS, ExitCode
from bearerguard.cli.paper import Paper, plain, quoted
from bearerguard.cli.presets import FLAGS, PRESETS, parameters_of, preset_named
from bearerguard.platforms import jtl, oauth, shopify
from bearerguard.platforms import whatalo as whatalo_presets
from bearerguard.settings import OpaqueTokens, SignedTokens
from tests.command_line import ROOT, WHATALO, run, run_process, token, whatalo
from tests.minting import OLD_SECRET, SECRET

__all__ = ["whatalo"]

VERBS = ("inspect", "mint", "doctor", "revoke", "status", "demo")
PAGE = (ROOT / "docs" / "command-line.md").read_text()


# --- Help ------------------------------------------------------------------------------------------------------------


def test_shows_all_verbs_and_all_exit_codes_in_its_help() -> None:
    helped = run("--help")
    assert (helped.code, helped.err) == (0, "")
    assert all(f"\n    {verb} " in helped.out for verb in VERBS)
    assert all(re.search(rf"^  {code.value} +{re.escape(says)}$", helped.out, re.M) for code, says in MEANINGS.items())


@pytest.mark.parametrize("verb", VERBS)
def test_shows_what_a_verb_takes(verb: str) -> None:
    helped = run(verb, "--help")
    assert (helped.code, helped.err) == (0, "")
    assert helped.out.startswith(f"usage: bearerguard {verb} ")
    assert "exit codes:" in helped.out
    assert max(map(len, helped.out.splitlines())) <= 120


def test_shows_its_version() -> None:
    assert re.fullmatch(r"bearerguard \S+\n", run("--version").out)


@pytest.mark.parametrize("code", MEANINGS)
def test_documents_every_exit_code(code: ExitCode) -> None:
    assert re.search(rf"^\| {code.value} \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize("verb", VERBS)
def test_documents_every_verb(verb: str) -> None:
    assert re.search(rf"^## .*`{verb}`", PAGE, re.MULTILINE)


def commands_shown() -> list[str]:
    """Every call of the command in the docs and in the help of its verbs."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    texts = [*(page.read_text().replace("\\\n", "") for page in pages), *(run(verb, "--help").out for verb in VERBS)]
    found = [
        line for text in texts for line in re.findall(r"^(?:\$ |  )(?:.* \| )?(bearerguard .*)$", text, re.MULTILINE)
    ]
    return [command for command in dict.fromkeys(found) if " VERB" not in command]


@pytest.mark.parametrize("command", commands_shown())
def test_takes_every_command_that_is_shown(command: str) -> None:
    _, *argv = shlex.split(re.split(r" [<>]|\)$", command)[0])
    assert whole_parser().parse_args(argv).run


def test_shows_some_commands() -> None:
    assert len(commands_shown()) > 15


# --- Presets ---------------------------------------------------------------------------------------------------------


def functions_that_give_settings() -> set[str]:
    found = set()
    for platform in (jtl, oauth, shopify, whatalo_presets):
        for name in platform.__all__:
            gives = getattr(getattr(platform, name), "__annotations__", {}).get("return")
            if gives in ("SignedTokens", "OpaqueTokens"):
                found.add(f"{platform.__name__.rpartition('.')[2]}.{name}")
    return found


def test_has_every_preset_there_is() -> None:
    assert set(PRESETS.values()) == functions_that_give_settings()
    assert all(preset_named(name) is preset_named(function) for name, function in PRESETS.items())


@pytest.mark.parametrize("name", PRESETS)
def test_has_an_option_for_whatever_a_preset_needs(name: str) -> None:
    takes, needs = parameters_of(preset_named(name))
    assert set(needs) <= takes & FLAGS.keys()


def test_has_every_option_that_it_speaks_of() -> None:
    assert set(FLAGS.values()) <= settings_parser()._option_string_actions.keys()


def settings_parser() -> Parser:
    """What takes the options that make settings."""
    takes = Parser()
    add_settings(takes)
    return takes


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param("shopify.admin", ("--client-id", "x", "--shop-domain", "example.com"), id="shopify.admin"),
        pytest.param("shopify.pos", ("--client-id", "x"), id="shopify.pos"),
        pytest.param("shopify.checkout", ("--client-id", "x"), id="shopify.checkout"),
        pytest.param("shopify.customer_account", ("--client-id", "x"), id="shopify.customer_account"),
        pytest.param("whatalo.session", ("--client-id", "x", "--app-id", "y"), id="whatalo.session"),
        pytest.param("whatalo.access", ("--client-id", "x", "--client", "y", "--client", "z"), id="whatalo.access"),
        pytest.param("jtl.session", ("--client-id", "x", "--environment", "beta"), id="jtl.session"),
        pytest.param("jtl.app", ("--app-id", "x", "--issuer", "https://id.example.com"), id="jtl.app"),
        pytest.param(
            "oauth.jwt",
            ("--issuer", "https://id.example.com", "--audience", "a", "--audience", "b", "--not-rfc9068"),
            id="oauth.jwt",
        ),
        pytest.param(
            "oauth.opaque",
            ("--issuer", "https://id.example.com", "--audience", "a", "--client-id", "x", "--jwt-shaped"),
            id="oauth.opaque",
        ),
    ],
)
def test_makes_the_settings_of_a_preset(name: str, options: Sequence[str], tmp_path: Path) -> None:
    from bearerguard.cli.call import Call, Heard
    from bearerguard.cli.presets import settings_of

    (tmp_path / "new").write_text(SECRET)
    (tmp_path / "old").write_text(OLD_SECRET)
    secrets = ("--client-secret-file", str(tmp_path / "new"), "--old-client-secret-file", str(tmp_path / "old"))
    needs_none = name in ("jtl.app", "oauth.jwt")
    args = settings_parser().parse_args(["--preset", name, *options, *(() if needs_none else secrets)])
    made = settings_of(args, Call(args, Paper(), Heard()).sources)
    assert isinstance(made, (SignedTokens, OpaqueTokens))
    assert made.name == name


# --- Wrong usage -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        pytest.param((), "say what to do", id="no verb"),
        pytest.param(("frobnicate",), "invalid choice", id="an unknown verb"),
        pytest.param(("inspect",), "give one token", id="no token"),
        pytest.param(("inspect", "x", "--token-file", "y"), "give one token", id="two tokens"),
        pytest.param(("inspect", "--token-file", "/nowhere/at/all"), "cannot be read", id="no such file"),
        pytest.param(("inspect", "--token-file", "/"), "cannot be read", id="a directory"),
        pytest.param(("inspect", ""), "there is no token", id="an empty token"),
        pytest.param(("inspect", "x", "--colour"), "unrecognized arguments: --colour", id="an unknown option"),
        pytest.param(("inspect", "x", "--preset", "magento"), "--preset is 'magento'; use one of", id="no preset"),
        pytest.param(("inspect", "x", *WHATALO), "needs --client-secret-file (or --client-secret-env", id="no secret"),
        pytest.param(("inspect", "x", "--preset", "jtl.app"), "needs --app-id", id="no app id"),
        pytest.param(
            ("inspect", "x", "--preset", "jtl.app", "--app-id", "a", "--client-id", "b"),
            "takes no --client-id; it takes",
            id="an option of another preset",
        ),
        pytest.param(("inspect", "x", *WHATALO, "--app", "a:b"), "--app and --preset both", id="two settings"),
        pytest.param(
            ("inspect", "x", *WHATALO, "--client-secret-env", "NO_SUCH_VARIABLE"),
            "NO_SUCH_VARIABLE is not set",
            id="no such variable",
        ),
        pytest.param(("doctor",), "say whom to examine", id="nothing to examine"),
        pytest.param(("doctor", "--store", "carrier-pigeon://x"), "begins with none of", id="no such store"),
        pytest.param(("doctor", "--store", "redis://x:y@z"), "has a password in it", id="a password for all to see"),
        pytest.param(("doctor", "--store", "redis://[::1"), "cannot be read", id="a URL that is none"),
        pytest.param(("revoke", "tenant", "x"), "say whose denylist", id="no denylist"),
        pytest.param(("status", "--store", "memory://", "--authority", "a"), "of one process alone", id="memory"),
        pytest.param(("demo", "--port", "many"), "invalid int value", id="no port"),
    ],
)
def test_says_in_one_line_what_is_wrong(argv: Sequence[str], says: str) -> None:
    assert says in run(*argv).assert_one_clear_line(2)


@pytest.mark.parametrize("option", ["--client-secret", "--old-client-secret"])
@pytest.mark.parametrize("joined", [True, False])
def test_takes_no_secret_from_the_command_line(option: str, joined: bool) -> None:
    given = [f"{option}={SECRET}"] if joined else [option, SECRET]
    said = run("inspect", "x", *WHATALO, *given).assert_one_clear_line(2)
    assert f"give {option}-file FILE" in said
    assert SECRET not in said


@pytest.mark.parametrize("option", ["--secret", "--client-secre", "--password"])
def test_repeats_nothing_of_what_it_does_not_know(option: str) -> None:
    for given in ([f"{option}={SECRET}"], [option, SECRET]):
        assert SECRET not in run("doctor", *WHATALO, *given).assert_one_clear_line(2)


def test_reads_standard_input_once_only() -> None:
    said = run("inspect", "-", *WHATALO, "--client-secret-file", "-", stdin="x").assert_one_clear_line(2)
    assert "standard input is read for" in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"\n", "is empty", id="an empty line"),
        pytest.param(b"\xff\xfe", "no UTF-8", id="no text"),
        pytest.param(b"x" * 100_000, "is longer than", id="huge"),
        pytest.param(b"short", "allow_short_secret", id="too short for the hash"),
    ],
)
def test_takes_no_secret_that_is_none(text: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(text)
    argv = ("inspect", "x", *WHATALO, "--client-secret-file", str(tmp_path / "secret"))
    assert says in run(*argv).assert_one_clear_line(2)


# --- The user's own app ----------------------------------------------------------------------------------------------

APP = f"""\
import sys
from bearerguard import Verifier
from bearerguard.platforms import whatalo
print("loading the app")
settings = whatalo.session_tokens(client_id="wcl_1", client_secret="{SECRET}")
verifier = Verifier(settings)
class Holder:
    inner = verifier
def make():
    print("making a verifier")
    return verifier
async def make_async(): return verifier
def breaks(): raise RuntimeError("no \\x1b[31mluck")
number = 7
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The name of a module that only this test has."""
    name = f"app_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(APP)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return name


@pytest.mark.parametrize("where", ["", ":verifier", ":make", ":settings", ":Holder.inner"])
def test_finds_the_verifier_of_an_app(app: str, where: str) -> None:
    ran = run("inspect", token(), "--app", f"{app}{where}", "--json")
    assert (ran.code, ran.facts["verdict"]["tenant"]) == (0, "str_1")
    assert "loading the app" in ran.err


@pytest.mark.parametrize(
    ("where", "says"),
    [
        pytest.param("nowhere.at.all:verifier", "there is no module nowhere here", id="no such module"),
        pytest.param("{app}.sub:verifier", "there is no module {app}.sub here", id="no such submodule"),
        pytest.param("../app:verifier", "write where your verifier stands", id="a path"),
        pytest.param(":verifier", "write where your verifier stands", id="no module"),
        pytest.param("{app}:no.such.thing", "has no no.such.thing", id="no such name"),
        pytest.param("{app}:number", "this is a int, and no Verifier", id="no verifier"),
        pytest.param("{app}:make_async", "this is an async function", id="an async function"),
        pytest.param("{app}:breaks", r"raised RuntimeError: no \x1b[31mluck", id="a function that raises"),
        pytest.param("{app}:Holder", "this is a Holder", id="a class"),
    ],
)
def test_says_what_is_wrong_with_an_app(app: str, where: str, says: str) -> None:
    ran = run("inspect", token(), "--app", where.format(app=app))
    lines = [line for line in ran.err.splitlines() if line not in ("loading the app", "making a verifier")]
    assert (ran.code, ran.out, len(lines)) == (2, "", 1)
    assert says.format(app=app) in lines[0]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        pytest.param("raise KeyError('REDIS_URL')", "raised KeyError: 'REDIS_URL'", id="an exception"),
        pytest.param("import sys; sys.exit(0)", "raised SystemExit: 0", id="the end of the process"),
        pytest.param("import no_such_module_either", "needs a module no_such_module_either", id="a missing module"),
        pytest.param("def (", "raised SyntaxError", id="no Python"),
        pytest.param(
            "from bearerguard import SharedSecrets; SharedSecrets('')", "raised SettingsError", id="wrong settings"
        ),
    ],
)
def test_says_what_a_module_raised(source: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(f"{source}\n")
    ran = run_process("doctor", "--app", "broken", cwd=tmp_path, env={"PYTHONPATH": str(ROOT / "src")})
    assert says in ran.assert_one_clear_line(2)


def test_is_not_held_up_by_threads_that_an_app_leaves_behind(tmp_path: Path) -> None:
    lasting = "import threading\nthreading.Thread(target=threading.Event().wait).start()\n"
    (tmp_path / "lasting.py").write_text(APP + lasting)
    ran = run_process(
        "inspect", token(), "--app", "lasting", "--json", cwd=tmp_path, env={"PYTHONPATH": str(ROOT / "src")}
    )
    assert (ran.code, ran.facts["verdict"]["accepted"]) == (0, True)


# --- The process -----------------------------------------------------------------------------------------------------


def test_works_as_a_module(tmp_path: Path) -> None:
    ran = run_process("inspect", "-", stdin=token(), env={"PYTHONPATH": str(ROOT / "src")}, cwd=tmp_path)
    assert (ran.code, ran.err) == (0, "")
    assert '"str_1"' in ran.out


def started(*argv: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bearerguard", *argv],
        cwd=ROOT,
        text=True,
        stderr=subprocess.PIPE,
        **{"stdout": subprocess.PIPE, **options},
    )


@pytest.mark.parametrize("argv", [("inspect", token()), ("--help",), ("inspect", token(), "--json")])
def test_is_quiet_when_its_reader_has_gone(argv: Sequence[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    with started(*argv, stdout=write) as process:
        os.close(write)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (141, "")


class FullDisk(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_says_that_its_output_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    monkeypatch.setattr(sys, "stdout", FullDisk())
    monkeypatch.setattr(sys, "stderr", said)
    assert main(["inspect", token()]) == 4
    assert said.getvalue() == "bearerguard: the output cannot be written: No space left on device\n"


def test_makes_do_without_any_output() -> None:
    command = [sys.executable, "-m", "bearerguard", "inspect", "x"]
    done = subprocess.run(["sh", "-c", '"$@" >&- 2>&-', "sh", *command], cwd=ROOT, timeout=60)
    assert done.returncode == 1


def test_ends_at_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n")
    ran = run_process("doctor", "--app", "slow", cwd=tmp_path, env={"PYTHONPATH": str(ROOT / "src")})
    assert (ran.code, ran.out, ran.err) == (130, "", "")


def test_spells_out_what_an_output_cannot_write() -> None:
    odd = token(storeId="st\u00f6re", sub="st\u00f6re")
    ran = run_process("inspect", odd, env={"PYTHONIOENCODING": "ascii"})
    assert (ran.code, ran.err) == (0, "")
    assert r"st\xf6re" in ran.out


def test_tells_of_a_mistake_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> object:
        raise LookupError(SECRET)

    monkeypatch.setattr("bearerguard.cli.inspection.verb.decoded", broken)
    said = run("inspect", "x").assert_one_clear_line(4)
    assert "LookupError" in said
    assert SECRET not in said
    assert "Traceback" in run("inspect", "x", "--debug").err


def test_serves_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[object] = []
    monkeypatch.setattr("bearerguard.cli.showing_demo.serve", lambda *given, **named: served.append((given, named)))
    assert run("demo", "--port", "0").code == 0
    assert served == [(("127.0.0.1", 0), {"names": [], "open_browser": False})]


def test_says_that_the_demo_cannot_be_served() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        run("demo", "--port", str(taken.getsockname()[1])).assert_one_clear_line(2)


def test_leaves_log_and_sinks_as_they_were() -> None:
    from bearerguard import sinks
    from bearerguard.journal import logger

    before = (sinks._sinks, tuple(logger.handlers))
    run("inspect", token())
    run("inspect")
    assert (sinks._sinks, tuple(logger.handlers)) == before


def test_gives_its_code_to_whoever_calls_it() -> None:
    assert main(["inspect", ""]) == 2


# --- Colours ---------------------------------------------------------------------------------------------------------


class Terminal:
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [
        pytest.param({"TERM": "xterm"}, True, id="a terminal"),
        pytest.param({"TERM": "xterm", "NO_COLOR": "1"}, False, id="NO_COLOR"),
        pytest.param({"TERM": "xterm", "NO_COLOR": ""}, True, id="an empty NO_COLOR"),
        pytest.param({"TERM": "dumb"}, False, id="a dumb terminal"),
    ],
)
def test_colours_on_terminals_only(
    environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    paper = Paper.for_output(Terminal())  # type: ignore[arg-type]
    assert (paper.in_colour("red", "no") == "\x1b[31mno\x1b[0m") is coloured


def test_writes_no_colours_into_a_pipe() -> None:
    assert "\x1b" not in run_process("inspect", token()).out


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("plain", "plain", id="plain"),
        pytest.param("a\x1b]0;pwned\x07b", r"a\x1b]0;pwned\x07b", id="an escape sequence"),
        pytest.param("a\u202eb", r"a\u202eb", id="a change of direction"),
        pytest.param("a\nb\r", r"a\nb\r", id="line ends"),
        pytest.param("\x9b31m\x7f", r"\x9b31m\x7f", id="eight-bit controls"),
        pytest.param("\ud800", r"\ud800", id="half a letter"),
        pytest.param("x" * 500, "x" * 400 + "... (100 more)", id="a long text"),
    ],
)
def test_shows_nothing_that_a_terminal_would_obey(text: str, shown: str) -> None:
    assert plain(text) == shown
    assert quoted(text).isprintable()
