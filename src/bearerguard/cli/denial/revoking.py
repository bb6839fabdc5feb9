"""`revoke`: a token by its id or as it is, a user, a tenant."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from ...claims import Claims
from ...errors import TokenRevoked
from ...revocable import longest_horizon
from ..call import Call
from ..inspection.steps import Verdict
from ..inspection.telling import facts_of_verdict, verdict_line
from ..outcomes import Answer, ExitCode, WrongUsage
from ..paper import Paper, moment
from ..which import Subject, answer_of, subject_in
from .denials import Denial, denials_of, refused_up_to, subject_in_words
from .judging import judged_token
from .times import time_given


def revoke(call: Call) -> Answer:
    """What `bearerguard revoke` does."""
    if call.args.what == "token":
        return _revoke_token(call)
    subject = subject_in(call.args, call.sources)
    denials = denials_of(subject.kinds, call.args.what, call.args.value, call.args.authority)
    at, now, soon = _work(call, subject)
    if not call.args.dry_run:
        answer_of(subject.connections, now, soon)
        subject.denylist.close()
    return Answer(ExitCode.FINE, _facts(call, denials, at), _text(call, denials, at))


def _work(call: Call, subject: Subject) -> tuple[float, Callable[[], None], Callable[[], Coroutine[Any, Any, None]]]:
    """The time that counts, and what is to be done, in blocking and in async code."""
    args, denylist, value, authority = call.args, subject.denylist, call.args.value, call.args.authority
    if args.what == "id":
        at = _until(call, subject)
        return (
            at,
            lambda: denylist.revoke_id(value, until=at, authority=authority),
            lambda: denylist.arevoke_id(value, until=at, authority=authority),
        )
    at = _issued_before(call, subject)
    if args.what == "user":
        return (
            at,
            lambda: denylist.revoke_user(value, issued_before=at, authority=authority),
            lambda: denylist.arevoke_user(value, issued_before=at, authority=authority),
        )
    return (
        at,
        lambda: denylist.revoke_tenant(value, issued_before=at, authority=authority),
        lambda: denylist.arevoke_tenant(value, issued_before=at, authority=authority),
    )


def _until(call: Call, subject: Subject) -> float:
    if call.args.issued_before is not None:
        raise WrongUsage("--issued-before is for users and tenants; a token id takes --until")
    if call.args.until is not None:
        return time_given("--until", call.args.until, now=call.now())
    return call.now() + longest_horizon(subject.kinds)


def _issued_before(call: Call, subject: Subject) -> float:
    if call.args.until is not None:
        raise WrongUsage("--until is for a token id; users and tenants take --issued-before")
    longest_horizon(subject.kinds)
    given = call.args.issued_before
    return math.ceil(call.now()) if given is None else time_given("--issued-before", given, now=call.now())


def _facts(call: Call, denials: Sequence[Denial], at: float) -> dict[str, Any]:
    is_id = call.args.what == "id"
    return {
        "done": not call.args.dry_run,
        "dry_run": call.args.dry_run,
        "what": call.args.what,
        "revocations": [{"authority": each.authority, "value": each.value} for each in denials],
        "until": at if is_id else None,
        "issued_before": None if is_id else at,
        "verdict": None,
    }


def _text(call: Call, denials: Sequence[Denial], at: float) -> list[str]:
    whom = ", and ".join(map(subject_in_words, denials))
    ahead = max((each.ahead for each in denials if each.ahead is not None), default=None)
    means = f"kept until {moment(at)} and a while longer" if call.args.what == "id" else refused_up_to(at, ahead)
    if call.args.dry_run:
        return [f"would revoke {whom}: {means} (nothing was done, and no store was asked)"]
    return [call.paper.in_colour("green", f"revoked {whom}: {means}")]


# --- A token as it is ------------------------------------------------------------------------------------------------


def _revoke_token(call: Call) -> Answer:
    with judged_token(call, instead="revoke its id") as judged:
        verdict, notes, facts = judged.verdict, judged.notes, _facts_of_token(call, judged.verdict)
        if isinstance(verdict, TokenRevoked):
            return Answer(ExitCode.FINE, facts, [f"it is refused already: {verdict}"], notes)
        if not isinstance(verdict, Claims):
            return Answer(ExitCode.NO, facts, [f"nothing to revoke, {verdict_line(verdict, call.paper)}"], notes)
        if call.args.dry_run:
            return Answer(ExitCode.FINE, facts, [f"would revoke a token that is {_accepted(verdict)}"], notes)
        _revoke_claims(judged.subject, verdict)
    return Answer(ExitCode.FINE, {**facts, "done": True}, [f"revoked a token that was {_accepted(verdict)}"], notes)


def _facts_of_token(call: Call, verdict: Verdict) -> dict[str, Any]:
    return {
        "done": False,
        "dry_run": call.args.dry_run,
        "what": "token",
        "revocations": [],
        "until": verdict.expires_at if isinstance(verdict, Claims) else None,
        "issued_before": None,
        "verdict": facts_of_verdict(verdict),
    }


def _revoke_claims(subject: Subject, claims: Claims) -> None:
    denylist = subject.denylist
    answer_of(subject.connections, lambda: denylist.revoke(claims), lambda: denylist.arevoke(claims))


def _accepted(claims: Claims) -> str:
    return verdict_line(claims, Paper())
