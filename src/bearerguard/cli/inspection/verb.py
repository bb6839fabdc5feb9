"""`inspect`: what a token says, what each rule thinks of it, and what the verifier says."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ...claims import Claims
from ...core.ports import run_sync
from ...core.provider import Provider
from ...errors import AuthError, InvalidToken, Unavailable
from ...events import PassedUnchecked
from ...settings import OpaqueTokens
from ...verifier import Verifier
from ..call import Call, Heard
from ..connecting import own_ports
from ..outcomes import Answer, ExitCode
from ..which import answer_of, kind_in, verifier_in
from .decoding import decoded
from .explanation import explained
from .steps import Verdict, settled
from .telling import Inspection, Judgement, facts_of_inspection, text_of_inspection

_SAYS_NOTHING_OF_CLAIMS = frozenset({"inactive", "malformed", "too_large", "no_route", "store_unavailable"})


def inspect(call: Call) -> Answer:
    """What `bearerguard inspect` finds out."""
    token, notes = call.sources.token(call.args)
    verifier = verifier_in(call.args, call.sources)
    taken = decoded(_bytes(token))
    if verifier is None:
        found = Inspection(taken, len(_bytes(token)), notes, taken.claims, call.now())
        code = ExitCode.NO if taken.troubles else ExitCode.FINE
    else:
        with verifier:
            judged = judgement(token, verifier, named=kind_in(call.args, verifier), heard=call.heard)
        claims = taken.claims if judged.facts is None else judged.facts
        found = Inspection(taken, len(_bytes(token)), notes, claims, call.now(), judged)
        code = _code(judged.verdict)
    return Answer(code, facts_of_inspection(found), text_of_inspection(found, call.paper), notes)


def _bytes(token: str) -> bytes:
    return token.encode("utf-8", "surrogatepass")


def _code(verdict: Verdict) -> ExitCode:
    if isinstance(verdict, Unavailable):
        return ExitCode.COULD_NOT_ASK
    return ExitCode.FINE if isinstance(verdict, Claims) else ExitCode.NO


def judgement(token: str, verifier: Verifier[Any], *, named: str | None, heard: Heard) -> Judgement:
    """The verifier's verdict on a token, and what each rule says of it."""
    before, mark = verifier.clock(), heard.mark()
    verdict = verdict_on(token, verifier, named)
    passed = {event.dependency for event in heard.since(mark) if isinstance(event, PassedUnchecked)}
    facts = _facts(_bytes(token), verifier, named, verdict)
    # The clock goes on while the verifier is asked: what ended in between has ended in one of the two.
    for now in (before, verifier.clock()):
        kind, steps = explained(_bytes(token), verifier.kinds, named=named, facts=facts, now=now)
        decided = settled(steps, verdict, passed=passed)
        if decided:
            break
    return Judgement(verdict, verdict.kind or (None if kind is None else kind.name), decided, facts)


def verdict_on(token: str, verifier: Verifier[Any], named: str | None) -> Verdict:
    """What the verifier says."""
    try:
        return answer_of(
            verifier.connections,
            lambda: verifier.verify(token, kind=named),
            lambda: verifier.averify(token, kind=named),
        )
    except (AuthError, Unavailable) as refusal:
        return refusal


def _facts(token: bytes, verifier: Verifier[Any], named: str | None, verdict: Verdict) -> Mapping[str, Any] | None:
    """What the provider says of an opaque token: what was accepted, or else what it says when it is asked once more."""
    kind = next((kind for kind in verifier.kinds if kind.name == (named or verdict.kind)), None)
    if not isinstance(kind, OpaqueTokens):
        return None
    if isinstance(verdict, Claims):
        return verdict.to_dict()
    if isinstance(verdict, Unavailable) or verdict.reason in _SAYS_NOTHING_OF_CLAIMS:
        return None
    return _asked_again(token, kind, verifier)


def _asked_again(token: bytes, kind: OpaqueTokens, verifier: Verifier[Any]) -> Mapping[str, Any] | None:
    with own_ports() as ports:
        provider, started = Provider(kind, verifier.clock, time.monotonic), time.monotonic()
        try:
            endpoint = run_sync(provider.endpoint(ports, within=kind.deadline))
            said = run_sync(provider.said(token, endpoint, ports, ends_at=started + 2 * kind.deadline))
        except (Unavailable, InvalidToken):
            return None  # also for an end of the token that is no time, which is found before all else
    return None if said.answer is None else said.answer.facts
