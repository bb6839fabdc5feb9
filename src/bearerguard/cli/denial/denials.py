"""Under which names a token, a user or a tenant would be revoked, and what stands there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ...core.denylist import STORE_SECONDS
from ...core.ports import Store
from ...revocable import Revocable, Unsettled, spelt_by
from ...rules.epochs import EPOCH_NAME, Epoch, epoch
from ...rules.revocation import marked, tenant_name, token_identity, token_name, user_name
from ...sinks import told_if_unavailable
from ..outcomes import WrongUsage
from ..paper import moment, plain, quoted

What: TypeAlias = Literal["id", "user", "tenant"]


@dataclass(frozen=True, slots=True)
class Denial:
    """One name under which tokens may be revoked, and the time that stands there, if any."""

    what: What
    authority: str
    value: str
    name: str
    ahead: float | None
    mark: int | None = None


def denials_of(kinds: Sequence[Revocable], what: What, value: str, authority: str | None) -> list[Denial]:
    """Every name under which that token id, user or tenant would be revoked; SettingsError where there is none."""
    chosen = [kind for kind in kinds if authority in (None, kind.vouched_by)]
    if not chosen:
        known = ", ".join(sorted({plain(kind.vouched_by) for kind in kinds}))
        raise WrongUsage(f"--authority is {plain(str(authority))}; the settings have {known}")
    if not value:
        raise WrongUsage(f"say which {what}, and no empty one")
    found = {denial.name: denial for denial in _denials(chosen, what, value)}
    return list(found.values())


def _denials(kinds: Sequence[Revocable], what: What, value: str) -> list[Denial]:
    if what == "id":
        return [_of_id(kind, value) for kind in kinds]
    if what == "user":
        spelt, named = spelt_by([(kind, kind.normalised_user) for kind in kinds], value), user_name
    else:
        spelt, named = spelt_by([(kind, kind.normalised_tenant) for kind in kinds], value), tenant_name
    return [Denial(what, kind.vouched_by, text, named(kind.vouched_by, text), _ahead(kind)) for kind, text in spelt]


def _ahead(kind: Revocable) -> float | None:
    """How far clocks may run ahead; a process without the settings cannot know."""
    return None if isinstance(kind, Unsettled) else kind.ahead


def _of_id(kind: Revocable, value: str) -> Denial:
    name = token_name(token_identity(kind.vouched_by, value))
    return Denial("id", kind.vouched_by, value, name, None)


async def looked_up(denials: Sequence[Denial], store: Store) -> tuple[Epoch | None, list[Denial]]:
    """The epoch of the store, and what it holds under these names."""
    with told_if_unavailable("store"):
        raw, *values = await store.read((EPOCH_NAME, *(each.name for each in denials)), within=STORE_SECONDS)
        present = epoch(raw)
        found = [
            Denial(each.what, each.authority, each.value, each.name, each.ahead, None if mark is None else marked(mark))
            for each, mark in zip(denials, values, strict=True)
        ]
    return present, found


def denial_in_words(denial: Denial) -> str:
    """Whether something is revoked, in one line."""
    whose = subject_in_words(denial)
    if denial.mark is None:
        return f"{whose}: not revoked"
    if denial.what == "id":
        return f"{whose}: revoked at {moment(denial.mark)}"
    return f"{whose}: {refused_up_to(denial.mark, denial.ahead)}"


def subject_in_words(denial: Denial) -> str:
    """Who is spoken of."""
    return f"{denial.what} {quoted(denial.value)} of {plain(denial.authority)}"


def refused_up_to(seconds: float, ahead: float | None) -> str:
    """Which tokens a watermark refuses."""
    later = "a few seconds" if ahead is None else f"{ahead:g} s"
    return f"tokens issued up to {moment(seconds)} are refused, and {later} after it, for clocks that run ahead"
