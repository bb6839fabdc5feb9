"""`status`: what is revoked, and how the store's memory stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...claims import Claims
from ...core.ports import run_sync
from ...rules.epochs import Epoch
from ..call import Call
from ..inspection.telling import facts_of_verdict, verdict_line
from ..outcomes import Answer, ExitCode
from ..paper import moment
from ..which import Subject, answer_of, subject_in
from .denials import Denial, denial_in_words, denials_of, looked_up
from .judging import judged_token


def status(call: Call) -> Answer:
    """What `bearerguard status` finds out."""
    what, value = call.args.what, call.args.value
    if what == "token":
        return _of_token(call)
    subject = subject_in(call.args, call.sources)
    denials = [] if what is None else denials_of(subject.kinds, what, value, call.args.authority)
    present, found = _looked_up(subject, denials)
    is_revoked = any(denial.mark is not None for denial in found)
    lines = [call.paper.in_colour("green" if each.mark is None else "red", denial_in_words(each)) for each in found]
    return Answer(
        ExitCode.NO if is_revoked else ExitCode.FINE,
        {
            "revoked": is_revoked,
            "what": what,
            "found": list(map(_facts, found)),
            "store": _facts_of_epoch(present),
            "verdict": None,
        },
        [*lines, *_memory_lines(present, overview=what is None)],
    )


def _looked_up(subject: Subject, denials: Sequence[Denial]) -> tuple[Epoch | None, list[Denial]]:
    connections = subject.connections
    found = answer_of(
        connections,
        lambda: run_sync(looked_up(denials, connections.blocking().store)),
        lambda: looked_up(denials, connections.of_this_loop().store),
    )
    connections.close()
    return found


def _facts(denial: Denial) -> dict[str, Any]:
    is_id = denial.what == "id"
    return {
        "authority": denial.authority,
        "value": denial.value,
        "revoked": denial.mark is not None,
        "revoked_at": denial.mark if is_id else None,
        "issued_before": None if is_id else denial.mark,
    }


def _facts_of_epoch(present: Epoch | None) -> dict[str, Any]:
    return {
        "is_empty": present is None,
        "writes": None if present is None else present.seq,
        "memory_lost_at": None if present is None or present.since == 0 else present.since,
    }


def _memory_lines(present: Epoch | None, *, overview: bool) -> list[str]:
    if present is None:
        return ["the store is empty: no verifier has used it yet, or it has lost its memory"]
    if present.since:
        lost = f"the store lost its memory at {moment(present.since)}: tokens issued before are refused"
        return [f"{lost} until they would have ended"]
    return [f"the store remembers all that it was told: {present.seq} writes so far"] if overview else []


def _of_token(call: Call) -> Answer:
    with judged_token(call, instead="ask for its id") as judged:
        verdict = judged.verdict
    is_revoked = not isinstance(verdict, Claims) and verdict.reason in ("revoked", "memory_lost")
    facts = {
        "revoked": is_revoked,
        "what": "token",
        "found": [],
        "store": None,
        "verdict": facts_of_verdict(verdict),
    }
    code = ExitCode.FINE if isinstance(verdict, Claims) else ExitCode.NO
    return Answer(code, facts, [verdict_line(verdict, call.paper)], judged.notes)
