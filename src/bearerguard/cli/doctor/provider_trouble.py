"""What comes back from a provider: why it could not be asked, and how far its clock is from ours."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

from ...core.ports import Fetch, HttpAnswer, HttpRequest
from ...errors import ProviderUnavailable
from ...events import ClientRefused, Event, MetadataUnusable, ProviderFailed
from ..paper import plain
from .reachability import place_of_url, why_unreachable
from .rows import Row, skew, skipped


@dataclass(slots=True)
class Watched:
    """Outbound HTTP that remembers what came back, and when."""

    fetch: Fetch
    answers: list[tuple[str, HttpAnswer, float, float]] = field(default_factory=list)
    failed: str | None = None

    async def send(self, request: HttpRequest, *, within: float) -> HttpAnswer:
        """The answer to one request."""
        sent = time.time()
        try:
            answer = await self.fetch.send(request, within=within)
        except ProviderUnavailable:
            self.failed = request.url
            raise
        self.answers.append((request.url, answer, sent, time.time()))
        return answer


def trouble_of(watched: Watched, events: Sequence[Event], otherwise: str) -> tuple[str, str]:
    """Why a provider could not be asked, in words, and what to do about it."""
    for event in events:
        if isinstance(event, MetadataUnusable):
            says, _, do = event.what.partition("; ")
            return says, do or otherwise
        if isinstance(event, ClientRefused):
            return "the provider refuses our own credentials", "compare client_id and client_secret with the provider's"
    if watched.failed is not None:
        place = place_of_url(watched.failed)
        watched.failed = None
        if place is not None:
            return why_unreachable(*place)
    if watched.answers:
        url, answer, _, _ = watched.answers[-1]
        what = "something that cannot be used" if answer.status == 200 else f"status {answer.status}"
        return f"{plain(url)} answered {what}", otherwise
    errors = [event.error for event in events if isinstance(event, ProviderFailed)]
    return f"the provider could not be asked ({', '.join(errors) or 'no answer'})", otherwise


def clock_rows(about: str, watched: Watched) -> Iterator[Row]:
    """How far the provider's clock is from ours, by the answer that says so most exactly."""
    found = [reading for _, answer, sent, got in watched.answers if (reading := _ahead(answer, sent, got)) is not None]
    if found:
        seconds, unsure = min(found, key=lambda reading: reading[1])
        yield skew("clock", about, seconds, unsure=unsure)
    else:
        yield skipped("clock", about, "no answer says what time it is there")


def _ahead(answer: HttpAnswer, sent: float, got: float) -> tuple[float, float] | None:
    """By how much the server's clock is ahead, and how sure that is; a cache in between says how old its answer is."""
    try:
        date = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
        age = min(86_400, int(answer.headers.get("age", "0")))
    except (TypeError, ValueError, OverflowError):
        return None
    # Cut to the second, so the middle of it.
    return date + 0.5 + age - (sent + got) / 2, 0.5 + (got - sent) / 2 + (1 if age else 0)
