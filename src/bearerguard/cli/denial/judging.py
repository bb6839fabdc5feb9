"""A token that is given as it is: whose it is, and the verdict on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ...errors import Unavailable
from ..call import Call
from ..inspection.steps import Verdict
from ..inspection.verb import verdict_on
from ..outcomes import WrongUsage
from ..which import Subject, kind_in, subject_in


@dataclass(frozen=True)
class JudgedToken:
    """A token, judged by the verifier that the call names."""

    subject: Subject
    verdict: Verdict
    notes: tuple[str, ...]


@contextmanager
def judged_token(call: Call, *, instead: str) -> Iterator[JudgedToken]:
    """The judged token, while its verifier is open; WrongUsage, which says what to do instead, without a verifier."""
    call.args.token = call.args.value
    token, notes = call.sources.token(call.args)
    subject = subject_in(call.args, call.sources)
    if subject.verifier is None:
        raise WrongUsage(f"only a verifier knows whose token it is; give --app or --preset, or {instead}")
    with subject.verifier as verifier:
        verdict = verdict_on(token, verifier, kind_in(call.args, verifier))
        if isinstance(verdict, Unavailable):
            raise verdict
        yield JudgedToken(subject, verdict, notes)
