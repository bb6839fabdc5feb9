"""Which verifier, and which store, a command is about: the user's own app, or what its options say."""

from __future__ import annotations

import asyncio
import time
from argparse import Namespace
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ..checks import check_seconds, check_text
from ..connections import Connections
from ..core.denylist import Revocations
from ..denylist import Denylist
from ..errors import SettingsError
from ..revocable import Revocable, Unsettled
from ..stores import RedisStore, StoreLike
from ..verifier import Verifier
from .apps import verifier_of
from .given import Sources
from .outcomes import WrongUsage
from .presets import settings_of

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Subject:
    """What revocations are looked up or written in: whose tokens, over which connections."""

    kinds: Sequence[Revocable]
    connections: Connections
    denylist: Denylist
    verifier: Verifier[Any] | None = None


def verifier_in(args: Namespace, sources: Sources) -> Verifier[Any] | None:
    """The verifier that the options name; None where they name none."""
    return _named_in(args, store_in(args, sources), sources)


def _named_in(args: Namespace, store: StoreLike | None, sources: Sources) -> Verifier[Any] | None:
    if args.app is not None and args.preset is not None:
        raise WrongUsage("--app and --preset both say what the settings are; give one of them")
    if args.preset is not None:
        return Verifier(settings_of(args, sources), store="memory://" if store is None else store)
    if args.app is None:
        return None
    found = verifier_of(args.app)
    return found if store is None else Verifier(*found.kinds, store=store, clock=found.clock, any_kind=True)


def kind_in(args: Namespace, verifier: Verifier[Any]) -> str | None:
    """The kind that the options name; SettingsError where the verifier has none of that name."""
    if args.kind is not None:
        verifier.verification.route(kind=args.kind)
    return args.kind  # type: ignore[no-any-return]


def store_in(args: Namespace, sources: Sources) -> StoreLike | None:
    """The store that the options name; None where they name none."""
    given = [value for value in (args.store, args.store_file, args.store_env) if value is not None]
    if len(given) > 1:
        raise WrongUsage("give one of --store, --store-file and --store-env")
    if args.store is not None and _has_password(args.store):
        raise WrongUsage(
            "--store has a password in it, and command lines can be read by others on this machine; "
            "give --store-file FILE or --store-env NAME"
        )
    url = args.store or sources.secret("store", path=args.store_file, variable=args.store_env)
    return RedisStore(url, prefix=args.prefix) if url is not None and args.prefix is not None else url


def _has_password(url: str) -> bool:
    return "@" in url.partition("?")[0] or "password=" in url


def subject_in(args: Namespace, sources: Sources) -> Subject:
    """What `revoke` and `status` are about: an app's denylist, or one that is told by its store and its authority."""
    store = store_in(args, sources)
    verifier = _named_in(args, store, sources)
    subject = _alone(args, store) if verifier is None else _of_verifier(args, verifier)
    if not subject.connections.are_shared:
        raise WrongUsage(
            "the store is memory, which is of one process alone: nothing of it is seen or changed from here; "
            "name the store that your app uses, with --store, --store-file or --store-env"
        )
    return subject


def _of_verifier(args: Namespace, verifier: Verifier[Any]) -> Subject:
    if args.horizon is not None:
        raise WrongUsage("--horizon goes with --store and --authority; here the settings say how long tokens live")
    return Subject(verifier.kinds, verifier.connections, verifier.denylist, verifier)


def _alone(args: Namespace, store: StoreLike | None) -> Subject:
    if store is None or args.authority is None:
        raise WrongUsage("say whose denylist: --app MODULE:NAME, or --preset NAME, or --store URL and --authority NAME")
    check_text("--authority", args.authority)
    if args.horizon is not None:
        check_seconds("--horizon", args.horizon, 1, 315_360_000)
    kinds = [Unsettled(args.authority, args.horizon)]
    connections, revocations = Connections(store, time.monotonic), Revocations(time.time)
    denylist = Denylist.of_verifier(kinds, connections, revocations, time.time)
    return Subject(kinds, connections, denylist)


def answer_of(connections: Connections, now: Callable[[], _T], soon: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """What blocking code answers; where the store has an async client alone, what its twin does in an event loop."""
    try:
        connections.blocking()
    except SettingsError:
        return asyncio.run(_in_a_loop(connections, soon))
    return now()


async def _in_a_loop(connections: Connections, soon: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    try:
        return await soon()
    finally:
        await connections.aclose()
