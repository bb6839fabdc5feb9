"""What was found out about a token, as it is told: to programs, and to people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...claims import Claims
from ...errors import AuthError, Unavailable
from ..paper import Colour, Paper, ago, columns, moment, plain, quoted
from .decoding import Decoded
from .steps import Outcome, Step, Verdict

MOST_LINES = 100
_COLOURS: Mapping[Outcome, Colour] = {
    "ok": "green",
    "fails": "red",
    "could not be asked": "yellow",
    "not checked": "dim",
}
_TIMES = ("exp", "iat", "nbf", "auth_time")


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict, the kind as which the token was judged, what each rule says, and what a provider said of it.

    There are no steps where they did not agree with the verdict, for only the verdict counts.
    """

    verdict: Verdict
    kind: str | None
    steps: Sequence[Step]
    facts: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Inspection:
    """All that was found out about one token."""

    decoded: Decoded
    token_bytes: int
    notes: Sequence[str]
    claims: Mapping[str, Any] | None
    now: float
    judged: Judgement | None = None


# --- For programs ----------------------------------------------------------------------------------------------------


def facts_of_inspection(found: Inspection) -> dict[str, Any]:
    """The same keys for every token."""
    judged = found.judged
    return {
        "bytes": found.token_bytes,
        "notes": list(found.notes),
        "header": None if found.decoded.header is None else dict(found.decoded.header),
        "claims": None if found.claims is None else dict(found.claims),
        "troubles": list(found.decoded.troubles),
        "verified": judged is not None and isinstance(judged.verdict, Claims),
        "kind": None if judged is None else judged.kind,
        "rules": [] if judged is None else [_facts_of_step(step) for step in judged.steps],
        "verdict": None if judged is None else facts_of_verdict(judged.verdict),
    }


def _facts_of_step(step: Step) -> dict[str, Any]:
    return {
        "rule": step.rule,
        "asks": step.asks,
        "outcome": step.outcome,
        "reason": step.reason,
        "found": step.found,
    }


def facts_of_verdict(verdict: Verdict) -> dict[str, Any]:
    """A verdict, the same keys for yes and no."""
    accepted = verdict if isinstance(verdict, Claims) else None
    refusal = None if isinstance(verdict, Claims) else verdict
    return {
        "accepted": accepted is not None,
        "status": None if refusal is None else refusal.status,
        "reason": None if refusal is None else refusal.reason,
        "detail": None if refusal is None else str(refusal),
        "tenant": None if accepted is None else accepted.tenant,
        "user": None if accepted is None else accepted.user,
        "scopes": None if accepted is None else sorted(accepted.scopes),
        "expires_at": None if accepted is None else accepted.expires_at,
    }


# --- For people ------------------------------------------------------------------------------------------------------


def text_of_inspection(found: Inspection, paper: Paper) -> list[str]:
    """The token, what each rule says, and the verdict."""
    lines = [*_decoded_lines(found, paper)]
    if found.judged is None:
        end = "nothing was verified: no settings were given, so anybody may have written this"
        return [*lines, "", paper.in_colour("yellow", end)]
    verdict = found.judged.verdict
    way = ["'bearerguard doctor' with the same settings may know why"] if isinstance(verdict, Unavailable) else []
    return [*lines, "", *_rule_lines(found.judged, paper), "", verdict_line(verdict, paper), *way]


def _decoded_lines(found: Inspection, paper: Paper) -> Iterable[str]:
    taken = found.decoded
    if taken.header is not None:
        yield paper.heading("header")
        yield from _member_lines(taken.header, now=None)
    if found.claims is not None:
        yield paper.heading(_claims_heading(found))
        yield from _member_lines(found.claims, now=found.now)
    if taken.signature_bytes is not None:
        yield paper.heading("signature")
        yield f"  {taken.signature_bytes} bytes, not shown"
    if found.claims is None or taken.header is not None:
        yield from (paper.in_colour("yellow", trouble) for trouble in taken.troubles)


def _claims_heading(found: Inspection) -> str:
    if found.judged is None or found.judged.facts is None:
        is_good = found.judged is not None and isinstance(found.judged.verdict, Claims)
        return "claims" if is_good else "claims (not verified: this is what the token says of itself)"
    return "claims (this is what the provider says of the token)"


def _member_lines(members: Mapping[str, Any], *, now: float | None) -> Iterable[str]:
    shown = list(members.items())[:MOST_LINES]
    yield from columns([(plain(name, longest=60), _value(name, value, now)) for name, value in shown])
    if len(members) > len(shown):
        yield f"  ({len(members) - len(shown):,} more)"


def _value(name: str, value: Any, now: float | None) -> str:
    if now is None or name not in _TIMES or type(value) not in (int, float) or not 0 <= value < 1e11:
        return quoted(value)
    return f"{quoted(value)}  ({moment(value)}, {ago(value, now=now)})"


def _rule_lines(found: Judgement, paper: Paper) -> Iterable[str]:
    if not found.steps:
        yield "the verifier and its rules did not agree, for something changed in between: only its verdict counts"
        return
    yield paper.heading(f"rules of {found.kind or 'the verifier'}, in the order in which it asks them")
    width = max(len(step.outcome) for step in found.steps)
    names = max(len(plain(step.rule, longest=60)) for step in found.steps)
    for step in found.steps:
        outcome = paper.in_colour(_COLOURS[step.outcome], f"{step.outcome:{width}}")
        says = f"{step.asks}: {step.found}" if step.found else step.asks
        yield f"  {outcome}  {plain(step.rule, longest=60):{names}}  {plain(says, longest=None)}"


def verdict_line(verdict: Verdict, paper: Paper) -> str:
    """What the verifier says, in one line."""
    if isinstance(verdict, Unavailable):
        return paper.in_colour("yellow", f"not answered: {verdict.status} {verdict.reason}: {verdict}")
    if isinstance(verdict, AuthError):
        return paper.in_colour("red", f"refused: {verdict.status} {verdict.reason}: {verdict}")
    said = {"tenant": verdict.tenant, "user": verdict.user, "scopes": " ".join(sorted(verdict.scopes)) or None}
    parts = [f"{name} {quoted(value)}" for name, value in said.items() if value is not None]
    return paper.in_colour("green", ", ".join([f"accepted as {verdict.kind}", *parts]))
