"""`doctor`: what is wrong with a setup, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ...settings import Kind, OpaqueTokens, SignedTokens
from ...stores import MemoryStore, RedisStore, open_store
from ...verifier import Verifier
from ..call import Call, Heard
from ..outcomes import Answer, ExitCode, WrongUsage
from ..paper import Colour, Paper, plain
from ..which import store_in, verifier_in
from .examining import Part, examined
from .rows import Health, Row
from .settings import keys_at_hand, rows_of_settings

_COLOURS: Mapping[Health, Colour] = {"ok": "green", "warn": "yellow", "fail": "red", "skipped": "dim"}


def doctor(call: Call) -> Answer:
    """What `bearerguard doctor` finds out."""
    verifier = verifier_in(call.args, call.sources)
    rows = examined(_store_alone(call)) if verifier is None else doctor_rows(verifier, call.heard)
    code = ExitCode.NO if any(row.health == "fail" for row in rows) else ExitCode.FINE
    return Answer(code, _facts(rows), _text(rows, call.paper))


def doctor_rows(verifier: Verifier[Any], heard: Heard) -> list[Row]:
    """What is found of the store and of each kind of token of a verifier."""
    return examined([*_store_parts(verifier.connections.store), *_kind_parts(verifier, heard)])


def _store_alone(call: Call) -> Sequence[Part]:
    store = store_in(call.args, call.sources)
    if store is None:
        raise WrongUsage("say whom to examine: --app MODULE:NAME, --preset NAME, or --store URL alone")
    return _store_parts(open_store(store))


def _store_parts(store: object) -> Sequence[Part]:
    if isinstance(store, MemoryStore):
        return [Part("store", _note_memory)]
    if not isinstance(store, RedisStore):
        return []
    from .store_visit import examine_store

    return [Part("store", partial(examine_store, store))]


def _note_memory(note: Callable[[Row], None]) -> None:
    from .store import memory_row

    note(memory_row())


def _kind_parts(verifier: Verifier[Any], heard: Heard) -> Sequence[Part]:
    shared = verifier.connections.are_shared
    return [Part(kind.name, partial(_examine_kind, kind, heard, shared)) for kind in verifier.kinds]


def _examine_kind(kind: Kind, heard: Heard, is_shared: bool, note: Callable[[Row], None]) -> None:
    from .providers import examine_keys, examine_opaque

    for row in rows_of_settings(kind, is_shared=is_shared):
        note(row)
    if isinstance(kind, OpaqueTokens):
        examine_opaque(kind, heard, note)
    elif isinstance(kind, SignedTokens):
        at_hand = keys_at_hand(kind)
        if at_hand is not None:
            note(at_hand)
        examine_keys(kind, heard, note)


# --- How it is told --------------------------------------------------------------------------------------------------


def _facts(rows: Sequence[Row]) -> dict[str, Any]:
    counted = Counter(row.health for row in rows)
    return {
        "healthy": not counted["fail"],
        "counts": {health: counted[health] for health in _COLOURS},
        "checks": [
            {"check": row.check, "about": row.about, "health": row.health, "says": row.says, "do": row.do}
            for row in rows
        ],
    }


def _text(rows: Sequence[Row], paper: Paper) -> list[str]:
    abouts, checks = (max((len(plain(text)) for text in texts), default=0) for texts in _names(rows))
    lines = []
    for row in rows:
        health = paper.in_colour(_COLOURS[row.health], f"{row.health:7}")
        lines.append(f"{health}  {plain(row.about):{abouts}}  {row.check:{checks}}  {plain(row.says)}")
        if row.do is not None:
            lines.append(f"{'':7}  {'':{abouts}}  {'':{checks}}  -> {plain(row.do)}")
    return [*lines, "", _sum(rows)]


def _names(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    return [row.about for row in rows], [row.check for row in rows]


def _sum(rows: Sequence[Row]) -> str:
    counted = Counter(row.health for row in rows)
    return ", ".join(f"{counted[health]} {health}" for health in _COLOURS)
