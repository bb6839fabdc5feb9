"""What the command takes: its verbs, their options, and the help that is its manual."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

from .outcomes import MEANINGS, WrongUsage
from .paper import plain
from .presets import PRESETS

SUMMARY = "Look into tokens, mint some for tests, revoke, and find out what is wrong with a setup."

_CODES = "exit codes:\n" + "\n".join(f"  {code.value:<4} {meaning}" for code, meaning in MEANINGS.items())

_SETTINGS = """\
Settings come from your app, or from a preset and its options. Secrets are read from files, from standard input ('-')
or from environment variables that you name; never from the command line, and from no variable that you do not name.
"""


class Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviations, and says what is wrong in one line."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)

    def _print_message(self, message: str, file: Any = None) -> None:
        """Write help and version; where that fails, argparse itself would say nothing."""
        print(message, end="", file=file)

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong, without what might be a secret."""
        said = re.sub(r"(unrecognized arguments: ).*", _only_options, message, flags=re.DOTALL)
        raise WrongUsage(f"{plain(said)}; try '{self.prog} --help'")


def _only_options(found: re.Match[str]) -> str:
    """The options that nobody knows. What stands between them may be a secret, or a token."""
    words = found.group().removeprefix(found[1]).split()
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    return found[1] + (" ".join(options) or "too many words")


class _NotHere(argparse.Action):
    """An option that would put a secret where everybody can read it."""

    def __call__(self, *_: Any, **__: Any) -> None:
        """Say how the secret can be given instead."""
        option = self.option_strings[0]
        raise WrongUsage(
            f"{option} would show the secret to everybody who can list processes; "
            f"give {option}-file FILE ('-' for standard input) or {option}-env NAME"
        )


def parser(version: str) -> Parser:
    """The whole command, as yet without its verbs."""
    whole = Parser(prog="bearerguard", description=SUMMARY, epilog=f"{_SETTINGS}\n{_CODES}")
    whole.add_argument("--version", action="version", version=f"bearerguard {version}")
    return whole


def describe(verb: argparse.ArgumentParser, usage: str, summary: str, more: str = "") -> None:
    """How a verb is written, what it is for, with examples, and how it ends."""
    verb.usage = f"{verb.prog} {usage}"
    verb.description = f"{summary}\n{more}"
    verb.epilog = _CODES


def add_common(verb: argparse.ArgumentParser) -> None:
    """What every verb takes."""
    verb.add_argument("--json", action="store_true", help="one JSON object on standard output, with stable keys")
    verb.add_argument("--debug", action="store_true", help="show where an unexpected error came from")


def add_settings(verb: argparse.ArgumentParser) -> None:
    """Which settings a verb is about."""
    group = verb.add_argument_group("settings, from your app")
    group.add_argument(
        "--app",
        metavar="MODULE:NAME",
        help="your own Verifier, or a function that makes it; the module is imported, from here as well",
    )
    group.add_argument("--kind", metavar="NAME", help="which kind of token, where the verifier takes several")
    group = verb.add_argument_group("settings, from a preset")
    group.add_argument("--preset", metavar="NAME", help=", ".join(PRESETS))
    _add_client(group)
    _add_parties(group)
    _add_keys(group)


def _add_client(group: Any) -> None:
    group.add_argument("--client-id", metavar="ID", help="the client id that the platform gave your app")
    group.add_argument("--client-secret", action=_NotHere, help=argparse.SUPPRESS)
    group.add_argument(
        "--client-secret-file", metavar="FILE", help="a file with the client secret; '-': standard input"
    )
    group.add_argument("--client-secret-env", metavar="NAME", help="the environment variable that has it")
    group.add_argument("--old-client-secret", action=_NotHere, help=argparse.SUPPRESS)
    group.add_argument("--old-client-secret-file", metavar="FILE", help="the secret before, while both are in use")
    group.add_argument("--old-client-secret-env", metavar="NAME", help="the environment variable that has it")
    group.add_argument("--allow-short-secret", action="store_true", help="take a secret shorter than the hash")
    group.add_argument("--app-id", metavar="ID", help="JTL's app id; for Whatalo the id of the manifest")


def _add_parties(group: Any) -> None:
    group.add_argument("--issuer", metavar="URL", help="who issues the tokens")
    group.add_argument("--audience", metavar="TEXT", action="append", default=[], help="for whom; may be repeated")
    group.add_argument(
        "--client", metavar="ID", action="append", default=[], help="a client that may call you; repeatable"
    )
    group.add_argument("--shop-domain", metavar="NAME", action="append", default=[], help="Shopify: where shops are")
    group.add_argument("--environment", metavar="NAME", help="JTL: prod, beta, dev or qa")
    group.add_argument("--api-url", metavar="URL", help="JTL: where its API is")
    group.add_argument("--introspection-endpoint", metavar="URL", help="where opaque tokens are asked about")
    group.add_argument(
        "--endpoint-origin", metavar="URL", action="append", default=[], help="where endpoints may be, too"
    )
    group.add_argument("--client-auth", metavar="WAY", help="client_secret_basic, _basic_raw or _post")
    group.add_argument("--jwt-shaped", action="store_true", help="opaque tokens may look like signed ones")


def _add_keys(group: Any) -> None:
    group.add_argument("--jwks-url", metavar="URL", help="where the key set is")
    group.add_argument("--jwks-file", metavar="FILE", help="public keys in a file: a JWK set, one JWK, or PEM")
    group.add_argument("--algorithm", metavar="NAME", action="append", default=[], help="RS256, ES256, ...; repeatable")
    group.add_argument("--not-rfc9068", action="store_true", help="JWT access tokens of another make than RFC 9068's")
    group.add_argument("--assumed-lifetime", metavar="SECONDS", type=float, help="how long tokens live at most")


def add_store(verb: argparse.ArgumentParser) -> None:
    """Which store a verb is about."""
    group = verb.add_argument_group("store")
    group.add_argument("--store", metavar="URL", help="redis://host:6379/0 and others, with no password in it")
    group.add_argument("--store-file", metavar="FILE", help="a file with the URL, password and all")
    group.add_argument("--store-env", metavar="NAME", help="the environment variable that has it")
    group.add_argument("--prefix", metavar="TEXT", help="what the store's keys begin with (bearerguard:)")


def add_token(verb: argparse.ArgumentParser) -> None:
    """The token a verb is about."""
    verb.add_argument("token", metavar="TOKEN", nargs="?", help="the token, or '-' for standard input")
    verb.add_argument("--token-file", metavar="FILE", help="a file with the token")
