"""The verbs of the command: what each takes, and the rooms that are entered only once it is asked for."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from .arguments import add_common, add_settings, add_store, add_token, describe
from .call import Call
from .denial.times import FORMS
from .outcomes import Answer

Run: TypeAlias = Callable[[Call], Answer]


class Verb(NamedTuple):
    """One verb: its name, what it is for, what it takes, and what it does."""

    name: str
    says: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Run


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
        "[--host HOST] [--port PORT] [--name NAME] [--open]",
        "Serve a page to try tokens on: a provider and two guarded apps, without Redis or an account.",
    )
    verb.add_argument("--host", default="127.0.0.1", help="where to listen (127.0.0.1: this machine alone)")
    verb.add_argument("--port", type=int, default=8000, help="8000; 0 is any that is free")
    verb.add_argument("--name", action="append", default=[], help="a further name by which this machine is asked")
    verb.add_argument("--open", action="store_true", help="open the page in a browser")
    verb.set_defaults(json=False)
    verb.add_argument("--debug", action="store_true", help="show where an unexpected error came from")


# --- What they do ----------------------------------------------------------------------------------------------------


def _inspect(call: Call) -> Answer:
    from .inspection.verb import inspect

    return inspect(call)


def _mint(call: Call) -> Answer:
    from .minting import mint

    return mint(call)


def _doctor(call: Call) -> Answer:
    from .doctor.verb import doctor

    return doctor(call)


def _revoke(call: Call) -> Answer:
    from .denial.revoking import revoke

    return revoke(call)


def _status(call: Call) -> Answer:
    from .denial.asking import status

    return status(call)


def _demo(call: Call) -> Answer:
    from .showing_demo import demo

    return demo(call)


VERBS = (
    Verb("inspect", "look into a token", add_inspect, _inspect),
    Verb("mint", "make a token for trying things", add_mint, _mint),
    Verb("doctor", "find out what is wrong with a setup", add_doctor, _doctor),
    Verb("revoke", "revoke a token, a user or a tenant", add_revoke, _revoke),
    Verb("status", "ask what is revoked", add_status, _status),
    Verb("demo", "serve a page to try tokens on", add_demo, _demo),
)
