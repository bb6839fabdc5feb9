"""What the command takes: its verbs, their options, and the help that is its manual."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from .outcomes import MEANINGS, WrongUsage
from .paper import plain
from .presets import PRESETS
from .times import FORMS

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


def parser(version: str, verbs: Sequence[tuple[str, str, Callable[[argparse.ArgumentParser], None]]]) -> Parser:
    """The whole command; each verb adds what it takes."""
    whole = Parser(prog="bearerguard", description=SUMMARY, epilog=f"{_SETTINGS}\n{_CODES}")
    whole.add_argument("--version", action="version", version=f"bearerguard {version}")
    known = whole.add_subparsers(title="verbs", metavar="VERB", parser_class=Parser)
    for name, summary, add in verbs:
        add(known.add_parser(name, help=summary))
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


# --- The verbs -------------------------------------------------------------------------------------------------------


def add_inspect(verb: argparse.ArgumentParser) -> None:
    """What `inspect` takes."""
    describe(
        verb,
        "(TOKEN | - | --token-file FILE) [settings] [store] [--json]",
        "Show what a token says, what each rule of the settings thinks of it, and what the verifier says.",
        "\nWithout settings it is decoded and nothing is verified.\n\n"
        "  bearerguard inspect --app shop.main:verifier --token-file token.txt\n"
        "  pbpaste | bearerguard inspect --preset shopify.admin --client-id ID --client-secret-env SECRET -\n",
    )
    add_token(verb)
    add_settings(verb)
    add_store(verb)
    add_common(verb)


def add_mint(verb: argparse.ArgumentParser) -> None:
    """What `mint` takes."""
    describe(
        verb,
        "settings [the token] [--save-keys FILE] [--json]",
        "Make a token for trying things. It is signed with a key that is made up, which nobody trusts.",
        "\nThe token goes to standard output, all else to the error output.\n\n"
        "  bearerguard mint --preset whatalo.session --client-id wcl_1 --tenant str_1 --save-keys secret.txt\n"
        "  bearerguard mint --app shop.main:verifier --scope read:orders --claim appId=loyalty\n",
    )
    group = verb.add_argument_group("the token")
    group.add_argument("--tenant", metavar="TEXT", help="the shop or organisation that it speaks for")
    group.add_argument("--user", metavar="TEXT", help="the person that it speaks for")
    group.add_argument("--scope", metavar="NAME", action="append", default=[], help="a scope; may be repeated")
    group.add_argument("--lifetime", metavar="SECONDS", type=float, default=60, help="60, and 3600 at most")
    group.add_argument("--claim", metavar="NAME=VALUE", action="append", default=[], help="any claim; JSON, or a text")
    group.add_argument("--without", metavar="NAME", action="append", default=[], help="a claim to leave out")
    group.add_argument("--header", metavar="NAME=VALUE", action="append", default=[], help="a member of the header")
    group = verb.add_argument_group("the key")
    group.add_argument(
        "--save-keys", metavar="FILE", help="a new file for what verifies it: the secret, or the key set"
    )
    group.add_argument(
        "--with-real-secret",
        action="store_true",
        help="sign with the secret in --client-secret-file: a token that is good, for an hour at most",
    )
    add_settings(verb)
    verb.set_defaults(store=None, store_file=None, store_env=None, prefix=None)
    add_common(verb)


def add_doctor(verb: argparse.ArgumentParser) -> None:
    """What `doctor` takes."""
    describe(
        verb,
        "(settings [store] | store) [--json]",
        "Examine a setup: settings, secrets, key sets, providers, the store, clocks; and say what to do.",
        "\nIt ends within a quarter of a minute. In Redis it writes two keys of its own, and takes them away.\n\n"
        "  bearerguard doctor --app shop.main:verifier\n"
        "  bearerguard doctor --store redis://localhost:6379/0\n",
    )
    add_settings(verb)
    add_store(verb)
    add_common(verb)


def _add_denied(verb: argparse.ArgumentParser) -> None:
    group = verb.add_argument_group("whose denylist, without settings")
    group.add_argument("--authority", metavar="NAME", help="as in shopify:CLIENT_ID; one of several, with settings")
    group.add_argument("--horizon", metavar="SECONDS", type=float, help="how long tokens live at most")
    add_store(verb)
    add_settings(verb)
    add_common(verb)


def add_revoke(verb: argparse.ArgumentParser) -> None:
    """What `revoke` takes."""
    describe(
        verb,
        "WHAT VALUE (settings [store] | store --authority NAME) [--dry-run] [--json]",
        "Revoke a token by its id (jti), a user, a tenant, or a token as it is. Nothing is asked back.",
        "\n  bearerguard revoke tenant pine-lane.myshopify.com --app shop.main:verifier\n"
        "  bearerguard revoke id 5b0e4a52 --until +300 --store-env REDIS_URL --authority whatalo:wcl_1\n"
        "  bearerguard revoke token - --app shop.main:verifier < token.txt\n",
    )
    verb.add_argument(
        "what", choices=("id", "user", "tenant", "token"), metavar="WHAT", help="id, user, tenant or token"
    )
    verb.add_argument("value", metavar="VALUE", nargs="?", help="whose; a token may be '-' for standard input")
    verb.add_argument("--token-file", metavar="FILE", help="a file with the token")
    verb.add_argument("--until", metavar="TIME", help=f"the exp of the token with that id: {FORMS}")
    verb.add_argument("--issued-before", metavar="TIME", help="up to when tokens of a user or tenant are refused: now")
    verb.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    _add_denied(verb)


def add_status(verb: argparse.ArgumentParser) -> None:
    """What `status` takes."""
    describe(
        verb,
        "[WHAT VALUE] (settings [store] | store --authority NAME) [--json]",
        "Say whether a token id, a user, a tenant or a token is revoked; alone, how the store's memory stands.",
        "\n  bearerguard status tenant pine-lane.myshopify.com --app shop.main:verifier\n"
        "  bearerguard status --store redis://localhost --authority whatalo:wcl_1\n",
    )
    verb.add_argument(
        "what", choices=("id", "user", "tenant", "token"), metavar="WHAT", nargs="?", help="id, user, tenant or token"
    )
    verb.add_argument("value", metavar="VALUE", nargs="?", help="whose; a token may be '-' for standard input")
    verb.add_argument("--token-file", metavar="FILE", help="a file with the token")
    _add_denied(verb)


def add_demo(verb: argparse.ArgumentParser) -> None:
    """What `demo` takes."""
    describe(
        verb,
        "[--host HOST] [--port PORT] [--open]",
        "Serve a page to try tokens on: a provider and two guarded apps, without Redis or an account.",
    )
    verb.add_argument("--host", default="127.0.0.1", help="where to listen (127.0.0.1: this machine alone)")
    verb.add_argument("--port", type=int, default=8000, help="8000; 0 is any that is free")
    verb.add_argument("--open", action="store_true", help="open the page in a browser")
    verb.set_defaults(json=False)
    verb.add_argument("--debug", action="store_true", help="show where an unexpected error came from")
